"""What is documented of each model, as a table (chat.md sections 3, 4 and 6, media.md, data.md; November 2026).

The table only informs: it never blocks or changes a request, and a model that is not in it may be usable all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, Literal, cast

Kind = Literal["text", "vision", "voice", "role-play", "agent", "code", "embedding", "rerank", "moderation", "image",
               "video", "transcription", "speech", "voice-clone", "ocr", "realtime", "search"]  # fmt: skip
Platform = Literal["CN", "INTL"]
Modality = Literal["text", "image", "video", "file", "audio", "vector", "score", "label"]
Thinking = Literal["always", "switched", "decides", "never"]

CHAT: Final[tuple[Kind, ...]] = ("text", "vision", "voice", "role-play", "agent", "code")
"""The kinds that hold chats."""
_PARTS: Final = {"image_url": "image", "video_url": "video", "file": "file", "file_url": "file", "input_audio": "audio"}
EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""All values of ``reasoning_effort``, least first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """One model. None: not documented. ``unverified``: fields with a weak source, or sources that contradict."""

    id: str
    kind: Kind
    context: int | None = None
    """Tokens of prompt and answer together; for embeddings, of one input."""
    default_output: int | None = None
    max_output: int | None = None
    """Tokens of reasoning and answer together: what ``max_tokens`` is when it is not sent, and the most it may be."""
    temperature: float | None = None
    """What the service takes when it is not sent, as for ``top_p``."""
    top_p: float | None = None
    thinking: Thinking | None = None
    """``always``; or with ``thinking.type`` enabled, which is the default, always (``switched``) or when the model sees
    need (``decides``), and with disabled not at all; or ``never``: the field is not supported."""
    efforts: tuple[str, ...] | None = None
    """Values of ``reasoning_effort``, least first; empty where it is not supported."""
    tools: bool | None = None
    tool_stream: bool | None = None
    inputs: tuple[Modality, ...] = ("text",)
    outputs: tuple[Modality, ...] = ("text",)
    dimensions: tuple[int, ...] | None = None
    """Lengths of an embedding, the default first."""
    async_chat: bool | None = None
    """Whether ``/async/chat/completions`` takes it."""
    platforms: tuple[Platform, ...] = ("CN", "INTL")
    free: bool = False
    note: str = ""
    unverified: tuple[str, ...] = ()

    @property
    def thinking_types(self) -> tuple[str, ...]:
        """Values of ``thinking.type`` that do what they say; empty where the field is not supported or not known."""
        if self.thinking == "always":
            return ("enabled",)
        return ("enabled", "disabled") if self.thinking in ("switched", "decides") else ()


K: Final = 1024
M: Final = K * K
_T: Final = ("text",)
_TA: Final = ("text", "audio")
_TI: Final = ("text", "image")
_TIV: Final = ("text", "image", "video")
_SEE: Final = ("text", "image", "video", "file")
_Chat = tuple[str, Kind, int | None, int | None, int | None, float | None, float | None, Thinking | None,
              Literal["stream", "whole", "no"] | None, tuple[Modality, ...]]  # fmt: skip

# fmt: off
_CHAT: Final[tuple[_Chat, ...]] = (
    # ids                                             kind context default largest temp. top_p thinking  tools  inputs
    ("glm-5.3",                                     "text",   1*M, 64*K, 128*K, 1.0,  0.95, "always",   "stream", _T),
    ("glm-5.3-flash glm-5.3-flashx",              "vision",   1*M, 64*K, 128*K, 1.0,  0.95, "always",   "stream", _SEE),
    ("glm-5.2",                                     "text",   1*M, 64*K, 128*K, 1.0,  0.95, "decides",  "stream", _T),
    ("glm-5.1 glm-5 glm-5-turbo",                   "text", 200*K, 64*K, 128*K, 1.0,  0.95, "decides",  "stream", _T),
    ("glm-5v-turbo",                              "vision", 200*K, 64*K, 128*K, 0.8,  0.6,  "decides",  "no",     _SEE),
    ("glm-4.7 glm-4.7-flash glm-4.7-flashx",        "text", 200*K, 64*K, 128*K, 1.0,  0.95, "switched", "stream", _T),
    ("glm-4.6",                                     "text", 200*K, 64*K, 128*K, 1.0,  0.95, "decides",  "stream", _T),
    ("glm-4.6v glm-4.6v-flash glm-4.6v-flashx",   "vision", 128*K, 16*K,  32*K, 0.8,  0.6,  "decides",  "whole",  _SEE),
    ("glm-4.5 glm-4.5-x glm-4.5-air glm-4.5-airx glm-4.5-flash",
                                                    "text", 128*K, 64*K,  96*K, 0.6,  0.95, "decides",  "whole",  _T),
    ("glm-4.5v",                                  "vision",  64*K, 16*K,  16*K, 0.8,  0.6,  "switched", "no",     _SEE),
    ("glm-4.1v-thinking-flash",                   "vision",  64*K, 32*K,  32*K, 0.8,  0.6,  "always",   "no",     _TIV),
    ("glm-4.1v-thinking-flashx",                  "vision",  64*K, 16*K,  16*K, 0.8,  0.6,  "always",   "no",     _TIV),
    ("glm-4v-flash",                              "vision",  16*K,  1*K,   1*K, 0.8,  0.6,  "never",    "no",     _TI),
    ("glm-4v-plus-0111",                          "vision",  16*K,  1*K,   8*K, 0.8,  0.6,  "never",    "no",     _TIV),
    ("glm-4-flash-250414 glm-4-flashx-250414",      "text", 128*K, 32*K,  32*K, 0.75, 0.9,  "never",    "whole",  _T),
    ("glm-4-air-250414",                            "text", 128*K, 16*K,  16*K, 0.75, 0.9,  "never",    "whole",  _T),
    ("glm-4-plus glm-4-air glm-4-airx glm-4-flash glm-4-flashx",
                                                    "text", 128*K, None,  4095, 0.75, 0.9,  "never",    "whole",  _T),
    ("glm-4-long",                                  "text",   1*M, None,   4*K, 0.75, 0.9,  "never",    "whole",  _T),
    ("glm-4-32b-0414-128k",                         "text", 128*K, None,  16*K, 0.75, 0.9,  "never",    "whole",  _T),
    ("glm-4-0520",                                  "text",  None, None,  None, None, None, "never",    None,     _T),
    ("glm-4-voice",                                "voice",   8*K,  1*K,   4*K, 0.8,  0.6,  "never",    "no",     _TA),
    ("charglm-4 emohaa",                       "role-play",   8*K,  1*K,   4*K, 0.95, 0.7,  "never",    "no",     _T),
    ("autoglm-phone autoglm-phone-multilingual",   "agent",  20*K, None,   2*K, 0.0,  0.85, None,       "whole",  _TI),
    ("codegeex-4",                                  "code", 128*K, None,  32*K, None, None, None,       None,     _T),
)
_CN: Final = ("CN",)
_BOTH: Final = ("CN", "INTL")
_OTHERS: Final[tuple[tuple[Kind, tuple[Modality, ...], Modality, tuple[Platform, ...], str], ...]] = (
    # kind            inputs                     output    platforms ids
    ("embedding",     _T,                        "vector", _CN,   "embedding-3 embedding-2"),
    ("rerank",        _T,                        "score",  _CN,   "rerank rerank-pro"),
    ("moderation",    (*_TIV, "audio"),          "label",  _CN,   "moderation"),
    ("image",         _T,                        "image",  _BOTH, "glm-image cogview-4-250304"),
    ("image",         _T,                        "image",  _CN,   "cogview-4 cogview-3-flash"),
    ("video",         _TI,                       "video",  _BOTH, "cogvideox-3 cogvideox-2 cogvideox-flash"),
    ("video",         _T,                        "video",  _BOTH, "viduq1-text"),
    ("video",         _TI,                       "video",  _BOTH, "viduq1-image viduq1-start-end"),
    ("video",         _TI,                       "video",  _BOTH, "vidu2-image vidu2-start-end vidu2-reference"),
    ("transcription", ("audio",),                "text",   _BOTH, "glm-asr-2512 glm-asr"),
    ("speech",        _T,                        "audio",  _CN,   "glm-tts cogtts"),
    ("voice-clone",   _TA,                       "audio",  _CN,   "glm-tts-clone"),
    ("ocr",           ("image", "file"),         "text",   _BOTH, "glm-ocr"),
    ("realtime",      ("text", "audio", "video"), "audio", _CN,   "glm-realtime-flash glm-realtime-air"),
    ("agent",         ("text", "file"),          "text",   _CN,   "glm-4-assistant glm-4-alltools"),
    ("search",        _T,                        "text",   _CN,   "web-search-pro"),
)
_MORE: Final[tuple[tuple[str, object, str], ...]] = (  # field, its value, ids
    ("platforms", _CN, "glm-5-turbo glm-4-0520 autoglm-phone"),
    ("platforms", ("INTL",), "glm-4.5-x glm-4.5v glm-4-32b-0414-128k autoglm-phone-multilingual"),
    ("free", True, "glm-4.7-flash glm-4.6v-flash glm-4.5-flash glm-4.1v-thinking-flash glm-4v-flash "
     "glm-4-flash-250414 cogview-3-flash cogvideox-flash"),
    ("async_chat", True, "glm-5.2 glm-5.1 glm-5 glm-5-turbo glm-5v-turbo glm-4.7 glm-4.6 glm-4.6v glm-4.6v-flash "
     "glm-4.6v-flashx glm-4.5-air glm-4.5-airx glm-4.5-flash glm-4.1v-thinking-flash glm-4.1v-thinking-flashx "
     "glm-4v-flash glm-4-flash-250414 glm-4-flashx-250414 glm-4-voice charglm-4 emohaa"),
    ("async_chat", False, "glm-4.7-flash glm-4.7-flashx autoglm-phone"),
    ("efforts", ("low", "high", "max"), "glm-5.3 glm-5.3-flash glm-5.3-flashx"),
    ("efforts", EFFORTS, "glm-5.2"),
    ("context", 3 * K, "embedding-3"),
    ("context", 512, "embedding-2"),
    ("dimensions", (2048, 1024, 512, 256), "embedding-3"),
    ("dimensions", (1024,), "embedding-2"),
    ("outputs", _TA, "glm-4-voice glm-realtime-flash glm-realtime-air"),
    ("note", "being retired", "glm-4.5-flash"),
    ("note", "older", "glm-4-plus glm-4-air glm-4-airx glm-4-flash glm-4-flashx glm-4-long glm-4v-plus-0111 glm-asr "
     "cogtts"),
    ("note", "older, named by the tokenizer only", "glm-4-0520"),
    ("note", "one image, by URL only", "glm-4v-flash"),
    ("note", "needs meta", "emohaa"),
    ("note", "for knowledge bases", "rerank-pro"),
    ("note", "legacy, /assistant only", "glm-4-assistant glm-4-alltools"),
    ("note", "legacy, /tools only", "web-search-pro"),
    ("unverified", ("tool_stream",), "glm-5.3-flash glm-5.3-flashx"),
    ("unverified", ("tools",), "glm-5v-turbo"),
    ("unverified", ("context",), "glm-4.5v glm-4-voice charglm-4 emohaa"),
    ("unverified", ("temperature", "top_p", "inputs"), "glm-4v-flash"),
    ("unverified", ("context", "temperature", "top_p"), "glm-4v-plus-0111"),
    ("unverified", ("max_output", "thinking_types"), "glm-4.1v-thinking-flash"),
    ("unverified", ("thinking_types",), "glm-4.1v-thinking-flashx"),
    ("unverified", ("max_output",), "glm-4-flash-250414 glm-4-flashx-250414"),
    ("unverified", ("inputs",), "glm-4-assistant glm-4-alltools"),
    ("unverified", ("max_output", "inputs"), "autoglm-phone autoglm-phone-multilingual"),
)
# fmt: on


def _models() -> Iterator[ModelInfo]:
    more: dict[str, dict[str, Any]] = {}
    for field, value, ids in _MORE:
        for id in ids.split():
            more.setdefault(id, {})[field] = value
    for ids, kind, context, default, largest, temperature, top_p, thinking, tools, inputs in _CHAT:
        plain = ModelInfo(
            id="", kind=kind, context=context, default_output=default, max_output=largest, temperature=temperature,
            top_p=top_p, thinking=thinking, efforts=(), inputs=inputs,
            tools=None if tools is None else tools != "no", tool_stream=None if tools is None else tools == "stream",
        )  # fmt: skip
        yield from (replace(plain, id=id, **more.get(id, {})) for id in ids.split())
    for kind, inputs, output, platforms, ids in _OTHERS:
        plain = ModelInfo(id="", kind=kind, inputs=inputs, outputs=(output,), platforms=platforms)
        yield from (replace(plain, id=id, **more.get(id, {})) for id in ids.split())


MODELS: Final[Mapping[str, ModelInfo]] = MappingProxyType({info.id: info for info in _models()})
"""The documented models by id."""


def find(model: str) -> ModelInfo | None:
    """What is known of a model, by its id in upper or lower case, and of viduq1-* and vidu2-*; None for all others."""
    id = model.lower()
    series = ModelInfo(id=id, kind="video", outputs=("video",)) if id.startswith(("viduq1-", "vidu2-")) else None
    return MODELS.get(id, series)


def least_thinking(model: str) -> dict[str, Any]:
    """The arguments with which a model thinks as little as it can be told to; {} where nothing is to be told."""
    info = find(model)
    if info and "disabled" in info.thinking_types:
        return {"thinking": {"type": "disabled"}}
    return {"reasoning_effort": info.efforts[0]} if info and info.efforts else {}


def hints(model: str, arguments: Mapping[str, Any]) -> list[str]:
    """A sentence for each argument that the table says the model refuses; [] for unknown models. Changes nothing."""
    info = find(model)
    found = _objections(info, arguments) if info else ()
    return [f"{model} {text}{' (unverified)' if info and field in info.unverified else ''}" for field, text in found]


def _objections(info: ModelInfo, arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The field of the table that objects ("" for the rules of all models), and what it says."""
    get = arguments.get
    if info.dimensions and get("dimensions") not in (None, *info.dimensions):
        yield "dimensions", f"gives {' or '.join(map(str, info.dimensions))} dimensions, not {get('dimensions')!r:.40}"
    if info.kind not in (*CHAT, "search"):
        if get("messages") is not None:
            yield "kind", f"is for {info.kind}, not for chat"
        return
    thinking, effort, form = _member(get("thinking"), "type"), get("reasoning_effort"), get("response_format")
    if info.thinking == "always" and thinking == "disabled":
        yield "thinking_types", "always thinks; thinking disabled is refused"
    elif info.thinking_types and thinking not in (None, *info.thinking_types):
        yield "thinking_types", f"takes thinking type {' or '.join(info.thinking_types)}, not {thinking!r:.40}"
    elif info.thinking == "never" and get("thinking") is not None:
        yield "thinking", "does not take thinking"
    if info.efforts and effort not in (None, *info.efforts):
        yield "efforts", f"takes reasoning_effort {', '.join(info.efforts)}, not {effort!r:.40}"
    elif info.efforts == () and effort is not None:
        yield "efforts", "does not take reasoning_effort"
    for field, name, least in (("max_output", "max_tokens", 1), ("", "temperature", 0), ("", "top_p", 0.01)):
        value, most = get(name), info.max_output if field else 1
        if most is not None and isinstance(value, (int, float)) and not least <= value <= most:
            yield field, f"takes {name} from {least} to {most}, not {value!r:.40}"
    if get("temperature") == 0 and info.thinking == "never" and get("do_sample") is not False:
        yield "", "may refuse temperature 0, as older models did; do_sample False asks for the same"
    for name in ("tools", "tool_stream"):
        if getattr(info, name) is False and get(name):
            yield name, f"does not take {name}"
    if form is not None and info.kind in ("vision", "voice", "role-play"):
        yield "kind", "does not take response_format"
    elif _member(form, "type") not in (None, "text", "json_object"):
        yield "kind", f"takes response_format text or json_object, not {_member(form, 'type')!r:.40}"
    parts = (part for message in _items(get("messages")) for part in _items(_member(message, "content")))
    for modality in sorted({_PARTS.get(str(_member(part, "type")), "text") for part in parts} - {*info.inputs}):
        yield "inputs", f"takes no {modality} in messages"


def _items(value: object) -> Sequence[object]:
    return cast("Sequence[object]", value) if isinstance(value, (list, tuple)) else ()


def _member(value: object, name: str) -> object:
    """A member of a JSON object, given as a mapping or as a struct whose tag tells its type."""
    if isinstance(value, Mapping):
        return cast("Mapping[str, object]", value).get(name)
    tagged = getattr(value, "__struct_config__", None)
    return tagged.tag if tagged and tagged.tag_field == name else getattr(value, name, None)
