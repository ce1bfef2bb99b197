"""The value of an answer that is still coming, found in its text: a preview, which nobody has checked.

It is the first value that has a member, outside of thoughts, for as long as it is strict JSON: what begins like one and
is none, as in ``[see {name}]``, is passed over. It only grows, and does so in its place. The whole answer may hold a
better value (see :mod:`.extract`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .partial import PartialJSON

_OBJECT, _OBJECT_OR_LIST = re.compile(r"(?=[<{])"), re.compile(r"(?=[<\[{])")
_THOUGHT = re.compile(r"<(/?)think(?:ing)?>")
_MARKS = ("<think>", "<thinking>", "</think>", "</thinking>")


class Preview:
    """Feed it the pieces of an answer, cut anywhere; the work is linear in their length.

    ``wanted`` takes what is meant out of a value, None as long as that is not there; ``lists``: not objects alone.
    """

    def __init__(self, wanted: Callable[[Any], Any], *, lists: bool) -> None:
        self._wanted = wanted
        self._openings = ("{", "[") if lists else ("{",)
        self._cuts = _OBJECT_OR_LIST if lists else _OBJECT
        self._thinks = False
        self._held = ""
        """What may become a mark of thought."""
        self._json: PartialJSON | None = None
        self._touched = 0
        self.begun = False
        """Whether there is something to show. Nothing else is looked for from then on."""

    @property
    def value(self) -> Any:
        """What has come of the value, once it has :attr:`begun`: do not change it."""
        return self._wanted(self._json.value) if self._json is not None else None

    @property
    def touched(self) -> int:
        """Characters looked at so far, each as often as it was: to show that the work is linear."""
        return self._touched + (self._json.touched if self._json is not None else 0)

    def feed(self, piece: str) -> bool:
        """Take the next piece; whether more of the value may have come."""
        text, self._held = self._held + piece, ""
        if self.begun and self._json is not None:
            over = self._json.complete or self._json.failed
            self._json.feed(text)
            return not over
        self._touched += len(text)
        *parts, last = self._cuts.split(text)
        for part in parts:
            self._take(part)
        if not self.begun and last and any(mark.startswith(last) and mark != last for mark in _MARKS):
            self._held = last
        else:
            self._take(last)
        return self.begun

    def _take(self, part: str) -> None:
        """Take text that may begin with a value or a mark, and holds no other place where one may begin."""
        mark = None if self.begun else _THOUGHT.match(part)
        if mark is not None:
            if mark[1] and not self._thinks:  # the thought began with the answer
                self._look_at(None)
            self._thinks, part = not mark[1], part[mark.end() :]
        if self._thinks:
            return
        json = self._json
        if json is not None:
            json.feed(part[:1])
        if (json is None or json.failed) and not self.begun and part.startswith(self._openings):
            self._look_at(json := PartialJSON())
            json.feed(part[:1])
        if json is not None:
            json.feed(part[1:])
            self.begun = self.begun or (bool(json.value) and self.value is not None)

    def _look_at(self, json: PartialJSON | None) -> None:
        self._touched += self._json.touched if self._json is not None else 0
        self._json = json
