"""The HTTP gateway: saved profiles behind the protocols that clients already speak.

app.py            the ASGI application: which route a request takes
http.py           one HTTP request and its answer
keys.py           who may ask
profiles.py       what is served, by model name
conversation.py   one chat request, from its body to the last byte of its answer
errors.py         what a failure is in HTTP
admission.py      how many at a time
presence.py       is the client still there?
journal.py        the recent requests and their trails
server.py         uvicorn, with our limits and our signals
"""
