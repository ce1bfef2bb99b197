"""A stream's bytes to chunk structs and a folded result: everything of streaming.md that needs no waiting."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

import msgspec

from ..errors import ResponseTooLarge, StreamCorrupted, StreamError, StreamRestarted, StreamTruncated, ZhipuError
from ..telemetry import logger
from ..types.chat import ChatCompletion, ChatCompletionChunk
from . import faults, tolerant
from .accumulate import ChatAccumulator
from .codec import decoder, excerpt, shown
from .sse import EVENT_LIMIT, LF, PayloadReader

_DONE = b"\n\ndata: [DONE]\n\n"
"""The end of whole events, with the blank line before it: without that it is a line of another event."""
_JOINT = b"\n\ndata: "

C = TypeVar("C")
R = TypeVar("R")
C_contra = TypeVar("C_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Accumulator(Protocol[C_contra, R_co]):
    """Folds chunks into a result."""

    def add(self, chunk: C_contra) -> None: ...
    @property
    def finished(self) -> bool: ...
    def result(self, *, complete: bool) -> R_co: ...


@dataclass(frozen=True, slots=True)
class StreamKind(Generic[C, R]):
    """What the events of an endpoint's stream are, and how they are folded."""

    chunk: type[C]
    accumulator: Callable[[], Accumulator[C, R]]
    says_something: Callable[[C], bool]
    """Whether a chunk holds a non-empty delta: what a caller waits for, and what must not come twice."""
    is_final: Callable[[C], bool]
    """Whether a chunk holds a finish reason."""
    fault: Callable[[C], tuple[str | None, str] | None] | None = None
    """Code and message of a chunk that says the call failed, in a form of this endpoint's own."""
    one_id: bool = True
    """Whether all chunks of an answer are known to carry one id; then content under a second one is another answer."""


def says_something(chunk: ChatCompletionChunk) -> bool:
    """Whether a chat chunk carries non-empty content, reasoning, tool calls or audio."""
    return any(
        delta.content
        or delta.reasoning_content
        or delta.reasoning
        or delta.tool_calls
        or (delta.audio and delta.audio.data)
        for delta in (choice.delta for choice in chunk.choices)
    )


def _is_final(chunk: ChatCompletionChunk) -> bool:
    return any(choice.finish_reason for choice in chunk.choices)


CHAT: StreamKind[ChatCompletionChunk, ChatCompletion] = StreamKind(
    ChatCompletionChunk, ChatAccumulator, says_something, _is_final
)


