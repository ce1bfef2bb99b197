"""What must not be in a recording: keys, tokens, cookies, and what a project adds to them."""

from __future__ import annotations

import re
import zlib
from base64 import b64encode
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
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
        *("secret", "secret-key", "client-secret", "password", "passwd"),
        *("access-token", "refresh-token", "id-token", "auth-token"),
    }
)
"""Fields of bodies and query parameters whose values are replaced, beside the names of secret headers."""
_UNSAFE_ALONE: Final = frozenset({"key", "token", "signature"})
"""Query parameters as well; fields with these names are left alone: log probabilities have a token, tables a key."""
_START: Final = rb"(?:\b|(?<=\\[bfnrt])|(?<=\\u[0-9a-fA-F]{4}))"
"""Where a word begins, also behind what JSON writes for a line break."""
_SHAPES: Final = (
    _START + rb"[0-9a-f]{32}\.[A-Za-z0-9]{12,64}\b",  # a key of the service
    rb"(?<!-)" + _START + rb"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}",  # a signed token
    _START + rb"sk-[\w-]{16,}",  # a key of other services
    rb"(?i)" + _START + rb"Bearer\s+(?!\*\*\*)[\w.~+/-]{8,}=*",
)
_TEXT: Final = rb'[^"\\]*(?:\\.[^"\\]*)*'
"""What stands between the quotes of JSON; one that was cut has no second quote."""
_DELTAS: Final = [
    re.compile(rb'"%b"\s*:\s*"(%b)' % (name, _TEXT), re.DOTALL)
    for name in (b"content", b"reasoning_content", b"arguments")
]
"""The texts that a stream brings in parts."""
_SHORTEST: Final = 8
"""Characters of a value that is looked for elsewhere once it was seen in a header: a short one would be a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrubber:
    """What is replaced with `***` before anything is written, beside keys, signed tokens and cookies.

    Request and answer are searched as a whole: the address, headers and bodies, streams across the borders of their
    pieces and of their deltas, each of which gets a `***` of its own. A secret header is also looked for by its value,
    everywhere, and so is what it is made of. Names count in any case, and with `-`, `_` or nothing between their words.
    """

    patterns: Sequence[str | re.Pattern[str]] = ()
    """Regular expressions; what they match is replaced, in headers, addresses and bodies."""
    headers: Collection[str] = ()
    """More headers that are secret, also as names of JSON fields and of query parameters."""
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
        fields = {*_SECRET_FIELDS, *_SECRET_HEADERS, *_DROPPED, *scrubber.headers, *scrubber.fields}
        self._parameters = re.compile(_any_of(fields | _UNSAFE_ALONE), re.IGNORECASE)
        self._shapes = [*map(re.compile, _SHAPES), *map(_in_bytes, scrubber.patterns)]
        names, parameters = _any_of(fields).encode(), self._parameters.pattern.encode()
        escaped = rb'(?:[^"\\\r\n]+|\\+[^"\\\r\n]|(?:\\\1\\\1)*\\\1\1")*(?:\\\1\\\1)*'  # \\\1 is a backslash in there
        self._members = [
            re.compile(shape, re.DOTALL | re.IGNORECASE)
            for shape in (
                rb'"(?:%b)"\s*:\s*"(?P<secret>%b)' % (names, _TEXT),  # in JSON
                rb'(?<!\\)(\\+)"(?:%b)\1"\s*:\s*\1"(?P<secret>%b)' % (names, escaped),  # in JSON that is a text in JSON
                rb"(?:^|[?&]|\\u0026)(?:%b)=(?P<secret>[^&\s\"'\\]+)" % parameters,  # in an address
                rb'name="?(?:%b)"?\r\n(?:[^\r\n]+\r\n){0,9}\r\n(?P<secret>.*?)(?:\r\n--|\Z)' % names,  # in a form
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
            f"{name}={MASK}" if equals and self._parameters.fullmatch(name) else f"{name}{equals}{value}"
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
        firsts, lasts = zip(*spans, strict=True)
        kept: list[Piece] = []
        start = 0
        for piece in pieces:
            end = start + len(piece.data)
            left, place = b"", start
            for first, last in spans[bisect_right(lasts, start) : bisect_left(firsts, end)]:
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
        found = [raw for text in _texts(data) for span in self._spans_in(text.data) for raw in text.raw(*span)]
        merged: list[tuple[int, int]] = []
        for first, last in sorted(span for span in found if data[span[0] : span[1]] not in (b"", _MASK)):
            if merged and first <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(last, merged[-1][1])
            else:
                merged.append((first, last))
        return merged

    def _spans_in(self, text: bytes) -> Iterator[tuple[int, int]]:
        for shape in (*self._shapes, *([self._looked_for] if self._looked_for else ())):
            yield from (match.span() for match in shape.finditer(text))
        for shape in self._members:
            yield from (match.span("secret") for match in shape.finditer(text))

    def _learn_from(self, exchange: Exchange, plain: Sequence[Piece]) -> None:
        for name, value in (*exchange.headers, *exchange.answer_headers):
            if name.lower() in _DROPPED:
                for cookie in value.split(";"):
                    self._learn(cookie.partition("=")[2])
            elif name.lower() in self._headers:
                self._learn(value.rpartition(" ")[2])
        for name, value in parse_qsl(exchange.target.partition("?")[2]):
            if self._parameters.fullmatch(name):
                self._learn(value)
        for data in (exchange.body, b"".join(piece.data for piece in plain)):
            for text in _texts(data):
                for shape in self._members:
                    for match in shape.finditer(text.data):
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


class _Text:
    """A text, and the places of a body where its parts are."""

    def __init__(self, body: bytes, places: Sequence[tuple[int, int]]) -> None:
        self.data = b"".join(body[begin:end] for begin, end in places)
        self._places = places
        self._starts = [0, *accumulate(end - begin for begin, end in places)]

    def raw(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Where in the body a span of the text is."""
        for number in range(bisect_right(self._starts, first) - 1, bisect_left(self._starts, last)):
            begin, end = self._places[number]
            shift = begin - self._starts[number]
            yield max(begin, first + shift), min(end, last + shift)


def _texts(body: bytes) -> Iterator[_Text]:
    """A body as it is and, of a stream, the texts that its deltas are parts of."""
    yield _Text(body, [(0, len(body))])
    if b'"delta"' in body:
        yield from (_Text(body, [match.span(1) for match in name.finditer(body)]) for name in _DELTAS)


def _any_of(names: Iterable[str]) -> str:
    """A pattern for names: their words may be joined by either separator, or by none."""
    return "|".join(sorted({"[-_]?".join(map(re.escape, re.split("[-_]", name))) for name in names}))


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
