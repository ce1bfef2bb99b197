"""The envelope of knowledge base and application answers: ``{code, message, data, timestamp}`` (data.md section 10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .base import Response


class Envelope(Response, kw_only=True, omit_defaults=True, dict=True):
    """What every answer of these endpoints says beside its ``data``."""

    code: int | None = None
    """200 is success; a call that got another one raises."""
    message: str | None = None
    timestamp: int | None = None
    """Unix milliseconds."""


def page_after(page: int | None, items: Sequence[Any], total: int | None, size: int) -> int | None:
    """The number of the page behind ``page`` (None: the first), whose elements are ``items``; None at the end.

    With a total, pages of this many elements decide, and not ``size``: the service may give fewer than asked for.
    """
    number = page or 1
    at_the_end = len(items) < size if total is None else number * len(items) >= total
    return None if not items or at_the_end else number + 1
