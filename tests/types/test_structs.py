"""What holds for every struct of the library: values that pickle, copy, print and follow the design's rules."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil
from collections.abc import Mapping, Sequence
from inspect import signature
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
import pytest
from msgspec import inspect

from zhipu_async import types
from zhipu_async.telemetry import Timing
from zhipu_async.types.base import OPTIONS, Request, Response, Transfer

MODULES = [
    importlib.import_module(f"{types.__name__}.{module.name}") for module in pkgutil.iter_modules(types.__path__)
]
STRUCTS: list[type[msgspec.Struct]] = sorted(
    {
        kind
        for module in MODULES
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__module__ == module.__name__
    },
    key=lambda kind: f"{kind.__module__}.{kind.__name__}",
)
REQUESTS = [kind for kind in STRUCTS if issubclass(kind, Request)]
RESPONSES = [kind for kind in STRUCTS if issubclass(kind, Response) and kind is not Response]


def reached(kinds: list[type[Any]]) -> list[type[msgspec.Struct]]:
    """The structs that decoding these can build."""
    found: list[type[msgspec.Struct]] = []

    def look(info: inspect.Type) -> None:
        if isinstance(info, inspect.StructType) and info.cls not in found:
            found.append(info.cls)
            for field in info.fields:
                look(field.type)
        for inner in (*getattr(info, "types", ()), *filter(None, [getattr(info, "item_type", None)])):
            look(inner)

    for kind in kinds:
        look(inspect.type_info(kind))
    return found


NEED_AN_ID = {"Model", "AsyncTask", "ChatTask", "ImageTask", "VideoTask"}
DECODED = reached([*RESPONSES, *(kind for kind in STRUCTS if kind.__name__.endswith("Chunk"))])


def made(kind: type[msgspec.Struct], full: bool) -> Any:
    """An instance, with all fields or only with those that must be given."""
    fields = msgspec.structs.fields(kind)
    return kind(**{field.name: value_of(field.type, full) for field in fields if full or field.required})


def value_of(annotation: Any, full: bool) -> Any:
    """Some value of an annotation."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (UnionType, Union):
        return value_of(arguments[0], full)
    if origin is Literal:
        return arguments[0]
    if origin in (list, Sequence):
        return [value_of(arguments[0], full)]
    if origin in (dict, Mapping):
        return {"key": "value"}
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return made(annotation, full)
    return {str: "文", int: 7, float: 0.5, bool: True, bytes: b"\x00\xff"}.get(annotation, "any")


@pytest.mark.parametrize("full", [False, True], ids=["least", "full"])
@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: kind.__name__)
def test_values(kind: type[msgspec.Struct], full: bool) -> None:
    """Every struct pickles and copies to an equal one, is told by its repr, and has a docstring."""
    value = made(kind, full)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(value, protocol)) == value
    for other in (copy.copy(value), copy.deepcopy(value)):
        assert other == value
        assert type(other) is kind
    assert repr(value).startswith(f"{kind.__name__}(")
    assert all(f"{name}=" in repr(value) for name in kind.__struct_fields__)
    assert kind.__doc__


def test_all_structs_are_looked_at() -> None:
    """The tests here see the structs of every module."""
    assert {"ChatRequest", "ChatCompletion", "Delta", "ToolCall", "UserMessage", "Finished", "ModelList"} <= {
        kind.__name__ for kind in STRUCTS
    }
    assert {"ChatCompletion", "ChatCompletionChunk", "Delta", "ToolCallDelta", "Usage"} <= {
        kind.__name__ for kind in DECODED
    }


@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.__name__)
def test_requests(kind: type[Request]) -> None:
    """Requests take keywords, refuse unknown names, cannot be changed, and have the call options.

    Only what must be given may be given by position: the id of a file and the like.
    """
    config = kind.__struct_config__
    assert config.frozen
    assert config.omit_defaults
    positional = [
        name for name, parameter in signature(kind).parameters.items() if parameter.kind is not parameter.KEYWORD_ONLY
    ]
    required = [field.name for field in msgspec.structs.fields(kind) if field.required]
    assert positional[: len(required)] == required[: len(positional)]
    with pytest.raises(TypeError, match="tempreature"):
        kind(tempreature=0.5)  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        made(kind, full=True).extra_body = {}
    assert set(OPTIONS) - {"progress"} <= set(kind.__struct_fields__)
    assert ("progress" in kind.__struct_fields__) == issubclass(kind, Transfer)
    optional = [field for field in msgspec.structs.fields(kind) if not field.required]
    assert all(field.default is None for field in optional)


@pytest.mark.parametrize("kind", DECODED, ids=lambda kind: kind.__name__)
def test_answers(kind: type[msgspec.Struct]) -> None:
    """Structs of answers can be changed, and all fields have defaults, but for ids without which they are none."""
    assert not kind.__struct_config__.frozen
    required = [field.name for field in msgspec.structs.fields(kind) if field.required]
    assert required == (["id"] if kind.__name__ in NEED_AN_ID else [])
    value = made(kind, full=True)
    for name in kind.__struct_fields__:
        setattr(value, name, getattr(value, name))
    assert value == made(kind, full=True)


@pytest.mark.parametrize("kind", DECODED, ids=lambda kind: kind.__name__)
def test_answers_round_trip(kind: type[msgspec.Struct]) -> None:
    """What an answer's struct is encoded to decodes to it, and no default is written but for types and roles."""
    value = made(kind, full=True)
    assert msgspec.json.decode(msgspec.json.encode(value), type=kind) == value
    written = msgspec.to_builtins(made(kind, full=False))
    assert all(value not in (None, []) for value in written.values())


@pytest.mark.parametrize("kind", DECODED, ids=lambda kind: kind.__name__)
def test_no_default_is_shared(kind: type[msgspec.Struct]) -> None:
    """Lists and structs that fields begin with are made anew for each instance."""
    first, second = made(kind, full=False), made(kind, full=False)
    for name in kind.__struct_fields__:
        value = getattr(first, name)
        assert not isinstance(value, (list, dict, msgspec.Struct)) or value is not getattr(second, name)


@pytest.mark.parametrize("kind", RESPONSES, ids=lambda kind: kind.__name__)
def test_timing_is_beside_the_fields(kind: type[Response]) -> None:
    """Timing and headers are attributes that are neither compared nor encoded nor decoded, and go along in copies."""
    plain, received = made(kind, full=True), made(kind, full=True)
    assert plain.timing is None
    assert plain.response_headers == {}
    timing = Timing(first_byte=0.1, total=0.2)
    received._received(timing, {"x-log-id": "L"})
    for value in (received, copy.copy(received), copy.deepcopy(received), pickle.loads(pickle.dumps(received))):
        assert value.timing == timing
        assert value.response_headers == {"x-log-id": "L"}
        assert value == plain
        assert msgspec.json.encode(value) == msgspec.json.encode(plain)
        assert repr(value) == repr(plain)
    assert plain.timing is None
    assert msgspec.json.decode(b'{"id": "1", "timing": 5, "response_headers": {}}', type=kind).timing is None


@pytest.mark.parametrize("kind", RESPONSES, ids=lambda kind: kind.__name__)
def test_copies_stand_on_their_own(kind: type[Response]) -> None:
    """Changing what is beside the fields of a copy changes nothing of the original."""
    value = made(kind, full=True)
    value._received(Timing(total=1.0), {})
    other = copy.copy(value)
    other._received(Timing(total=2.0), {"a": "b"})
    assert value.timing == Timing(total=1.0)
    assert value.response_headers == {}
