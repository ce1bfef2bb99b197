"""Content-Encoding undone piece by piece, with an end that is checked: aiohttp alone passes a gzip body that is cut."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Protocol

from aiohttp.compression_utils import HAS_BROTLI, HAS_ZSTD, BrotliDecompressor, ZSTDDecompressor

from ..errors import ConnectionLost

ACCEPTED = ", ".join(["gzip", "deflate", *(["br"] if HAS_BROTLI else []), *(["zstd"] if HAS_ZSTD else [])])
"""What this installation can decode, as aiohttp itself says it in Accept-Encoding."""

STEP = 256 * 1024
"""Bytes that one step may give: a small bomb does not become a large block before its reader can refuse it."""


class Decoder(Protocol):
    """Undoes one encoding."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` stands for, block by block as it is asked for; ConnectionLost when it is not so encoded."""
        ...

    def end(self) -> None:
        """The body ended; ConnectionLost when the encoded data did not."""
        ...


class _Zlib:
    """gzip (also of several members) and deflate, which some servers send without its header."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._decompressor = zlib.decompressobj(31 if name == "gzip" else 15)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        block = b""
        while data or len(block) == STEP:  # a full block may have left some of its output inside
            if self._decompressor.eof:
                if self._name != "gzip" or not data.strip(b"\0"):
                    return
                self._decompressor = zlib.decompressobj(31)
            if not self._begun:
                self._begun = True
                if self._name == "deflate" and data[0] & 0x0F != 8:
                    self._decompressor = zlib.decompressobj(-15)
            try:
                block = self._decompressor.decompress(data, STEP)
            except zlib.error as error:
                raise ConnectionLost(f"the body is no {self._name}: {error}") from error
            if block:
                yield block
            data = self._decompressor.unconsumed_tail or self._decompressor.unused_data

    def end(self) -> None:
        if self._begun and not self._decompressor.eof:
            raise ConnectionLost(f"the {self._name} body was cut")


class _Foreign:
    """br and zstd, by the decompressors that aiohttp has found."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._decompressor = BrotliDecompressor() if name == "br" else ZSTDDecompressor()
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._begun = self._begun or bool(data)
        while block := self._step(data):
            yield block
            data = b""

    def _step(self, data: bytes) -> bytes:
        try:
            return self._decompressor.decompress_sync(data, max_length=STEP)
        except Exception as error:  # each library has an error class of its own
            raise ConnectionLost(f"the body is no {self._name}: {error}") from error

    def end(self) -> None:
        library = getattr(self._decompressor, "_obj", None)  # only the library itself knows whether its data ended
        is_finished = getattr(library, "is_finished", None)
        if self._begun and not (is_finished() if is_finished is not None else getattr(library, "eof", True)):
            raise ConnectionLost(f"the {self._name} body was cut")


def decoder(encoding: str) -> Decoder | None:
    """What undoes ``encoding`` (a Content-Encoding); None for identity. ConnectionLost for one that was not offered."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return None
    name = {"x-gzip": "gzip"}.get(name, name)
    if name not in ACCEPTED.split(", "):
        raise ConnectionLost(f"the answer is encoded as {name!r}, which was not asked for")
    return _Zlib(name) if name in ("gzip", "deflate") else _Foreign(name)
