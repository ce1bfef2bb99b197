"""What the simulator can answer: the vocabulary of scenarios, as frozen data."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Final, Literal

from zhipu_async.simulator.codes import BUSINESS_CODES

JSON_TYPE: Final = "application/json; charset=UTF-8"
STREAM_TYPE: Final = "text/event-stream;charset=UTF-8"
DONE: Final = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How an answer travels: delays in seconds, offsets in bytes of the body (after gzip, without HTTP chunk frames).

    An answer normally leaves in one write. `pause` or `cuts_at` turn it into several, with `pause` seconds or a turn of
    the event loop between them, so that a client in the same loop reads them one by one.
    """

    head_after: float = 0.0
    """Seconds between the request and the status line."""
    body_after: float = 0.0
    """Seconds between the head and the first byte of the body."""
    pause: float | None = None
    """Seconds between two writes: events of a stream, or 256 KB of a `Download`, unless `cuts_at` says otherwise."""
    cuts_at: Sequence[int] = ()
    """Where the body is cut into writes (each its own HTTP chunk): events are glued and torn by it."""
    stops_at: int | None = None
    """The offset at which the body breaks off; what comes next is `then`."""
    stops_after: int | None = None
    """The number of writes after which the body breaks off."""
    then: Literal["reset", "close", "hang"] = "reset"
    """Where the body breaks off: a TCP reset, a clean end of the connection, or silence until the peer closes."""
    lingers: float = 0.0
    """Seconds between the last byte of the body and the end of the answer (the last HTTP chunk of a stream)."""
    gzip: bool = False
    """Send the body compressed, unless the request says `Accept-Encoding: identity`."""

    @property
    def in_one_write(self) -> bool:
        """Whether nothing happens between the head and the end of the answer."""
        return (
            self.pause is None
            and self.stops_at is None
            and self.stops_after is None
            and not (self.cuts_at or self.body_after or self.lingers)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What every kind of answer has: how often a script gives it, how it travels, and headers of its own."""

    times: int | None = 1
    """How many requests in a row get it from a script; None: all from here on."""
    delivery: Delivery | None = None
    """How it travels; None: at once, or at the pace of the scenario."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Headers added to the answer, or put in the place of those it has: a `content-length` may lie."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model wants: `arguments` is a JSON value, or the very text to be sent."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict[str, Any])
    id: str | None = None
    """None: an id in the service's shape."""
    index: int | None = None
    """None: the place in the list."""


@dataclass(frozen=True, slots=True)
class Reply(Answer):
    """What the model says, plain or as a stream, as the request asks (chat.md section 5, streaming.md section 2)."""

    content: str | None = ""
    """None: the key is absent."""
    reasoning: str | None = field(default=None, kw_only=True)
    tool_calls: Sequence[ToolCall] = field(default=(), kw_only=True)
    finish_reason: str | None = field(default=None, kw_only=True)
    """None: `tool_calls` or `stop`."""
    usage: Mapping[str, Any] | None = field(default=None, kw_only=True)
    """None: counted from the texts. Empty: absent."""
    pieces: Sequence[str] | int | None = field(default=None, kw_only=True)
    """How a stream cuts the content: these pieces, this many characters each, or None for about a word each."""
    tool_stream: bool | None = field(default=None, kw_only=True)
    """Whether a stream cuts the arguments of tool calls; None: as the request and its model have it."""
    web_search: Sequence[Mapping[str, Any]] = field(default=(), kw_only=True)
    content_filter: Sequence[Mapping[str, Any]] = field(default=(), kw_only=True)
    audio: Mapping[str, Any] | None = field(default=None, kw_only=True)
    final_chunk: bool = field(default=True, kw_only=True)
    """False: a stream ends without the chunk that has finish_reason and usage."""
    done: bool = field(default=True, kw_only=True)
    """False: a stream ends without `[DONE]`."""
    restarts_at: int | None = field(default=None, kw_only=True)
    """From this chunk on (0 is the first) a stream carries the id of another answer."""

    @property
    def text(self) -> str | None:
        """The whole content: what was given, else the pieces joined."""
        return self.content or (self.content if isinstance(self.pieces, int | None) else "".join(self.pieces))


@dataclass(frozen=True, slots=True)
class Refusal(Answer):
    """An error answer: code and message in the service's envelope, HTTP status by the code (errors.md section 3).

    A code that is not in the table needs a `status`. `content_type=None` leaves the header out, as was recorded once.
    """

    code: str | int
    status: int | None = None
    message: str | None = None
    content_filter: Sequence[Mapping[str, Any]] = field(default=(), kw_only=True)
    request_id: str | None = field(default=None, kw_only=True)
    content_type: str | None = field(default=JSON_TYPE, kw_only=True)

    def __post_init__(self) -> None:
        if self.status is None and str(self.code) not in BUSINESS_CODES:
            raise ValueError(f"{self.code} is no business code of errors.md section 3: give its HTTP status")


@dataclass(frozen=True, slots=True)
class ErrorFrame(Answer):
    """A stream that starts with HTTP 200 and turns into an error (streaming.md section 5), first or after some text."""

    code: str | int
    message: str | None = None
    after: Sequence[str] = field(default=(), kw_only=True)
    """Pieces of content that arrive before the error."""
    event: bool = field(default=False, kw_only=True)
    """Whether an `event: error` line stands above the data."""
    done: bool = field(default=True, kw_only=True)
    content_filter: Sequence[Mapping[str, Any]] = field(default=(), kw_only=True)
    request_id: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Frames(Answer):
    """A stream of exactly these blocks, one write each: a mapping or a text becomes one event, bytes go as they are.

    Nothing is added: put `DONE` last where the stream is to end properly.
    """

    blocks: Sequence[bytes | str | Mapping[str, Any]]
    content_type: str | None = field(default=STREAM_TYPE, kw_only=True)


@dataclass(frozen=True, slots=True)
class Json(Answer):
    """Any JSON answer."""

    body: Any
    status: int = 200


@dataclass(frozen=True, slots=True)
class Raw(Answer):
    """Any bytes with any status: pages of a firewall, envelopes of a gateway, compressed or broken bodies."""

    body: bytes = b""
    status: int = 200
    content_type: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Download(Answer):
    """A file on the disk, sent block by block with its Content-Length: it is never in memory as a whole."""

    path: str | PathLike[str]
    status: int = 200
    content_type: str | None = field(default="application/octet-stream", kw_only=True)


@dataclass(frozen=True, slots=True)
class Later(Answer):
    """An answer that takes time to make. What it is made to be says how it travels, not this."""

    make: Callable[[], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class HangUp(Answer):
    """No answer: the connection is closed, or reset, after the request was read or before its body is.

    `before_reading` works for an answer that is next in `Scenario.replies`, since cases and functions look at the body.
    """

    reset: bool = False
    before_reading: bool = False
    after_bytes: int = field(default=0, kw_only=True)
    """With `before_reading`: bytes of the body that are read nevertheless, so that an upload breaks off half-way."""


def not_found() -> Json:
    """What the gateway answers on an unknown path: HTTP 200 and an envelope of its own (errors.md section 2)."""
    return Json({"code": 500, "msg": "404 NOT_FOUND", "success": False})


def version_not_found(path: str) -> Json:
    """What answers a path with a doubled version segment: HTTP 404 with `error` as a string."""
    body = {"timestamp": "2026-11-20T02:15:00.000+00:00", "status": 404, "error": "Not Found", "path": path}
    return Json(body, 404)


def page(status: int) -> Raw:
    """The HTML page that a firewall or proxy before the service answers with."""
    body = f"<html>\r\n<head><title>{status}</title></head>\r\n<body>\r\n<center><h1>{status}</h1></center>\r\n"
    return Raw(body.encode() + b"</body>\r\n</html>\r\n", status, content_type="text/html")
