"""The vendor's schema document beside the catalogue of the client: which call of the one is which row of the other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import jsonschema
import msgspec

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
            found.setdefault(name, []).append(resolved(said))
    return found


# ---------------------------------------------------------------- the document beside the structs

Annotation = Any


def gaps(schema: Schema, annotation: Annotation) -> list[str]:
    """What the schema says and values of the annotation cannot hold: ``choices[].text``, ``usage: integer``.

    A mapping holds everything, but where there is a struct too, the struct must.
    """
    return list(dict.fromkeys(_gaps(schema, [annotation], "", set())))


def _gaps(schema: Schema, annotations: list[Annotation], place: str, seen: set[tuple[int, str]]) -> Iterator[str]:
    kinds = [kind for annotation in annotations for kind in flat(annotation)]
    structs = [kind for kind in kinds if is_struct(kind)]
    items = [get_args(kind)[0] for kind in kinds if get_origin(kind) in (list, Sequence)]
    holds_all = not structs and any(kind is Any or get_origin(kind) in (dict, Mapping) for kind in kinds)
    for part in alternatives(schema):
        if (id(part), repr(kinds)) in seen:
            continue
        seen.add((id(part), repr(kinds)))
        for name, said in part.get("properties", {}).items():
            inside = f"{place}.{name}".lstrip(".")
            fields = [
                field.type for kind in structs for field in msgspec.structs.fields(kind) if field.encode_name == name
            ]
            tags = {kind.__struct_config__.tag for kind in structs if kind.__struct_config__.tag_field == name}
            if fields:
                yield from _gaps(said, fields, inside, seen)
            elif not (holds_all or (tags and tags >= set(resolved(said).get("enum", ())))):
                yield inside
        if "items" in part and not holds_all:
            if items:
                yield from _gaps(part["items"], items, f"{place}[]", seen)
            else:
                yield f"{place}: array"
        scalar = SCALARS.get(part.get("type", ""))
        if (
            scalar
            and part.get("format") != "binary"
            and not holds_all
            and not any(_holds(kind, scalar) for kind in kinds)
        ):
            yield f"{place}: {part['type']}"
        known = {value for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)}
        if known and scalar is not bool and not known >= set(part.get("enum", ())):
            yield f"{place}: {sorted(set(part['enum']) - known)}"


SCALARS: dict[str, type[Any]] = {"string": str, "integer": int, "number": float, "boolean": bool}


def _holds(kind: Annotation, scalar: type[Any]) -> bool:
    """Whether the annotation takes such values; a whole number is a number."""
    if get_origin(kind) is Literal:
        return all(isinstance(value, scalar) for value in get_args(kind))
    return kind is scalar or (scalar is float and kind is int)


def flat(annotation: Annotation) -> Iterator[Annotation]:
    """The members of a union, or the one annotation."""
    if get_origin(annotation) in (UnionType, Union):
        for member in get_args(annotation):
            yield from flat(member)
    else:
        yield annotation


def is_struct(kind: Annotation) -> bool:
    """Whether the annotation is a struct's class."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


# ---------------------------------------------------------------- values that the document would take


def instances(schema: Schema) -> list[Any]:
    """Values with every property, of examples, defaults and enums; each alternative anywhere is in one at least."""
    found: list[Any] = []
    for number in range(_forms(schema, ())):
        value = instance(schema, number)
        if value not in found:
            found.append(value)
    return found


def _forms(schema: Schema, above: tuple[int, ...]) -> int:
    """How many numbers it takes to see each alternative."""
    schema = resolved(schema)
    if id(schema) in above:
        return 1
    above = (*above, id(schema))
    choices = schema.get("oneOf") or schema.get("anyOf") or []
    inside = [*schema.get("properties", {}).values(), *schema.get("allOf", ())]
    inside += [schema["items"]] if "items" in schema else []
    own = len(choices) * max((_forms(choice, above) for choice in choices), default=1)
    return max(1, own, *(_forms(part, above) for part in inside))


