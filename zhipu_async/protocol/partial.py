"""A JSON text that is still growing, as the value that it holds so far: arguments of a tool call, a streamed answer.

What is certain is given: an open object or list with what it holds, an open string as far as it has come (an escape, or
a pair of surrogates, only when it is whole). A number is left out until the character after it has come, ``true``,
``false`` and ``null`` until they are whole, a key until its value has begun.

The grammar is that of RFC 8259 and the values are those of ``json.loads``: the last of equal keys wins (from when its
value begins), a lone surrogate is kept. Less is taken in three points: NaN, infinities and numbers too large for a
float are no JSON; a number has at most 4300 digits, which is the longest that Python reads; nesting is at
most 128 levels deep. One byte order mark at the start is skipped.

The work, in characters: feeding is linear in the text, wherever it is cut. Reading :attr:`PartialJSON.value` costs what
the open string grew by since the last reading; who keeps that string itself from one reading to the next pays a copy of
it. :attr:`PartialJSON.grown` costs what came with the last piece, whatever is kept.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Any

from .growing import GrowingValue, Grown, number
from .strict import DEEPEST, LONGEST_NUMBER


class _State(Enum):
    VALUE = auto()
    FIRST_ELEMENT = auto()
    """A value, or the end of the list."""
    KEY = auto()
    FIRST_KEY = auto()
    """A key, or the end of the object."""
    COLON = auto()
    AFTER_VALUE = auto()
    IN_KEY = auto()
    IN_STRING = auto()
    IN_NUMBER = auto()
    IN_LITERAL = auto()
    END = auto()
    FAILED = auto()


_SOLID = re.compile(r"[^ \t\n\r]")
_SPECIAL = re.compile(r'["\\\x00-\x1f]')
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u([0-9a-fA-F]{4}))')
_ESCAPE_BEGUN = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?")
_LOW = re.compile(r"\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_LOW_BEGUN = re.compile(r"(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?")
_ESCAPED = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_PAIR = re.compile(r"([\ud800-\udbff])([\udc00-\udfff])")
_LITERALS = {"t": ("rue", True), "f": ("alse", False), "n": ("ull", None)}
_NOT_IN_NUMBER = re.compile(r"[^-+.0-9eE]")
_NUMBER = {
    part: {char: then for chars, then in steps.items() for char in chars}
    for part, steps in {
        "": {"-": "minus", "0": "zero", "123456789": "whole"},
        "minus": {"0": "zero", "123456789": "whole"},
        "zero": {".": "point", "eE": "e"},
        "whole": {"0123456789": "whole", ".": "point", "eE": "e"},
        "point": {"0123456789": "fraction"},
        "fraction": {"0123456789": "fraction", "eE": "e"},
        "e": {"+-": "sign", "0123456789": "exponent"},
        "sign": {"0123456789": "exponent"},
        "exponent": {"0123456789": "exponent"},
    }.items()
}
"""The parts of a number, and the part that each character leads to."""
_MAY_END = ("zero", "whole", "fraction", "exponent")
_ENDS_NUMBER = frozenset(" \t\n\r,]}")


class PartialJSON:
    """Feed it the pieces of a JSON text, in order and cut anywhere; :attr:`value` is what they hold so far.

    What is fed never raises: see :attr:`failed`. The memory taken is that of the value, and of the last piece.
    """

    __slots__ = ("_built", "_half", "_held", "_literal", "_looked", "_number", "_parts", "_size", "_state")

    def __init__(self) -> None:
        self._state = _State.VALUE
        self._built = GrowingValue()
        self._held = ""
        """An escape that is not whole yet, at most eleven characters."""
        self._half = ""
        """A high surrogate that ended a piece; its other half may begin the next."""
        self._parts: list[str] = []
        """The pieces of the key or number that is being read."""
        self._number = ""
        """The part of the number that the last character belongs to."""
        self._size = 0
        """Characters of that number."""
        self._literal: tuple[str, bool | None] = "", None
        """What is still to come of a literal, and its value."""
        self._looked = 0
        """Characters looked at, each as often as it was."""

    @property
    def value(self) -> Any:
        """The value so far, None when nothing is certain. It grows in place with the next piece: do not change it."""
        return self._built.value

    @property
    def complete(self) -> bool:
        """Whether the value is whole. A number that is all of the text is whole after a blank or :meth:`close`."""
        return self._state is _State.END

    @property
    def failed(self) -> bool:
        """Whether the text can no longer become JSON. The value stays as it was; what is fed later is ignored."""
        return self._state is _State.FAILED

    @property
    def grown(self) -> list[Grown]:
        """The strings of the value (not keys) that the last piece began, lengthened or ended, in their order."""
        return self._built.grown

    @property
    def touched(self) -> int:
        """Characters looked at and copied so far, each as often as it was: to show that the work is linear."""
        return self._looked + self._built.copied

    def feed(self, piece: str) -> None:
        """Take the next piece of the text."""
        self._built.forget()
        if not piece or self.failed:
            return
        at_start = not self._looked
        text = self._held + self._whole_characters(piece)
        self._held = ""
        self._looked += len(text)
        place = 1 if at_start and text.startswith("\ufeff") else 0
        while place < len(text) and self._state is not _State.FAILED:
            match self._state:
                case _State.IN_STRING | _State.IN_KEY:
                    place = self._in_string(text, place)
                case _State.IN_NUMBER:
                    place = self._in_number(text, place)
                case _State.IN_LITERAL:
                    place = self._in_literal(text, place)
                case _:
                    place = self._structure(text, place)
        if self._half and self._state not in (_State.IN_STRING, _State.IN_KEY):
            self._fail()

    def close(self) -> None:
        """The text has ended: a number that is all of it is whole now, and what is not complete has failed."""
        self._built.forget()
        if self._state is _State.IN_NUMBER:
            self._end_number()
        if not self.complete:
            self._fail()

    def _whole_characters(self, piece: str) -> str:
        """``piece`` with pairs of surrogates as the characters that they are, those at the edge of pieces too."""
        if piece.isascii() and not self._half:
            return piece
        piece = self._half + piece
        self._half = piece[-1] if "\ud800" <= piece[-1] <= "\udbff" else ""
        piece = piece[: len(piece) - len(self._half)]
        return _PAIR.sub(lambda pair: _character(ord(pair[1]), ord(pair[2])), piece)

    # Each of these reads on from a place in the text, and gives the place that it has come to.

    def _fail(self) -> int:
        self._state = _State.FAILED
        return 0

    def _structure(self, text: str, place: int) -> int:
        """Blanks, and the character that decides what comes next."""
        found = _SOLID.search(text, place)
        if found is None:
            return len(text)
        char = found[0]
        match self._state, char:
            case (_State.FIRST_ELEMENT, "]") | (_State.FIRST_KEY, "}"):
                self._end_container()
            case ((_State.VALUE | _State.FIRST_ELEMENT), _):
                return self._begin_value(char, found.end())
            case ((_State.KEY | _State.FIRST_KEY), '"'):
                self._state, self._parts = _State.IN_KEY, []
            case _State.COLON, ":":
                self._state = _State.VALUE
            case _State.AFTER_VALUE, ",":
                self._state = _State.VALUE if self._built.in_list else _State.KEY
            case _State.AFTER_VALUE, ("]" | "}") if self._built.in_list == (char == "]"):
                self._end_container()
            case _:
                self._fail()
        return found.end()

    def _begin_value(self, char: str, after: int) -> int:
        if char == '"':
            self._built.begin_string()
            self._state = _State.IN_STRING
        elif char in "[{" and self._built.depth < DEEPEST:
            self._built.open([] if char == "[" else {})
            self._state = _State.FIRST_ELEMENT if char == "[" else _State.FIRST_KEY
        elif char in _LITERALS:
            self._literal, self._state = _LITERALS[char], _State.IN_LITERAL
        elif char in _NUMBER[""]:
            self._number, self._size, self._parts = "", 0, []
            self._state = _State.IN_NUMBER
            return after - 1
        else:
            self._fail()
        return after

    def _in_string(self, text: str, place: int) -> int:
        special = _SPECIAL.search(text, place)
        end = special.start() if special else len(text)
        if end > place:
            self._say(text[place:end])
        if special is None:
            return end
        if special[0] == "\\":
            return self._escape(text, end)
        if special[0] != '"':
            return self._fail()
        if self._state is _State.IN_KEY:
            self._built.key = "".join(self._parts)
            self._looked += len(self._built.key)
            self._state = _State.COLON
        else:
            self._built.end_string()
            self._end_value()
        return end + 1

    def _escape(self, text: str, place: int) -> int:
        found = _ESCAPE.match(text, place)
        if found is None:
            return self._hold(text, place) if _ESCAPE_BEGUN.fullmatch(text, place) else self._fail()
        if not found[1]:
            self._say(_ESCAPED[found[0][1]])
            return found.end()
        code = int(found[1], 16)
        if 0xD800 <= code <= 0xDBFF:
            if low := _LOW.match(text, found.end()):
                self._say(_character(code, int(low[1], 16)))
                return low.end()
            if _LOW_BEGUN.fullmatch(text, found.end()):
                return self._hold(text, place)
        self._say(chr(code))
        return found.end()

    def _hold(self, text: str, place: int) -> int:
        self._held = text[place:]
        return len(text)

    def _say(self, part: str) -> None:
        if self._state is _State.IN_KEY:
            self._parts.append(part)
        else:
            self._built.lengthen(part)

    def _in_literal(self, text: str, place: int) -> int:
        rest, value = self._literal
        part = text[place : place + len(rest)]
        if not rest.startswith(part):
            return self._fail()
        if part == rest:
            self._built.put(value)
            self._end_value()
        self._literal = rest[len(part) :], value
        return place + len(part)

    def _in_number(self, text: str, place: int) -> int:
        found = _NOT_IN_NUMBER.search(text, place)
        end = found.start() if found else len(text)
        self._size += end - place
        if self._size > LONGEST_NUMBER + 1:  # one more for a sign or a point
            return self._fail()
        self._parts.append(text[place:end])
        for char in self._parts[-1]:
            self._number = _NUMBER[self._number].get(char, "wrong")
            if self._number == "wrong":
                return self._fail()
        if found:
            if found[0] not in _ENDS_NUMBER:
                return self._fail()
            self._end_number()
        return end

    def _end_number(self) -> None:
        value = number("".join(self._parts)) if self._number in _MAY_END else None
        self._looked += self._size
        if value is None:
            self._fail()
        else:
            self._built.put(value)
            self._end_value()

    def _end_container(self) -> None:
        self._built.close()
        self._end_value()

    def _end_value(self) -> None:
        self._state = _State.AFTER_VALUE if self._built.depth else _State.END


def _character(high: int, low: int) -> str:
    return chr(0x10000 + ((high - 0xD800) << 10) + low - 0xDC00)
