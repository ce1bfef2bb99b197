"""An endpoint and a call of it, as values; and the HTTP request that a call becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ..config import Timeouts
from ..types.base import Request

T = TypeVar("T")
C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[T]):
    """One row of the endpoint list (README.md section 4)."""

    method: str
    path: str
    """Below the base URL, with ``{field}`` for what the path takes from the arguments."""
    response: type[T]
    """What a whole answer is decoded into."""
    creates: bool = False
    """True for calls that create something: never repeated unless they provably did not arrive (errors.md 5)."""
    chunk: type[Any] | None = None
    """What one event of a stream is decoded into."""

    @property
    def name(self) -> str:
        """``POST /chat/completions``: how events and errors call it."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """An endpoint and the struct of its arguments: a call that is not sent yet."""

    endpoint: Endpoint[T]
    arguments: Request

    @property
    def stream(self) -> bool:
        """Whether the answer is asked for as a stream."""
        return bool(getattr(self.arguments, "stream", None))

    @property
    def model(self) -> str | None:
        """The model that is called, for limits and statistics."""
        return getattr(self.arguments, "model", None)


@dataclass(frozen=True, slots=True)
class HTTPRequest:
    """What travels: made once per call, before the first await, and the same in every attempt."""

    endpoint: str
    method: str
    url: str
    """Absolute and percent-encoded, query included."""
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Checked headers, without Authorization: it is made anew for each attempt."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    model: str | None = None
    stream: bool = False
    creates: bool = False
