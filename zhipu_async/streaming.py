"""An open response as an async iterator of chunks, with the folded answer in ``.result``."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

from .errors import (
    ClientClosedError,
    ConnectionLost,
    RequestTimeout,
    StreamConsumed,
    StreamFailed,
    StreamTruncated,
    ZhipuError,
)
from .protocol.chunks import ChunkReader
from .telemetry import CallRecord, Timing
from .types.base import Response
from .types.chat import ChatCompletion, ChatCompletionChunk

if TYPE_CHECKING:
    from .types.events import ChatEvent

C = TypeVar("C")
R = TypeVar("R")


class Source(Protocol):
    """Where a stream's bytes come from."""

    @property
    def headers(self) -> Mapping[str, str]: ...
    def read(self) -> Coroutine[Any, Any, bytes]:
        """Some bytes as soon as there are any; b"" at a clean end."""
        ...

    def finish(self) -> None:
        """Nothing more is wanted and the answer is at its end: the connection may be used again."""
        ...

    def close(self) -> None:
        """Nothing more is wanted: the connection is closed."""
        ...


class Stream(Generic[C, R]):
    """Chunks of an answer as they come: ``async for chunk in stream``.

    Enter it with ``async with`` or just iterate; leaving early, or dropping the last reference, closes the connection
    at once. Iterating raises the error that a frame carries, StreamTruncated when the stream breaks off, and never for
    a finish reason. A stream never repeats a request, and is read once, by one task of the loop it was opened on. It is
    closed when that task is cancelled while it waits.
    """

    def __init__(
        self,
        source: Source,
        reader: ChunkReader[C, R],
        ready: list[C],
        unread: bytes,
        record: CallRecord,
        censor: Callable[[ZhipuError], None] | None = None,
    ) -> None:
        self._source: Source | None = source
        self._reader = reader
        self._ready = ready[::-1]
        """Chunks that nobody took yet, the next one last."""
        self._unread = unread
        """What came with the first chunk: it is not to wait until all that is decoded."""
        self._record = record
        self._censor = censor
        """Takes out of an error what it quotes of the key."""
        self._loop = asyncio.get_running_loop()
        self._reading = False
        self._exhausted = False
        self._timing: Timing | None = None
        self.response_headers: Mapping[str, str] = source.headers
        """Headers of the answer, names in lower case."""
        if reader.complete or reader.failure:
            self._end()

    # ------------------------------------------------------------ reading

    def __aiter__(self) -> Self:
        if self._exhausted:
            raise StreamConsumed(
                "this stream was read to its end or closed; its answer is in stream.result", partial=self.result
            )
        return self

    async def __anext__(self) -> C:
        ready = self._ready
        while not ready:
            if self._source is None:
                self._exhausted = True
                if (failure := self._reader.failure) is not None:
                    raise failure
                raise StopAsyncIteration
            await self._read(self._source)
        return ready.pop()

    async def _read(self, source: Source) -> None:
        """Wait for bytes once and take the chunks that they complete."""
        if self._reading:
            raise StreamConsumed("two tasks read this stream at the same time")
        if asyncio.get_running_loop() is not self._loop:
            raise ClientClosedError("a stream belongs to the event loop that it was opened on")
        if self._unread:
            self._take_unread()
            return
        self._reading = True
        try:
            data = await source.read()
        except (ConnectionLost, RequestTimeout) as error:
            if self._source is not None:
                source.close()
                self._fail(error)
                return
            data = b""
        except ZhipuError as error:
            self._reader.fail(error)
            self._end()
            return
        except BaseException:  # cancelled: the task that is kept by someone would keep the connection with it
            self._cut_off()
            raise
        finally:
            self._reading = False
        if self._source is None:
            raise StreamConsumed("another task closed this stream while it was read", partial=self.result)
        self._take(data)

    def _take(self, data: bytes) -> None:
        """Take the chunks that ``data`` completes; b"": the input ended."""
        reader = self._reader
        self._ready[:0] = reversed(reader.feed(data) if data else reader.close())
        if reader.complete or reader.failure is not None:
            self._end()

    def _take_unread(self) -> None:
        """Take what came with the first chunk, if nobody did."""
        data, self._unread = self._unread, b""
        if data and self._source is not None:
            self._take(data)

    def _fail(self, error: ConnectionLost | RequestTimeout) -> None:
        """The connection broke: what had arrived is a truncated stream, if its last chunk is missing; a clock that
        fired keeps its own class."""
        if isinstance(error, RequestTimeout):
            self._reader.fail(error)
        elif self._reader.finished:
            self._take(b"")  # a torn line is an error nevertheless
            return
        else:
            truncated = StreamTruncated(f"the stream broke off: {error}")
            truncated.__cause__ = error
            self._reader.fail(truncated)
        self._end()

    def _end(self) -> None:
        """Give the connection back (or close it, after a failure) and report the call."""
        source, self._source = self._source, None
        reader = self._reader
        if source is not None:
            if reader.complete and self._is_here():
                source.finish()
            else:
                source.close()
        usage, reason = reader.ending
        if reader.failure is not None:
            if self._censor is not None:
                self._censor(reader.failure)
            self._timing = self._record.fail(reader.failure, usage)
        elif self._timing is None:
            self._timing = self._record.succeed(usage, reason)

    def _is_here(self) -> bool:
        """Whether this runs on the loop that the stream was opened on."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    # ------------------------------------------------------------ what arrived

    @property
    def result(self) -> R:
        """The chunks that have arrived, folded to what the plain call gives; ``.complete`` is False before the end."""
        self._take_unread()
        result = self._reader.result()
        if isinstance(result, Response):
            result._received(self.timing, self.response_headers)  # pyright: ignore[reportPrivateUsage]
        return result

    @property
    def timing(self) -> Timing:
        """Where the time went so far."""
        return self._timing or self._record.timing

    @property
    def damaged(self) -> int:
        """Frames that needed mending; each is also a warning in the log."""
        return self._reader.damaged

    async def until_done(self) -> R:
        """Read to the end and give the result. StreamFailed for the finish reason ``network_error`` (chat.md 5)."""
        if self._exhausted and not self._reader.complete:
            self.__aiter__()
        while self._source is not None:
            self._ready.clear()
            await self._read(self._source)
        self._ready.clear()
        self._exhausted = True
        if self._reader.failure is not None:
            raise self._reader.failure
        result = self.result
        if getattr(result, "finish_reason", None) == "network_error":
            raise StreamFailed(partial=result)
        return result

    def text_deltas(self: Stream[ChatCompletionChunk, ChatCompletion]) -> _TextDeltas:
        """Only the pieces of the first choice's text: ``async for text in stream.text_deltas()``."""
        self.__aiter__()
        return _TextDeltas(self)

    def events(self: Stream[ChatCompletionChunk, ChatCompletion]) -> _Events:
        """Typed events in place of chunks: content, reasoning, tool calls started, growing and done, finished."""
        self.__aiter__()
        return _Events(self)

    # ------------------------------------------------------------ leaving

    async def close(self) -> None:
        """Close the connection now, wherever the stream is; ``result`` stays. Closing twice does no harm.

        A task that waits for the next chunk meanwhile gets StreamConsumed; an ``async for`` that closes its own stream
        just ends.
        """
        self._leave()

    aclose = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        self._take_unread()
        self._drop()
        self._ready.clear()
        self._exhausted = True

    def _cut_off(self) -> None:
        """Leave because the reading task is cancelled: who reads on is not to take what there was for the answer."""
        self._take_unread()
        if self._source is not None:
            self._reader.fail(
                StreamConsumed("the task that waited for this stream's next chunk was cancelled: the stream is closed")
            )
        self._leave()

    def _drop(self) -> None:
        """Close the connection of what nobody reads on; behind its last chunk, nothing of an answer is missing."""
        source, self._source = self._source, None
        if source is not None:
            source.close()
            usage, reason = self._reader.ending
            if self._reader.finished:
                self._timing = self._record.succeed(usage, reason, read_to_end=False)
            else:
                self._timing = self._record.fail(None, usage)

    def __del__(self) -> None:
        # Dropped by `break`: aiohttp's own response would stay open until the garbage collector came. Silent, since
        # leaving a loop is no mistake; from another thread or after the loop ended, the source sees to it itself.
        if getattr(self, "_source", None) is not None:
            self._take_unread()
            self._drop()

    def __repr__(self) -> str:
        state = "open" if self._source is not None else "failed" if self._reader.failure else "ended"
        return f"<Stream {self._record.endpoint} {self._record.model or ''} {state}>"


class _TextDeltas:
    """The pieces of text of a chat stream; holds the stream, and closes it when dropped."""

    def __init__(self, stream: Stream[ChatCompletionChunk, ChatCompletion]) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while True:
            for choice in (await self._stream.__anext__()).choices:
                if choice.index == 0 and choice.delta.content:
                    return choice.delta.content

    @property
    def result(self) -> ChatCompletion:
        """The stream's."""
        return self._stream.result

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.close()


class _Events:
    """The events of a chat stream; holds the stream, and closes it when dropped."""

    def __init__(self, stream: Stream[ChatCompletionChunk, ChatCompletion]) -> None:
        self._stream = stream
        from .protocol.events import ChatEvents  # its parser of unfinished JSON is wanted by events alone

        self._events = ChatEvents()
        self._ready: deque[ChatEvent] = deque()
        self._finished = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChatEvent:
        while not self._ready:
            if self._finished:
                raise StopAsyncIteration
            try:
                self._ready.extend(self._events.feed(await self._stream.__anext__()))
            except StopAsyncIteration:
                self._finished = True
                self._ready.extend(self._events.finish(self._stream.result))
        return self._ready.popleft()

    @property
    def result(self) -> ChatCompletion:
        """The stream's."""
        return self._stream.result

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.close()
