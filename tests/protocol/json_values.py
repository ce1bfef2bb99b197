"""JSON values: what they are equal to, what they may become when they grow, and many of them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from zhipu_async.protocol.tolerant import is_list, is_object


def same(one: Any, other: Any) -> bool:
    """Equal and of the same types: 1 is neither 1.0 nor True."""
    return json.dumps(one) == json.dumps(other)


def is_prefix(early: Any, late: Any) -> bool:
    """The order of growth: ``late`` is ``early``, or what ``early`` becomes when it goes on at its end."""
    if isinstance(early, str) and isinstance(late, str):
        return late.startswith(early)
    if is_list(early) and is_list(late):
        return are_prefix(early, late)
    if is_object(early) and is_object(late):
        return list(late)[: len(early)] == list(early) and are_prefix([*early.values()], [*late.values()])
    return same(early, late)


def are_prefix(early: list[Any], late: list[Any]) -> bool:
    """Every member but the last of ``early`` is as it will be; the last may grow, and members may follow."""
    if not early or len(early) > len(late):
        return not early
    return same(early[:-1], late[: len(early) - 1]) and is_prefix(early[-1], late[len(early) - 1])


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda members: st.lists(members, max_size=4) | st.dictionaries(st.text(max_size=5), members, max_size=4),
    max_leaves=12,
)
"""What JSON can say."""