class ChunkReader(Generic[C, R]):
    """Feed it bytes, get chunks. What breaks the stream is kept in :attr:`failure`, behind the chunks before it."""

    def __init__(
        self,
        kind: StreamKind[C, R],
        *,
        headers: Mapping[str, str] | None = None,
        limit: int = EVENT_LIMIT,
        whole: int | None = None,
    ) -> None:
        self._kind = kind
        self._headers: Mapping[str, str] = {} if headers is None else headers
        self._payloads = PayloadReader(limit)
        self._limit = limit
        self._room: float = math.inf if whole is None else whole
        """Bytes that may still come."""
        self._decode: Callable[[bytes], C] = decoder(cast(Any, kind.chunk)).decode
        self._fault = kind.fault
        fields = getattr(kind.chunk, "__struct_fields__", ())
        self._quick = kind.fault is None and "id" in fields and "choices" in fields
        """Whether a chunk with the answer's id and choices can be nothing else than its next piece."""
        self._accumulator = kind.accumulator()
        self._add_all: Callable[[list[C]], None] | None = getattr(self._accumulator, "add_all", None)
        self._id: str | None = None
        self._id_of_content: str | None = None
        self.done = False
        """Whether ``[DONE]`` was read."""
        self.complete = False
        """Whether the stream has ended as it should."""
        self.failure: ZhipuError | None = None
        """What the stream broke with."""
        self.damaged = 0
        """Frames that needed mending: glued, not UTF-8, or with fields that did not fit."""
        self.started = False
        """Whether a non-empty delta, a finish reason or ``[DONE]`` was read."""
        self.spoke = False
        """Whether a non-empty delta was read."""

    def result(self) -> R:
        """What has arrived, folded; a new struct each time."""
        return self._accumulator.result(complete=self.complete)

    @property
    def finished(self) -> bool:
        """Whether finish reason and usage were read, with the last chunk: nothing but ``[DONE]`` follows."""
        return self._accumulator.finished and self.ending[0] is not None

    @property
    def ending(self) -> tuple[Any, str | None]:
        """Usage and finish reason of the answer, as far as they are known."""
        if isinstance(self._accumulator, ChatAccumulator):
            return self._accumulator.ending
        result = self.result()
        return getattr(result, "usage", None), getattr(result, "finish_reason", None)

    def feed(self, data: bytes) -> list[C]:
        """The chunks that ``data`` completes, in order; none after ``[DONE]`` or a failure."""
        chunks: list[C] = []
        if self.done or self.failure is not None:
            return chunks
        self._room -= len(data)
        if self._room < 0:
            self.fail(ResponseTooLarge("the stream is larger than the limit of all its events (Limits.stream)"))
            return chunks
        payloads = self._payloads
        try:
            if payloads.are_whole(data):
                events, data = data, b""
            else:
                events = b""
                if not payloads.unsplit:
                    events, data = payloads.take(data), b""
            if events and not self._take_all(events, chunks):
                self._take_each(payloads.split(events), chunks)
            if data or (payloads.unsplit and not self.done):
                self._take_each(payloads.feed(data), chunks)
        except ZhipuError as error:
            self.fail(error)
        except RecursionError:
            self.fail(StreamCorrupted("a frame of the stream is nested too deeply"))
        return chunks

    def _take_all(self, events: bytes, chunks: list[C]) -> bool:
        """Take whole events at C speed. False, and nothing is changed, where one is not a lone object on one line."""
        ends = events.endswith(_DONE)
        if ends:
            events = events[: 2 - len(_DONE)]
        if events[:6] != b"data: " or len(events) > self._limit:
            return False
        payloads = events[6:-2].split(_JOINT)
        if LF in b"".join(payloads):
            return False  # a line that is no data: the decoder would take its end for a blank
        try:
            found = list(map(self._decode, payloads))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        try:
            self._check_all(found, payloads)
        finally:
            self._fold(found, chunks)
        if ends:
            self._end_at_done()
        return True

    def _check_all(self, found: list[Any], payloads: list[bytes]) -> None:
        """Look at each chunk that may be more than the next piece of the answer; drop those after a failure."""
        known, quick = self._id_of_content, self._quick and self.started
        for place, chunk in enumerate(found):
            if quick and chunk.id == known and chunk.choices:
                continue
            try:
                self._check(chunk, payloads[place])
            except BaseException:
                del found[place:]
                raise
            known, quick = self._id_of_content, self._quick and self.started

    def _fold(self, found: list[C], chunks: list[C]) -> None:
        if self._add_all is not None:
            self._add_all(found)
            chunks += found
        else:
            for chunk in found:
                self._accumulator.add(chunk)
                chunks.append(chunk)

    def _take_each(self, payloads: Iterable[bytes], chunks: list[C]) -> None:
        for payload in payloads:
            if payload[:1] != b"{" and payload.strip() == b"[DONE]":
                self._end_at_done()
                break
            self._take(payload, chunks)

    def close(self) -> list[C]:
        """The input ended cleanly: the chunk of a last event without its blank line, if it is whole."""
        chunks: list[C] = []
        if self.done or self.failure is not None:
            return chunks
        payload, torn = self._payloads.rest()
        try:
            if torn:
                raise StreamTruncated("the stream ended in the middle of a line", raw=excerpt(torn))
            if payload.strip() == b"[DONE]":
                self._end_at_done()
            elif payload:
                try:
                    self._take(payload, chunks)
                except StreamCorrupted as error:
                    raise StreamTruncated("the stream ended in the middle of a frame", raw=error.raw) from error
            if not self.done and not self._accumulator.finished:
                raise StreamTruncated("the stream ended without a finish reason")
            self.complete = True
        except ZhipuError as error:
            self.fail(error)
        except RecursionError:
            self.fail(StreamCorrupted("a frame of the stream is nested too deeply"))
        return chunks

    def fail(self, error: ZhipuError) -> None:
        """The stream broke with ``error``; a StreamError gets the partial result."""
        self.failure = error
        if isinstance(error, StreamError):
            error.partial = self.result()

    def _end_at_done(self) -> None:
        self.done = self.complete = self.started = True
        if not self._accumulator.finished:
            logger.warning("stream %.100s ended with [DONE] but without a finish reason", self._id)

    def _take(self, payload: bytes, chunks: list[C]) -> None:
        try:
            chunk = self._decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            chunk = self._mended(payload)
        self._check(chunk, payload)
        self._accumulator.add(chunk)
        chunks.append(chunk)

    def _check(self, chunk: C, payload: bytes) -> None:
        """Whether this is a chunk of this answer, and no failure."""
        if not getattr(chunk, "choices", None) and faults.looks_like_fault(payload):
            self._check_for_fault(payload)
        if self._fault is not None and (told := self._fault(chunk)):
            raise faults.make(200, *told, members=_members(payload), headers=self._headers, body=excerpt(payload))
        identity = getattr(chunk, "id", None)
        if identity != self._id_of_content or not self.started:
            self._identify(chunk, identity)

    def _identify(self, chunk: C, identity: str | None) -> None:
        """Note the response id; content under a second id is StreamRestarted."""
        self._id = self._id or identity
        if self._kind.says_something(chunk):
            self.started = self.spoke = True
            if identity:
                if self._kind.one_id and self._id_of_content and identity != self._id_of_content:
                    first = shown(self._id_of_content)
                    raise StreamRestarted(f"a second answer, {shown(identity)}, began inside {first}")
                self._id_of_content = identity
        elif not self.started and self._kind.is_final(chunk):
            self.started = True

    def _check_for_fault(self, payload: bytes) -> None:
        if error := faults.of_frame(_members(payload), self._headers, payload):
            raise error

    def _mended(self, payload: bytes) -> C:
        """The chunk of a frame that the strict decoder refused, or StreamCorrupted (streaming.md section 6)."""
        damaged = False
        try:
            payload.decode()
        except UnicodeDecodeError:
            damaged = True
        try:
            members = tolerant.loads(payload)
        except (ValueError, RecursionError) as error:
            damaged = True
            members = self._unglued(payload, error)
        if not members:
            members = {}  # null, [] and the like say nothing
        if not tolerant.is_object(members):
            raise StreamCorrupted("a frame of the stream is no JSON object", raw=excerpt(payload))
        if fault := faults.of_frame(members, self._headers, payload):
            raise fault
        drops: list[str] = []
        try:
            chunk = tolerant.convert(members, self._kind.chunk, drops)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise StreamCorrupted(f"a frame of the stream does not fit: {error}", raw=excerpt(payload)) from error
        if damaged or drops:
            self.damaged += 1
            without = f", without {drops}" if drops else ""
            logger.warning("stream %.100s: a damaged frame was mended%.500s", self._id, without)
        return chunk

    def _unglued(self, payload: bytes, cause: Exception) -> Any:
        """The last of several frames glued on one line, when it belongs to this stream; else StreamCorrupted."""
        start = payload.rfind(b"data: {")
        if start > 0:
            try:
                members = tolerant.loads(payload[start + 6 :])
            except (ValueError, RecursionError):
                members = None
            stream = self._id_of_content or self._id
            if tolerant.is_object(members) and stream and members.get("id") == stream:
                return members
        raise StreamCorrupted(f"a frame of the stream is no JSON: {cause}", raw=excerpt(payload)) from cause


def _members(payload: bytes) -> dict[str, Any]:
    """The members of a frame; {} when it is no JSON object."""
    try:
        members = tolerant.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return members if tolerant.is_object(members) else {}
