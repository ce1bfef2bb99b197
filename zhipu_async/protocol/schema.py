"""A function's signature and docstring as a JSON schema, and the decoder that accepts exactly what the schema does."""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import SimpleNamespace
from typing import Annotated, Any, Union

import msgspec

from ..errors import ConfigError
from .docstrings import read_docstring
from .foreign_marks import translated
from .json_schema import Schemas, schema_of

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_STRING_OR_NUMBER = re.compile(
    r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'  # one without an end goes to the end, or the time would be quadratic
    r"|(?<![\w.+-])-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+(?![\w.+-])",
    re.DOTALL | re.ASCII,
)


class InvalidArguments(ValueError):
    """Arguments that a function does not take; the text says where and why, as ``$.city``."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model is told of a function, and how the arguments that it writes are read."""

    name: str
    description: str
    schema: Mapping[str, Any]
    """Of the arguments: a JSON schema object."""
    positional: Mapping[str, Any]
    """The parameters that take no keyword, and their defaults."""
    _fields: Mapping[str, str]
    """The parameters by the fields of the struct that they are decoded to."""
    _decoder: msgspec.json.Decoder[Any]

    def decode(self, text: str) -> dict[str, Any]:
        """The arguments that ``text`` gives, by name, in the annotated types; InvalidArguments for what does not fit.

        What is not given is not in the result: the function has its own defaults. No text at all is no arguments. A
        whole number written as 5.0 is an int, as the schema has it.
        """
        text = text.strip() or "{}"
        try:
            try:
                found = self._decoder.decode(text)
            except msgspec.ValidationError:
                found = self._decoder.decode(_STRING_OR_NUMBER.sub(_whole, text))
        except msgspec.ValidationError as error:
            raise InvalidArguments(str(error)) from None
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise InvalidArguments(f"the arguments are no JSON: {error}") from None
        values = ((name, getattr(found, field)) for field, name in self._fields.items())
        return {name: value for name, value in values if value is not msgspec.UNSET}

    def bind(self, arguments: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """``arguments`` as a call takes them: by position where the function wants that, by name the others."""
        named = dict(arguments)
        return [named.pop(name, default) for name, default in self.positional.items()], named


def signature_of(function: Callable[..., Any], *, name: str | None = None, description: str | None = None) -> Signature:
    """Name, description and parameters of ``function``: a function, a method of an instance, an object that can be
    called, or a ``functools.partial``, of which the parameters that it fills in are not the model's to choose.

    The description is the docstring, without its sections, of which that of parameters (Google's style, Sphinx's or
    numpy's) describes those; so does ``Annotated[str, "text"]`` or msgspec's ``Meta(description=..., ge=...)``. What
    pydantic's ``Field`` and the marks of annotated_types say is taken for such.

    ConfigError for a parameter without annotation or of a type that JSON cannot carry or only pydantic can check, for
    ``*args`` and ``**kwargs``, for a name that the service does not take (chat.md section 4), and for a class.
    """
    inner, filled = _inner(function)
    name = name or str(getattr(inner, "__name__", type(inner).__name__))
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is no name for a tool: 1 to 64 of a-z A-Z 0-9 _ -; give one with @tool(name=...)")
    if inspect.isclass(inner):
        raise ConfigError(f"{name} is a class: give a function that makes one, or ask for one with parse()")
    parameters = _parameters(function, filled, name)
    about, told = read_docstring(_doc(inner))
    hints = _hints(inner, parameters, name)
    schemas = Schemas()
    properties: dict[str, Any] = {}
    fields: list[tuple[str, Any, Any]] = []
    for parameter in parameters:
        annotation = _described(translated(hints[parameter.name]))
        properties[parameter.name] = member = _member(schemas, annotation, f"{name}: the parameter {parameter.name!r}")
        marks = getattr(annotation, "__metadata__", ())
        if told.get(parameter.name) and not any(isinstance(mark, msgspec.Meta) and mark.description for mark in marks):
            member["description"] = told[parameter.name]
        if parameter.default is parameter.empty:
            fields.append((f"p{len(fields)}", annotation, msgspec.NODEFAULT))
        else:
            member.update(_default(parameter.default, annotation))
            fields.append((f"p{len(fields)}", Union[annotation, msgspec.UnsetType], msgspec.UNSET))  # noqa: UP007
    names = {field: parameter.name for (field, _, _), parameter in zip(fields, parameters, strict=True)}
    struct = msgspec.defstruct("Arguments", fields, rename=names, kw_only=True, forbid_unknown_fields=True)
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required := [parameter.name for parameter in parameters if parameter.default is parameter.empty]:
        schema["required"] = required
    schema["additionalProperties"] = False
    if schemas.definitions:
        schema["$defs"] = schemas.definitions
    return Signature(
        name=name,
        description=description or about or name.replace("_", " "),
        schema=schema,
        positional={item.name: item.default for item in parameters if item.kind is item.POSITIONAL_ONLY},
        _fields=names,
        _decoder=msgspec.json.Decoder(struct),
    )


def _inner(function: Callable[..., Any]) -> tuple[Callable[..., Any], set[str]]:
    """What a ``functools.partial`` calls, and the parameters that it fills in by name."""
    filled: set[str] = set()
    while isinstance(function, functools.partial):
        filled |= function.keywords.keys()
        function = function.func
    return function, filled


def _parameters(function: Callable[..., Any], filled: set[str], name: str) -> list[inspect.Parameter]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} does not say what it takes ({error}): give a function that calls it") from None
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigError(f"{name}: a model cannot know what *{parameter.name} takes: name the parameters")
        if parameter.annotation is parameter.empty and parameter.name not in filled:
            why = ": make the tool of an instance's method" if parameter.name == "self" else ", so it has no schema"
            raise ConfigError(f"{name}: the parameter {parameter.name!r} has no annotation{why}")
        if type(parameter.default).__module__ == "pydantic.fields":
            raise ConfigError(f"{name}: the default of {parameter.name!r} is pydantic's Field: annotate with it")
    return [parameter for parameter in parameters if parameter.name not in filled]


