"""Every proxy is told the same: where to listen, whom to ask, and whose key to accept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import understudy
from benches.gateway import versions
from benches.gateway.proxies import litellm, nginx, portkey
from benches.gateway.proxies import understudy as ours
from benches.gateway.proxies.base import MEMBERS, Place
from benches.gateway.requests import KEY


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(4141, "https://127.0.0.1:18101", tmp_path / "ca.pem", tmp_path)


def test_nginx_keeps_connections_and_buffers_nothing(place: Place) -> None:
    text = nginx.configuration(place, "somebody")
    for line in (
        "listen 127.0.0.1:4141;",
        "server 127.0.0.1:18101;",
        "proxy_pass https://mock;",
        "proxy_buffering off;",
        'proxy_set_header Connection "";',
        f"proxy_ssl_trusted_certificate {place.ca_file};",
    ):
        assert line in text
    assert text.count("{") == text.count("}")
    assert "user" not in text
    assert "user root;" in nginx.configuration(place, "root")


def test_litellm_has_a_key_a_price_and_no_retries(place: Place) -> None:
    configuration = json.loads(litellm.configuration(place))
    assert configuration["general_settings"] == {"master_key": KEY}
    assert len(configuration["model_list"]) == MEMBERS
    backend = configuration["model_list"][0]["litellm_params"]
    assert backend["api_base"] == "https://127.0.0.1:18101/v1"
    assert backend["input_cost_per_token"] > 0
    assert configuration["router_settings"]["num_retries"] == 0


def test_portkey_falls_back_over_as_many(place: Place) -> None:
    config = json.loads(portkey.headers(place.upstream)["x-portkey-config"])
    assert config["strategy"] == {"mode": "fallback"}
    assert [target["custom_host"] for target in config["targets"]] == ["https://127.0.0.1:18101/v1"] * MEMBERS


def test_ours_is_started_as_a_user_would(place: Place) -> None:
    command = ours.gateway("pyreqwest")(place)
    assert command.arguments[1:4] == ["-m", "understudy", "serve"]
    assert command.arguments[-2:] == ["--transport", "pyreqwest"]
    assert command.environment["UNDERSTUDY_KEYS"] == f"bench={KEY}"
    assert command.arguments.count("--profile-load") == 1


def test_its_profiles_load_and_share_their_members(place: Place) -> None:
    plain = place._replace(upstream="http://127.0.0.1:18100")
    files = ours.write_profiles(plain, members=4, profiles=3, policy="roundrobin")
    assert [file.stem for file in files] == ours.models(3) == ["mock", "mock001", "mock002"]
    for file in files:
        balancer = understudy.Balancer.load(str(file))
        assert [backend.name for backend in balancer.stats().backends] == [
            "member000",
            "member001",
            "member002",
            "member003",
        ]


def test_only_a_tls_upstream_needs_an_authority(place: Place) -> None:
    ours.write_profiles(place, members=2, profiles=1, policy="failover")
    settings = json.loads((place.folder / "member000.json").read_text())["ephemeralSettings"]
    assert settings["ca-file"] == str(place.ca_file)


def test_every_version_is_pinned() -> None:
    for name in ("floor", "litellm"):
        assert all("==" in package for package in versions.python_packages(name))
    manifest = versions.node_packages("portkey")
    assert manifest["overrides"] == {"@hono/node-server": "1.13.8"}
    assert json.dumps(manifest["dependencies"]).replace(".", "").count(":") == 1


def test_the_floor_has_the_versions_that_ours_runs_on() -> None:
    locked = (Path(versions.__file__).parents[3] / "requirements-dev.txt").read_text()
    for package in versions.python_packages("floor"):
        assert f"\n{package} " in f"\n{locked}"
