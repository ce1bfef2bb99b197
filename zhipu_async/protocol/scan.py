"""The JSON values that stand in a text, one after the other, and the text that is one."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from .growing import number
from .mending import OPENING, Reading, read
from .strict import DEEPEST
from .tolerant import is_list, is_object

LOOKS = 8
"""How often each character of a text may be looked at in one scan, on the average: enough for what is no attack."""
NO_VALUE: Any = object()
"""What :func:`strict` gives for a text that is no JSON."""

_OPENING = re.compile(rf"[{re.escape(OPENING)}]")
_BRACKET = re.compile(r'\\.|["\n\[\]{}【】［］｛｝]', re.DOTALL)


class Found(NamedTuple):
    """A list or object, whole or not."""

    reading: Reading
    after: int | None
    """The place behind it; None when it ends with the text, before its last bracket came."""


class Scan:
    """The values between places of one text. What it may look at is bounded, for all places together."""

    def __init__(self, text: str, *, close: bool) -> None:
        self.text = text
        self._close = close
        self.looked = 0
        """Characters looked at."""

    @property
    def exhausted(self) -> bool:
        """Whether there is so much that begins like JSON and is none that the rest was left unread."""
        return self.looked > LOOKS * len(self.text)

    def values(self, start: int, end: int) -> list[Found]:
        """What begins like JSON between two places and ends there, or does not; nothing that stands in another."""
        found: list[Found] = []
        place: int | None = start
        while place is not None and not self.exhausted and (opening := _OPENING.search(self.text, place, end)):
            reading = read(self.text, opening.start(), end, close=self._close)
            self.looked += reading.looked
            place = self._after(reading, end)
            found.append(Found(reading, place))
        return found

    def _after(self, reading: Reading, end: int) -> int | None:
        if reading.state == "whole":
            return reading.end
        if not reading.json_like:
            return reading.resume
        if reading.state == "open":
            return None
        after = _after_brackets(self.text, reading.end, end, reading.depth)
        self.looked += (end if after is None else after) - reading.end
        return after


def _after_brackets(text: str, place: int, end: int, depth: int) -> int | None:
    """The place behind so many closing brackets, for what is too broken to be read; None when they do not come."""
    in_string = False
    for found in _BRACKET.finditer(text, place, end):
        char = found[0]
        if char == '"':
            in_string = not in_string
        elif char == "\n":
            in_string = False
        elif not in_string and char[0] != "\\":
            depth += 1 if char in OPENING else -1
            if not depth:
                return found.end()
    return None


def strict(text: str, *, line_breaks: bool = False) -> Any:
    """The value of a text that is JSON by the rules of :mod:`.partial`; no value otherwise.

    ``line_breaks``: strings may hold raw ones.
    """
    try:
        value = json.loads(text.strip(" \t\r\n"), strict=not line_breaks, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return NO_VALUE
    too_deep = text.count("[") + text.count("{") > DEEPEST and _depth(value) > DEEPEST
    return NO_VALUE if too_deep else value


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _finite(digits: str) -> int | float:
    value = number(digits)
    if value is None:
        raise ValueError("a number that is infinite or too long")
    return value


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [each for each in level if is_list(each) or is_object(each)]:
        depth += 1
        level = [member for each in level for member in _members(each)]
    return depth


def _members(value: Any) -> list[Any]:
    if is_object(value):
        return list(value.values())
    return value if is_list(value) else []
