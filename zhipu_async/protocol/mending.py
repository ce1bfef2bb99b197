"""JSON as models write it: strict JSON is read as it stands, small mistakes that leave one meaning are mended by name.

Nothing is guessed: a word that is no literal, a missing comma, a quote inside of its own string, ``...`` and NaN break
it. Reading does not recurse, and looks at each character a bounded number of times.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Literal, TypeAlias

from .growing import GrowingValue, number
from .strict import DEEPEST

Repair: TypeAlias = Literal[
    "comments",
    "curly_quotes",
    "double_encoded",
    "full_width_punctuation",
    "invisible_characters",
    "missing_brackets",
    "needless_escapes",
    "python_literals",
    "raw_line_breaks",
    "single_quotes",
    "trailing_comma",
    "unclosed_thinking",
    "unquoted_keys",
    "values_in_a_row",
]
"""What was mended. All but these happen between strings only: ``needless_escapes`` is ``\\'`` in a string,
``raw_line_breaks`` any unescaped control character in one, ``double_encoded`` JSON inside of a JSON string (or with the
quotes of one lost), ``values_in_a_row`` several values that were made one list, ``unclosed_thinking`` an answer that
stands in a thought without end. ``full_width_punctuation`` is ， ： 、 【】 ［］ ｛｝, ``curly_quotes`` “ ” ‘ ’ ＂,
``invisible_characters`` byte order marks, zero-width characters and blanks that are not JSON's."""

OPENING = "[{【［｛"
"""What a list or an object may begin with."""

