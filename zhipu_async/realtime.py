"""Realtime: a WebSocket session with a speaking model, as typed events in both directions (data.md section 13)."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec

from .config import Timeouts, check_seconds
from .errors import APIError, ClientClosedError, ConfigError, ConnectionLost, StreamConsumed, ZhipuError
from .protocol.realtime import decode, encode, error_of
from .types.realtime import (
    ClientEvent,
    ConversationItem,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    InputAudioBufferAppend,
    InputAudioBufferAppendVideoFrame,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    InputAudioBufferPreCommit,
    ResponseCancel,
    ResponseCreate,
    SessionConfig,
    SessionUpdate,
)
from .types.realtime_events import Heartbeat, RealtimeEvent

__all__ = ["Connecting", "Realtime", "RealtimeSession", "error_of"]


class Socket(Protocol):
    """What carries the frames of a session."""

    @property
    def close_code(self) -> int | None: ...
    @property
    def close_reason(self) -> str: ...
    async def send(self, text: str) -> None: ...
    async def receive(self) -> str | bytes | None:
        """The next frame; None at a clean end."""
        ...

    async def close(self) -> None:
        """Close with a goodbye."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class Opener(Protocol):
    """Opens a WebSocket at a path below the base URL; ``model`` is only for the statistics."""

    async def __call__(self, path: str, model: str | None, timeouts: Timeouts) -> Socket: ...


