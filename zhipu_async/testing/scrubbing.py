"""What must not be in a recording: keys, tokens, cookies, and what a project adds to them."""

from __future__ import annotations

import re
import zlib
from base64 import b64encode
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qsl, quote

import msgspec.json

from zhipu_async.testing.exchange import Exchange, Headers, Piece

MASK: Final = "***"
_MASK: Final = MASK.encode()
_DROPPED: Final = frozenset({"cookie", "set-cookie"})
_SECRET_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "x-auth-token"})
_SECRET_FIELDS: Final = frozenset(
    {
        *("api_key", "apikey", "api-key", "x-api-key", "key", "secret", "secret_key", "client_secret", "authorization"),
        *("token", "access_token", "refresh_token", "id_token", "auth_token", "password", "passwd", "signature"),
    }
)
"""Query parameters whose values are replaced, and most of them also as names of fields."""
_UNSAFE_ALONE: Final = frozenset({"key", "token", "signature"})
"""Fields of bodies with these names are left alone: log probabilities have a token, tables have a key."""
_SHAPES: Final = (
    rb"\b[0-9a-f]{32}\.[A-Za-z0-9]{12,64}\b",  # a key of the service
    rb"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}",  # a signed token
    rb"\bsk-[\w-]{16,}",  # a key of other services
    rb"(?i)\bBearer\s+(?!\*\*\*)[\w.~+/-]{8,}=*",
)
_SHORTEST: Final = 8
"""Characters of a value that is looked for elsewhere once it was seen in a header: a short one would be a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrubber:
    """What is replaced with `***` before anything is written, beside keys, signed tokens and cookies.

    Request and answer are searched as a whole: the address, headers and bodies, streams across the borders of their
    pieces. A secret header is also looked for by its value, everywhere, and so is what it is made of.
    """

    patterns: Sequence[str | re.Pattern[str]] = ()
    """Regular expressions; what they match is replaced, in headers, addresses and bodies."""
    headers: Collection[str] = ()
    """More headers that are secret."""
    fields: Collection[str] = ()
    """More names of JSON fields whose values are texts, of texts of forms, and of query parameters, that are secret."""
    drop: Collection[str] = ()
    """Headers that are left out, such as `x-log-id`; cookies always are."""


class Secrets:
    """A scrubber at work: it remembers the secrets that it met, and finds them again elsewhere."""

    def __init__(self, scrubber: Scrubber | None = None, known: Iterable[str] = ()) -> None:
        scrubber = scrubber or Scrubber()
        self._headers = _SECRET_HEADERS | {name.lower() for name in scrubber.headers}
        self._dropped = _DROPPED | {name.lower() for name in scrubber.drop}
        extra = {name.lower() for name in scrubber.fields}
        self._parameters = _SECRET_FIELDS | extra
        self._shapes = [*map(re.compile, _SHAPES), *map(_in_bytes, scrubber.patterns)]
        names = b"|".join(re.escape(name).encode() for name in sorted((_SECRET_FIELDS - _UNSAFE_ALONE) | extra))
        text = rb"(?P<secret>(?:[^\"\\]|\\.)*)"
        self._members = [
            re.compile(shape, re.DOTALL | re.IGNORECASE)
            for shape in (
                rb'"(?:%b)"\s*:\s*"%b"' % (names, text),  # in JSON
                rb'(\\+)"(?:%b)\1"\s*:\s*\1"(?P<secret>.*?)\1"' % names,  # in JSON that is a text inside of JSON
                rb"[?&](?:%b)=(?P<secret>[^&\s\"'\\]+)" % names,  # in an address
                rb'name="?(?:%b)"?\r\n(?:[^\r\n]+\r\n)*\r\n(?P<secret>.*?)\r\n--' % names,  # in a form
            )
        ]
        self._values: set[bytes] = set()
        self._looked_for: re.Pattern[bytes] | None = None
        for value in known:
            self._learn(value)

    def of(self, exchange: Exchange) -> Exchange:
        """The exchange as it may be written.

        The length of a scrubbed answer is corrected in its header. ValueError for an answer whose compression is not
        known here, since it cannot be searched.
        """
        encoding = _header(exchange.answer_headers, "content-encoding").lower()
        plain = _decompressed(exchange.pieces, encoding)
        self._learn_from(exchange, plain)
        headers, pieces = exchange.answer_headers, exchange.pieces
        scrubbed = self._pieces(plain)
        if scrubbed != [*plain]:  # a compressed answer with a secret is kept as it was before its compression
            headers = tuple((name, value) for name, value in headers if name.lower() != "content-encoding")
            grown = sum(len(piece.data) for piece in scrubbed) - len(exchange.answer)
            headers, pieces = _lengthened(headers, grown), scrubbed
        return replace(
            exchange,
            target=self.target(exchange.target),
            headers=self._cleaned(exchange.headers),
            body=self.body(exchange.body),
            answer_headers=self._cleaned(headers),
            pieces=pieces,
        )

    def target(self, target: str) -> str:
        """Path and query without secrets."""
        path, mark, query = target.partition("?")
        parts = [part.partition("=") for part in query.split("&")]
        query = "&".join(
            f"{name}={MASK}" if equals and name.lower() in self._parameters else f"{name}{equals}{value}"
            for name, equals, value in parts
        )
        return self.body(f"{path}{mark}{query}".encode()).decode()

    def body(self, data: bytes) -> bytes:
        """Bytes without secrets."""
        return b"".join(piece.data for piece in self._pieces([Piece(0.0, data)]))

    def _cleaned(self, headers: Headers) -> Headers:
        kept = [(name, value) for name, value in headers if name.lower() not in self._dropped]
        return tuple(
            (name, MASK if name.lower() in self._headers else self.body(value.encode("latin-1")).decode("latin-1"))
            for name, value in kept
        )

    def _pieces(self, pieces: Sequence[Piece]) -> list[Piece]:
        """Pieces without secrets, also where a secret lies across a border; one of which nothing is left goes."""
        data = b"".join(piece.data for piece in pieces)
        spans = self._spans(data)
        if not spans:
            return [*pieces]
        kept: list[Piece] = []
        start = 0
        for piece in pieces:
            end = start + len(piece.data)
            left, place = b"", start
            for first, last in spans:
                if last <= start or first >= end:
                    continue
                left += data[place : max(first, place)]
                left += _MASK if first >= start else b""
                place = min(last, end)
            left += data[place:end]
            if left:
                kept.append(replace(piece, data=left))
            start = end
        return kept

    def _spans(self, data: bytes) -> list[tuple[int, int]]:
        """Where secrets are, in order, without overlaps."""
        found = [match.span() for shape in self._shapes for match in shape.finditer(data)]
        found += [match.span("secret") for shape in self._members for match in shape.finditer(data)]
        if self._looked_for is not None:
            found += [match.span() for match in self._looked_for.finditer(data)]
        merged: list[tuple[int, int]] = []
        for first, last in sorted(span for span in found if data[span[0] : span[1]] not in (b"", _MASK)):
            if merged and first <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(last, merged[-1][1])
            else:
                merged.append((first, last))
        return merged

    def _learn_from(self, exchange: Exchange, plain: Sequence[Piece]) -> None:
        for name, value in (*exchange.headers, *exchange.answer_headers):
            if name.lower() in _DROPPED:
                for cookie in value.split(";"):
                    self._learn(cookie.partition("=")[2])
            elif name.lower() in self._headers:
                self._learn(value.rpartition(" ")[2])
        for name, value in parse_qsl(exchange.target.partition("?")[2]):
            if name.lower() in self._parameters:
                self._learn(value)
        for data in (exchange.body, b"".join(piece.data for piece in plain)):
            for shape in self._members:
                for match in shape.finditer(data):
                    self._learn(match["secret"].decode(errors="replace"))

    def _learn(self, value: str) -> None:
        """Look for this value from now on, and for the secret half of a key, in all the ways that they are written."""
        value = value.strip()
        parts = {value, value.partition(".")[2]} if value.count(".") == 1 else {value}
        for part in parts:
            if len(part) >= _SHORTEST and MASK not in part:
                raw = part.encode()
                self._values |= {raw, quote(part, safe="").encode(), msgspec.json.encode(part)[1:-1]}
                self._values.add(b64encode(raw).rstrip(b"="))
        longest_first = sorted(self._values, key=len, reverse=True)
        self._looked_for = re.compile(b"|".join(map(re.escape, longest_first))) if longest_first else None


def _in_bytes(pattern: str | re.Pattern[str]) -> re.Pattern[bytes]:
    if isinstance(pattern, str):
        return re.compile(pattern.encode())
    return re.compile(pattern.pattern.encode(), pattern.flags & ~re.UNICODE)


def _header(headers: Headers, name: str) -> str:
    return next((value for known, value in headers if known.lower() == name), "")


def _lengthened(headers: Headers, by: int) -> Headers:
    return tuple(
        (name, str(int(value) + by) if name.lower() == "content-length" and value.isdigit() else value)
        for name, value in headers
    )


def _decompressed(pieces: Sequence[Piece], encoding: str) -> Sequence[Piece]:
    """The pieces as they are without their compression, as far as each can be read."""
    if encoding in ("", "identity"):
        return pieces
    if encoding not in ("gzip", "deflate"):
        raise ValueError(f"an answer in {encoding!r} cannot be searched for keys")
    reader: Any = zlib.decompressobj(_WINDOW[encoding])
    plain: list[Piece] = []
    try:
        for piece in pieces:
            data, left = b"", piece.data
            while left:
                data += reader.decompress(left)
                left = reader.unused_data
                if left:  # one compressed part has ended, and the next begins
                    reader = zlib.decompressobj(_WINDOW[encoding])
            plain.append(replace(piece, data=data))
    except zlib.error as error:
        raise ValueError(f"an answer in {encoding!r} cannot be read: {error}") from None
    return plain


_WINDOW: Final = {"gzip": 31, "deflate": 15}
