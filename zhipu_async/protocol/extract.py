"""The JSON value that a model's answer holds, among thoughts, fences and prose.

Where a value is looked for, the best place first:

1. all of the answer, as it came;
2. its boxes (``<|begin_of_box|>...<|end_of_box|>``), the last one first. From here on the answer is without its
   thoughts (``<think>...</think>``; a lone ``</think>`` ends a thought that began with the answer);
3. all that remains of the answer;
4. its fences of backticks or tildes, closed or not, the last one first: those named after JSON before those without a
   name. Any other fence is prose;
5. its prose, the first value first; no bare numbers, texts and literals;
6. its last thought, when the model did not close that but ended by itself.

Of the values in places of one kind, objects and lists of objects come before other lists, empty ones come last; then
strict JSON comes before what was mended (see :mod:`.mending`). Nothing is looked for inside of another value, whole or
broken, but for fences and boxes in what the model ended and broke: their values are ambiguous.

An answer is whole when its finish reason says that the model ended by itself. In any other no closing bracket is added,
and no value is taken when one that stands in as good a place, or a better one, was still being written.

The work is linear in the answer, and nothing recurses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar, overload

import msgspec

from .candidates import Candidate, Place, Search
from .mending import Repair

T = TypeVar("T")

ENDED = frozenset({"stop", "tool_calls"})
"""Finish reasons of an answer that the model ended by itself (chat.md section 5)."""

_PATH = re.compile(r"`(\$[^`]*)`\Z")


@dataclass(frozen=True, slots=True)
class Extraction(Generic[T]):
    """The value, and how it was found."""

    value: T
    """What ``accepts`` made of it; the JSON value itself without that."""
    json: Any
    """The JSON value: dict, list, str, int, float, bool or None."""
    place: Place
    repairs: tuple[Repair, ...]
    """What was mended, each once, in the order of the text; empty for strict JSON."""
    ambiguous: bool
    """Whether something else may be meant: a different value, as good as this one, is accepted too, or one that cannot
    be read stands in as good a place, or a better one."""


@dataclass(frozen=True, slots=True)
class NoExtraction:
    """Why there is none."""

    kind: Literal["empty", "no_json", "broken", "truncated", "unfit"]
    """``empty``: blanks alone. ``no_json``: nothing that is meant as JSON. ``broken``: JSON that cannot be mended.
    ``truncated``: the answer was cut off before its JSON was whole. ``unfit``: ``accepts`` refused all values."""
    message: str
    """What to tell the model or the user: for ``unfit`` what ``accepts`` said of the best value."""
    path: str | None = None
    """Where in the value ``accepts`` stumbled, such as ``$.items[3].price``, when its message ends with that."""
    json: Any = None
    """The best value, for ``unfit``."""
    repairs: tuple[Repair, ...] = ()
    """What was mended in that value."""


Result: TypeAlias = Extraction[T] | NoExtraction


@overload
def extract(text: str, accepts: None = None, *, finish_reason: str | None = None) -> Result[Any]: ...
@overload
def extract(text: str, accepts: Callable[[Any], T], *, finish_reason: str | None = None) -> Result[T]: ...
def extract(text: str, accepts: Callable[[Any], Any] | None = None, *, finish_reason: str | None = None) -> Result[Any]:
    """The JSON value that ``text``, the content of an answer, holds. Never raises for what stands in it.

    ``accepts`` makes the result of a value, or refuses it with ValueError, TypeError or an error of msgspec. The first
    value that it accepts is taken; it is asked about the best 64, and again about those that are as good as the one
    taken. Without a finish reason the answer does not count as whole.
    """
    search = Search(text, whole=finish_reason in ENDED)
    candidates = search.run()
    refused: tuple[Candidate, Exception] | None = None
    for number, candidate in enumerate(candidates):
        flaws = search.flaws_at(candidate.level)
        if finish_reason not in ENDED and any(flaw.open for flaw in flaws):
            return _cut_off(finish_reason, "its JSON was whole")
        try:
            value = candidate.value if accepts is None else accepts(candidate.value)
        except (ValueError, TypeError, msgspec.MsgspecError) as error:
            refused = refused or (candidate, error)
            continue
        others = (other for other in candidates[number + 1 :] if other.goodness == candidate.goodness)
        return Extraction(
            value=value,
            json=candidate.value,
            place=candidate.place,
            repairs=candidate.repairs,
            ambiguous=bool(flaws) or any(_rivals(candidate, other, accepts) for other in others),
        )
    return _failure(text, search, finish_reason, refused)


def _rivals(chosen: Candidate, other: Candidate, accepts: Callable[[Any], Any] | None) -> bool:
    """Whether the other value is a different one that would have been taken too."""
    if _canonical(chosen.value) == _canonical(other.value):
        return False
    if accepts is None:
        return True
    try:
        accepts(other.value)
    except (ValueError, TypeError, msgspec.MsgspecError):
        return False
    return True


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _failure(
    text: str, search: Search, finish_reason: str | None, refused: tuple[Candidate, Exception] | None
) -> NoExtraction:
    """Why no candidate was taken: what stands in the best place counts."""
    whole = finish_reason in ENDED
    flaw = min(search.flaws, key=lambda flaw: flaw.level, default=None)
    if not whole and any(flaw.open for flaw in search.flaws):
        return _cut_off(finish_reason, "its JSON was whole")
    if refused and not (flaw and flaw.level <= refused[0].level):
        candidate, error = refused
        path = _PATH.search(message := str(error))
        return NoExtraction("unfit", message, path and path[1], candidate.value, candidate.repairs)
    if flaw:
        return NoExtraction("broken", flaw.message)
    if not whole and search.thinking:
        return _cut_off(finish_reason, "its thought was")
    if finish_reason is not None and not whole:
        return _cut_off(finish_reason, "any JSON came")
    if not text.strip():
        return NoExtraction("empty", "the answer is empty")
    return NoExtraction("no_json", "the answer holds no JSON")


def _cut_off(finish_reason: str | None, what: str) -> NoExtraction:
    reason = f"finish reason {finish_reason}" if finish_reason else "without a finish reason"
    return NoExtraction("truncated", f"the answer was cut off ({reason}) before {what}")
