"""Who may ask: keys as they are written down, and as requests bring them."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from tests.gateway.house import KEY, chat, house
from understudy.errors import ConfigurationError
from understudy.faults.log import credential_id
from understudy.gateway.http import HttpError, Message, Request
from understudy.gateway.keys import ANONYMOUS, Keys, given_key


async def nothing() -> Message:
    raise AssertionError("nobody reads the body")


def request(**headers: bytes | str) -> Request:
    """With these headers, underscores for dashes."""
    given = [
        (name.replace("_", "-").encode(), value.encode() if isinstance(value, str) else value)
        for name, value in headers.items()
    ]
    return Request({"method": "GET", "path": "/", "headers": given}, nothing)


def refusal(keys: Keys, **headers: bytes | str) -> HttpError:
    with pytest.raises(HttpError) as caught:
        keys.check(request(**headers))
    return caught.value


# Rule 1: entries


@pytest.mark.parametrize(
    "entries",
    [
        "alice=A,bob=B",
        " alice = A , bob = B ",
        "alice=A\nbob=B\n",
        "alice=A\r\nbob=B",
        "# both\nalice=A\n\n  # bob's\nbob=B,\n,",
    ],
)
def test_entries_are_parted_by_commas_and_lines(entries: str) -> None:
    keys = Keys(entries)

    assert repr(keys) == "<Keys of alice, bob>"
    assert keys.check(request(x_api_key="A")) == "alice"
    assert keys.check(request(x_api_key="B")) == "bob"


def test_a_key_may_hold_equals_signs() -> None:
    assert Keys("alice=A=B==").check(request(x_api_key="A=B==")) == "alice"


@pytest.mark.parametrize(
    "entry",
    ["bare-key", "alice=", "=bare-key", "=", "alice=bare key", "alice=bäre-key", "al\x07ice=bare-key"],
)
def test_what_is_no_entry_is_an_error_that_does_not_show_it(entry: str) -> None:
    with pytest.raises(ConfigurationError, match="a key entry is not NAME=KEY") as caught:
        Keys(f"bob=B,{entry}")

    assert "re-key" not in f"{caught.value} {caught.value.hint}"


def test_a_name_has_one_key_and_a_key_one_name() -> None:
    with pytest.raises(ConfigurationError, match="two keys are named alice"):
        Keys("alice=A,alice=B")
    with pytest.raises(ConfigurationError, match="bob has the key of alice"):
        Keys("alice=A,bob=A")


def test_keys_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# clients\nalice=A\n", encoding="utf-8")

    assert Keys.of_file(file).check(request(x_api_key="A")) == "alice"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "can't be read: no such file or directory"),
        (b"alice=\xff", "can't be read: it is not text"),
        (b"# nobody\n", "names no key"),
        (b"", "names no key"),
    ],
)
def test_a_file_that_says_nothing_is_an_error(content: bytes | None, why: str, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigurationError, match=why) as caught:
        Keys.of_file(file)
    assert "alice=KEY" in (caught.value.hint or "")


# Rule 2: looking up


def test_only_digests_are_kept() -> None:
    keys = Keys(f"alice={KEY}")

    assert KEY not in repr(vars(keys))
    assert sha256(KEY.encode()).digest() in keys._names


@pytest.mark.parametrize("key", [KEY[:-1], KEY + "x", KEY.upper(), "", " ", "alice", "\xe9", "x" * 60_000])
def test_a_key_that_is_not_known_is_refused(key: str) -> None:
    error = refusal(Keys(f"alice={KEY}"), x_api_key=key)

    assert (error.status, error.code) == (401, "invalid_api_key")
    assert error.headers == [(b"www-authenticate", b"Bearer")]
    assert KEY not in error.message


def test_the_digest_is_no_key() -> None:
    digest = sha256(KEY.encode()).digest()

    assert refusal(Keys(f"alice={KEY}"), x_api_key=digest).code == "invalid_api_key"


# Rule 3: where a key stands


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   "])
def test_a_key_comes_as_bearer(scheme: str) -> None:
    assert given_key(request(authorization=f"{scheme}A")) == b"A"


def test_a_key_comes_as_x_api_key() -> None:
    assert given_key(request(x_api_key="A")) == b"A"


def test_who_brings_both_is_judged_by_the_first() -> None:
    assert given_key(request(authorization="Bearer A", x_api_key="B")) == b"A"


@pytest.mark.parametrize("authorization", ["Basic YTpi", "Bearer", "A", ""])
def test_another_authorization_is_none(authorization: str) -> None:
    assert given_key(request(authorization=authorization)) is None
    assert given_key(request(authorization=authorization, x_api_key="B")) == b"B"


def test_who_brings_none_is_told_how() -> None:
    error = refusal(Keys("alice=A"))

    assert (error.status, error.code) == (401, "missing_api_key")
    assert error.headers == [(b"www-authenticate", b"Bearer")]
    assert "x-api-key: KEY" in error.message


# Rule 4: nobody's keys


def test_without_keys_everybody_is_let_in() -> None:
    keys = Keys()

    assert not keys
    assert repr(keys) == "<Keys of nobody>"
    assert keys.check(request()) == keys.check(request(x_api_key="whatever")) == ANONYMOUS


def test_with_a_key_there_are_keys() -> None:
    assert Keys("alice=A")


async def test_a_clients_key_never_goes_upstream() -> None:
    async with house(keys=f"alice={KEY}") as open_house:
        for headers in (f"authorization: Bearer {KEY}\r\n", f"x-api-key: {KEY}\r\n"):
            assert (await open_house.post("/v1/chat/completions", chat(), headers)).status == 200

        for asked in open_house.lead.requests:
            assert asked.credential == credential_id({"authorization": "Bearer upstream-lead"})
            assert KEY not in str(asked.headers)
