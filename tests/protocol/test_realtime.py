"""Realtime events: text of the client's, structs of the server's, and what the vendor's document says of both."""

from __future__ import annotations

import json
import math
from typing import Any, get_args

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract import page
from zhipu_async.errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ConfigError,
    NotFoundError,
    RateLimitError,
    ServerError,
)
from zhipu_async.protocol.realtime import decode, encode, error_of
from zhipu_async.types.realtime import (
    CLIENT_EVENTS,
    ClientEvent,
    ConversationItem,
    ConversationItemCreate,
    InputAudioBufferAppend,
    RealtimeTool,
    ResponseCreate,
    SessionConfig,
    SessionUpdate,
    TurnDetection,
)
from zhipu_async.types.realtime_events import (
    SERVER_EVENTS,
    ErrorEvent,
    Heartbeat,
    RealtimeEvent,
    ResponseAudioDelta,
    ResponseDone,
    ResponseTextDelta,
    ServerEvent,
    SessionUpdated,
    UnknownEvent,
)
from zhipu_async.types.realtime_parts import ErrorDetail, RealtimeResponse, RealtimeUsage

_PATH = page("realtime-asyncapi.json")
DOCUMENT: dict[str, Any] = json.loads(_PATH.read_text(encoding="utf-8")) if _PATH else {}
SCHEMAS: dict[str, Any] = DOCUMENT.get("components", {}).get("schemas", {})
NAMES = {str(kind.__struct_config__.tag): kind for kind in (*CLIENT_EVENTS, *SERVER_EVENTS)}

CLIENT_NAMES = set(
    """session.update input_audio_buffer.append input_audio_buffer.append_video_frame
input_audio_buffer.pre_commit input_audio_buffer.commit input_audio_buffer.clear conversation.item.create
conversation.item.delete conversation.item.truncate response.create response.cancel""".split()  # noqa: SIM905
)
SERVER_NAMES = set(
    """session.created session.updated conversation.created conversation.item.created
conversation.item.deleted conversation.item.truncated conversation.item.input_audio_transcription.completed
conversation.item.input_audio_transcription.failed input_audio_buffer.committed input_audio_buffer.cleared
input_audio_buffer.speech_started input_audio_buffer.speech_stopped response.created response.output_item.added
response.output_item.done response.content_part.added response.content_part.done response.text.delta response.text.done
response.audio.delta response.audio.done response.audio_transcript.delta response.audio_transcript.done
response.function_call_arguments.delta response.function_call_arguments.done response.done rate_limits.updated heartbeat
error""".split()  # noqa: SIM905
)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with its references followed and its ``allOf`` joined."""
    if "$ref" in schema:
        return resolved(SCHEMAS[schema["$ref"].rpartition("/")[2]])
    joined: dict[str, Any] = {**schema, "properties": dict(schema.get("properties", {}))}
    for part in schema.get("allOf", ()):
        joined["properties"] |= resolved(part)["properties"]
    return joined


NESTED = {
    "BaseEvent",
    "SessionConfig",
    "TurnDetection",
    "Tool",
    "NoiseReduction",
    "BetaFields",
    "GreetingConfig",
    "ConversationItem",
    "RealtimeResponse",
}
"""The schemas that are no messages of their own."""

MESSAGES: dict[str, str] = {
    resolved(schema)["properties"]["type"]["const"]: name for name, schema in SCHEMAS.items() if name not in NESTED
}
"""Type on the wire to the name of its schema."""


def structs(annotation: Any) -> list[type[msgspec.Struct]]:
    """The structs that a field may hold."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return [annotation]
    return [found for each in get_args(annotation) for found in structs(each)]


def missing(schema: dict[str, Any], kind: type[msgspec.Struct], place: str) -> list[str]:
    """The documented properties that a struct does not have, inside it too."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    absent: list[str] = []
    for name, inner in resolved(schema)["properties"].items():
        where = f"{place}.{name}"
        if name == kind.__struct_config__.tag_field:
            continue
        if name not in fields:
            absent.append(where)
            continue
        inner = resolved(inner)
        inner = resolved(inner.get("items", inner))
        if inner["properties"]:
            absent += min(
                (missing(inner, each, where) for each in structs(fields[name].type)), key=len, default=[where]
            )
    return absent


def filled(schema: dict[str, Any]) -> Any:
    """A value with everything that a schema mentions."""
    schema = resolved(schema)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][-1]
    if schema["properties"]:
        return {name: filled(inner) for name, inner in schema["properties"].items()}
    kinds = {"string": "文", "integer": 7, "number": 0.5, "boolean": True, "object": {"a": 1}}
    return [filled(schema["items"])] if schema["type"] == "array" else kinds[schema["type"]]


needs_document = pytest.mark.skipif(not DOCUMENT, reason="the vendor's document is not at hand")


def test_every_event_of_the_contract_has_a_struct() -> None:
    """The lists of data.md section 13 are there, each on its side."""
    assert {str(kind.__struct_config__.tag) for kind in CLIENT_EVENTS} >= CLIENT_NAMES
    assert {str(kind.__struct_config__.tag) for kind in SERVER_EVENTS} >= SERVER_NAMES
    assert len(NAMES) == len(CLIENT_EVENTS) + len(SERVER_EVENTS)


@needs_document
def test_the_document_is_covered() -> None:
    """Every message of the vendor's document and every property in it is on a struct."""
    assert MESSAGES.keys() <= NAMES.keys()
    absent = [place for tag, name in MESSAGES.items() for place in missing(SCHEMAS[name], NAMES[tag], name)]
    assert absent == []


