"""Who is measured: a file for each, which says how it is installed and started.

::

    base         what a proxy is told, and what it answers with
    floor        bare uvicorn and aiohttp: the least a Python proxy can cost in practice; `floor_app` is it
    nginx        the practical limit of any proxy
    understudy   the gateway under test
    litellm      LiteLLM's proxy
    portkey      Portkey's gateway
"""
