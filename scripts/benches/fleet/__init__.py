"""Many replicas around one store; `__main__` says how.

::

    store      a modelled server in virtual time, with a wire, a line and counters
    weight     how many bytes an operation is
    replicas   the story that is played: so many balancers, an outage, a store that goes away
    server     what an operation costs a real Redis
"""
