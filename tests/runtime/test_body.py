"""Content encodings, undone within limits."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.errors import ProtocolViolation
from understudy.runtime.body import PIECE_LIMIT, ContentDecoder

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


def test_a_small_body_may_not_become_a_huge_one() -> None:
    bomb = gzip.compress(bytes(8 * PIECE_LIMIT), compresslevel=1)
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolViolation, match="inflates beyond"):
            ContentDecoder("gzip").decode(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * PIECE_LIMIT


def test_a_long_body_is_nobodys_business_here() -> None:
    decoder = ContentDecoder("gzip")
    third = gzip.compress(bytes(PIECE_LIMIT // 2))
    assert sum(len(decoder.decode(third)) for _ in range(3)) == 3 * (PIECE_LIMIT // 2)


def test_what_fits_in_one_piece_to_the_byte_is_given_out() -> None:
    assert len(ContentDecoder("gzip").decode(gzip.compress(bytes(PIECE_LIMIT)))) == PIECE_LIMIT
    with pytest.raises(ProtocolViolation):
        ContentDecoder("gzip").decode(gzip.compress(bytes(PIECE_LIMIT + 1)))