@needs_document
@pytest.mark.parametrize("tag", [tag for tag in MESSAGES if issubclass(NAMES.get(tag, object), ServerEvent)])
def test_a_documented_event_loses_nothing(tag: str) -> None:
    """A server event with all documented properties is read strictly, and written again it is the same."""
    told = filled(SCHEMAS[MESSAGES[tag]])
    event = decode(json.dumps(told))
    assert type(event) is NAMES[tag]
    assert event.type == tag
    written = msgspec.to_builtins(event)
    assert {**written, "type": tag} == told


def client_events() -> list[ClientEvent]:
    """Client events as a program makes them."""
    tool = RealtimeTool(name="get_weather", description="The weather", parameters={"type": "object", "properties": {}})
    config = SessionConfig(
        model="glm-realtime-air",
        turn_detection=TurnDetection(type="server_vad"),
        tools=[tool],
        max_response_output_tokens="512",
        beta_fields={"chat_mode": "audio"},
        temperature=0.5,
        modalities=["text"],
    )
    made: list[ClientEvent] = [
        SessionUpdate(session=config),
        SessionUpdate(session=SessionConfig(), event_id="e", client_timestamp=1_732_000_439_437),
        InputAudioBufferAppend(audio="UklGRg=="),
        ConversationItemCreate(item=ConversationItem.message("Hello")),
        ConversationItemCreate(item=ConversationItem.function_output("21", "call_1")),
    ]
    for kind in CLIENT_EVENTS:
        if not any(isinstance(event, kind) for event in made):
            made.append(kind(**{field.name: "x" for field in msgspec.structs.fields(kind) if field.required}))
    return made


@needs_document
@pytest.mark.parametrize("event", client_events(), ids=lambda event: event.type)
def test_what_is_sent_validates(event: ClientEvent) -> None:
    """The text of a client event is what the document wants, as far as it knows the event."""
    sent = json.loads(encode(event))
    assert sent["type"] == event.type
    if event.type in MESSAGES:
        whole = {**DOCUMENT, "$ref": f"#/components/schemas/{MESSAGES[event.type]}"}
        objections = [error.message for error in jsonschema.Draft202012Validator(whole).iter_errors(sent)]
        # The enumeration of content types lacks the input_text that the vendor's guide uses.
        assert [text for text in objections if "input_text" not in text] == []


def test_what_is_not_set_is_not_sent() -> None:
    """Text holds the type and what was given, and of a configuration what the service requires."""
    assert encode(ResponseCreate()) == '{"type":"response.create"}'
    assert json.loads(encode(SessionUpdate(session=SessionConfig(voice="tongtong")))) == {
        "type": "session.update",
        "session": {
            "input_audio_format": "wav",
            "output_audio_format": "pcm",
            "turn_detection": {"type": "client_vad"},
            "voice": "tongtong",
        },
    }
    assert json.loads(encode({"type": "a.b", "x": None})) == {"type": "a.b", "x": None}


@pytest.mark.parametrize(
    "event",
    [{}, {"type": ""}, {"type": 5}, {"type": "a", "x": math.nan}, {"type": "\ud83d"}, 5, {"type": "a", "x": {1}}],
)
def test_what_is_no_event_is_refused(event: Any) -> None:
    """No type, or nothing that JSON can hold: refused before anything is sent."""
    if event == {"type": "a", "x": {1}}:
        event = {"type": "a", "x": object()}
    with pytest.raises(ConfigError):
        encode(event)


TOLERATED: list[tuple[str | bytes, RealtimeEvent]] = [
    ('{"type":"heartbeat"}', Heartbeat()),
    (b'\xef\xbb\xbf{"type":"heartbeat","new":[1]}', Heartbeat()),
    ('{"type":"response.text.delta","delta":null}', ResponseTextDelta()),
    (b'{"type":"response.text.delta","delta":"\xff"}', ResponseTextDelta(delta="\ufffd")),
    ('{"type":"response.text.delta","delta":"a","output_index":"1"}', ResponseTextDelta(delta="a", output_index=1)),
    ('{"type":"response.text.delta","delta":"a","output_index":{}}', ResponseTextDelta(delta="a")),
    ('{"type":"error","error":{"code":1302,"message":"m"}}', ErrorEvent(error=ErrorDetail(code="1302", message="m"))),
    ('{"type":"session.updated","session":"x"}', SessionUpdated()),
    (
        '{"type":"response.done","response":{"usage":{"total_tokens":5.0}}}',
        ResponseDone(response=RealtimeResponse(usage=RealtimeUsage(total_tokens=5))),
    ),
    ('{"type":"response.new","x":1}', UnknownEvent("response.new", {"type": "response.new", "x": 1})),
    ('{"type":5}', UnknownEvent("", {"type": 5})),
    ('{"x":NaN}', UnknownEvent("", {"x": None})),
    ("[1]", UnknownEvent("", [1])),
    ("null", UnknownEvent("", None)),
    ("no json", UnknownEvent("", "no json")),
    (b"\xff\xfe", UnknownEvent("", b"\xff\xfe")),
    ("[" * 100_000, UnknownEvent("", "[" * 100_000)),
]


