"""Bodies: encodings undone, limits kept."""

from __future__ import annotations

import gzip
import itertools
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.scripted_response import ScriptedResponse
from understudy.errors import ConnectionReset, ProtocolViolation
from understudy.runtime.body import (
    ERROR_BODY_LIMIT,
    PIECE_LIMIT,
    ContentDecoder,
    read_at_most,
    read_error_body,
)

TEXT = "".join(f'data: {{"n": {n}, "text": "žluťoučký 🐎"}}\n\n' for n in range(40)).encode()


def raw_deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


def batched(data: bytes, step: int) -> list[bytes]:
    return [data[start : start + step] for start in range(0, len(data), step)]


ENCODED = {
    "gzip": gzip.compress(TEXT),
    "GZip": gzip.compress(TEXT),
    "x-gzip": gzip.compress(TEXT),
    "identity, gzip": gzip.compress(TEXT),
    "deflate": zlib.compress(TEXT),
    "identity": TEXT,
    " ": TEXT,
}


@pytest.mark.parametrize(("encoding", "data"), ENCODED.items())
def test_an_encoding_we_know_is_undone(encoding: str, data: bytes) -> None:
    decoder = ContentDecoder(encoding)
    assert decoder.decode(data) == TEXT
    decoder.finish()


def test_no_header_means_the_bytes_themselves() -> None:
    decoder = ContentDecoder(None)
    assert decoder.decode(TEXT) is TEXT
    decoder.finish()


def test_deflate_may_be_raw() -> None:
    decoder = ContentDecoder("deflate")
    assert decoder.decode(raw_deflate(TEXT)) == TEXT
    decoder.finish()


@pytest.mark.parametrize(
    ("encoding", "data"),
    [("gzip", ENCODED["gzip"]), ("deflate", ENCODED["deflate"]), ("deflate", raw_deflate(TEXT))],
)
def test_a_body_cut_at_any_place_decodes_the_same(encoding: str, data: bytes) -> None:
    for cut in range(len(data) + 1):
        decoder = ContentDecoder(encoding)
        assert decoder.decode(data[:cut]) + decoder.decode(data[cut:]) == TEXT
        decoder.finish()


@given(st.binary(max_size=300), st.sampled_from(["gzip", "zlib", "raw"]), st.integers(1, 7))
def test_any_bytes_survive_the_round_trip(data: bytes, form: str, step: int) -> None:
    encode: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "zlib": zlib.compress,
        "raw": raw_deflate,
    }
    encoded = encode[form](data)
    decoder = ContentDecoder("gzip" if form == "gzip" else "deflate")
    pieces = [decoder.decode(piece) for piece in batched(encoded, step)]
    decoder.finish()
    assert b"".join(pieces) == data


def test_what_was_flushed_is_decoded_at_once() -> None:
    """A compressed event stream must not wait for the end of a block."""
    deflater = zlib.compressobj(wbits=31)
    event = deflater.compress(b"data: 1\n\n") + deflater.flush(zlib.Z_SYNC_FLUSH)
    assert ContentDecoder("gzip").decode(event) == b"data: 1\n\n"


def test_gzip_members_follow_one_another() -> None:
    decoder = ContentDecoder("gzip")
    assert decoder.decode(gzip.compress(b"one ") + gzip.compress(b"two")) == b"one two"
    decoder.finish()


def test_data_after_a_deflate_body_is_a_violation() -> None:
    with pytest.raises(ProtocolViolation, match="after the end"):
        ContentDecoder("deflate").decode(zlib.compress(TEXT) + b"more")


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "deflate, gzip"])
def test_another_encoding_or_two_at_once_is_a_violation(encoding: str) -> None:
    with pytest.raises(ProtocolViolation, match="not supported"):
        ContentDecoder(encoding)


@pytest.mark.parametrize(("encoding", "body"), [("gzip", b'{"choices": []}'), ("deflate", b"<html>")])
def test_a_header_that_lies_is_a_violation(encoding: str, body: bytes) -> None:
    with pytest.raises(ProtocolViolation, match=f"not {encoding}, though its header says so"):
        ContentDecoder(encoding).decode(body)


