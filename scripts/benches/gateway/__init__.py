"""The gateway beside its peers; `__main__` says how it is measured.

::

    measurements  what is measured, a file for each kind of load
    measurement   rounds, medians and the table of one of them
    columns       what a table says of a proxy
    plan          how long each goes on
    roster        who takes part
    proxies       how each is installed and started
    stage         ports, cores, the mock; who is up and who sleeps
    processes     a process tree on one core, its CPU and memory
    mock          the provider behind everybody
    requests      the one request
    wrk, callers, streams   the generators: saturating, one by one, many streams at once
    versions, tools         what is installed, and in which version
"""
