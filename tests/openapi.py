"""The vendor's schema document beside the catalogue of the client: which call of the one is which row of the other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.contract import document
from zhipu_async.catalogue import Row, rows

VERBS = ("get", "post", "put", "patch", "delete", "head", "options", "trace")

Schema = dict[str, Any]
Key = tuple[str, str]
"""Verb and path with ``{}`` for each variable: the names of variables differ from document to document."""


class Operation(NamedTuple):
    """A verb of a path of the document."""

    verb: str
    path: str
    """As the catalogue writes it: below ``paas/v4``, or from ``/api/`` on."""
    item: Schema

    @property
    def key(self) -> Key:
        """What it has in common with its row."""
        return key(self.verb, self.path)

    @property
    def request(self) -> tuple[str, Schema]:
        """Media type and schema of what is sent, ("", {}) when nothing is documented."""
        content = self.item.get("requestBody", {}).get("content", {})
        return next(((kind, found["schema"]) for kind, found in content.items()), ("", {}))

    @property
    def parameters(self) -> list[Schema]:
        """Of path, query and header."""
        return [resolved(found) for found in self.item.get("parameters", [])]

    def answer(self, media_type: str) -> Schema | None:
        """The schema of an answer of 200, None when there is none of this type."""
        content = self.item["responses"]["200"].get("content", {})
        return content[media_type]["schema"] if media_type in content else None

    def __str__(self) -> str:
        return f"{self.verb} {self.path}"


def key(verb: str, path: str) -> Key:
    """What two ways to write an endpoint have in common."""
    return verb.upper(), re.sub(r"\{[^}]*\}", "{}", path)


def operations() -> list[Operation]:
    """All of the document; [] where it is not at hand."""
    found = (document() or {"paths": {}})["paths"]
    return [
        Operation(verb.upper(), path.removeprefix("/paas/v4") if path.startswith("/paas/v4/") else f"/api{path}", item)
        for path, members in found.items()
        for verb, item in members.items()
        if verb in VERBS
    ]


ROWS: dict[Key, Row] = {key(row.verb, row.path): row for row in rows()}


def resolved(schema: Schema) -> Schema:
    """``schema``, or what it refers to."""
    while "$ref" in schema:
        found: Any = document()
        for name in schema["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        schema = found
    return schema


def alternatives(schema: Schema) -> Iterator[Schema]:
    """``schema`` and what it is composed of, resolved."""
    schema = resolved(schema)
    yield schema
    for how in ("oneOf", "anyOf", "allOf"):
        for part in schema.get(how, []):
            yield from alternatives(part)


def properties(schema: Schema) -> dict[str, list[Schema]]:
    """Each property that the schema or one of its alternatives has, with all that is said of it."""
    found: dict[str, list[Schema]] = {}
    for part in alternatives(schema):
        for name, said in part.get("properties", {}).items():
            found.setdefault(name, []).append(said)
    return found
