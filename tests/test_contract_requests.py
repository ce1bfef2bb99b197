"""Everything that the vendor's document lets a call send can be given to its method, and goes out as documented."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

import msgspec
import pytest

from tests.arguments import ALWAYS_SENT, fields, least
from tests.forms import parts_of
from tests.openapi import ROWS, Operation, gaps, instances, objections, operations, properties, resolved, typed
from zhipu_async import AsyncZhipuAI
from zhipu_async.catalogue import Row
from zhipu_async.protocol.endpoint import HTTPRequest
from zhipu_async.protocol.form import Form

EXCEPTIONS: dict[tuple[str, str], str] = {
    ("POST /chat/completions", "tools[].web_search.search_intent: string"): "a bool, says the newer page (chat.md 4)",
    ("POST /async/chat/completions", "tools[].web_search.search_intent: string"): "the same",
}
"""What a request has no place for as it is documented, and why."""

STRICTER: dict[str, set[str]] = {
    "POST /audio/transcriptions": {"file"},  # or file_base64, says the page (media.md section 3)
    "POST /web_search": {"search_intent"},  # only open.bigmodel.cn wants it (data.md section 5)
    "POST /assistant/list": {"assistant_id_list"},  # sent as [] where it is left out
    "POST /assistant": {"model"},  # the official SDK's own tests leave it out
    "POST /api/v1/agents/async-result": {"async_id"},  # so do they, for the agent that corrects homework
}
"""What the document requires and the method does not."""
LOOSER: dict[str, set[str]] = {
    "POST /chat/completions": {"model", "messages"},  # required in each of the four families
    "POST /async/chat/completions": {"model", "messages"},
    "POST /videos/generations": {"model"},
    "POST /api/v1/agents/conversation": {"agent_id", "conversation_id"},  # data.md section 11
}
"""What the method requires and the document does not, at its top level."""

OPERATIONS = operations()
every = pytest.mark.parametrize("operation", OPERATIONS, ids=str)


class Body(NamedTuple):
    """A body that the document would take, and where."""

    operation: Operation
    number: int
    value: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.operation} {self.number}"


BODIES = [
    Body(operation, number, value)
    for operation in OPERATIONS
    for number, value in enumerate(instances(operation.request[1]) if operation.request[0] else [])
]

EXAMPLES = [
    Body(operation, number, example["value"])
    for operation in OPERATIONS
    for content in operation.item.get("requestBody", {}).get("content", {}).values()
    for number, example in enumerate(content.get("examples", {}).values())
]
"""The document's own."""


def sent(row: Row, arguments: dict[str, Any]) -> HTTPRequest:
    """The request that a call of the method becomes."""
    client = AsyncZhipuAI(api_key="key", base_url="bigmodel")
    return client._sender.request(row.method.call(**arguments))


def by_wire_name(row: Row) -> dict[str, msgspec.structs.FieldInfo]:
    """The parameters of a method by the names that they travel with."""
    return {field.encode_name: field for field in fields(row)}


def path_values(row: Row) -> dict[str, Any]:
    """A value for each variable of the path."""
    return {name: f"{name}-1" for name in re.findall(r"\{(\w+)\}", row.path)}


@every
def test_every_property_is_a_parameter(operation: Operation) -> None:
    """Each documented property of the body has a field of its type, however deep, or a reason why not."""
    row = ROWS[operation.key]
    excused = {gap for place, gap in EXCEPTIONS if place == str(operation)}
    assert set(gaps(operation.request[1], row.method.request)) == excused
    assert set(properties(operation.request[1])) <= set(by_wire_name(row))


@every
def test_query_and_headers_are_parameters(operation: Operation) -> None:
    """Each documented parameter of the query and the headers is one of the method, of its type."""
    row = ROWS[operation.key]
    known, kind = by_wire_name(row), row.method.request
    in_headers = {header: known[name] for name, header in kind.header_fields.items()}  # type: ignore[attr-defined]
    for parameter in operation.parameters:
        if parameter["in"] != "path":
            field = (in_headers if parameter["in"] == "header" else known)[parameter["name"]]
            assert gaps(parameter["schema"], field.type) == []
            assert field.required == parameter.get("required", False)
    documented = [parameter["name"] for parameter in operation.parameters if parameter["in"] == "path"]
    assert len(documented) == len(path_values(row))


@every
def test_what_is_required(operation: Operation) -> None:
    """The method requires what the document requires, but for listed cases, and takes the path's values by position."""
    row = ROWS[operation.key]
    required = set(resolved(operation.request[1]).get("required", ()))
    required |= {said["name"] for said in operation.parameters if said["in"] == "query" and said.get("required")}
    ours = {name for name, field in by_wire_name(row).items() if field.required} - set(path_values(row))
    assert required - ours == STRICTER.get(str(operation), set())
    assert ours - required == LOOSER.get(str(operation), set())


@pytest.mark.parametrize("body", BODIES, ids=str)
def test_full_bodies(body: Body) -> None:
    """A call with every documented field, plain or as our structs, sends them, nothing else, and validates."""
    row = ROWS[body.operation.key]
    media_type, schema = body.operation.request
    known = by_wire_name(row)
    given = {**body.value, **({"stream": False} if "stream" in body.value else {})}
    given |= {name: b"\x00\xff" for name, said in properties(schema).items() if said[0].get("format") == "binary"}
    structs = {name: typed(value, known[name].type) for name, value in given.items()}
    for values in (given, structs):
        request = sent(row, {known[name].name: value for name, value in values.items()} | path_values(row))
        if media_type == "application/json":
            assert isinstance(request.body, bytes)
            told = json.loads(request.body)
            assert told == given
            assert objections(told, schema) == []
        else:
            assert isinstance(request.body, Form)
            assert {part.name for part in parts_of(request.body)} == set(given)


@pytest.mark.parametrize("body", EXAMPLES, ids=str)
def test_documented_examples(body: Body) -> None:
    """The document's own examples of bodies, given as arguments, go out as they are."""
    row = ROWS[body.operation.key]
    known = by_wire_name(row)
    request = sent(row, {known[name].name: value for name, value in body.value.items()})
    assert isinstance(request.body, bytes)
    assert json.loads(request.body) == body.value
    assert request.stream == body.value.get("stream", row.name == "knowledge.chat")


@every
def test_least_bodies(operation: Operation) -> None:
    """A call with the required arguments alone sends those alone, and no body where none is documented."""
    row = ROWS[operation.key]
    request = sent(row, least(row))
    if not operation.request[0]:
        assert request.body is None
    elif isinstance(request.body, Form):
        assert {part.name for part in parts_of(request.body)} == _required(row)
    elif request.body is not None:
        assert json.loads(request.body).keys() == _required(row) | ALWAYS_SENT.get(row.name, {}).keys()
    else:
        assert not _required(row)


@pytest.mark.skipif(not OPERATIONS, reason="the contract is not at hand")
def test_exceptions_are_needed() -> None:
    """Each exception is of an operation that the document has."""
    excused = {place for place, _ in EXCEPTIONS} | STRICTER.keys() | LOOSER.keys()
    assert excused <= {str(operation) for operation in OPERATIONS}


def _required(row: Row) -> set[str]:
    return {name for name, field in by_wire_name(row).items() if field.required} - set(path_values(row))