_FULL_WIDTH = dict(zip("，、：【】［］｛｝", ",,:[][]{}", strict=True))
_BLANKS = re.compile(r"[ \t\r\n]*")
_INVISIBLE = re.compile(r"(?:[\ufeff\u200b-\u200f\u2060\u00ad]|[^\S \t\r\n])+")
_LINE = re.compile(r"[^\r\n]*")
_WORD = re.compile(r"[\w$][\w$-]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_LITERALS = {"true": True, "false": False, "null": None}
_PYTHON = {"True": True, "False": False, "None": None}
_CONTROL = re.compile(r"[\x00-\x1f]")
_ESCAPE_OR_QUOTE = re.compile(r'\\(.)|"', re.DOTALL)


def _quoted(opening: str, closing: str) -> re.Pattern[str]:
    # possessive: a string without end is found out in one pass
    return re.compile(rf"{opening}([^{closing}\\]*+(?:\\.[^{closing}\\]*+)*+)[{closing}]", re.DOTALL)


_STRINGS: dict[str, tuple[re.Pattern[str], Repair | None]] = {
    '"': (_quoted('"', '"'), None),
    "'": (_quoted("'", "'"), "single_quotes"),
    "“": (_quoted("“", "“”"), "curly_quotes"),
    "”": (_quoted("”", "”"), "curly_quotes"),
    "‘": (_quoted("‘", "‘’"), "curly_quotes"),
    "’": (_quoted("’", "’"), "curly_quotes"),
    "＂": (_quoted("＂", "＂"), "curly_quotes"),
}


class _State(Enum):
    VALUE = auto()
    FIRST = auto()
    """A member, or the end of the container."""
    NEXT = auto()
    """A member; the end of the container is a mistake."""
    COLON = auto()
    AFTER_VALUE = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of reading a value at a place of a text."""

    state: Literal["whole", "open", "broken"]
    """``open``: the text ended before the value did."""
    value: Any
    """What was read so far."""
    start: int
    end: int
    """The place after the value, or where it broke."""
    repairs: tuple[Repair, ...]
    expected: str
    """What should have stood at ``end``."""
    in_string: bool
    """Whether the text ended inside of a string."""
    depth: int
    """Containers that were open where it ended."""
    json_like: bool
    """Whether enough was read that this is meant as JSON and no bracket of prose: a string, a member of an object."""
    resume: int
    """From where to look for another value: nothing before it, and after ``start``, can begin one."""
    looked: int
    """Characters looked at."""


def read(text: str, start: int, end: int, *, close: bool) -> Reading:
    """Read the value that begins at ``start``, as far as ``end``.

    ``close``: where only closing brackets are missing at ``end``, behind a whole member, they are added.
    """
    return _Reader(text, start, end).read(close)


class _Broken(Exception):
    def __init__(self, expected: str, *, ended: bool = False, in_string: bool = False) -> None:
        super().__init__(expected)
        self.expected = expected
        self.ended = ended
        self.in_string = in_string


class _Reader:
    __slots__ = (
        "_built",
        "_end",
        "_furthest",
        "_json_like",
        "_place",
        "_repairs",
        "_start",
        "_strings",
        "_swallowed",
        "_text",
    )

    def __init__(self, text: str, start: int, end: int) -> None:
        self._text = text
        self._start = self._place = self._furthest = start
        self._end = end
        self._built = GrowingValue()
        self._repairs: dict[Repair, None] = {}
        self._json_like = False
        self._strings = False
        """Whether a string was read."""
        self._swallowed: int | None = None
        """Where the first thing began that may be prose and not a string or a comment: a value may stand in it."""

    def read(self, close: bool) -> Reading:
        state = _State.VALUE
        try:
            while state is not _State.END:
                char = self._next()
                if not char:
                    if not (close and state is _State.AFTER_VALUE):
                        raise _Broken("the rest of it", ended=True)
                    self._repairs["missing_brackets"] = None
                    break
                state = self._step(state, char)
        except _Broken as error:
            return self._reading("open" if error.ended else "broken", error.expected, error.in_string)
        return self._reading("whole")

    def _reading(
        self, state: Literal["whole", "open", "broken"], expected: str = "", in_string: bool = False
    ) -> Reading:
        return Reading(
            state=state,
            value=self._built.value,
            start=self._start,
            end=self._place,
            repairs=tuple(self._repairs),
            expected=expected,
            in_string=in_string,
            depth=self._built.depth,
            json_like=self._json_like,
            resume=max(self._start + 1, self._place if self._swallowed is None else self._swallowed),
            looked=max(self._furthest, self._place) - self._start,
        )

    def _step(self, state: _State, char: str) -> _State:
        built = self._built
        if built.depth and char == ("]" if built.in_list else "}") and state not in (_State.VALUE, _State.COLON):
            if state is _State.NEXT:
                self._repairs["trailing_comma"] = None
            self._json_like |= char == "}" and state is not _State.FIRST
            built.close()
            self._place += 1
            return self._after_value()
        if state is _State.AFTER_VALUE:
            self._punctuation(char, ",", "a comma or a closing bracket")
            return _State.NEXT
        if state is _State.COLON:
            self._punctuation(char, ":", "a colon")
            return _State.VALUE
        if state is _State.VALUE or built.in_list:
            return self._value(char)
        built.key = self._key(char)
        return _State.COLON

    def _after_value(self) -> _State:
        return _State.AFTER_VALUE if self._built.depth else _State.END

    def _punctuation(self, char: str, wanted: str, expected: str) -> None:
        if char != wanted:
            raise _Broken(expected)
        self._json_like |= wanted == ":" or self._strings
        self._place += 1

    def _value(self, char: str) -> _State:
        if char in "[{":
            if self._built.depth == DEEPEST:
                self._json_like = True
                raise _Broken(f"no more than {DEEPEST} levels")
            self._built.open([] if char == "[" else {})
            self._place += 1
            return _State.FIRST
        if char in _STRINGS:
            self._built.put(self._string(char))
        elif found := _NUMBER.match(self._text, self._place, self._end):
            self._furthest = max(self._furthest, found.end())
            value = number(found[0])
            if value is None:
                raise _Broken("a number that is finite and has at most 4300 digits")
            self._built.put(value)
            self._place = found.end()
        else:
            self._built.put(self._literal())
        return self._after_value()

    def _literal(self) -> bool | None:
        found = _WORD.match(self._text, self._place, self._end)
        word = found[0] if found else ""
        if word in _PYTHON:
            self._repairs["python_literals"] = None
        elif word not in _LITERALS:
            raise _Broken("a value")
        self._place += len(word)
        return _PYTHON[word] if word in _PYTHON else _LITERALS[word]

    def _key(self, char: str) -> str:
        if char in _STRINGS:
            return self._string(char)
        found = _WORD.match(self._text, self._place, self._end)
        if found is None:
            raise _Broken("a key")
        self._repairs["unquoted_keys"] = None
        self._place = found.end()
        return found[0]

    def _string(self, quote: str) -> str:
        pattern, repair = _STRINGS[quote]
        if quote != "'":  # an apostrophe is a frequent one in prose
            self._json_like = True
        elif self._swallowed is None:
            self._swallowed = self._place
        found = pattern.match(self._text, self._place, self._end)
        if found is None:
            self._furthest = self._end
            raise _Broken("the end of a string", ended=True, in_string=True)
        self._furthest = max(self._furthest, found.end())
        self._strings = True
        if repair:
            self._repairs[repair] = None
        text = self._unescaped(found[1], quote)
        self._place = found.end()
        return text

    def _unescaped(self, body: str, quote: str) -> str:
        if _CONTROL.search(body):
            self._repairs["raw_line_breaks"] = None
        if "\\" not in body:
            return body
        if quote != '"':
            body = _ESCAPE_OR_QUOTE.sub(_as_in_json, body)
        elif "\\'" in body:
            plain = _ESCAPE_OR_QUOTE.sub(_as_in_json, body)
            if len(plain) < len(body):
                self._repairs["needless_escapes"] = None
            body = plain
        try:
            text: str = json.loads(f'"{body}"', strict=False)
        except ValueError:
            raise _Broken("a string with escapes of JSON") from None
        return text

    def _next(self) -> str:
        """The next character that counts, with Chinese punctuation as JSON's; "" at the end."""
        while True:
            found = _BLANKS.match(self._text, self._place, self._end)
            self._place = found.end() if found else self._place
            if self._place >= self._end:
                return ""
            char = self._text[self._place]
            if char in "/#":
                self._comment(char)
            elif found := _INVISIBLE.match(self._text, self._place, self._end):
                self._place = found.end()
                self._repairs["invisible_characters"] = None
            elif char in _FULL_WIDTH:
                self._repairs["full_width_punctuation"] = None
                return _FULL_WIDTH[char]
            else:
                return char

    def _comment(self, char: str) -> None:
        text, place = self._text, self._place
        if text.startswith("/*", place):
            end = text.find("*/", place + 2, self._end) + 2
            if end < 2:
                self._furthest = self._end
                raise _Broken("the end of a comment")
        elif char == "#" or text.startswith("//", place):
            found = _LINE.match(text, place, self._end)
            end = found.end() if found else place
        else:
            raise _Broken("no slash")
        if self._swallowed is None:
            self._swallowed = place
        self._repairs["comments"] = None
        self._place = end


def _as_in_json(found: re.Match[str]) -> str:
    """A quote or an escape of a string of any quotes, as it stands in one of double quotes."""
    escaped: str | None = found[1]
    if escaped is None:
        return '\\"'
    return escaped if escaped in "'“”‘’＂" else found[0]
