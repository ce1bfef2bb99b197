"""A server that answers anything as it is told to and keeps what it was asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from tests.forms import Part, parts
from tests.servers import Conversation, byte_server


@dataclass(frozen=True)
class Reply:
    """An answer."""

    body: bytes = b"{}"
    status: str = "200 OK"
    kind: str = "application/json"


LOST = None
"""In the place of an answer: the connection ends once the request was read."""
RATE_LIMITED = Reply(b'{"error":{"code":"1302","message":"slow down"}}', "429 Too Many Requests")


@dataclass(frozen=True)
class Recorded:
    """A request as it arrived."""

    verb: str
    path: str
    """Percent-encoded, as it came."""
    query: list[tuple[str, str]]
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)

    @property
    def form(self) -> list[Part]:
        """The parts of the body."""
        return parts(self.body, self.headers["content-type"].partition("boundary=")[2])


@dataclass
class Recorder:
    """Where it listens and what it was asked."""

    url: str
    """The base URL of the service, ``.../api/paas/v4``."""
    seen: list[Recorded]


@asynccontextmanager
async def recording(*replies: Reply | None) -> AsyncIterator[Recorder]:
    """A server that gives these answers one after another, and the last of them for ever."""
    seen: list[Recorded] = []

    async def serve(conversation: Conversation) -> None:
        while request := await conversation.request():
            seen.append(_recorded(request))
            reply = replies[min(len(seen), len(replies)) - 1]
            if reply is None:
                return
            await conversation.answer(reply.body, status=reply.status, kind=reply.kind)

    async with byte_server(serve) as server:
        yield Recorder(server.url, seen)


def _recorded(request: bytes) -> Recorded:
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    verb, target, _ = first.split(" ")
    path, _, query = target.partition("?")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Recorded(verb, path, parse_qsl(query, keep_blank_values=True), headers, body)
