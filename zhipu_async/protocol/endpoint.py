"""An endpoint and a call of it, as values; and the HTTP request that a call becomes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar

import msgspec

from ..config import Timeouts
from ..types.base import Progress, Request
from .encoding import unwrapped
from .form import Form

T_co = TypeVar("T_co", covariant=True)  # so that a list may hold calls of several endpoints


class Endpoint(msgspec.Struct, Generic[T_co], frozen=True, dict=True):
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

    @cached_property
    def name(self) -> str:
        """``POST /chat/completions``: how events and errors call it."""
        return f"{self.method} {self.path}"

    @cached_property
    def enveloped(self) -> bool:
        """Whether answers are ``{"code": 200, "data": ...}`` and another code is an error (data.md section 10)."""
        return self.path.startswith(("/api/llm-application/", "/api/zrag/"))

    @cached_property
    def plain(self) -> bool:
        """Whether the arguments travel as JSON and nowhere else, below the base URL, and an answer is no file."""
        elsewhere = self.method in ("GET", "DELETE") or "{" in self.path or self.path.startswith("/api/")
        return not (elsewhere or self.form or self.binary)


class Call(msgspec.Struct, Generic[T_co], frozen=True):
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
        model: str | None = unwrapped(getattr(self.arguments, "model", None))
        return model


class HTTPRequest(msgspec.Struct, frozen=True):
    """What travels: made once per call, before the first await, and the same in every attempt."""

    endpoint: str
    method: str
    url: str
    """Absolute and percent-encoded, query included, which may hold a signature."""
    body: bytes | Form | None = None
    headers: Mapping[str, str] = {}
    """Checked headers, without Authorization: it is made anew for each attempt."""
    timeouts: Timeouts = Timeouts()
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

    def __repr__(self) -> str:  # neither the query nor the body, which may hold secrets
        return f"<HTTPRequest {self.endpoint}>"
