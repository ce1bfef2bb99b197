"""The marks that models put around an answer or a part of it: thoughts, boxes and fences (chat.md section 3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

_THOUGHT = re.compile(r"<(/?)think(?:ing)?>")
_LINE_END = re.compile(r"[ \t\r]*+(?:\n|\Z)")
_BOX = re.compile(r"<\|(begin|end)_of_box\|>")
_FENCE = re.compile(
    r"(?P<line>^[ \t]*+)?(?P<run>`{3,}|~{3,})[ \t]*+(?P<name>[\w+.-]*+)(?P<alone>[ \t\r]*+$)?", re.MULTILINE
)
"""Backticks or tildes: whether a line begins with them, and whether it ends with the name behind them."""

Inside = Callable[[int], bool]
"""Whether a place is inside of a JSON value, where a mark is text."""


class Fence(NamedTuple):
    """What stands between two fences."""

    start: int
    end: int
    name: str
    """The word behind the opening fence in small letters, such as ``json``; may be empty."""


def without_thoughts(text: str, inside: Inside, doubtful: Inside) -> tuple[str, str | None]:
    """``text`` without its thoughts, and the last thought when it has no end.

    An end without a beginning ends a thought that began with the text; where it is doubtful, it must end a line too.
    """
    parts: list[str] = []
    place, thinking = 0, False
    for mark in _THOUGHT.finditer(text):
        if inside(mark.start()):
            continue
        if mark[1]:
            if not thinking:
                if doubtful(mark.start()) and not _LINE_END.match(text, mark.end()):
                    continue
                parts.clear()
            place, thinking = mark.end(), False
        elif not thinking:
            parts.append(text[place : mark.start()])
            place, thinking = mark.end(), True
    if thinking:
        return "\n".join(parts), text[place:]
    return "\n".join([*parts, text[place:]]), None


def boxes(text: str, inside: Inside) -> Iterator[tuple[int, int]]:
    """Where the content of each box begins and ends; the last one may have no end."""
    start: int | None = None
    for mark in _BOX.finditer(text):
        if inside(mark.start()):
            continue
        if mark[1] == "begin":
            start = mark.end()
        elif start is not None:
            yield start, mark.start()
            start = None
    if start is not None:
        yield start, len(text)


def fences(text: str, inside: Inside) -> Iterator[Fence]:
    """The contents of the fences, in their order.

    A fence whose line holds nothing but its name ends at a line of nothing but a fence of the same kind; when there is
    none, and for any other, the next fence wherever it stands is the end, or the end of the text.
    """
    marks = [mark for mark in _FENCE.finditer(text) if not inside(mark.start("run"))]
    closing: list[int | None] = []
    """For each mark, backwards, the next line after it that is nothing but a fence of the same kind."""
    nearest: dict[str, int] = {}
    for index in range(len(marks) - 1, -1, -1):
        mark = marks[index]
        closing.append(nearest.get(mark["run"][0]))
        if mark["line"] is not None and mark["alone"] is not None and not mark["name"]:
            nearest[mark["run"][0]] = index
    closing.reverse()
    index = 0
    while index < len(marks):
        mark = marks[index]
        end = closing[index] if mark["alone"] is not None else None
        if end is None:
            end = index + 1
        yield Fence(mark.end("name"), marks[end].start("run") if end < len(marks) else len(text), mark["name"].lower())
        index = end + 1
