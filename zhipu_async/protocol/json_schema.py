"""A type as the JSON schema (draft 2020-12) that accepts what msgspec's decoder of the type does.

msgspec's own schemas are narrower or wider than its decoders in places (keys of dicts that are no texts, decimals,
sets, tags of structs that are in no union), and refer to definitions where none is needed. What a schema cannot say:

* Texts of dates, times, durations, UUIDs, bytes, decimals: the format is named, and the decoder checks it.
* Decimals as numbers are decoded too, but not asked for: JSON in answers is read with the digits that a float holds.
* What comes twice in a set is one: it counts once towards the lengths that a set may have.
* What ``__post_init__`` of a class refuses, and what ``_missing_`` of an enum takes.
* Numbers are those that a float holds, texts are Unicode, and patterns are Python's.
"""

from __future__ import annotations

import enum
import re
from inspect import cleandoc
from typing import Any, cast

import msgspec
from msgspec import inspect

from .foreign_marks import check_marks
from .unsafe_unions import check_unions

_WHOLE = {"pattern": "^-?(0|[1-9][0-9]*)$"}
_LIMITS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}
_TEXT_LIMITS = {"min_length": "minLength", "max_length": "maxLength", "pattern": "pattern"}
_LIST_LIMITS = {"min_length": "minItems", "max_length": "maxItems"}
_OBJECT_LIMITS = {"min_length": "minProperties", "max_length": "maxProperties"}
_Objects = inspect.StructType | inspect.DataclassType | inspect.TypedDictType | inspect.NamedTupleType


