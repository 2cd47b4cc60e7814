"""Facts about how the page is served."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from tests.gateway.house import KEY, caller, house
from tests.gateway.stage import Stage
from tests.runtime.house import completion

FOLDER = files("understudy.gateway") / "page"
NAMES = sorted(entry.name for entry in FOLDER.iterdir())
KINDS = {"css": "text/css", "html": "text/html", "js": "text/javascript", "svg": "image/svg+xml"}


@pytest.mark.parametrize("name", NAMES)
async def test_every_file_is_served_as_what_it_is_without_a_key(name: str) -> None:
    stage = Stage(completion(), keys=f"alice={KEY}")
    async with caller(stage.gateway) as client:
        answer = await client.get(f"/page/{name}")
    assert answer.status_code == 200
    assert answer.content == (FOLDER / name).read_bytes()
    assert answer.headers["content-type"].partition(";")[0] == KINDS[name.rpartition(".")[2]]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/v1/"])
async def test_the_root_is_the_page(path: str) -> None:
    stage = Stage(completion())
    async with caller(stage.gateway) as client:
        assert (await client.get(path)).content == (FOLDER / "index.html").read_bytes()
        assert (await client.post(path)).status_code == 405


async def test_a_browser_may_run_nothing_inline_and_talk_to_nobody_else() -> None:
    async with caller(Stage(completion()).gateway) as client:
        policy = (await client.get("/")).headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert "unsafe" not in policy


async def test_what_a_browser_has_already_is_not_sent_again() -> None:
    async with caller(Stage(completion()).gateway) as client:
        first = await client.get("/page/main.js")
        assert first.headers["cache-control"] == "no-cache"
        again = await client.get("/page/main.js", headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        other = await client.get("/page/board.js", headers={"if-none-match": first.headers["etag"]})
        assert other.status_code == 200


@pytest.mark.parametrize("name", ["", "no.js", "../app.py", "..%2fapp.py", "/etc/passwd", "index.html/x"])
async def test_a_name_is_no_path(name: str) -> None:
    async with house() as open_house:
        answer = await open_house.say(f"GET /page/{name} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    assert (answer.status, answer.json["error"]["code"]) == (404, "not_found")


async def test_over_a_socket_head_and_get_agree() -> None:
    async with house() as open_house:
        whole = await open_house.say(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        head = await open_house.hear(b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert int(whole.headers["content-length"]) == len(whole.body)
    assert b"content-length: %d" % len(whole.body) in head
    assert head.endswith(b"\r\n\r\n")


def test_the_page_is_light() -> None:
    assert sum(len((FOLDER / name).read_bytes()) for name in NAMES) < 64 * 1024


def test_it_fetches_nothing_from_elsewhere_and_makes_no_markup_of_text() -> None:
    for name in NAMES:
        text = (FOLDER / name).read_text(encoding="utf-8")
        addresses = set(re.findall(r"https?://[^\"'\s)]+", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}, name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text), name
        assert not re.search(r"<[^>]+ (style|on\w+)=", text), name


def test_every_address_is_relative_so_that_a_proxy_may_put_it_anywhere() -> None:
    index = (FOLDER / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'(?:src|href)="([^"#]+)"', index)
    for address in re.findall(r'(?:src|href)="([^"#]+)"', index):
        assert (FOLDER / address.removeprefix("page/")).is_file()
    for name in NAMES:
        script = (FOLDER / name).read_text(encoding="utf-8")
        assert not re.search(r"fetch\([\"'`]/", script)
