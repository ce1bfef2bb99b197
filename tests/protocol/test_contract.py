"""Requests and answers against the vendor's own schema document, ``openapi.json`` of the contract."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import msgspec
import pytest
from msgspec import inspect

from zhipu_async.config import Timeouts
from zhipu_async.protocol import codec
from zhipu_async.protocol.endpoint import Call
from zhipu_async.resources import Completions
from zhipu_async.types import messages as said
from zhipu_async.types import tools as offered
from zhipu_async.types.chat import (
    CharacterMeta,
    ChatCompletion,
    ChatCompletionChunk,
    ChatRequest,
    ResponseFormat,
    Thinking,
)

from .feeding import contract, plain

Schema = dict[str, Any]


def _as_json_schema(value: Any) -> Any:
    """OpenAPI 3.0 writes ``nullable: true`` where JSON Schema has a second type."""
    if isinstance(value, list):
        return [_as_json_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    converted = {name: _as_json_schema(item) for name, item in value.items()}
    if converted.pop("nullable", False) is True:
        converted = {"anyOf": [converted, {"type": "null"}]}
    return converted


@pytest.fixture(scope="module")
def schemas() -> dict[str, Schema]:
    """The document's schemas by name."""
    document = json.loads(contract("openapi.json").read_text(encoding="utf-8"))
    converted: dict[str, Schema] = _as_json_schema(document["components"]["schemas"])
    return converted


def resolved(schema: Schema, schemas: dict[str, Schema]) -> Schema:
    """What a reference refers to."""
    return schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


# ---------------------------------------------------------------- what is sent

USER = said.UserMessage("北京天气怎么样？")
CALL = offered.ToolCall(id="call_1", function=offered.FunctionCall("get_weather", '{"city":"北京"}'))
CONVERSATION: list[Any] = [
    said.SystemMessage("You are a helpful assistant."),
    USER,
    said.AssistantMessage(content="", reasoning_content="I should ask.", tool_calls=[CALL]),
    said.ToolMessage(content='{"temp":21}', tool_call_id="call_1"),
    said.AssistantMessage(content="21 °C"),
    USER,
]
WEATHER = offered.FunctionTool(
    function=offered.FunctionDefinition(
        name="get_weather",
        description="The weather of a city",
        parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    )
)
RETRIEVAL = offered.RetrievalTool(
    retrieval=offered.Retrieval(knowledge_id="12345", prompt_template="{{knowledge}} {{question}}")
)
SEARCH = offered.WebSearchTool(
    web_search=offered.WebSearch(
        # search_intent is text in the document and a bool on the newer page: it is the one field left out
        search_engine="search_pro", enable=True, search_query="q", count=10, search_domain_filter="example.com",
        search_recency_filter="oneDay", content_size="high", result_sequence="before", search_result=True,
        require_search=True, search_prompt="p",
    )
)  # fmt: skip
MCP = offered.MCPTool(
    mcp=offered.MCPServer(
        server_label="s", server_url="https://x/mcp", transport_type="sse", allowed_tools=["a"], headers={"k": "v"}
    )
)
PNG = b"\x89PNG\r\n\x1a\n"
_TEXT, _VISION = "ChatCompletionTextRequest", "ChatCompletionVisionRequest"
_AUDIO, _ROLE_PLAY = "ChatCompletionAudioRequest", "ChatCompletionHumanOidRequest"


def sees(*parts: Any) -> list[Any]:
    """A conversation with parts."""
    return [said.UserMessage([*parts, said.TextPart("What is this?")])]


REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "the smallest": (_TEXT, {"model": "glm-4.6", "messages": [USER]}),
    "of dicts": (_TEXT, {"model": "glm-4.6", "messages": [{"role": "user", "content": "Hello"}]}),
    "all that a text model takes": (_TEXT, {
        "model": "glm-5.2", "messages": CONVERSATION, "stream": True,
        "thinking": Thinking(type="enabled", clear_thinking=False), "reasoning_effort": "low",
        "do_sample": True, "temperature": 0.6, "top_p": 0.95, "max_tokens": 1024,
        "tool_stream": True, "tools": [WEATHER], "tool_choice": "auto", "stop": ["\n"],
        "response_format": ResponseFormat(type="json_object"), "request_id": "request-1", "user_id": "user-1",
    }),
    "retrieval": (_TEXT, {"model": "glm-4.6", "messages": [USER], "tools": [RETRIEVAL]}),
    "web search": (_TEXT, {"model": "glm-4.6", "messages": [USER], "tools": [SEARCH]}),
    "mcp": (_TEXT, {"model": "glm-4.6", "messages": [USER], "tools": [MCP]}),
    "mcp by label": (_TEXT, {
        "model": "glm-4.6", "messages": [USER], "tools": [offered.MCPTool(mcp=offered.MCPServer(server_label="s"))],
    }),
    "tools of dicts": (_TEXT, {"model": "glm-4.6", "messages": [USER], "tools": [plain(WEATHER), plain(WEATHER)]}),
    "an image by URL": (_VISION, {"model": "glm-4.6v", "messages": sees(said.ImagePart.from_url("https://x/a.png"))}),
    "images of bytes": (_VISION, {
        "model": "glm-4.6v", "thinking": {"type": "disabled"}, "tools": [WEATHER],
        "messages": sees(said.ImagePart.from_bytes(PNG), said.ImagePart.from_bytes(PNG, "image/png")),
    }),
    "a video": (_VISION, {"model": "glm-5v-turbo", "messages": sees(said.VideoPart.from_url("https://x/a.mp4"))}),
    "a file by URL": (_VISION, {"model": "glm-5v-turbo", "messages": sees(said.FileURLPart.from_url("https://x/a.pdf"))}),
    "vision with text alone": (_VISION, {"model": "glm-4.6v", "messages": CONVERSATION[:2], "max_tokens": 100}),
    "speech": (_AUDIO, {
        "model": "glm-4-voice", "watermark_enabled": True,
        "messages": [said.SystemMessage("s"), *sees(said.AudioPart.from_bytes(b"RIFF    WAVE")),
                     said.AssistantMessage(content="hi", audio=said.AudioReference("audio_1")), USER],
    }),
    "role-play": (_ROLE_PLAY, {"model": "charglm-4", "messages": [said.SystemMessage("You are Su Shi."), USER]}),
    "emohaa": (_ROLE_PLAY, {
        "model": "emohaa", "messages": [USER, said.AssistantMessage(content="..."), USER],
        "meta": CharacterMeta(user_info="u", bot_info="b", bot_name="n", user_name="m"),
    }),
}  # fmt: skip


def body_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON that the client would send."""
    call: Call[Any] = Completions.create.call(**fields)
    request = codec.encode(call, "https://x", headers={}, query={}, timeout=None, default=Timeouts())
    body: dict[str, Any] = json.loads(request.body or b"")
    return body


def problems(body: Any, name: str, schemas: dict[str, Schema]) -> list[str]:
    """What the document has against a body."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
    validator = jsonschema.Draft202012Validator(schema)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(body)]


@pytest.mark.parametrize(("name", "fields"), REQUESTS.values(), ids=REQUESTS)
def test_requests_validate(name: str, fields: dict[str, Any], schemas: dict[str, Schema]) -> None:
    """A request validates against the document's schema of its family, and holds nothing that this does not name."""
    body = body_of(fields)
    assert problems(body, name, schemas) == []
    assert set(body) <= set(schemas[name]["properties"])


def test_the_document_refuses_what_is_wrong(schemas: dict[str, Schema]) -> None:
    """The validation above has teeth: wrong bodies of each family do not pass."""
    for name, fields in REQUESTS.values():
        body = body_of(fields)
        for wrong in ({"messages": [{"role": "developer"}]}, {"model": 5}, {"temperature": 2}, {"stop": "x"}):
            assert problems(body | wrong, name, schemas), wrong
        assert problems({"model": body["model"]}, name, schemas)
    pictured = body_of(REQUESTS["an image by URL"][1])
    pictured["messages"][0]["content"][0]["image_url"] = "https://x/a.png"
    assert problems(pictured, _VISION, schemas)


@pytest.mark.parametrize("name", [_TEXT, _VISION, _AUDIO, _ROLE_PLAY])
def test_requests_cover_the_document(name: str, schemas: dict[str, Schema]) -> None:
    """Every request field of the document has a field of the same name in the request struct."""
    assert set(schemas[name]["properties"]) <= set(ChatRequest.__struct_fields__)


