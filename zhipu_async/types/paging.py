"""Lists that come page by page: how the request for the next page is made (data.md sections 7 and 9)."""

from __future__ import annotations

import msgspec

from .base import Request


def after_last(request: Request, last: str | None, has_more: bool | None) -> Request | None:
    """``request`` for what comes after the id ``last``.

    None at the end, and where the cursor would not move: a service that repeats a page is not asked for it for ever.
    """
    if not has_more or not last or last == getattr(request, "after", None):
        return None
    return msgspec.structs.replace(request, after=last)
