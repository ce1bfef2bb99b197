"""A JSON value that is being built: containers that fill, and strings that become longer in their place."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

from .strict import LONGEST_NUMBER

Place: TypeAlias = str | int
"""A key of an object or an index of a list."""
_Link: TypeAlias = "tuple[_Link, Place] | None"
"""Where a value stands: where its container stands, and its place there. None is the top."""


class Grown(NamedTuple):
    """What one string of the value grew by."""

    path: tuple[str | int, ...]
    """Keys and indexes that lead to the string; empty when it is the whole value."""
    text: str
    """The new characters; "" when the string was begun or ended, and nothing else."""
    done: bool
    """Whether the string is whole now."""


class _Growth:
    """A string, and what it grew by of late."""

    __slots__ = ("done", "link", "parts")

    def __init__(self, link: _Link) -> None:
        self.link = link
        self.parts: list[str] = []
        self.done = False


class GrowingValue:
    """Built from the outside in, in the order of the text. The open container is the one that members are put into."""

    __slots__ = ("_grown", "_growth", "_into", "_link", "_outer", "_parts", "_place", "_root", "copied", "key")

    def __init__(self) -> None:
        self._root: list[Any] = []
        self._into: list[Any] | dict[str, Any] = self._root
        self._link: _Link = None
        self._outer: list[tuple[list[Any] | dict[str, Any], _Link]] = []
        """The containers around the open one, and where each stands."""
        self._place: Place = 0
        """The place of the newest member in the open container; an open string is always the newest."""
        self._parts: list[str] = []
        """What the open string has beyond what its container shows."""
        self._growth: _Growth | None = None
        self._grown: list[_Growth] = []
        self.key = ""
        """The key of the next member, when the open container is an object."""
        self.copied = 0
        """Characters that were put into strings."""

    @property
    def value(self) -> Any:
        """The value so far, None when nothing has begun. Always the same object, unless it is a string."""
        self._show()
        return self._root[0] if self._root else None

    @property
    def depth(self) -> int:
        """Containers that are open."""
        return len(self._outer)

    @property
    def in_list(self) -> bool:
        """Whether the open container is a list."""
        return isinstance(self._into, list)

    @property
    def grown(self) -> list[Grown]:
        """What strings grew by since :meth:`forget`, in the order of the text."""
        return [Grown(_path(growth.link), "".join(growth.parts), growth.done) for growth in self._grown]

    def forget(self) -> None:
        """Begin :attr:`grown` anew."""
        self._grown, self._growth = [], None

    def put(self, value: Any) -> None:
        """Put a member into the open container; a later one of the same key takes the place of the earlier."""
        into = self._into
        if isinstance(into, list):
            self._place = len(into)
            into.append(value)
        else:
            self._place = self.key
            into[self.key] = value

    def open(self, container: list[Any] | dict[str, Any]) -> None:
        """Put a container, and what comes next into it."""
        self.put(container)
        self._outer.append((self._into, self._link))
        self._link = self._newest() if len(self._outer) > 1 else None
        self._into = container

    def close(self) -> None:
        """The open container is whole."""
        self._into, self._link = self._outer.pop()

    def begin_string(self) -> None:
        """Put an empty string that grows."""
        self.put("")
        self._growing()

    def lengthen(self, part: str) -> None:
        """The open string goes on."""
        self._parts.append(part)
        self._growing().parts.append(part)

    def end_string(self) -> None:
        """The open string is whole."""
        self._show()
        self._growing().done = True
        self._growth = None

    def _newest(self) -> _Link:
        return (self._link, self._place)

    def _growing(self) -> _Growth:
        if self._growth is None:
            self._growth = _Growth(self._newest() if self._outer else None)
            self._grown.append(self._growth)
        return self._growth

    def _show(self) -> None:
        """Let the container have what came of the open string."""
        if not self._parts:
            return
        more = "".join(self._parts)
        self._parts.clear()
        self.copied += len(more)
        into: Any = self._into
        text = into[self._place]
        into[self._place] = ""  # a string that nobody else holds is extended in place by +=, any other is copied
        text += more
        into[self._place] = text


def _path(link: _Link) -> tuple[Place, ...]:
    path: list[Place] = []
    while link is not None:
        link, place = link
        path.append(place)
    return tuple(reversed(path))


def number(digits: str) -> int | float | None:
    """The value of a JSON number; None when it is infinite as a float, or longer than Python reads."""
    if len(digits) > LONGEST_NUMBER + 1:  # one more for a sign or a point
        return None
    try:
        if digits.lstrip("-").isdigit():
            return int(digits)
        value = float(digits)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