@pytest.mark.parametrize(("frame", "event"), TOLERATED, ids=lambda value: str(value)[:50])
def test_frames_are_read_tolerantly(frame: str | bytes, event: RealtimeEvent) -> None:
    """What does not fit is left out; what cannot be an event that is known comes as it is."""
    read = decode(frame)
    if frame == '{"x":NaN}':
        assert isinstance(read, UnknownEvent)
        assert math.isnan(read.raw["x"])
    else:
        assert read == event
    assert decode(frame.encode() if isinstance(frame, str) else frame).type == event.type


@pytest.mark.parametrize("kind", SERVER_EVENTS, ids=lambda kind: str(kind.__struct_config__.tag))
def test_nulls_stand_for_nothing(kind: type[ServerEvent]) -> None:
    """An event whose fields are all null is the event with nothing set."""
    nulls = dict.fromkeys(field.encode_name for field in msgspec.structs.fields(kind))
    assert decode(json.dumps({"type": kind().type, **nulls})) == kind()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.sampled_from([*NAMES, "new.event"]), st.dictionaries(st.sampled_from(["item", "error", "delta", "x"]), _JSON))
def test_no_event_is_lost(name: str, members: dict[str, Any]) -> None:
    """Whatever comes under whatever type becomes an event of that type, and one that is unknown keeps everything."""
    event = decode(json.dumps({**members, "type": name}))
    assert event.type == name
    assert isinstance(event, UnknownEvent if name not in NAMES or issubclass(NAMES[name], ClientEvent) else ServerEvent)
    if isinstance(event, UnknownEvent):
        assert event.raw == {**members, "type": name}


@settings(deadline=None)
@given(st.binary() | st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_frame_is_an_event(frame: str | bytes) -> None:
    """Reading never raises."""
    assert isinstance(decode(frame), (ServerEvent, UnknownEvent))


ERRORS: list[tuple[str, type[APIError], str | None]] = [
    ('{"type":"error","error":{"type":"t","code":"1302","message":"m"}}', RateLimitError, "1302"),
    ('{"type":"error","error":{"code":401,"message":"m"}}', AuthenticationError, "401"),
    ('{"type":"error","error":{"type":"invalid_request_error","code":"x","message":"m"}}', BadRequestError, "x"),
    ('{"type":"error","error":{"type":"invalid_request_error"}}', BadRequestError, "invalid_request_error"),
    ('{"type":"error","error":{"type":"server_error","code":"video_model_query_error","message":"m"}}', ServerError,
     "video_model_query_error"),
    ('{"type":"error"}', ServerError, None),
    ('{"code":401,"msg":"m","success":false}', AuthenticationError, "401"),
    ('{"code":500,"msg":"404 NOT_FOUND","success":false}', NotFoundError, "500"),
    ('{"error":{"code":"1113","message":"m"}}', APIError, "1113"),
]  # fmt: skip


@pytest.mark.parametrize(("frame", "kind", "code"), ERRORS)
def test_errors_are_told_by_their_codes(frame: str, kind: type[APIError], code: str | None) -> None:
    """An error event, and an envelope of the gateway's, is the error that its code or type means."""
    error = error_of(decode(frame))
    assert isinstance(error, kind)
    assert error.code == code
    assert error.status == 200


@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"heartbeat"}',
        '{"type":"conversation.item.input_audio_transcription.failed","error":{"code":"1","message":"m"}}',
        '{"type":"new.failed","error":{"code":"1","message":"m"}}',
        '{"x":1}',
        "no json",
    ],
)
def test_other_events_are_no_errors(frame: str) -> None:
    """What is about one item, or unknown, is an event like any other."""
    assert error_of(decode(frame)) is None


def test_sound_is_decoded_on_demand() -> None:
    """``audio`` is the samples of a delta; damaged base64 is a ValueError there and not while reading."""
    event = decode('{"type":"response.audio.delta","delta":"AAEC"}')
    assert isinstance(event, ResponseAudioDelta)
    assert event.audio == b"\x00\x01\x02"
    event.delta = "A"
    with pytest.raises(ValueError, match="base64"):
        _ = event.audio
