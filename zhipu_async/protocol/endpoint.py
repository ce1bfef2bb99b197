"""An endpoint and a call of it, as values; and the HTTP request that a call becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from ..config import Timeouts
from ..types.base import Progress, Request
from .form import Form

T_co = TypeVar("T_co", covariant=True)  # so that a list may hold calls of several endpoints


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[T_co]):
    """One row of the endpoint list (README.md section 4)."""

    method: str
    path: str
    """Below the base URL, or below the platform's root when it begins with ``/api/``; with ``{field}`` for what the
    path takes from the arguments. ``{url}`` alone stands for a file of any host, which is asked without the key."""
    response: type[T_co]
    """What a whole answer is decoded into."""
    creates: bool = False
    """True for calls that create something: never repeated unless they provably did not arrive (errors.md 5)."""
    chunk: type[Any] | None = None
    """What one event of a stream is decoded into."""
    form: bool = False
    """Whether the arguments travel as multipart/form-data."""
    binary: Literal["audio", "file"] | None = None
    """Where a whole answer is a file rather than JSON: what it holds. JSON in the place of audio is an error."""
    failed: Literal["raise", "report"] | None = None
    """For answers that say how a piece of work stands: whether a failed one is raised as TaskFailed, or reported in the
    struct, where a member ``error`` is then no error of the call (async_tasks.md section 2)."""

    @property
    def name(self) -> str:
        """``POST /chat/completions``: how events and errors call it."""
        return f"{self.method} {self.path}"

    @property
    def enveloped(self) -> bool:
        """Whether answers are ``{"code": 200, "data": ...}`` and another code is an error (data.md section 10)."""
        return self.path.startswith(("/api/llm-application/", "/api/zrag/"))


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """An endpoint and the struct of its arguments: a call that is not sent yet."""

    endpoint: Endpoint[T_co]
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
    body: bytes | Form | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Checked headers, without Authorization: it is made anew for each attempt."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    model: str | None = None
    stream: bool = False
    creates: bool = False
    authorized: bool = True
    """False for files of other hosts, which must not see the key."""
    progress: Progress | None = None
    """Told of the bytes of an upload as they leave."""

    @property
    def repeatable(self) -> bool:
        """Whether the body can be sent again from its beginning."""
        return not isinstance(self.body, Form) or self.body.rewindable
