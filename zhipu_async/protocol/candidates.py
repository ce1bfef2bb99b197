"""The JSON values that an answer may mean, wherever they stand, and how good each is (told in :mod:`.extract`)."""

from __future__ import annotations

import re
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from . import marks
from .mending import Reading, Repair, read
from .scan import NO_VALUE, Found, Scan, strict
from .tolerant import is_list, is_object

Place: TypeAlias = Literal["whole", "box", "fence", "text", "thinking"]
"""Where a value stands."""

JUDGED = 64
"""Values that are judged, at most."""

_ESCAPED = re.compile(r'[\[{]\s*\\+["n]')
_INVISIBLE = re.compile(r"[\ufeff\u200b-\u200f\u2060\u00ad]")
_NOTHING = re.compile(r"[\s,，\ufeff\u200b-\u200f\u2060\u00ad]*")
_PYTHON = {"True": True, "False": False, "None": None}


class Level(NamedTuple):
    """How good a place is; the least is the best."""

    part: int
    """0 the answer as it came, 1 a box of it, 2 the answer without thoughts, 3 a thought without end."""
    spot: int
    """0 all of the part, 1 a fence in it, 2 its prose, 3 all of its values as one list."""
    fence: int = 0
    """0 with the name of JSON, 1 without a name."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A value that may be meant."""

    value: Any
    place: Place
    repairs: tuple[Repair, ...]
    level: Level
    goodness: tuple[int, ...]
    """The least is the best; equals are equally good."""
    order: int
    """Among equals."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that is meant as JSON and cannot be read."""

    level: Level
    open: bool
    """Whether the text ended before its last bracket came."""
    message: str