@pytest.mark.parametrize(
    ("name", "key", "kind"),
    [
        ("FunctionToolSchema", "function", offered.FunctionDefinition),
        ("RetrievalToolSchema", "retrieval", offered.Retrieval),
        ("WebSearchToolSchema", "web_search", offered.WebSearch),
        ("MCPToolSchema", "mcp", offered.MCPServer),
        ("ChatThinking", None, Thinking),
    ],
)
def test_tools_cover_the_document(name: str, key: str | None, kind: type[Any], schemas: dict[str, Schema]) -> None:
    """Every field of a tool and of thinking is a field of its struct, and the required ones must be given."""
    schema = schemas[name] if key is None else resolved(schemas[name]["properties"][key], schemas)
    assert set(schema["properties"]) <= set(kind.__struct_fields__)
    required = {field.name for field in msgspec.structs.fields(kind) if field.required}
    assert set(schema.get("required", ())) <= required


def test_every_kind_of_tool_message_and_part_is_tried() -> None:
    """The requests above use every tool, message and part that the library has, but for one newer than the document."""
    used = repr([fields for _, fields in REQUESTS.values()])
    for kind in (*offered.Tool.__args__, *said.Message.__args__, *said.Part.__args__):
        assert f"{kind.__name__}(" in used or kind is said.FilePart


# ---------------------------------------------------------------- what is received


def uncovered(schema: Schema, info: inspect.Type, schemas: dict[str, Schema], path: str = "") -> Iterator[str]:
    """The properties of a schema for which a type has no place."""
    schema = resolved(schema, schemas)
    if isinstance(info, inspect.UnionType):
        kinds = [kind for kind in info.types if not isinstance(kind, inspect.NoneType)]
        if len(kinds) == 1:
            yield from uncovered(schema, kinds[0], schemas, path)
    elif isinstance(info, inspect.ListType):
        assert schema["type"] == "array", path
        yield from uncovered(schema["items"], info.item_type, schemas, path + "[]")
    elif isinstance(info, inspect.StructType):
        fields = {field.encode_name: field.type for field in info.fields}
        for name, part in schema["properties"].items():
            if name in fields:
                yield from uncovered(part, fields[name], schemas, f"{path}.{name}")
            else:
                yield f"{path}.{name}"
    elif schema.get("type") in ("object", "array"):
        assert isinstance(info, (inspect.DictType, inspect.AnyType)), path  # kept whole


@pytest.mark.parametrize(
    ("name", "kind"), [("ChatCompletionResponse", ChatCompletion), ("ChatCompletionChunk", ChatCompletionChunk)]
)
def test_answers_cover_the_document(name: str, kind: type[Any], schemas: dict[str, Schema]) -> None:
    """Every property of the document's answer has its place in the struct, at every depth."""
    assert list(uncovered(schemas[name], inspect.type_info(kind), schemas)) == []


def invented(schema: Schema, schemas: dict[str, Schema], variant: int) -> Any:
    """A value of a schema with every property; ``variant`` picks among alternatives."""
    schema = resolved(schema, schemas)
    for choice in ("oneOf", "anyOf"):
        if choice in schema:
            return invented(schema[choice][variant % len(schema[choice])], schemas, variant)
    if "enum" in schema:
        return schema["enum"][variant % len(schema["enum"])]
    match schema["type"]:
        case "object":
            return {name: invented(part, schemas, variant) for name, part in schema.get("properties", {}).items()}
        case "array":
            return [invented(schema["items"], schemas, variant)]
        case "string":
            return "文"
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return 7


@pytest.mark.parametrize("variant", range(3))
@pytest.mark.parametrize(
    ("name", "kind"), [("ChatCompletionResponse", ChatCompletion), ("ChatCompletionChunk", ChatCompletionChunk)]
)
def test_answers_of_the_document_lose_nothing(
    name: str, kind: type[Any], variant: int, schemas: dict[str, Schema]
) -> None:
    """An answer with every property of the document comes back from the struct as it was (parts of text joined)."""
    answer = invented(schemas[name], schemas, variant)
    drops: list[str] = []
    decoded = codec.decode(kind, json.dumps(answer).encode(), drops)
    for choice in answer["choices"]:
        message = choice.get("message") or choice["delta"]
        if isinstance(message["content"], list):
            message["content"] = "".join(part["text"] for part in message["content"])
        elif message["content"] is None:
            del message["content"]
    assert plain(decoded) == answer
    assert drops == []
