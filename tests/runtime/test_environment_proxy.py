"""Which proxy the environment asks for."""

from __future__ import annotations

import pytest
from yarl import URL

from understudy.errors import ConnectFailed
from understudy.runtime.environment_proxy import EnvironmentProxies

PLAIN = URL("http://api.example.com/v1")
SECURE = URL("https://api.example.com/v1")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def test_without_a_variable_the_connection_is_direct() -> None:
    assert EnvironmentProxies().find(PLAIN) is None


def test_each_scheme_has_its_variable(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HTTP_PROXY", "http://one:3128")
    environment.setenv("https_proxy", "http://two:3128")
    proxies = EnvironmentProxies()
    assert proxies.find(PLAIN) == URL("http://one:3128")
    assert proxies.find(SECURE) == URL("http://two:3128")


def test_a_proxy_named_without_scheme_is_an_http_one(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("http_proxy", "one:3128")
    assert EnvironmentProxies().find(PLAIN) == URL("http://one:3128")


@pytest.mark.parametrize(
    "excluded", ["api.example.com", ".example.com", "example.com", "*", "x,api.example.com:80"]
)
def test_no_proxy_takes_hosts_out(environment: pytest.MonkeyPatch, excluded: str) -> None:
    environment.setenv("http_proxy", "http://one:3128")
    environment.setenv("no_proxy", excluded)
    assert EnvironmentProxies().find(PLAIN) is None


@pytest.mark.parametrize("excluded", ["other.example.com", "api.example.com:8080"])
def test_no_proxy_takes_no_other_host_out(environment: pytest.MonkeyPatch, excluded: str) -> None:
    environment.setenv("http_proxy", "http://one:3128")
    environment.setenv("no_proxy", excluded)
    assert EnvironmentProxies().find(PLAIN) == URL("http://one:3128")


def test_the_environment_is_read_once_per_origin(environment: pytest.MonkeyPatch) -> None:
    proxies = EnvironmentProxies()
    assert proxies.find(PLAIN) is None
    environment.setenv("http_proxy", "http://one:3128")
    assert proxies.find(PLAIN.with_path("/other")) is None
    assert proxies.find(PLAIN.with_host("other.example.com")) is not None
    assert proxies.find(PLAIN.with_port(8080)) is not None


def test_a_url_without_host_needs_none(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("http_proxy", "http://one:3128")
    assert EnvironmentProxies().find(URL("http:///v1")) is None


@pytest.mark.parametrize(
    ("proxy", "message"),
    [
        ("socks5://me:secret@one:1080", "^the environment's http_proxy is not an http proxy: socks5$"),
        ("http://", "^the environment's http_proxy is not an http proxy: http$"),
        ("http://me:secret@[one", "^the environment's http_proxy is not a URL$"),
    ],
)
def test_a_proxy_we_cannot_use_says_so_and_keeps_its_password(
    environment: pytest.MonkeyPatch, proxy: str, message: str
) -> None:
    environment.setenv("http_proxy", proxy)
    with pytest.raises(ConnectFailed, match=message):
        EnvironmentProxies().find(PLAIN)
