"""What all requests and all answers share: call options, and what is known of an answer beside its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import msgspec

from ..config import Timeouts
from ..telemetry import Timing

OPTIONS = ("timeout", "extra_headers", "extra_query", "extra_body")
"""The fields of a request that say how to call; they never go into the body."""


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
