"""Arguments for any endpoint of the catalogue: only what must be given, or everything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tests.types.test_structs import value_of
from zhipu_async.catalogue import Row
from zhipu_async.types.base import OPTIONS
from zhipu_async.types.web import ReaderRequest

ALWAYS_SENT: Mapping[str, Mapping[str, Any]] = {
    "assistant.conversation": {"stream": False},
    "applications.invoke": {"stream": False},
    "assistant.list": {"assistant_id_list": []},
}
"""What is sent though it was left out: the service streams unless it is told not to, and wants a list in any case."""

SPECIAL: Mapping[tuple[str, str], Any] = {
    ("download", "url"): "https://example.com/file",
    ("voice.list", "request_id"): "request-1",  # it travels as a header
    ("knowledge.chat", "session_id"): "session-1",  # the same
}


def fields(row: Row) -> list[msgspec.structs.FieldInfo]:
    """The fields of a request that go to the service: all but the call options."""
    kind: Any = row.method.request
    return [
        field for field in msgspec.structs.fields(kind) if field.name not in OPTIONS or _is_in_the_body(kind, field)
    ]


def _is_in_the_body(kind: type[Any], field: msgspec.structs.FieldInfo) -> bool:
    """Reader's ``timeout`` is the service's own, and no option of the call."""
    return kind is ReaderRequest and field.name == "timeout"


def least(row: Row) -> dict[str, Any]:
    """What must be given."""
    return {field.name: _value(row, field) for field in fields(row) if field.required}


def full(row: Row) -> dict[str, Any]:
    """Everything that can be given."""
    return {field.name: _value(row, field) for field in fields(row)}


def _value(row: Row, field: msgspec.structs.FieldInfo) -> Any:
    return SPECIAL.get((row.name, field.name)) or value_of(field.type, full=True)