def instance(schema: Schema, number: int = 0, name: str = "text") -> Any:
    """A value with every property; ``number`` says which of several alternatives."""
    schema = resolved(schema)
    for how in ("oneOf", "anyOf"):
        if choices := schema.get(how):
            beside = {key: said for key, said in schema.items() if key not in (how, "example")}
            chosen = resolved(choices[number % len(choices)])
            return instance({**beside, **chosen}, number // len(choices), name)
    if "allOf" in schema:
        merged: dict[str, Any] = {}
        for part in schema["allOf"]:
            merged |= instance(part, number, name)
        return merged
    if "properties" not in schema and "items" not in schema:
        for said in ("example", "default"):
            if said in schema and fits(schema[said], schema):
                return schema[said]
    if "enum" in schema:
        return schema["enum"][number % len(schema["enum"])]
    return _made(schema, number, name)


COUNTS = ("_tokens", "_count")
"""Ends of the names of numbers that are whole in practice, whatever the document says (README.md section 5)."""


def _made(schema: Schema, number: int, name: str) -> Any:
    match schema.get("type", "object" if "properties" in schema else None):
        case "object":
            members = schema.get("properties", {})
            return {key: instance(said, number, key) for key, said in members.items()} or {"key": "value"}
        case "array":
            item = [instance(schema["items"], number, name)] if "items" in schema else []
            return item * schema.get("minItems", 1)
        case "integer":
            return schema.get("minimum", 7)
        case "number" if name.endswith(COUNTS):
            return 7.0
        case "number":
            return schema.get("minimum", 0.5)
        case "boolean":
            return True
        case "string" if "pattern" in schema:
            return f"{name}-1"
        case "string":
            return f"{name}-文字".ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]
        case _:
            return "any"


def fits(value: Any, schema: Schema) -> bool:
    """Whether a value validates."""
    return not objections(value, schema)


def objections(value: Any, schema: Schema) -> list[str]:
    """What the document has against a value.

    One that fits several alternatives of a ``oneOf`` is none: some overlap, as an address and base64 do.
    """
    whole = {**_tolerant_document(), **_with_any(_own_words(schema))}
    return [
        f"{error.json_path}: {error.message[:300]}"
        for error in jsonschema.Draft202012Validator(whole).iter_errors(value)
    ]


@cache
def _tolerant_document() -> Schema:
    found: Schema = _with_any(document() or {})
    return found


def _with_any(value: Any) -> Any:
    """The value with ``anyOf`` in the place of each ``oneOf``."""
    if isinstance(value, list):
        return [_with_any(item) for item in value]
    if isinstance(value, dict):
        return {"anyOf" if key == "oneOf" else key: _with_any(item) for key, item in value.items()}
    return value


def _own_words(schema: Schema) -> Schema:
    """The schema without words that JSON schema does not share with OpenAPI 3.0."""
    return {key: said for key, said in schema.items() if key not in ("example", "examples", "xml", "externalDocs")}


# ---------------------------------------------------------------- plain values as structs


def typed(value: Any, annotation: Annotation) -> Any:
    """A plain value as the structs that the annotation has for it, where it has some."""
    kinds = list(flat(annotation))
    if isinstance(value, list):
        items = next((get_args(kind)[0] for kind in kinds if get_origin(kind) in (list, Sequence)), Any)
        return [typed(item, items) for item in value]
    if isinstance(value, dict):
        kind = next((kind for kind in kinds if is_struct(kind) and _covers(kind, value)), None)
        if kind is not None:
            fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
            given = {name: said for name, said in value.items() if name in fields}
            return kind(**{fields[name].name: typed(said, fields[name].type) for name, said in given.items()})
    return value


def _covers(kind: type[msgspec.Struct], value: Mapping[str, Any]) -> bool:
    """Whether the struct has a field for each member, or the member is its tag."""
    config, names = kind.__struct_config__, {field.encode_name for field in msgspec.structs.fields(kind)}
    if config.tag_field is not None and value.get(config.tag_field) != config.tag:
        return False
    return set(value) - {config.tag_field} <= names
