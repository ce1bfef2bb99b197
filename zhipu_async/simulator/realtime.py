"""The WebSocket endpoint: sessions with a model that listens, speaks and calls functions (data.md section 13)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec.json
from aiohttp import WSMsgType, web

from zhipu_async.simulator.realtime_session import Listener
from zhipu_async.simulator.replies import Answer, Refusal
from zhipu_async.simulator.routes import Endpoint
from zhipu_async.simulator.seen import SeenRequest
from zhipu_async.simulator.stage import Stage
from zhipu_async.simulator.wire import hang_up

HEARTBEAT: Final = 30.0
"""Seconds between two heartbeats."""
_EVENT_LIMIT: Final = 64 * 1024 * 1024
_NO_UPGRADE: Final = "Incorrect API call parameters: this is a WebSocket endpoint"


@dataclass(frozen=True, slots=True)
class Talk(Answer):
    """A WebSocket session as an answer: that of the endpoint itself, or of a script."""

    texts: Sequence[str] = ()
    """What the model says, response by response; after that, what it says by itself."""
    frames: Sequence[str | bytes] = field(default=(), kw_only=True)
    """Sent as they are when the session is open: text or binary frames."""
    then: Literal["close", "reset", "vanish"] | None = field(default=None, kw_only=True)
    """How the session ends after `frames`: with a close frame, a TCP reset, or a TCP end; None: the client ends it."""
    close_code: int = field(default=1000, kw_only=True)
    close_reason: str = field(default="", kw_only=True)
    heartbeat: float = field(default=HEARTBEAT, kw_only=True)
    """Seconds."""


def endpoints() -> tuple[Endpoint, ...]:
    """The row of the table."""
    return (Endpoint("GET", "/realtime", lambda _: Talk(), _check),)


def _check(request: SeenRequest) -> Refusal | None:
    upgrades = request.headers.get("Upgrade", "").lower() == "websocket"
    return None if upgrades else Refusal("1210", message=_NO_UPGRADE)


async def converse(
    talk: Talk, seen: SeenRequest, request: web.BaseRequest, stage: Stage, changed: Callable[[], None]
) -> web.StreamResponse:
    """Hold a session until either side ends it. The client's events are noted in `seen.events`."""
    socket = web.WebSocketResponse(max_msg_size=_EVENT_LIMIT, timeout=1.0)
    await socket.prepare(request)
    seen.status = 101
    changed()

    async def say(event: dict[str, Any]) -> None:
        with suppress(ConnectionError):  # the client has left
            await socket.send_str(msgspec.json.encode(event).decode())

    listener = Listener(say, talk.texts, stage)
    beating = asyncio.create_task(_beat(talk.heartbeat, listener))
    try:
        await listener.begin()
        for frame in talk.frames:
            await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))
        if talk.then == "close":
            await socket.close(code=talk.close_code, message=talk.close_reason.encode())
        elif talk.then is not None:
            await asyncio.sleep(0.01)  # for the client to read what was written
            return await hang_up(request, reset=talk.then == "reset")
        async for message in socket:
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                event = _parsed(message.data)
                seen.events.append(event)
                await listener.hear(event)
                changed()
    finally:
        beating.cancel()
        await listener.end()
    return socket


async def _beat(seconds: float, listener: Listener) -> None:
    while True:
        await asyncio.sleep(seconds)
        await listener.beat()


def _parsed(data: str | bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
