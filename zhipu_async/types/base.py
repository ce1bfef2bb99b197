"""What all requests and all answers share: call options, and what is known of an answer beside its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Protocol, Self

import msgspec

from ..config import Timeouts, hidden
from ..telemetry import Timing

OPTIONS = ("timeout", "extra_headers", "extra_query", "extra_body", "progress")
"""The fields of a request that say how to call; they never go into the body."""

Progress = Callable[[int, int | None], object]
"""Called with the bytes that have travelled and the bytes in all (None: unknown), on the event loop's thread."""

State = Literal["running", "done", "failed"]
"""Where a task stands, in one vocabulary for all the services' own ones."""


class Standing(Protocol):
    """An answer that says how a piece of work stands."""

    @property
    def state(self) -> State:
        """Whether the work goes on, is done or failed; an unknown status counts as running (async_tasks.md 3)."""
        ...

    @property
    def failure(self) -> tuple[str | None, str]:
        """Code and message of work that failed, as far as the service says."""
        ...


class Failure(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """Why a piece of work failed, as far as the service says."""

    code: str | None = None
    message: str | None = None


class Request(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The arguments of a call. None means not set and is never sent; a JSON null goes through ``extra_body``."""

    timeout: float | Timeouts | None = None
    """Seconds, or the clocks one by one; see :class:`~zhipu_async.Timeouts`."""
    extra_headers: Mapping[str, str] | None = None
    """Headers added to this call, over the client's."""
    extra_query: Mapping[str, str] | None = None
    """Query parameters added to the URL."""
    extra_body: Mapping[str, Any] | None = None
    """Fields merged over the body: what this library does not know, or a null."""

    header_fields: ClassVar[Mapping[str, str]] = {}
    """Fields that travel as a header, and its name."""

    def __repr__(self) -> str:
        return super(Request, self._without_secrets()).__repr__()

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        shown = self._without_secrets()
        return [(name, getattr(shown, name)) for name in self.__struct_fields__]

    def _without_secrets(self) -> Self:
        """A copy for the eye: values of headers and of the query may be keys."""
        if self.extra_headers is None and self.extra_query is None:
            return self
        return msgspec.structs.replace(
            self, extra_headers=hidden(self.extra_headers), extra_query=hidden(self.extra_query)
        )


class Transfer(Request, kw_only=True, frozen=True, omit_defaults=True):
    """A call that sends or fetches a file."""

    progress: Progress | None = None
    """Called as the bytes travel: ``progress(done, total)``, total None where it is not known."""


class Response(msgspec.Struct, kw_only=True, omit_defaults=True, dict=True):
    """An answer. ``timing`` and ``response_headers`` are attributes, not fields: not compared, encoded or decoded."""

    @property
    def timing(self) -> Timing | None:
        """Where the time went (seconds); None for a struct that was not received by a call."""
        return vars(self).get("timing")

    @property
    def response_headers(self) -> Mapping[str, str]:
        """Headers of the answer, names in lower case; ``x-log-id`` identifies the call for the vendor's support."""
        headers: Mapping[str, str] = vars(self).get("response_headers", {})
        return headers

    def __copy__(self) -> Self:
        copy = msgspec.structs.replace(self)
        vars(copy).update(vars(self))
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        return *super().__reduce__(), vars(self)

    def _received(self, timing: Timing, headers: Mapping[str, str]) -> None:
        vars(self).update(timing=timing, response_headers=headers)