class RealtimeSession:
    """An open session: ``async for event in session``, and methods that send.

    Iterating gives every event of the server's, errors too (most are recoverable: see ``error_of``), ends when either
    side closes cleanly, and raises ConnectionLost when the connection breaks or the service closes it with a code that
    tells of a failure, RequestTimeout when nothing came for ``Timeouts.between``, and ResponseTooLarge beyond
    ``Limits.event``. One task reads, any may send. The session is closed when the task that waits for an event is
    cancelled, by a time-out too. Nothing is reconnected: a conversation lives and dies with its connection.
    """

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._loop = asyncio.get_running_loop()
        self._reading = False
        self._ended = False
        self._failure: ZhipuError | None = None
        self._last_error: APIError | None = None

    # ------------------------------------------------------------ reading

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RealtimeEvent:
        if self._failure is not None:
            raise self._failure
        if self._ended:
            raise StopAsyncIteration
        if self._reading:
            raise StreamConsumed("two tasks read this session at the same time")
        self._check_loop()
        self._reading = True
        try:
            frame = await self._socket.receive()
        except ZhipuError as error:
            self._failure = error
            if isinstance(error, ConnectionLost) and error.__cause__ is None:
                error.__cause__ = self._last_error  # what the service said right before
            raise
        except BaseException:  # cancelled
            self._leave()
            raise
        finally:
            self._reading = False
        if frame is None:
            self._ended = True
            raise StopAsyncIteration
        event = decode(frame)
        if not isinstance(event, Heartbeat):
            self._last_error = error_of(event)
        return event

    @property
    def close_code(self) -> int | None:
        """The code that the service closed the session with; None as long as it did not (1005: it gave none)."""
        return self._socket.close_code

    @property
    def close_reason(self) -> str:
        """The text that came with the code."""
        return self._socket.close_reason

    # ------------------------------------------------------------ sending

    async def send(self, event: ClientEvent | Mapping[str, Any]) -> None:
        """Send an event as it is: one of ``types.realtime``, or any mapping with a ``type``.

        Waits while much is still to be written. ConfigError for what is no event, ConnectionLost when the connection
        is broken, ClientClosedError after ``close``.
        """
        text = encode(event)
        self._check_loop()
        await self._socket.send(text)

    async def update_session(self, session: SessionConfig | Mapping[str, Any]) -> None:
        """Set the configuration; answered with ``session.updated``."""
        await self.send(SessionUpdate(session=session, client_timestamp=_now()))

    async def append_audio(self, audio: bytes | bytearray | memoryview) -> None:
        """Send sound in the input format of the configuration; it is sent as base64."""
        await self.send(InputAudioBufferAppend(audio=b64encode(audio).decode(), client_timestamp=_now()))

    async def append_video_frame(self, jpeg: bytes | bytearray | memoryview) -> None:
        """Send a picture, in video mode; it is sent as base64."""
        frame = b64encode(jpeg).decode()
        await self.send(InputAudioBufferAppendVideoFrame(video_frame=frame, client_timestamp=_now()))

    async def precommit_audio(self) -> None:
        """Announce that a commit may follow."""
        await self.send(InputAudioBufferPreCommit(client_timestamp=_now()))

    async def commit_audio(self) -> None:
        """Make a message of what was appended (``client_vad``); answered with ``input_audio_buffer.committed``."""
        await self.send(InputAudioBufferCommit(client_timestamp=_now()))

    async def clear_audio(self) -> None:
        """Forget what was appended; answered with ``input_audio_buffer.cleared``."""
        await self.send(InputAudioBufferClear(client_timestamp=_now()))

    async def create_item(
        self, item: ConversationItem | Mapping[str, Any], *, previous_item_id: str | None = None
    ) -> None:
        """Add an item, like ``ConversationItem.message("Hello")`` or ``ConversationItem.function_output("21 °C")``."""
        event = ConversationItemCreate(item=item, previous_item_id=previous_item_id, client_timestamp=_now())
        await self.send(event)

    async def delete_item(self, item_id: str) -> None:
        """Remove an item; answered with ``conversation.item.deleted``."""
        await self.send(ConversationItemDelete(item_id=item_id, client_timestamp=_now()))

    async def retrieve_item(self, item_id: str) -> None:
        """Ask for an item."""
        await self.send(ConversationItemRetrieve(item_id=item_id, client_timestamp=_now()))

    async def truncate_item(self, item_id: str, *, content_index: int = 0, audio_end_ms: int) -> None:
        """Cut off what was not heard of a spoken answer: what comes after ``audio_end_ms`` milliseconds."""
        event = ConversationItemTruncate(
            item_id=item_id, content_index=content_index, audio_end_ms=audio_end_ms, client_timestamp=_now()
        )
        await self.send(event)

    async def create_response(self) -> None:
        """Let the model answer: ``response.created``, deltas, and ``response.done`` at the end."""
        await self.send(ResponseCreate(client_timestamp=_now()))

    async def cancel_response(self) -> None:
        """Interrupt the answer under way."""
        await self.send(ResponseCancel(client_timestamp=_now()))

    # ------------------------------------------------------------ leaving

    async def close(self) -> None:
        """Close the session; a task that iterates comes to its end. Closing twice does no harm."""
        self._check_loop()
        self._ended = True
        await self._socket.close()

    aclose = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _check_loop(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise ClientClosedError("a session belongs to the event loop that it was opened on")

    def _leave(self) -> None:
        self._ended = True
        self._socket.abort()

    def __del__(self) -> None:
        if (socket := getattr(self, "_socket", None)) is not None:
            socket.abort()  # does nothing to a socket that is closed

    def __repr__(self) -> str:
        state = "failed" if self._failure is not None else "closed" if self._ended else "open"
        return f"<RealtimeSession {state}>"


class Connecting:
    """A session to be: enter it with ``async with``, or await it; nothing happens before."""

    def __init__(self, open_session: Callable[[], Awaitable[RealtimeSession]]) -> None:
        self._open = open_session
        self._session: RealtimeSession | None = None

    def __await__(self) -> Generator[Any, Any, RealtimeSession]:
        return self._open().__await__()

    async def __aenter__(self) -> RealtimeSession:
        self._session = await self._open()
        return self._session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()


class Realtime:
    """Opens realtime sessions: ``async with client.realtime.connect("glm-realtime-flash") as session``."""

    def __init__(self, opener: Opener, timeouts: Timeouts, timeout: float | None = None) -> None:
        self._opener = opener
        self._timeouts = timeouts
        self._timeout = timeout

    def connect(
        self,
        model: str | None = None,
        *,
        session: SessionConfig | Mapping[str, Any] | None = None,
        timeout: float | Timeouts | None = None,
    ) -> Connecting:
        """A session, opened when it is entered or awaited.

        ``session`` is sent as the first event; ``model`` is its model, with the service's defaults for the rest where
        only a model is given. Without either nothing is sent, and the service chooses. ``timeout``: seconds for the
        opening as a whole, or :class:`~zhipu_async.Timeouts`, of which ``connect``, ``pool`` and ``total`` hold for the
        opening, ``between`` for the silence while events are waited for, and ``stream_total`` for the session.

        A refused handshake raises what it means (AuthenticationError, RateLimitError, ...), no connection ConnectError.
        """
        config = _configured(model, session)
        clocks = timeout if isinstance(timeout, Timeouts) else self._timeouts
        if not isinstance(timeout, Timeouts):
            seconds = self._timeout if timeout is None else check_seconds("timeout", timeout)
            clocks = clocks if seconds is None else replace(clocks, total=seconds)
        name = config.model if isinstance(config, SessionConfig) else (config or {}).get("model")

        async def open_session() -> RealtimeSession:
            opened = RealtimeSession(await self._opener("/realtime", name if isinstance(name, str) else None, clocks))
            if config is not None:
                try:
                    await opened.update_session(config)
                except BaseException:
                    opened._leave()  # pyright: ignore[reportPrivateUsage]
                    raise
            return opened

        return Connecting(open_session)


def _configured(
    model: str | None, session: SessionConfig | Mapping[str, Any] | None
) -> SessionConfig | Mapping[str, Any] | None:
    """The configuration with the model in it."""
    if model is None or session is None:
        return SessionConfig(model=model) if model is not None else session
    given = session.model if isinstance(session, SessionConfig) else session.get("model")
    if given not in (None, model):
        raise ConfigError(f"connect was given two models: {model!r} and {given!r}")
    if isinstance(session, SessionConfig):
        return msgspec.structs.replace(session, model=model)
    return {**session, "model": model}


def _now() -> int:
    return time.time_ns() // 1_000_000