def test_what_passes_for_raw_deflate_by_chance_is_found_out_at_its_end() -> None:
    decoder = ContentDecoder("deflate")
    decoder.decode(b'{"choices": []}')
    with pytest.raises(ProtocolViolation, match="cut short"):
        decoder.finish()


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_data_cut_short_is_a_violation(encoding: str) -> None:
    decoder = ContentDecoder(encoding)
    decoder.decode(ENCODED[encoding][:-3])
    with pytest.raises(ProtocolViolation, match="cut short"):
        decoder.finish()


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_of_no_bytes_is_whole(encoding: str) -> None:
    ContentDecoder(encoding).finish()


def peak_of(action: Callable[[], object]) -> int:
    """Bytes in use at the worst moment."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("total_limit", "peak"), [(None, 3 * PIECE_LIMIT), (1_000_000, 4_000_000)])
def test_a_small_body_may_not_become_a_huge_one(total_limit: int | None, peak: int) -> None:
    bomb = gzip.compress(bytes(8 * PIECE_LIMIT), compresslevel=1)
    decoder = ContentDecoder("gzip", total_limit=total_limit)

    def explode() -> None:
        with pytest.raises(ProtocolViolation, match="inflates beyond"):
            decoder.decode(bomb)

    assert peak_of(explode) < peak


@pytest.mark.parametrize("encoding", ["gzip", None])
def test_all_pieces_together_keep_to_the_total(encoding: str | None) -> None:
    data = bytes(1000)
    piece = gzip.compress(data) if encoding else data
    decoder = ContentDecoder(encoding, total_limit=2000)
    assert decoder.decode(piece) + decoder.decode(piece) == bytes(2000)
    with pytest.raises(ProtocolViolation, match="beyond its limit"):
        decoder.decode(piece)


async def test_a_body_is_read_to_its_end() -> None:
    response = ScriptedResponse([b"one ", b"two"])
    assert await read_at_most(response, 7) == b"one two"


async def test_a_body_beyond_the_limit_is_a_violation_and_read_no_further() -> None:
    response = ScriptedResponse([b"x" * 10] * 100)
    with pytest.raises(ProtocolViolation, match="beyond 25 bytes"):
        await read_at_most(response, 25)
    assert response.reads == 3


async def test_the_limit_holds_for_the_decoded_body() -> None:
    bomb = gzip.compress(bytes(100_000))
    with pytest.raises(ProtocolViolation, match="beyond 1000 bytes"):
        await read_at_most(ScriptedResponse([bomb]), 1000, ContentDecoder("gzip"))


async def test_a_body_is_decoded_and_its_end_checked() -> None:
    whole, cut = gzip.compress(TEXT), gzip.compress(TEXT)[:-2]
    assert await read_at_most(ScriptedResponse([whole]), 99_999, ContentDecoder("gzip")) == TEXT
    with pytest.raises(ProtocolViolation, match="cut short"):
        await read_at_most(ScriptedResponse([cut]), 99_999, ContentDecoder("gzip"))


async def test_a_broken_connection_is_not_hidden_in_a_body() -> None:
    with pytest.raises(ConnectionReset):
        await read_at_most(ScriptedResponse([b"half", ConnectionReset("gone")]), 100)


async def test_an_error_body_is_cut_at_its_limit_and_read_no_further() -> None:
    response = ScriptedResponse(b"x" * 10_000 for _ in itertools.count())
    assert await read_error_body(response) == b"x" * ERROR_BODY_LIMIT
    assert response.reads == 7


async def test_an_error_body_is_read_to_its_end() -> None:
    assert await read_error_body(ScriptedResponse([b'{"error"', b": 1}"])) == b'{"error": 1}'


@pytest.mark.parametrize("fault", [ConnectionReset("gone"), ProtocolViolation("bad chunk")])
async def test_a_fault_inside_an_error_body_ends_it_quietly(fault: Exception) -> None:
    assert await read_error_body(ScriptedResponse([b"half", fault])) == b"half"


async def test_an_error_body_is_decoded_as_far_as_it_goes() -> None:
    response = ScriptedResponse([gzip.compress(b"quota")[:-8], b"garbage" * 9])
    assert await read_error_body(response, decoder=ContentDecoder("gzip")) == b"quota"


async def test_an_error_body_collects_where_it_is_told() -> None:
    body = bytearray()
    response = ScriptedResponse([b"so far", KeyError("the caller's patience ends")])
    with pytest.raises(KeyError):
        await read_error_body(response, into=body)
    assert body == b"so far"
