"""The HTTP gateway: saved profiles behind the protocols that clients already speak.

server.py         uvicorn, with our signals
edge.py           uvicorn's HTTP protocol, with our limits
supervisor.py     the parent of several workers
worker.py         which worker this is, and its line to the parent; shares.py: its part of ceilings
siblings.py       what workers tell each other; merging.py: their statistics as one's
glance.py         what one worker tells another that somebody watches; news.py: decisions on their way
app.py            the ASGI application: which route a request takes
conversation.py   one chat request, from its body to the last byte of its answer
views.py          what can be read: models, statistics, metrics, trails
admin.py          the operator's routes
profiles.py       what is served, by model name
loading.py        profiles from their files, once and anew; reloading.py: when
keys.py           who may ask
admission.py      how many at a time
presence.py       is the client still there?
journal.py        the recent requests and their trails
errors.py         what a failure is in HTTP
http.py           one HTTP request and its answer
openapi.py        the routes for machines; openapi_schemas.py, models.py: shapes
"""
