"""Who takes part, by the name given on the command line."""

from __future__ import annotations

from benches.gateway.proxies import floor, litellm, nginx, portkey
from benches.gateway.proxies.base import Loads, Proxy
from benches.gateway.proxies.understudy import gateway, models

_PORTKEY = Loads(connections=8, served=2000)
_LITELLM = Loads(8, rate=20, paced=4, flood=4, volley=8, crowd=0, held=100, served=500)

PLAIN = {
    "direct": Proxy("direct, no proxy", None),
    "nginx": Proxy("nginx, plain", nginx.prepare),
    "floor": Proxy("bare uvicorn + aiohttp", floor.prepare),
    "understudy": Proxy("**Understudy**", gateway("aiohttp")),
    "understudy-pyreqwest": Proxy("**Understudy**, pyreqwest", gateway("pyreqwest")),
    "portkey": Proxy("Portkey", portkey.prepare, loads=_PORTKEY),
    "litellm": Proxy("LiteLLM proxy", litellm.prepare, loads=_LITELLM),
}
PEERS = [name for name, proxy in PLAIN.items() if proxy.prepare]
TLS = {
    f"{name}-tls": PLAIN[name]._replace(title=f"{PLAIN[name].title}, TLS", tls=True)
    for name in ("nginx", "floor", "understudy", "understudy-pyreqwest")
}
SCALE = {
    "backends-3": Proxy("3 backends", gateway("aiohttp")),
    "backends-30": Proxy("30 backends", gateway("aiohttp", members=30)),
    "backends-300": Proxy("300 backends", gateway("aiohttp", members=300)),
    "turns-3": Proxy("3 backends, round robin", gateway("aiohttp", policy="roundrobin")),
    "turns-300": Proxy("300 backends, round robin", gateway("aiohttp", members=300, policy="roundrobin")),
    "profiles-100": Proxy(
        "100 profiles of 3, taking turns", gateway("aiohttp", profiles=100), models=tuple(models(100))
    ),
}
EVERYBODY = {**PLAIN, **TLS, **SCALE}
