"""What a transport is, for those who use one: a single method."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol, TypeVar

from ..protocol.endpoint import HTTPRequest
from ..telemetry import CallRecord

T = TypeVar("T")


class Exchange(Protocol):
    """One request that was sent and its answer, whose head has arrived."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case; of a repeated header the last."""
        ...

    def read(self) -> Coroutine[Any, Any, bytes]:
        """Some bytes of the body, decompressed, as soon as there are any; b"" at its clean end."""
        ...

    async def read_all(self, limit: int | None) -> bytes:
        """The whole body, decompressed; ResponseTooLarge beyond ``limit`` bytes. Gives the connection back."""
        ...

    def finish(self) -> None:
        """Nothing more is wanted of an answer that is at its end: its connection may be used again."""
        ...

    def close(self) -> None:
        """Nothing more is wanted: the connection is closed. Does no harm when called twice, after the loop ended, or
        from another thread."""
        ...


class Transport(Protocol):
    """Sends a request, and again where that is right, until ``receive`` has made something of an answer."""

    async def send(
        self, request: HTTPRequest, receive: Callable[[Exchange], Awaitable[T]], record: CallRecord
    ) -> T: ...
