"""What callers get from a pool with faults, beside other libraries and gateways; `__main__` says how.

::

    scenarios    what the three backends do, and how they are asked
    roster       who takes part, and with which settings
    pool         what a peer is told
    peers        a library each, one process each; `gateway_caller` asks a gateway
    gateways     how each gateway is set up and started
    worker       what such a process runs; calls: one call, and many at a time
    backends     the process of the three fault providers
    stage        starts everybody, one at a time, and makes the run
    figures      what became of the calls; report: tables and JSON
"""