class Schemas:
    """Writes schemas of types that belong together. What is circular stands in ``definitions`` and is referred to; all
    else stands where it is used."""

    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {}
        self._names: dict[Any, str] = {}
        """Of the classes that are referred to."""
        self._within: list[Any] = []
        """The classes that are being written, from the outside in."""

    def write(self, kind: Any) -> dict[str, Any]:
        """The schema of ``kind``; TypeError when it has none."""
        check_unions(kind)
        check_marks(kind)
        return self._schema(inspect.type_info(kind))

    def _schema(self, info: inspect.Type) -> dict[str, Any]:
        match info:
            case inspect.Metadata():
                return {**self._schema(info.type), **_extra(info)}
            case inspect.UnionType():
                return self._union(info)
            case inspect.StructType() | inspect.DataclassType() | inspect.TypedDictType() | inspect.NamedTupleType():
                return self._class(info)
            case inspect.TupleType():
                return _places([self._schema(item) for item in info.item_types], len(info.item_types), closed=True)
            case inspect.CollectionType():
                items = {} if isinstance(info.item_type, inspect.AnyType) else {"items": self._schema(info.item_type)}
                return {"type": "array", **items, **_limits(info, _LIST_LIMITS)}
            case _ if hasattr(info, "key_type"):  # DictType, and the FrozenDictType of newer versions
                return self._dict(cast("inspect.DictType", info))
            case _:
                return _scalar(info)

    def _dict(self, info: inspect.DictType) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "object", **_limits(info, _OBJECT_LIMITS)}
        if names := self._key(info.key_type):
            schema["propertyNames"] = names
        if not isinstance(info.value_type, inspect.AnyType):
            schema["additionalProperties"] = self._schema(info.value_type)
        return schema

    def _key(self, info: inspect.Type) -> dict[str, Any]:
        """What the keys of an object must be, which are always texts."""
        match info:
            case inspect.AnyType():
                return {}
            case inspect.Metadata():
                return {**self._key(info.type), **_extra(info)}
            case inspect.UnionType():
                return {"anyOf": [self._key(member) for member in info.types]}
            case inspect.IntType() if not _limits(info, _LIMITS):
                return dict(_WHOLE)
            case inspect.LiteralType() | inspect.EnumType() if not {bool, type(None)} & set(map(type, _choices(info))):
                return {"enum": [str(value) for value in _choices(info)]}
            case _:
                schema = _scalar(info)
                if "string" not in schema.get("type", ()):
                    raise TypeError(f"the keys of a JSON object are texts and stand for no {_named(info)}")
                del schema["type"]
                return schema

    def _union(self, info: inspect.UnionType) -> dict[str, Any]:
        _check_numbers([_bare(member) for member in info.types])
        structs = [member for member in info.types if isinstance(_bare(member), inspect.StructType)]
        options: list[dict[str, Any]] = []
        for member in sorted(info.types, key=lambda member: isinstance(member, inspect.NoneType)):
            option, kind = self._schema(member), _bare(member)
            if len(structs) > 1 and isinstance(kind, inspect.StructType) and not kind.array_like:
                option = {**option, "required": [kind.tag_field, *option.get("required", [])]}
            options.append(option)
        return {"anyOf": options} if len(options) > 1 else options[0]

    def _class(self, info: _Objects) -> dict[str, Any]:
        name = self._names.get(info.cls)
        if name is None and info.cls in self._within:  # circular
            name = self._names[info.cls] = self._new_name(info.cls)
        if name is not None:
            return {"$ref": f"#/$defs/{name}"}
        self._within.append(info.cls)
        try:
            schema = self._members(info)
        finally:
            self._within.pop()
        if doc := _doc(info):
            schema["description"] = doc
        name = self._names.get(info.cls)
        if name is None:
            return schema
        self.definitions[name] = schema
        return {"$ref": f"#/$defs/{name}"}

    def _members(self, info: _Objects) -> dict[str, Any]:
        members = {field.encode_name: self._member(field) for field in info.fields}
        required = [field.encode_name for field in info.fields if field.required]
        closed = isinstance(info, inspect.StructType) and info.forbid_unknown_fields
        tag = info.tag if isinstance(info, inspect.StructType) else None
        in_list = info.array_like if isinstance(info, inspect.StructType) else isinstance(info, inspect.NamedTupleType)
        if in_list:
            items = ([_enum([tag])] if tag is not None else []) + list(members.values())
            least = 1 + max((place for place, field in enumerate(info.fields) if field.required), default=-1)
            return _places(items, least + (tag is not None), closed or isinstance(info, inspect.NamedTupleType))
        if tag is not None:
            members = {str(getattr(info, "tag_field", "")): _enum([tag]), **members}
        schema: dict[str, Any] = {"type": "object", "properties": members}
        if required:
            schema["required"] = required
        return {**schema, "additionalProperties": False} if closed else schema

    def _member(self, field: inspect.Field) -> dict[str, Any]:
        schema = self._schema(field.type)
        made: Any = field.default
        if field.default_factory in (list, dict, set):
            made = cast(Any, field.default_factory)()
        if made is msgspec.NODEFAULT:
            return schema
        try:
            plain = msgspec.json.decode(msgspec.json.encode(made))
        except (TypeError, ValueError, msgspec.MsgspecError):  # a default that JSON does not have: it is left unsaid
            return schema
        return schema if plain is None and made is not None else {**schema, "default": plain}

    def _new_name(self, cls: Any) -> str:
        name = wanted = re.sub(r"\W+", "_", str(getattr(cls, "__name__", cls))).strip("_")
        taken = set(self._names.values())
        number = 1
        while name in taken:
            number += 1
            name = f"{wanted}_{number}"
        return name


def schema_of(kind: Any) -> dict[str, Any]:
    """The JSON schema of a type that msgspec knows, without references where they are not circular. TypeError for one
    that JSON cannot carry."""
    schemas = Schemas()
    schema = schemas.write(kind)
    if not schemas.definitions:
        return schema
    if "$ref" in schema:  # what is the whole is said at the top: an object is to be seen as one
        schema = {**schemas.definitions[schema.pop("$ref").rpartition("/")[2]], **schema}
    return {**schema, "$defs": schemas.definitions}


