"""Every property that the vendor's document has in an answer is reached by a field, and comes through unharmed."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import msgspec
import pytest

from tests.openapi import ROWS, Operation, Schema, gaps, instances, operations, resolved
from zhipu_async.protocol import codec

JSON, EVENTS = "application/json", "text/event-stream"


class Answer(NamedTuple):
    """One way in which an operation answers."""

    operation: Operation
    media_type: str
    schema: Schema

    @property
    def kind(self) -> type[Any] | None:
        """The struct that it is decoded into."""
        endpoint = ROWS[self.operation.key].method.endpoint
        return endpoint.response if self.media_type == JSON else endpoint.chunk

    @property
    def examples(self) -> list[Any]:
        """The document's own."""
        content = self.operation.item["responses"]["200"]["content"][self.media_type]
        several = [said["value"] for said in content.get("examples", {}).values()]
        return [*several, content["example"]] if "example" in content else several

    def __str__(self) -> str:
        return f"{self.operation} {self.media_type}"


ANSWERS = [
    Answer(operation, media_type, schema)
    for operation in operations()
    for media_type in (JSON, EVENTS)
    if (schema := operation.answer(media_type)) is not None
]

PARTS = "GLM-4V's list of parts, all of them text, is read as one text (chat.md section 5)"
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("POST /chat/completions application/json", "choices[].message.content: array"): PARTS,
    ("POST /chat/completions text/event-stream", "choices[].delta.content: array"): PARTS,
    ("GET /async-result/{id} application/json", "choices[].message.content: array"): PARTS,
    ("POST /assistant application/json", "choices[].message.content: array"): PARTS,
    ("POST /assistant text/event-stream", ": string"): "says only that events are text; data.md section 12 says more",
}
"""What a struct has no place for as it is documented, and why."""
NO_EVENTS = {"GET /async-result/{id} text/event-stream": "a GET has nothing to ask for a stream with"}

found = pytest.mark.parametrize("answer", ANSWERS, ids=str)


@found
def test_every_property_is_a_field(answer: Answer) -> None:
    """Each documented property of an answer or event has a field of its type, however deep, or a reason why not."""
    if str(answer) in NO_EVENTS:
        assert answer.kind is None
        return
    excused = {gap for place, gap in EXCEPTIONS if place == str(answer)}
    assert set(gaps(answer.schema, answer.kind)) == excused


@found
def test_documented_answers_are_decoded_whole(answer: Answer) -> None:
    """Answers with every property, in each of its forms, are decoded without a drop and encode to themselves again."""
    if str(answer) in NO_EVENTS or resolved(answer.schema).get("type") == "string":
        return
    for instance in instances(answer.schema):
        drops: list[str] = []
        decoded = codec.decode(answer.kind or object, json.dumps(instance).encode(), drops)
        assert drops == []
        assert msgspec.to_builtins(decoded) == (_joined(instance) if _excused(answer) else instance)


@pytest.mark.parametrize("answer", [answer for answer in ANSWERS if answer.examples], ids=str)
def test_documented_examples_are_decoded_whole(answer: Answer) -> None:
    """The document's own examples of answers are decoded without a drop and encode to themselves again."""
    for example in answer.examples:
        drops: list[str] = []
        decoded = codec.decode(answer.kind or object, json.dumps(example).encode(), drops)
        assert drops == []
        assert msgspec.to_builtins(decoded) == example


@pytest.mark.skipif(not ANSWERS, reason="the contract is not at hand")
def test_exceptions_are_needed() -> None:
    """Each exception is of an answer that the document has."""
    assert {place for place, _ in EXCEPTIONS} | set(NO_EVENTS) <= {str(answer) for answer in ANSWERS}


class Inner(msgspec.Struct):
    """For the test of the comparison."""

    known: str | None = None


class Outer(msgspec.Struct):
    """The same."""

    inner: list[Inner] = []
    count: str | None = None
    one: Inner | None = None
    free: dict[str, Any] = {}


def test_gaps_are_seen() -> None:
    """The comparison notices a missing property, a wrong type, and a list where there is none, at any depth."""
    text: Schema = {"type": "string"}
    schema: Schema = {
        "properties": {
            "inner": {
                "type": "array",
                "items": {"oneOf": [{"properties": {"known": text}}, {"properties": {"new": text}}]},
            },
            "count": {"type": "integer"},
            "one": {"type": "array", "items": text},
            "free": {"properties": {"anything": text}},
            "other": text,
        }
    }
    assert gaps(schema, Outer) == ["inner[].new", "count: integer", "one: array", "other"]


def _excused(answer: Answer) -> bool:
    return any(place == str(answer) and reason == PARTS for (place, _), reason in EXCEPTIONS.items())


def _joined(value: Any) -> Any:
    """The value with lists of parts in ``content`` as the text that they are."""
    if isinstance(value, list):
        return [_joined(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: "".join(part["text"] for part in item) if key == "content" and isinstance(item, list) else _joined(item)
        for key, item in value.items()
    }