def _hints(function: Callable[..., Any], parameters: list[inspect.Parameter], name: str) -> dict[str, Any]:
    """The annotations of these parameters. That of the result may be one that exists for type checkers only."""
    source: Any = inspect.unwrap(function)
    if not hasattr(source, "__globals__"):
        source = inspect.unwrap(type(source).__call__)
    written = SimpleNamespace(
        __annotations__={parameter.name: parameter.annotation for parameter in parameters},
        __type_params__=getattr(source, "__type_params__", ()),
    )
    try:
        return typing.get_type_hints(written, getattr(source, "__globals__", {}), include_extras=True)
    except Exception as error:  # an annotation is an expression, which can raise anything
        raise ConfigError(
            f"{name}: an annotation cannot be resolved ({error}): define its type at module level"
        ) from None


def _doc(function: Callable[..., Any]) -> str:
    """The docstring; of an object that can be called, that of its call, or else of its class."""
    own = None if inspect.isroutine(function) else type(function).__call__.__doc__
    return inspect.cleandoc(own or "") or inspect.getdoc(function) or ""


def _described(annotation: Any) -> Any:
    """``Annotated[T, "text"]`` with the text as its description, also where it is one of a union (``... | None``)."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        kind, *marks = parts
        metas = [msgspec.Meta(description=mark) if isinstance(mark, str) else mark for mark in marks]
        return Annotated[(kind, *metas)]
    if origin is Union or isinstance(annotation, type(int | str)):
        texts = [
            mark
            for part in parts
            if typing.get_origin(part) is Annotated
            for mark in typing.get_args(part)[1:]
            if isinstance(mark, str)
        ]
        if texts:
            return Annotated[(annotation, msgspec.Meta(description=texts[0]))]
    return annotation


def _member(schemas: Schemas, annotation: Any, place: str) -> dict[str, Any]:
    try:
        schema = schemas.write(annotation)
        msgspec.json.Decoder(annotation)  # refuses more: unions that it cannot tell apart
    except (TypeError, ValueError, NameError, RecursionError) as error:
        raise ConfigError(f"{place} is of a type that JSON cannot carry: {error}") from None
    return schema


def _default(value: Any, annotation: Any) -> dict[str, Any]:
    """A default as the schema has it; what JSON does not have, or the annotation does not take, is left unsaid."""
    try:
        written = msgspec.json.encode(value)
        msgspec.json.decode(written, type=annotation)
        return {"default": msgspec.json.decode(written)}
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        return {}


def _whole(token: re.Match[str]) -> str:
    """A number like 5.0 or 1e3 as a whole one, with all its digits; what it is not as it stands."""
    text = token[0]
    try:
        if not float(text).is_integer() or (exact := Decimal(text)) != int(exact):
            return text
        return str(int(exact))
    except (ValueError, ArithmeticError):  # a string, no number, or one that is too long
        return text


__all__ = ["InvalidArguments", "Signature", "schema_of", "signature_of"]
