"""Lists that come page by page (data.md sections 7 and 9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from zhipu_async.simulator.replies import Refusal
from zhipu_async.simulator.validation import illegal

_DEFAULT_LIMIT: Final = 20
_MAX_LIMIT: Final = 100


def unfit(query: Mapping[str, str]) -> Refusal | None:
    """What the service refuses in the query of a list."""
    limit = query.get("limit", "1")
    return None if limit.isdecimal() and 1 <= int(limit) <= _MAX_LIMIT else illegal("limit")


def listed(objects: Sequence[Mapping[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """The page of objects, each with an `id`, that begins behind the one with the id `after`.

    Behind an id that is not there, there is nothing.
    """
    limit = query.get("limit", "")
    limit_number = int(limit) if limit.isdecimal() else _DEFAULT_LIMIT
    after = query.get("after")
    places = {str(element["id"]): place for place, element in enumerate(objects, 1)}
    start = places.get(after, len(objects)) if after else 0
    data = objects[start : start + limit_number]
    return {"object": "list", "data": data, "has_more": start + limit_number < len(objects)}
