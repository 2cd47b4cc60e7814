"""Nothing starts where somebody else listens already."""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path

import pytest

from benches.gateway import callers, requests, stage
from benches.gateway.failed import Failed
from benches.gateway.processes import Tree
from benches.gateway.requests import Target
from benches.gateway.roster import EVERYBODY
from benches.gateway.stage import Running, Stage


def test_it_refuses_when_any_of_its_ports_is_taken() -> None:
    affinity = os.sched_getaffinity(0)
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        port = somebody.getsockname()[1]
        with pytest.raises(SystemExit, match=f"error: port {port} is taken .*\nhint: choose one: --port"):
            Stage(port).__enter__()
    assert os.sched_getaffinity(0) == affinity


def test_one_core_is_not_enough() -> None:
    with pytest.raises(SystemExit, match="error: one core is not enough"):
        stage.cores({3})
    assert stage.cores({5, 3, 4}) == (3, 4)


def test_a_proxy_that_ends_instead_of_answering_says_why(tmp_path: Path) -> None:
    with Tree(["/bin/sh", "-c", "echo no such setting >&2; exit 1"], 0, {}, tmp_path) as tree:
        running = Running(EVERYBODY["nginx"], tree, Target(1), tmp_path)
        with pytest.raises(Failed, match="did not start: no such setting"):
            running.wait_for_an_answer()


def test_the_certificate_is_trusted_by_its_own_authority(tmp_path: Path) -> None:
    own, trusted = stage.certificate(tmp_path)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(own)
    assert len(ssl.create_default_context(cafile=str(trusted)).get_ca_certs()) == 1


def test_every_proxy_has_a_port_of_its_own() -> None:
    ports = [2 + list(EVERYBODY).index(name) for name in EVERYBODY]
    assert len({0, 1, *ports, stage._FRESH}) == stage.PORTS


def test_a_request_names_the_port_it_goes_to() -> None:
    assert b"Host: 127.0.0.1:4141\r\n" in requests.request(Target(4141), requests.body())
    assert not callers.complete(b"")
