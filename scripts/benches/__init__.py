"""Benches: each module says at its top what it measures, how, and what the figure does not say.

::

    core          one whole decision of the engine, no sockets
    library       a call and a chunk of the library, next to its peers
    gateway       a request, a stream and an event through the gateway, next to its peers
    startup       importing the package, starting the command
    upstream      the mock provider that all of them call
    worker        what one client under measurement runs
    peers         one client each, and the versions it is measured in
    environments  a virtual environment for each peer
    machine       what the figures were taken on
"""