class Search:
    """Looks through an answer. ``whole``: the model ended it by itself."""

    def __init__(self, text: str, *, whole: bool) -> None:
        self._text = text
        self._whole = whole
        self._candidates: list[Candidate] = []
        self.flaws: list[Flaw] = []
        self.thinking = False
        """Whether the answer ends inside of a thought."""
        self.looked = 0
        """Characters looked at in lists and objects, each as often as it was."""

    def run(self) -> list[Candidate]:
        """The candidates, the best first."""
        if not self._take_whole(self._text, Level(0, 0), 0):
            self._look_at_parts()
        return sorted(self._candidates, key=lambda candidate: (candidate.goodness, candidate.order))[:JUDGED]

    def flaws_at(self, level: Level) -> list[Flaw]:
        """The flaws in places that are as good as ``level``, or better."""
        return [flaw for flaw in self.flaws if flaw.level <= level]

    def _look_at_parts(self) -> None:
        answer, thought = self._text, None
        if "think" in answer:
            values = self._values(answer)
            answer, thought = marks.without_thoughts(answer, self._inside(values), _within_json(values, broken=True))
            self.thinking = thought is not None
        values = self._values(answer)
        boxes = list(marks.boxes(answer, self._inside(values)))
        for start, end in boxes:
            content = answer[start:end]
            self._look(content, self._values(content), Level(1, 0), -start)
        self._look(answer, values, Level(2, 0), 0, boxes=boxes)
        if thought is not None and self._whole:
            self._look(thought, self._values(thought), Level(3, 0), 0, repairs=("unclosed_thinking",))

    def _look(
        self,
        text: str,
        values: list[Found],
        level: Level,
        order: int,
        *,
        boxes: Sequence[tuple[int, int]] = (),
        repairs: tuple[Repair, ...] = (),
    ) -> None:
        """Take what all of a part is, or what its fences and its prose hold outside of boxes; ``values`` are all."""
        if self._take_whole(text, level, order, repairs):
            return
        in_box = _within(boxes)
        fences = [fence for fence in marks.fences(text, self._inside(values)) if not in_box(fence.start)]
        named = [fence for fence in fences if not fence.name or fence.name.startswith("json")]
        known = self._look_at_fences(text, named, level, repairs)
        starts = [start for start, _ in boxes], [fence.start for fence in fences]
        prose = [found for found in values if not in_box(found.reading.start)]
        for found in prose:
            self._note_flaw(text, found, _flaw_level(found, level, *starts))
        prose = [found for found in prose if found.reading.start not in known]
        self._collect(text, 0, len(text), prose, level._replace(spot=2), repairs)
        if not any(found.reading.json_like for found in values) and (escaped := _ESCAPED.search(text)):
            end = max(text.rfind("]"), text.rfind("}")) + 1
            unescaped = strict(f'"{text[escaped.start() : end]}"', line_breaks=True)
            if isinstance(unescaped, str):
                self._take_encoded(unescaped, level, order, repairs)

    def _look_at_fences(
        self, text: str, fences: list[marks.Fence], level: Level, repairs: tuple[Repair, ...]
    ) -> set[int]:
        """Take what fences hold; gives where values begin there."""
        scan = Scan(text, close=self._whole)
        known: set[int] = set()
        for start, end, name in fences:
            here, content = level._replace(spot=1, fence=0 if name else 1), text[start:end]
            if self._take_whole(content, here, -start, repairs):
                known.add(end - len(content.lstrip()))
                continue
            values = scan.values(start, end)
            known.update(found.reading.start for found in values)
            for found in values:
                self._note_flaw(text, found, here)
            self._collect(text, start, end, values, here, repairs)
        self._account(scan)
        return known

    def _values(self, text: str) -> list[Found]:
        scan = Scan(text, close=self._whole)
        values = scan.values(0, len(text))
        self._account(scan)
        return values

    def _inside(self, values: list[Found]) -> marks.Inside:
        """Whether a mark is text. In an answer that was cut off it rather stands in a broken value than behind it."""
        return _within_json(values, broken=not self._whole)

    def _account(self, scan: Scan) -> None:
        self.looked += scan.looked
        if scan.exhausted:
            self.flaws.append(Flaw(Level(0, 0), False, "too much of the answer begins like JSON and is none"))

    def _note_flaw(self, text: str, found: Found, level: Level) -> None:
        reading = found.reading
        if reading.state == "whole" or not reading.json_like:
            return
        near = text[max(0, reading.end - 20) : reading.end + 20]
        what = f"it ended before {reading.expected}" if reading.state == "open" else f"expected {reading.expected}"
        message = f"the JSON is broken: {'a string has no end' if reading.in_string else what}, near {near!r}"
        self.flaws.append(Flaw(level, found.after is None, message))

    def _take_whole(self, text: str, level: Level, order: int, repairs: tuple[Repair, ...] = ()) -> bool:
        """Whether all of ``text`` is strict JSON, or a literal of Python; it is a candidate then."""
        value = strict(text)
        if value is NO_VALUE:
            value = _PYTHON.get(text.strip(), NO_VALUE)
            repairs = (*repairs, "python_literals")
        if value is NO_VALUE:
            return False
        self._add(value, level, order, repairs)
        if isinstance(value, str):
            self._take_encoded(value, level, order, repairs)
        return True

    def _take_encoded(self, text: str, level: Level, order: int, repairs: tuple[Repair, ...]) -> None:
        """Take the list or object that the content of a JSON string is."""
        text = text.strip()
        if not text.startswith(("[", "{")):
            return
        repairs = (*repairs, "double_encoded")
        value = strict(text)
        if value is not NO_VALUE:
            self._add(value, level, order, repairs, inner=1)
            return
        found = read(text, 0, len(text), close=self._whole)
        if found.state == "whole" and found.end == len(text):
            self._add(found.value, level, order, (*repairs, *found.repairs), inner=1)

    def _collect(
        self, text: str, start: int, end: int, values: list[Found], level: Level, repairs: tuple[Repair, ...]
    ) -> None:
        """Take the values between two places, and say what they are when nothing else stands there."""
        row = [found.reading for found in values if found.reading.state == "whole"]
        if not row:
            return
        edges = [start, *(edge for reading in row for edge in (reading.start, reading.end)), end]
        gaps = list(zip(edges[::2], edges[1::2], strict=True))
        if all(_NOTHING.fullmatch(text, *gap) for gap in gaps):
            if _INVISIBLE.search(text, start, row[0].start) or _INVISIBLE.search(text, row[-1].end, end):
                repairs = (*repairs, "invisible_characters")
            self._take_row(row, level, repairs)
            return
        for reading in row:
            # brackets that are added to a list of numbers at the end of a text make a value of a word in brackets
            if level.spot == 1 or "missing_brackets" not in reading.repairs or not _weight(reading.value):
                self._take(reading, level, repairs)

    def _take_row(self, row: list[Reading], level: Level, repairs: tuple[Repair, ...]) -> None:
        """Take values that stand alone: one is all that is meant, several may be meant as one list."""
        if len(row) == 1:
            self._take(row[0], level._replace(spot=0) if level.spot == 2 else level, repairs)
            return
        for found in row:
            self._take(found, level, repairs)
        if self._whole:
            mended: dict[Repair, None] = dict.fromkeys(repair for found in row for repair in found.repairs)
            values = [found.value for found in row]
            self._add(values, Level(level.part, 3), -row[0].start, (*repairs, *mended, "values_in_a_row"))

    def _take(self, found: Reading, level: Level, repairs: tuple[Repair, ...]) -> None:
        order = -found.start if level.spot == 1 else found.start
        mended: dict[Repair, None] = dict.fromkeys((*repairs, *found.repairs))
        self._add(found.value, level, order, tuple(mended))

    def _add(self, value: Any, level: Level, order: int, repairs: tuple[Repair, ...], *, inner: int = 0) -> None:
        places: dict[int, Place] = {1: "box", 3: "thinking"}
        spots: tuple[Place, ...] = ("whole", "fence", "text", "text")
        place = places.get(level.part, spots[level.spot])
        goodness = (*level, inner, _weight(value), 1 if repairs else 0)
        self._candidates.append(Candidate(value, place, repairs, level, goodness, order))


def _within(ranges: Iterable[tuple[int, int]]) -> marks.Inside:
    """Whether a place is in one of the ranges, which are in order and apart."""
    starts, ends = [-1], [-1]
    for start, end in ranges:
        starts.append(start)
        ends.append(end)
    return lambda place: place < ends[bisect_right(starts, place) - 1]


def _within_json(values: list[Found], *, broken: bool) -> marks.Inside:
    """Whether a place is in a value that is whole, or ``broken``."""
    return _within(
        (reading.start, sys.maxsize if after is None else after)
        for reading, after in values
        if reading.state == "whole" or (broken and reading.json_like)
    )


def _flaw_level(found: Found, level: Level, boxes: Sequence[int], fences: Sequence[int]) -> Level:
    """How good a place a flaw of prose has: a fence or box that stands in something broken may be a part of it."""
    if _covers(found, boxes):
        return Level(1, 0)
    return level._replace(spot=1 if _covers(found, fences) else 2)


def _covers(found: Found, places: Sequence[int]) -> bool:
    """Whether one of the places, which are in order, is in what was found."""
    first = bisect_left(places, found.reading.start)
    return first < len(places) and (found.after is None or places[first] < found.after)


def _weight(value: Any) -> int:
    """0 for objects, lists of objects, and what is no container; 1 for other lists, 2 for what is empty."""
    if not is_object(value) and not is_list(value):
        return 0
    if not value:
        return 2
    return 0 if is_object(value) or any(map(is_object, value)) else 1
