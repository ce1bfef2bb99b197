"""A module with postponed annotations, of which some cannot be resolved."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    from nowhere import Missing


@dataclasses.dataclass
class Place:
    name: str


def good(place: Place, day: Annotated[int, "0 is today"] = 0) -> Missing:
    """Its result is of a type for checkers only."""
    raise NotImplementedError


def missing(place: Missing) -> str:
    raise NotImplementedError


def no_attribute(place: "dataclasses.Missing") -> str:  # noqa: UP037
    raise NotImplementedError


def no_expression(place: "int or") -> str:  # type: ignore # noqa: F722
    raise NotImplementedError


def local() -> Any:
    """A function whose type exists in here alone."""

    @dataclasses.dataclass
    class Inner:
        name: str

    def inner(place: Inner) -> str:
        raise NotImplementedError

    return inner
