"""Answers of the simulator held against the vendor's own schema document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from tests.contract import document


def objections(path: str, answer: Any, *, method: str = "post", stream: bool = False) -> list[str]:
    """What the document has against an answer of a path below `/api`; the test is skipped where it is not at hand."""
    validator = jsonschema.Draft202012Validator({**_document(), **_schema(path, method, stream)})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(answer)]


def unfilled(path: str, *answers: Any, method: str = "post", stream: bool = False) -> set[str]:
    """The documented properties that none of the answers has, as dotted names."""
    there = {name for answer in answers for name in _names(answer, "")}
    return set(_properties(_schema(path, method, stream), "")) - there


def _document() -> dict[str, Any]:
    found = document()
    if found is None:
        pytest.skip("the vendor's openapi.json is not at hand")
    return found


def _schema(path: str, method: str, stream: bool) -> dict[str, Any]:
    content = _document()["paths"][path][method]["responses"]["200"]["content"]
    schema: dict[str, Any] = content["text/event-stream" if stream else "application/json"]["schema"]
    return schema


def _properties(schema: dict[str, Any], prefix: str) -> Iterator[str]:
    if "$ref" in schema:
        schema = _document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for part in (*schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from _properties(part, prefix)
    if "items" in schema:
        yield from _properties(schema["items"], prefix)
    for name, value in schema.get("properties", {}).items():
        yield prefix + name
        yield from _properties(value, f"{prefix}{name}.")


def _names(answer: Any, prefix: str) -> Iterator[str]:
    if isinstance(answer, list):
        for element in answer:
            yield from _names(element, prefix)
    elif isinstance(answer, dict):
        for name, value in answer.items():
            yield prefix + name
            yield from _names(value, f"{prefix}{name}.")
