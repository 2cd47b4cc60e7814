"""nginx as a plain reverse proxy, one worker: connections kept on both sides, nothing buffered or logged.

It has no client keys, no failover worth the name here, and doesn't look into what it passes.
"""

from __future__ import annotations

import getpass

from benches.gateway.proxies.base import Command, Place
from benches.gateway.tools import tool

CONFIGURATION = """\
daemon off;
{user}worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_body_buffer_size 64k;
    keepalive_requests 1000000000;
    upstream mock {{
        server {host};
        keepalive 1024;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass {scheme}://mock;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_ssl_trusted_certificate {ca_file};
            proxy_ssl_verify on;
            proxy_ssl_name localhost;
        }}
    }}
}}
"""


def configuration(place: Place, user: str) -> str:
    """The user matters to a master that runs as root: its worker would give the folder's rights up."""
    scheme, _, host = place.upstream.partition("://")
    return CONFIGURATION.format(
        user=f"user {user};\n" if user == "root" else "",
        folder=place.folder,
        host=host,
        port=place.port,
        scheme=scheme,
        ca_file=place.ca_file,
    )


def prepare(place: Place) -> Command:
    file = place.folder / "nginx.conf"
    file.write_text(configuration(place, getpass.getuser()))
    return Command([tool("nginx"), "-p", str(place.folder), "-c", str(file)])
