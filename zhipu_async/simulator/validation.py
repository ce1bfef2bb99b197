"""Bodies as an endpoint takes them, and the codes for what is none (contract pages chat.md section 1, errors.md)."""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

import msgspec

from zhipu_async.simulator.replies import Refusal
from zhipu_async.simulator.shapes import is_object

T = TypeVar("T", bound=msgspec.Struct)

_PLACE: Final = re.compile(r" - at (?:`key` in )?`\$\.?(.*)`$")


def validated(body: Any, kind: type[T]) -> T | Refusal:
    """The struct that a JSON body is, or how the service refuses it.

    A missing field is 1213, a word outside its vocabulary 1210, any other fault 1214: the texts of msgspec's errors say
    which it is and where.
    """
    if not is_object(body):
        return Refusal("1210", message="Incorrect API call parameters: the body is not a JSON object")
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        text = str(error)
    place = _PLACE.search(text)
    if place is None:
        return missing(text.split("`")[1])
    if text.startswith("Invalid enum value"):
        return Refusal("1210", message=f"Incorrect API call parameters: {place[1]}")
    return illegal(place[1])


def missing(field: str) -> Refusal:
    """The refusal of a request without a required field."""
    return Refusal("1213", message=f"The {field} parameter was not received properly")


def illegal(field: str) -> Refusal:
    """The refusal of a field with an illegal value."""
    return Refusal("1214", message=f"{field} parameter is illegal")
