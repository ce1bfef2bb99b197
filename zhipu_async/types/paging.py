"""Lists that come page by page: how the request for the next page is made (data.md sections 7 and 9)."""

from __future__ import annotations

from typing import Any

import msgspec

from ..errors import DecodeError
from .base import Request


def after_last(request: Request, last: str | None, has_more: bool | None) -> Request | None:
    """``request`` for what comes after the id ``last``.

    None at the end, and where the cursor would not move: a service that repeats a page is not asked for it for ever.
    """
    if not has_more or not last or last == getattr(request, "after", None):
        return None
    return msgspec.structs.replace(request, after=last)


def next_page(page: Any, request: Request, used: set[str]) -> Request | None:
    """The request for the page after ``page``, which answered ``request``; None at the end. DecodeError in a circle.

    A page may also be empty and tell where to go on, or be as long as asked for and tell nothing: then the next one
    is asked for. ``used`` holds the cursors of the pages before.
    """
    following: Request | None = page.following(request)
    if following is None and hasattr(request, "after"):
        items: list[Any] = page.items
        full = 0 < (getattr(request, "limit", None) or 0) <= len(items)
        more = getattr(page, "has_more", None)
        last = getattr(page, "last_id", None) or (getattr(items[-1], "id", None) if items else None)
        following = after_last(request, last, full if more is None else more)
    cursor: str | None = getattr(following, "after", None)
    if cursor in used:
        raise DecodeError(f"the list does not end: after the page that follows {cursor!r} it names the same page again")
    if cursor is not None:
        used.add(cursor)
    return following