def _scalar(info: inspect.Type) -> dict[str, Any]:
    match info:
        case inspect.AnyType() | inspect.RawType():
            return {}
        case inspect.NoneType():
            return {"type": "null"}
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.IntType():
            return {"type": "integer", **_limits(info, _LIMITS)}
        case inspect.FloatType():
            return {"type": "number", **_limits(info, _LIMITS)}
        case inspect.StrType():
            return {"type": "string", **_limits(info, _TEXT_LIMITS)}
        case inspect.LiteralType() | inspect.EnumType():
            doc = {"description": doc} if isinstance(info, inspect.EnumType) and (doc := _doc(info)) else {}
            return {**_enum(_choices(info)), **doc}
        case inspect.DecimalType():
            return {"type": "string", "format": "decimal"}
        case inspect.UUIDType():
            return {"type": "string", "format": "uuid"}
        case inspect.DateType():
            return {"type": "string", "format": "date"}
        case inspect.TimeDeltaType():
            return {"type": "string", "format": "duration"}
        case inspect.DateTimeType(tz=False):  # the format is one with a zone
            return {"type": "string", "examples": ["2026-01-31T12:00:00"]}
        case inspect.DateTimeType():
            return {"type": "string", "format": "date-time"}
        case inspect.TimeType(tz=False):
            return {"type": "string", "examples": ["12:00:00"]}
        case inspect.TimeType():
            return {"type": "string", "format": "time"}
        case inspect.BytesType() | inspect.ByteArrayType() | inspect.MemoryViewType():
            lengths = {name: 4 * ((size + 2) // 3) for name, size in _limits(info, _TEXT_LIMITS).items()}
            return {"type": "string", "contentEncoding": "base64", **lengths}
        case _:
            raise TypeError(f"JSON has no {_named(info)}")


def _extra(info: inspect.Metadata) -> dict[str, Any]:
    extra: dict[str, Any] | None = cast(Any, info).extra_json_schema
    return extra or {}


def _limits(info: Any, names: dict[str, str]) -> dict[str, Any]:
    return {said: limit for name, said in names.items() if (limit := getattr(info, name, None)) is not None}


def _choices(info: inspect.LiteralType | inspect.EnumType) -> list[Any]:
    if isinstance(info, inspect.LiteralType):
        return list(info.values)
    if issubclass(info.cls, enum.Flag):
        raise TypeError(f"flags such as {info.cls.__name__} have no JSON schema: take a list of an enum's members")
    return [member.value for member in info.cls]


def _places(items: list[dict[str, Any]], least: int, closed: bool) -> dict[str, Any]:
    """A list whose items are told apart by their places; ``closed``: with none beyond."""
    return {
        "type": "array",
        **({"prefixItems": items} if items else {}),
        **({"minItems": least} if least else {}),
        **({"items": False} if closed else {}),
    }


def _enum(choices: list[Any]) -> dict[str, Any]:
    for kind, name in ((str, "string"), (int, "integer"), (bool, "boolean")):
        if all(type(choice) is kind for choice in choices):  # True is an int for isinstance
            return {"type": name, "enum": choices}
    return {"enum": choices}


def _check_numbers(members: list[inspect.Type]) -> None:
    """TypeError for a union of floats and some ints: the decoder would take 0.0 for a float, and refuse 0."""
    some = any(
        (isinstance(member, inspect.IntType) and bool(_limits(member, _LIMITS)))
        or (
            isinstance(member, (inspect.LiteralType, inspect.EnumType))
            and any(isinstance(c, int) and not isinstance(c, bool) for c in _choices(member))
        )
        for member in members
    )
    if some and any(isinstance(member, inspect.FloatType) for member in members):
        raise TypeError("JSON has one kind of number: beside float, an int can have no limits and be no choice")


def _bare(info: inspect.Type) -> inspect.Type:
    while isinstance(info, inspect.Metadata):
        info = info.type
    return info


def _doc(info: _Objects | inspect.EnumType) -> str:
    """What the docstring of a class says, when somebody wrote it."""
    cls: Any = getattr(info.cls, "__origin__", info.cls)
    doc = cleandoc(cls.__doc__ or "")
    return "" if doc.startswith(f"{cls.__name__}(") else doc


def _named(info: inspect.Type) -> str:
    return repr(info.cls) if isinstance(info, inspect.CustomType) else type(info).__name__.removesuffix("Type").lower()
