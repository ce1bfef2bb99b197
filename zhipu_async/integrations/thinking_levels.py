"""How much a model is to think, in the words of frameworks, as arguments of a chat call (chat.md section 3)."""

from __future__ import annotations

from typing import Any

from ..errors import ConfigError
from ..models import EFFORTS, find, least_thinking


def thinking_arguments(model: str, level: bool | str) -> dict[str, Any]:
    """``thinking`` and ``reasoning_effort`` for ``level``: True, False, or one of :data:`~zhipu_async.models.EFFORTS`.

    False and ``none`` switch thinking off, or ask for the least where a model always thinks. A level that a model does
    not know becomes the next one above that it knows; models without levels, and those that are not documented, are
    told only to think. {} where there is nothing to be told. ConfigError for a level that is none.
    """
    if not isinstance(level, bool) and level not in EFFORTS:
        raise ConfigError(f"there is no thinking level {level!r}: use True, False, or one of {', '.join(EFFORTS)}")
    info = find(model)
    if level is False or level == "none":
        return least_thinking(model) if info else {"thinking": {"type": "disabled"}}
    if info is not None and not info.thinking_types:
        return {}
    arguments: dict[str, Any] = {"thinking": {"type": "enabled"}}
    if level is not True and info is not None and info.efforts:
        wanted = EFFORTS.index(level)
        arguments["reasoning_effort"] = next(
            (effort for effort in info.efforts if EFFORTS.index(effort) >= wanted), info.efforts[-1]
        )
    return arguments
