"""Content-Encoding undone in pieces: whatever the pieces, the same bytes; whatever is missing, an error."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable
from itertools import pairwise

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhipu_async import ConnectionLost
from zhipu_async.transport import encoding


def raw_deflate(data: bytes) -> bytes:
    """Deflate without its header, as some servers send it."""
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


COMPRESSIONS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "members": ("gzip", lambda data: gzip.compress(data[:100]) + gzip.compress(data[100:]) + bytes(8)),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
}
TEXTS = [b"x", os.urandom(5000), b"ab" * encoding.STEP, bytes(encoding.STEP), bytes(3 * encoding.STEP + 1)]


def undone(name: str, data: bytes, cuts: list[int]) -> bytes:
    """``data`` fed in pieces."""
    decoder = encoding.decoder(name)
    assert decoder is not None
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    blocks = [block for start, end in pairwise(edges) for block in decoder.feed(data[start:end])]
    decoder.end()
    assert max(map(len, blocks), default=0) <= 2 * encoding.STEP  # brotli's own bound is approximate
    return b"".join(blocks)


@pytest.mark.parametrize("kind", COMPRESSIONS)
@given(
    text=st.sampled_from(range(len(TEXTS))) | st.binary(min_size=1), cuts=st.lists(st.integers(0, 10**6), max_size=20)
)
def test_any_pieces_give_the_same_bytes(kind: str, text: bytes | int, cuts: list[int]) -> None:
    """Blocks are bounded, and together they are what was compressed."""
    name, compress = COMPRESSIONS[kind]
    text = TEXTS[text] if isinstance(text, int) else text
    same = undone(name, compress(text), cuts) == text
    assert same


@pytest.mark.parametrize("kind", ["gzip", "deflate", "raw deflate", "br"])
@pytest.mark.parametrize("text", TEXTS[:3], ids=len)
def test_a_body_that_is_cut_anywhere_is_an_error(kind: str, text: bytes) -> None:
    """Also when only the checksum is missing."""
    name, compress = COMPRESSIONS[kind]
    data = compress(text)
    for missing in range(1, min(len(data), 40)):
        with pytest.raises(ConnectionLost):
            undone(name, data[:-missing], [])


@pytest.mark.parametrize("name", ["gzip", "deflate", "br"])
def test_what_is_not_so_encoded_is_an_error(name: str) -> None:
    """Plain text under a false name."""
    with pytest.raises(ConnectionLost):
        undone(name, b"plain text, really", [])


def test_only_what_was_offered_is_taken() -> None:
    """An encoding that was not asked for is an error; identity needs no decoder."""
    with pytest.raises(ConnectionLost, match="lzma"):
        encoding.decoder("lzma")
    assert encoding.decoder("") is None
    assert encoding.decoder(" Identity ") is None
