"""Structs of images, videos, sound, documents and tasks: the contract's samples, outcomes, and what is sent."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import jsonschema
import msgspec
import pytest

from tests import contract
from zhipu_async.config import Timeouts
from zhipu_async.errors import DecodeError
from zhipu_async.protocol.codec import decode, encode
from zhipu_async.protocol.endpoint import Call, Endpoint
from zhipu_async.telemetry import Timing
from zhipu_async.types import audio, chat, documents, images, tasks, videos
from zhipu_async.types.base import OPTIONS, Request, Response, Standing
from zhipu_async.types.messages import UserMessage

# ---------------------------------------------------------------- requests

CHECK = {"type": "ALL", "status": "ENABLE"}
MESSAGES = [{"role": "user", "content": "你好"}]
COMMON_CHAT: dict[str, Any] = {
    "model": "glm-4.6", "messages": MESSAGES, "do_sample": True, "temperature": 0.5, "top_p": 0.9, "max_tokens": 9,
    "thinking": {"type": "enabled"}, "reasoning_effort": "high", "tools": [{"type": "web_search", "web_search": {}}],
    "tool_choice": "auto", "stop": ["。"], "response_format": {"type": "text"}, "request_id": "request-1",
    "user_id": "user-01", "watermark_enabled": False, "sensitive_word_check": CHECK, "meta": {"user_info": "u"},
    "seed": 7, "extra": {"target": {}},
}  # fmt: skip
IMAGE: dict[str, Any] = {
    "model": "glm-image", "prompt": "猫", "quality": "hd", "size": "1280x1280", "watermark_enabled": True,
    "user_id": "user-01", "request_id": "request-1", "n": 1, "response_format": "url", "style": "s",
    "user": "u", "sensitive_word_check": CHECK,
}  # fmt: skip
VIDEO: dict[str, Any] = {
    "model": "cogvideox-3", "prompt": "猫", "image_url": ["https://a", "https://b"], "quality": "speed",
    "with_audio": True, "size": "1920x1080", "fps": 30, "duration": 5, "style": "general", "aspect_ratio": "16:9",
    "movement_amplitude": "auto", "watermark_enabled": True, "request_id": "request-1", "user_id": "user-01",
    "sensitive_word_check": CHECK, "off_peak": True,
}  # fmt: skip
RECORDING: dict[str, Any] = {
    "model": "glm-asr-2512", "file": "a.wav", "file_base64": "UklG", "prompt": "p", "hotwords": ["智谱", "GLM"],
    "request_id": "request-1", "user_id": "user-01", "temperature": 0.5,
    "sensitive_word_check": CHECK,
}  # fmt: skip
SPEECH: dict[str, Any] = {
    "model": "glm-tts", "input": "你好", "voice": "tongtong", "speed": 1.0, "volume": 1.0, "response_format": "pcm",
    "encode_format": "hex", "watermark_enabled": True, "request_id": "request-1", "user_id": "user-01",
    "sensitive_word_check": CHECK,
}  # fmt: skip
PARSER = {"file": "a.pdf", "tool_type": "lite", "file_type": "PDF"}

REQUESTS: list[tuple[type[Request], dict[str, Any], set[str]]] = [
    (chat.AsyncChatRequest, COMMON_CHAT, {"model", "messages"}),
    (images.ImageRequest, IMAGE, {"model", "prompt"}),
    (images.AsyncImageRequest, IMAGE, {"model", "prompt"}),
    (videos.VideoRequest, VIDEO, {"model"}),
    (tasks.AsyncResultRequest, {"id": "t"}, {"id"}),
    (audio.TranscriptionRequest, {**RECORDING, "stream": False}, {"model"}),
    (audio.TranscriptionStreamRequest, {**RECORDING, "stream": True}, {"model", "stream"}),
    (audio.TranscriptionEitherRequest, {**RECORDING, "stream": True}, {"model", "stream"}),
    (audio.SpeechRequest, {**SPEECH, "stream": False}, {"model", "input", "voice"}),
    (audio.SpeechStreamRequest, {**SPEECH, "stream": True}, {"model", "input", "voice", "stream"}),
    (audio.SpeechEitherRequest, {**SPEECH, "stream": True}, {"model", "input", "voice", "stream"}),
    (
        audio.SpeechCustomizationRequest,
        {
            "model": "m", "input": "i", "voice_data": "a.wav", "voice_text": "t", "response_format": "wav",
            "request_id": "request-1", "user_id": "user-01", "sensitive_word_check": CHECK,
            "watermark_enabled": True,
        },
        {"model", "input", "voice_data"},
    ),
    (
        audio.VoiceCloneRequest,
        {
            "model": "glm-tts-clone", "voice_name": "v", "input": "i", "file_id": "f", "text": "t",
            "request_id": "request-1",
        },
        {"model", "voice_name", "input", "file_id"},
    ),
    (audio.VoiceListRequest, {"voice_type": "PRIVATE", "voice_name": "彤", "request_id": "request-1"}, set()),
    (audio.VoiceDeleteRequest, {"voice": "v", "request_id": "request-1"}, {"voice"}),
    (
        documents.LayoutParsingRequest,
        {
            "model": "glm-ocr", "file": "https://a", "return_crop_images": True, "need_layout_visualization": True,
            "start_page_id": 1, "end_page_id": 2, "request_id": "request-1", "user_id": "user-01",
        },
        {"model", "file"},
    ),
    (
        documents.HandwritingRequest,
        {"file": "a.png", "tool_type": "hand_write", "language_type": "CHN_ENG", "probability": True},
        {"file", "tool_type"},
    ),
    (documents.ParserCreateRequest, PARSER, {"file", "tool_type"}),
    (documents.ParserSyncRequest, PARSER, {"file", "tool_type"}),
    (
        documents.ParserResultRequest,
        {"task_id": "t", "format_type": "text"},
        {"task_id", "format_type"},
    ),
]  # fmt: skip
WIRE_NAMES = {"voice_type": "voiceType", "voice_name": "voiceName"}
"""Of the query of the voice list, which alone is not written in snake_case."""


def sent(request: Request) -> dict[str, Any]:
    """What a request is encoded to."""
    written: dict[str, Any] = json.loads(msgspec.json.encode(request))
    return written


@pytest.mark.parametrize(("kind", "fields", "required"), REQUESTS, ids=lambda value: getattr(value, "__name__", ""))
def test_requests(kind: type[Request], fields: dict[str, Any], required: set[str]) -> None:
    """Every field is sent under its wire name when it is set, and none is sent when it is not."""
    assert set(kind.__struct_fields__) - set(OPTIONS) == set(fields)
    full = kind(**fields)
    names = WIRE_NAMES if kind is audio.VoiceListRequest else {}
    assert sent(full) == {names.get(name, name): value for name, value in fields.items()}
    least = {name: fields[name] for name in required}
    assert sent(kind(**least)) == least
    for name in required:
        with pytest.raises(TypeError, match=name):
            kind(**{other: value for other, value in fields.items() if other != name})


@pytest.mark.parametrize(
    ("kind", "arguments", "fields"),
    [
        (tasks.AsyncResultRequest, ("t",), {"id": "t"}),
        (audio.VoiceDeleteRequest, ("v",), {"voice": "v"}),
        (documents.ParserResultRequest, ("t", "download_link"), {"task_id": "t", "format_type": "download_link"}),
    ],
)
def test_positional_ids(kind: Any, arguments: tuple[str, ...], fields: dict[str, Any]) -> None:
    """Requests that are little more than an id take it without its name."""
    assert kind(*arguments) == kind(**fields)
    assert sent(kind(*arguments)) == fields


def test_chat_as_a_task() -> None:
    """The body of a task is that of a completion but for what concerns streams, which it refuses."""
    streaming = {"stream", "tool_stream", "stream_options"}
    common = set(chat.AsyncChatRequest.__struct_fields__)
    for kind in (chat.ChatRequest, chat.ChatStreamRequest, chat.ChatEitherRequest):
        assert set(kind.__struct_fields__) - common == streaming
        assert common < set(kind.__struct_fields__)
    for name in streaming:
        with pytest.raises(TypeError, match=name):
            chat.AsyncChatRequest(model="m", messages=[UserMessage("?")], **{name: True})
    assert sent(chat.AsyncChatRequest(model="m", messages=[UserMessage("?")])) == {
        "model": "m", "messages": [{"role": "user", "content": "?"}],
    }  # fmt: skip


def test_a_picture_or_several() -> None:
    """``image_url`` of a video is one address or a list of them."""
    assert sent(videos.VideoRequest(model="m", image_url="https://a"))["image_url"] == "https://a"
    assert sent(videos.VideoRequest(model="m", image_url=("https://a",)))["image_url"] == ["https://a"]


def test_voice_list_on_the_wire() -> None:
    """The list of voices is asked for in camelCase, and with the request id as a header."""
    request = audio.VoiceListRequest(voice_type="PRIVATE", voice_name="彤彤", request_id="request-1")
    made = encode(
        Call(Endpoint("GET", "/voice/list", audio.VoiceList), request),
        "https://example.com", headers={}, query={}, timeout=None, default=Timeouts(),
    )  # fmt: skip
    assert made.url == "https://example.com/voice/list?voiceType=PRIVATE&voiceName=%E5%BD%A4%E5%BD%A4"
    assert made.headers["Request-Id"] == "request-1"


# ---------------------------------------------------------------- answers: samples of the contract

CREATED = b"""{"id":"202611200910ab12cd34ef56781234","request_id":"my-req-0001","model":"glm-4.6","task_status":"PROCESSING"}"""  # noqa: E501
CHAT_DONE = b"""{"id":"202611200910ab12cd34ef56781234","request_id":"my-req-0001","model":"glm-4.6","created":1795159800,"task_status":"SUCCESS",
 "choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"..."}}],
 "usage":{"prompt_tokens":13,"completion_tokens":59,"total_tokens":72}}"""  # noqa: E501
VIDEO_DONE = b"""{"id":"...","request_id":"...","model":"cogvideox-3","task_status":"SUCCESS",
 "video_result":[{"url":"https://.../v.mp4","cover_image_url":"https://.../v.jpeg"}]}"""
IMAGE_DONE = b"""{"id":"...","request_id":"...","model":"glm-image","task_status":"SUCCESS","image_result":[{"url":"https://.../i.png"}]}"""
IMAGES = b"""{"created":1795159800,"data":[{"url":"https://..."}],"content_filter":[{"role":"assistant","level":3}]}"""
TRANSCRIPTION = (
    b"""{"id":"...","created":1795159800,"request_id":"...","model":"glm-asr-2512","text":"...","segments":"""
    b"""[{"id":0,"start":0.5,"end":1.5,"text":"..."}]}"""
)
TRANSCRIPTION_EVENTS = (
    b"""{"id":"...","created":1795159800,"model":"glm-asr-2512","type":"transcript.text.delta","delta":"hel"}""",
    b"""{"id":"...","created":1795159801,"model":"glm-asr-2512","type":"transcript.text.done","delta":""}""",
)
SPEECH_EVENTS = (
    b"""{"id":"2026012618501535d155fd2f884b93","created":1769424615,"model":"glm-tts","choices":[{"index":0,"delta":{"role":"assistant","content":"AAEC","return_sample_rate":24000,"return_format":"pcm"}}]}""",
    b"""{"id":"2026012618501535d155fd2f884b93","created":1769424616,"model":"glm-tts","choices":[{"index":2,"finish_reason":"stop"}]}""",
)
CLONED = b"""{"voice":"voice_clone_...","file_id":"...","file_purpose":"voice-clone-output","request_id":"..."}"""
VOICES = b"""{"voice_list":[{"voice":"...","voice_name":"...","voice_type":"PRIVATE","download_url":"https://...","create_time":"2024-03-15 14:30:52"}]}"""  # noqa: E501
LAYOUT = b"""{"id":"i","created":1,"model":"glm-ocr","md_results":"# a","layout_details":[[{"index":1,"label":"text","bbox_2d":[0.1,0.2,0.3,0.4],"content":"...","height":7,"width":8}]],"layout_visualization":["https://..."],"data_info":{"num_pages":1,"pages":[{"width":1,"height":1}]},"usage":{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":0},"total_tokens":3},"request_id":"r"}"""
HANDWRITING = """{"task_id":"t","message":"成功","status":"succeeded","words_result_num":1,"words_result":[{"location":{"left":79,"top":122,"width":1483,"height":182},"words":"你好,世界!","probability":{"average":0.7320847511,"variance":0.08768635988,"min":0.3193874359}}]}""".encode()  # noqa: E501
PARSER_TASK = """{"success":true,"message":"任务创建成功","task_id":"task_123456789"}""".encode()
PARSING = b"""{"status":"processing","message":"...","content":null,"task_id":"t","parsing_result_url":null}"""

SAMPLES: list[tuple[type[Any], bytes]] = [
    (tasks.AsyncTask, CREATED),
    (tasks.ChatTask, CREATED),
    (tasks.ImageTask, CREATED),
    (tasks.VideoTask, CREATED),
    (tasks.AsyncResult, CREATED),
    (tasks.AsyncResult, CHAT_DONE),
    (tasks.AsyncResult, VIDEO_DONE),
    (tasks.AsyncResult, IMAGE_DONE),
    (
        tasks.AsyncResult,
        b"""{"id":"i","request_id":"r","created":1,"model":"m","object":"o","choices":[{"index":1}],"usage":{},"""
        b""""web_search":[{"title":"t"}],"video_result":[{"url":"v"}],"content_filter":[{"role":"user","level":1}],"""
        b""""task_status":"FAIL","image_result":[{"url":"u","b64_json":"b","revised_prompt":"p"}],"""
        b""""error":{"code":"1301","message":"m"},"message":"n"}""",
    ),
    (images.ImageList, IMAGES),
    (
        images.ImageList,
        b'{"id":"i","request_id":"r","created":1,"data":[{"url":"u","b64_json":"b","revised_prompt":"p"}],'
        b'"content_filter":[{"role":"user","level":0}]}',
    ),
    (audio.Transcription, TRANSCRIPTION),
    *((audio.TranscriptionChunk, event) for event in TRANSCRIPTION_EVENTS),
    (
        audio.TranscriptionChunk,
        b'{"id":"i","request_id":"r","created":1,"model":"m","type":"t","delta":"d","text":"x",'
        b'"choices":[{"index":1,"delta":{"content":"c"},"finish_reason":"stop"}]}',
    ),
    *((audio.SpeechChunk, event) for event in SPEECH_EVENTS),
    (
        audio.SpeechChunk,
        b'{"id":"i","request_id":"r","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"a","content":"",'
        b'"return_sample_rate":24000,"return_format":"pcm"},"finish_reason":"stop"}],'
        b'"error":{"code":"1","message":"m"}}',
    ),
    (
        audio.SpeechAudio,
        b'{"id":"i","request_id":"r","created":1,"model":"m","audio":"AAEC","sample_rate":24000,"format":"pcm",'
        b'"finish_reason":"stop"}',
    ),
    (audio.VoiceClone, CLONED),
    (audio.VoiceList, VOICES),
    (audio.VoiceDeleted, b'{"voice":"...","update_time":"2024-03-15 14:30:52"}'),
    (documents.LayoutParsing, LAYOUT),
    (documents.Handwriting, HANDWRITING),
    (documents.Handwriting, b'{"success":false,"message":"m"}'),
    (documents.ParserTask, PARSER_TASK),
    (documents.ParserResult, PARSING),
    (documents.ParserResult, b'{"success":false,"message":"m"}'),
    (
        documents.ParserResult,
        b'{"status":"succeeded","message":"m","content":"c","task_id":"t","parsing_result_url":"https://..."}',
    ),
]

ANSWERS = sorted({kind for kind, _ in SAMPLES}, key=lambda kind: kind.__name__)


def without_nulls(value: Any) -> Any:
    """``value`` without the members that are null, which mean the same as their absence."""
    if isinstance(value, dict):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def implied(value: Any) -> Any:
    """``value`` with the defaults that a struct writes although the sample need not: roles and empty parts."""
    if isinstance(value, dict):
        filled = {name: implied(item) for name, item in value.items()}
        return {name: item for name, item in filled.items() if item not in ({}, 0, [], "", "assistant")}
    return [implied(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("kind", "sample"), SAMPLES)
def test_samples(kind: type[Any], sample: bytes) -> None:
    """The samples of the contract are decoded strictly, no member is lost, and they encode to what they were."""
    value = msgspec.json.decode(sample, type=kind)
    written = json.loads(msgspec.json.encode(value))
    assert implied(written) == implied(without_nulls(json.loads(sample)))
    assert msgspec.json.decode(msgspec.json.encode(value), type=kind) == value


@pytest.mark.parametrize("kind", ANSWERS)
def test_the_samples_have_every_field(kind: type[Any]) -> None:
    """Together the samples of a struct set each of its fields to something other than its default."""
    found: set[str] = set()
    for other, sample in SAMPLES:
        if other is kind:
            found |= set(json.loads(msgspec.json.encode(msgspec.json.decode(sample, type=kind))))
    assert found == {field.encode_name for field in msgspec.structs.fields(kind)}


@pytest.mark.parametrize("kind", ANSWERS)
def test_everything_may_be_missing_or_null(kind: type[Any]) -> None:
    """An answer without members, or of nulls, is read as one of defaults; only the id of a task must be there."""
    fields = msgspec.structs.fields(kind)
    needed = {field.name for field in fields if field.required}
    assert needed == ({"id"} if issubclass(kind, tasks.AsyncTask) else set())
    least = dict.fromkeys(needed, "t")
    nulls = {field.encode_name: None for field in fields} | least
    assert decode(kind, json.dumps(least).encode()) == kind(**least) == decode(kind, json.dumps(nulls).encode())
    for name in needed:
        with pytest.raises(DecodeError, match=name):
            decode(kind, b'{"message":"m"}')


SCHEMAS: list[tuple[str, type[Any]]] = [
    ("AsyncResponse", tasks.AsyncTask),
    ("ChatCompletionResponse", tasks.AsyncResult),
    ("AsyncVideoGenerationResponse", tasks.AsyncResult),
    ("AsyncImageGenerationResponse", tasks.AsyncResult),
    ("AsyncChatCompletionTextRequest", chat.AsyncChatRequest),
    ("AsyncChatCompletionVisionRequest", chat.AsyncChatRequest),
    ("AsyncChatCompletionAudioRequest", chat.AsyncChatRequest),
    ("AsyncChatCompletionHumanOidRequest", chat.AsyncChatRequest),
    ("CreateImageRequest", images.ImageRequest),
    ("AsyncCreateImageRequest", images.AsyncImageRequest),
    ("ImageGenerationResponse", images.ImageList),
    ("ImageObject", images.GeneratedImage),
    ("CogVideoX3Request", videos.VideoRequest),
    ("CogVideoXRequest", videos.VideoRequest),
    ("ViduText2VideoRequest", videos.VideoRequest),
    ("ViduImage2VideoRequest", videos.VideoRequest),
    ("ViduFrames2VideoRequest", videos.VideoRequest),
    ("ViduReference2VideoRequest", videos.VideoRequest),
    ("AudioTranscriptionRequest", audio.TranscriptionRequest),
    ("AudioTranscriptionResponse", audio.Transcription),
    ("AudioTranscriptionStreamResponse", audio.TranscriptionChunk),
    ("AudioSpeechRequest", audio.SpeechRequest),
    ("VoiceCloneRequest", audio.VoiceCloneRequest),
    ("VoiceCloneResponse", audio.VoiceClone),
    ("VoiceListResponse", audio.VoiceList),
    ("VoiceVO", audio.Voice),
    ("VoiceSaveRequest", audio.VoiceDeleteRequest),
    ("VoiceSaveResponse", audio.VoiceDeleted),
    ("LayoutParsingRequest", documents.LayoutParsingRequest),
    ("LayoutParsingResponse", documents.LayoutParsing),
    ("LayoutDetail", documents.LayoutDetail),
    ("DataInfo", documents.DataInfo),
    ("PageInfo", documents.PageInfo),
    ("FileParseResultResponse", documents.ParserResult),
    ("OCRResultResponse", documents.Handwriting),
]
"""Schemas of the vendor's document and the structs that cover them."""


def schemas() -> dict[str, Any]:
    """The vendor's schemas; skips where the document is not at hand."""
    document = contract.document()
    if document is None:
        pytest.skip("openapi.json is not at hand")
    found: dict[str, Any] = document["components"]["schemas"]
    return found


def properties(schema: dict[str, Any]) -> set[str]:
    """The names of a schema's properties, with those of the schemas that it is made of."""
    if "$ref" in schema:
        return properties(schemas()[schema["$ref"].rsplit("/", 1)[1]])
    names = set(schema.get("properties", ()))
    return names.union(*(properties(part) for part in schema.get("allOf", ())))


@pytest.mark.parametrize(("name", "kind"), SCHEMAS, ids=lambda value: value if isinstance(value, str) else "")
def test_every_property_is_a_field(name: str, kind: type[Any]) -> None:
    """Each property of the vendor's schemas is a field."""
    wanted = properties(schemas()[name])
    assert wanted
    assert wanted <= {field.encode_name for field in msgspec.structs.fields(kind)}


VALID: list[tuple[str, Request]] = [
    ("CreateImageRequest", images.ImageRequest(model="cogview-4", prompt="猫", quality="standard", size="1024x1024")),
    ("AsyncCreateImageRequest", images.AsyncImageRequest(model="glm-image", prompt="猫", quality="hd")),
    ("CogVideoX3Request", videos.VideoRequest(model="cogvideox-3", image_url=["https://a", "https://b"], fps=60)),
    ("CogVideoXRequest", videos.VideoRequest(model="cogvideox-2", prompt="猫", size="720x480", quality="quality")),
    ("ViduText2VideoRequest", videos.VideoRequest(model="viduq1-text", prompt="猫", style="anime", aspect_ratio="1:1")),
    ("ViduFrames2VideoRequest", videos.VideoRequest(model="vidu2-start-end", image_url=["https://a"], duration=4)),
    ("ViduReference2VideoRequest", videos.VideoRequest(model="vidu2-reference", prompt="猫", image_url=["https://a"])),
    ("AudioSpeechRequest", audio.SpeechStreamRequest(model="glm-tts", input="i", voice="jam", speed=1.5, stream=True)),
    ("AsyncChatCompletionTextRequest", chat.AsyncChatRequest(model="glm-4.6", messages=[UserMessage("?")])),
    ("VoiceCloneRequest", audio.VoiceCloneRequest(model="glm-tts-clone", voice_name="v", input="i", file_id="f")),
    ("VoiceSaveRequest", audio.VoiceDeleteRequest("v")),
    ("LayoutParsingRequest", documents.LayoutParsingRequest(model="glm-ocr", file="https://a", start_page_id=1)),
]


@pytest.mark.parametrize(("name", "request_"), VALID)
def test_requests_validate(name: str, request_: Request) -> None:
    """What is sent satisfies the vendor's schema."""
    schemas()
    validator = jsonschema.Draft202012Validator({**(contract.document() or {}), "$ref": f"#/components/schemas/{name}"})
    assert not list(validator.iter_errors(sent(request_)))


# ---------------------------------------------------------------- outcomes

NONE = (None, "")
FILTER = [{"role": "user", "level": 1}]
OUTCOMES: list[tuple[type[Any], dict[str, Any], str, tuple[str | None, str]]] = [
    (tasks.AsyncTask, {"id": "t"}, "running", NONE),
    (tasks.ChatTask, {"id": "t", "task_status": "PROCESSING"}, "running", NONE),
    (tasks.ImageTask, {"id": "t", "task_status": "SUCCESS"}, "done", NONE),
    (tasks.VideoTask, {"id": "t", "task_status": "FAIL"}, "failed", NONE),
    (tasks.VideoTask, {"id": "t", "task_status": "QUEUED"}, "running", NONE),
    (tasks.AsyncResult, {}, "running", NONE),
    (tasks.AsyncResult, {"task_status": "PROCESSING"}, "running", NONE),
    (tasks.AsyncResult, {"task_status": "PROCESSING", "choices": [{}]}, "running", NONE),
    (tasks.AsyncResult, {"task_status": "QUEUED", "choices": [{}]}, "running", NONE),
    (tasks.AsyncResult, {"task_status": "success"}, "running", NONE),
    (tasks.AsyncResult, {"task_status": "SUCCESS"}, "done", NONE),
    (tasks.AsyncResult, {"task_status": "SUCCESS", "message": "成功"}, "done", NONE),
    (tasks.AsyncResult, {"task_status": None, "choices": [{}]}, "done", NONE),
    (tasks.AsyncResult, {"task_status": "", "video_result": [{"url": "v"}]}, "done", NONE),
    (tasks.AsyncResult, {"image_result": [{"url": "u"}]}, "done", NONE),
    (tasks.AsyncResult, {"choices": [], "image_result": [], "video_result": None}, "running", NONE),
    (tasks.AsyncResult, {"usage": {"total_tokens": 3}, "content_filter": FILTER}, "running", NONE),
    (tasks.AsyncResult, {"task_status": "FAIL"}, "failed", NONE),
    (tasks.AsyncResult, {"task_status": "FAIL", "error": None, "content_filter": []}, "failed", NONE),
    (tasks.AsyncResult, {"task_status": "FAIL", "choices": [{}]}, "failed", NONE),
    (tasks.AsyncResult, {"task_status": "FAIL", "error": {"code": "1301", "message": "m"}}, "failed", ("1301", "m")),
    (tasks.AsyncResult, {"task_status": "FAIL", "error": {"code": 1301, "message": "m"}}, "failed", ("1301", "m")),
    (tasks.AsyncResult, {"task_status": "FAIL", "error": {"code": "1301"}, "message": "n"}, "failed", ("1301", "n")),
    (tasks.AsyncResult, {"task_status": "FAIL", "error": {}, "message": "n"}, "failed", (None, "n")),
    (tasks.AsyncResult, {"task_status": "FAIL", "error": "e", "message": "n"}, "failed", (None, "e")),
    (tasks.AsyncResult, {"task_status": "FAIL", "error": "", "message": "n"}, "failed", (None, "n")),
    (
        tasks.AsyncResult,
        {"task_status": "FAIL", "content_filter": [*FILTER, {}]},
        "failed",
        (None, "content safety intervened: user (level 1), unknown role (level None)"),
    ),
    (documents.Handwriting, {"status": "succeeded", "message": "成功"}, "done", NONE),
    (documents.Handwriting, {"status": "failed", "message": "m"}, "failed", (None, "m")),
    (documents.Handwriting, {"status": "failed"}, "failed", NONE),
    (documents.Handwriting, {"success": False, "message": "m"}, "failed", (None, "m")),
    (documents.Handwriting, {"words_result": [{"words": "w"}]}, "done", NONE),
    (documents.Handwriting, {"status": "SUCCEEDED", "words_result": [{"words": "w"}]}, "running", NONE),
    (documents.Handwriting, {"words_result": []}, "running", NONE),
    (documents.ParserTask, {"task_id": "t"}, "running", NONE),
    (documents.ParserTask, {"task_id": "t", "success": True, "message": "m"}, "running", NONE),
    (documents.ParserTask, {"task_id": "t", "success": False, "message": "m"}, "failed", (None, "m")),
    (documents.ParserResult, {"status": "processing", "message": "m"}, "running", NONE),
    (documents.ParserResult, {"status": "succeeded", "message": "m"}, "done", NONE),
    (documents.ParserResult, {"status": "failed", "message": "m"}, "failed", (None, "m")),
    (documents.ParserResult, {"success": False, "message": "m"}, "failed", (None, "m")),
    (documents.ParserResult, {"success": False, "content": "c"}, "failed", NONE),
    (documents.ParserResult, {"success": True, "content": "c"}, "done", NONE),
    (documents.ParserResult, {"status": "queued", "content": "c"}, "running", NONE),
    (documents.ParserResult, {"content": "c"}, "done", NONE),
    (documents.ParserResult, {"parsing_result_url": "u"}, "done", NONE),
    (documents.ParserResult, {}, "running", NONE),
    (documents.DocumentWork, {"task_id": "t"}, "running", NONE),
]


@pytest.mark.parametrize(("kind", "members", "state", "failure"), OUTCOMES)
def test_outcomes(kind: type[Any], members: dict[str, Any], state: str, failure: tuple[str | None, str]) -> None:
    """How work stands follows the status; without one, results mean done; only failed work has a reason."""
    answer: Standing = decode(kind, json.dumps(members).encode())
    assert (answer.state, answer.failure) == (state, failure)


# ---------------------------------------------------------------- conveniences


def test_a_chat_result_reads_like_a_completion() -> None:
    """Text, reasoning, calls and finish reason of a task are found under the names of a completion."""
    message = {"content": "x", "reasoning_content": "r", "tool_calls": [{"id": "c", "function": {"name": "f"}}]}
    body = {"id": "t", "task_status": "SUCCESS", "choices": [{"finish_reason": "tool_calls", "message": message}]}
    result = decode(tasks.AsyncResult, json.dumps(body).encode())
    assert (result.text, result.reasoning, result.finish_reason) == ("x", "r", "tool_calls")
    assert [call.id for call in result.tool_calls] == ["c"]
    empty = tasks.AsyncResult()
    assert (empty.text, empty.reasoning, empty.tool_calls, empty.finish_reason) == ("", "", [], None)


def test_the_completion_of_a_result() -> None:
    """The completion is what the unary call decodes from the same body, with what is known beside the fields."""
    result = decode(tasks.AsyncResult, CHAT_DONE)
    result._received(Timing(total=1.0), {"x-log-id": "L"})
    completion = result.completion
    assert completion == decode(chat.ChatCompletion, CHAT_DONE)
    assert (completion.timing, completion.response_headers) == (Timing(total=1.0), {"x-log-id": "L"})
    assert completion.message.content == "..."
    completion._received(Timing(total=2.0), {})
    assert result.timing == Timing(total=1.0)


@pytest.mark.parametrize(
    ("answer", "urls"),
    [
        (decode(tasks.AsyncResult, CHAT_DONE), []),
        (decode(tasks.AsyncResult, VIDEO_DONE), ["https://.../v.mp4"]),
        (decode(tasks.AsyncResult, IMAGE_DONE), ["https://.../i.png"]),
        (decode(tasks.AsyncResult, b'{"image_result":[{},{"url":"u"},{"url":"w"}]}'), ["u", "w"]),
        (decode(images.ImageList, IMAGES), ["https://..."]),
        (decode(images.ImageList, b'{"data":[{"b64_json":"b"},{"url":"u"},{"url":"w"}]}'), ["u", "w"]),
        (images.ImageList(), []),
    ],
)
def test_urls(answer: tasks.AsyncResult | images.ImageList, urls: list[str]) -> None:
    """``urls`` are the addresses that came, in order, and ``url`` is the first of them or None."""
    assert answer.urls == urls
    assert answer.url == (urls[0] if urls else None)


@pytest.mark.parametrize(
    ("event", "content", "final"),
    [
        (TRANSCRIPTION_EVENTS[0], "hel", False),
        (TRANSCRIPTION_EVENTS[1], "", True),
        (b'{"type":"transcript.text.done","text":"hello"}', "", True),
        (b'{"choices":[{"delta":{"content":"lo"}}]}', "lo", False),
        (b'{"choices":[{"delta":{},"finish_reason":"stop"}]}', "", True),
        (b"{}", "", False),
    ],
)
def test_transcription_events(event: bytes, content: str, final: bool) -> None:
    """An event in either form tells what it adds, and whether it is the last."""
    chunk = decode(audio.TranscriptionChunk, event)
    assert (chunk.content, chunk.final) == (content, final)


def test_sound_in_pieces() -> None:
    """The first event's delta holds sound as base64; the last event has a finish reason and an empty delta."""
    first, last = (decode(audio.SpeechChunk, event).choices[0] for event in SPEECH_EVENTS)
    assert (first.delta.audio(), first.delta.return_sample_rate, first.delta.return_format) == (
        b"\x00\x01\x02", 24000, "pcm",
    )  # fmt: skip
    assert (last.index, last.finish_reason, last.delta.audio()) == (2, "stop", b"")
    assert last.delta.content == ""  # callers decode it themselves: the vendor's examples do


@pytest.mark.parametrize("sound", [b"", b"\x00", b"\x00\x01", bytes(range(256)), bytes(6)])
def test_a_piece_of_sound(sound: bytes) -> None:
    """A piece comes back from base64, with and without its padding, and from hex of either case."""
    text = base64.b64encode(sound).decode()
    for content in (text, text.rstrip("=")):
        assert audio.SpeechDelta(content=content).audio() == sound
    for content in (sound.hex(), sound.hex().upper()):
        assert audio.SpeechDelta(content=content).audio("hex") == sound


@pytest.mark.parametrize(("content", "form"), [("a", "base64"), ("AA*A", "base64"), ("abc", "hex"), ("zz", "hex")])
def test_a_piece_that_is_none(content: str, form: Any) -> None:
    """Text that is not in the form that was asked for is a ValueError."""
    with pytest.raises(ValueError, match=r".+"):
        audio.SpeechDelta(content=content).audio(form)


@pytest.mark.parametrize("kind", [audio.SpeechAudio, audio.Transcription, chat.ChatCompletion])
def test_folded(kind: Any) -> None:
    """What was folded from a stream that broke says so, and so do its copies; a plain answer is complete."""
    whole, broken = kind(), kind()
    vars(broken)["complete"] = False
    assert whole.complete
    assert not broken.complete
    assert not copy.copy(broken).complete
    assert isinstance(whole, Response)


def test_documents_as_text() -> None:
    """A document's text is its Markdown, its lines or its content, and "" where nothing was read."""
    assert decode(documents.LayoutParsing, LAYOUT).text == "# a"
    assert decode(documents.Handwriting, HANDWRITING).text == "你好,世界!"
    two = b'{"words_result":[{"words":"a"},{"words":null},{"words":"b"}]}'
    assert decode(documents.Handwriting, two).text == "a\nb"
    parsed = decode(documents.ParserResult, b'{"content":"c","parsing_result_url":"u"}')
    assert (parsed.text, parsed.url) == ("c", "u")
    assert [kind().text for kind in (documents.LayoutParsing, documents.Handwriting, documents.ParserResult)] == [
        ""
    ] * 3
    assert documents.ParserResult().url is None
