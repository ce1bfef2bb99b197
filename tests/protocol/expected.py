"""What the wire samples of streaming.md section 7 mean, written out. S7 comes in three layouts of our own making."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "samples"


@dataclass(frozen=True)
class Expected:
    """The chunks of a sample, as heads and what differs, and the folded result."""

    head: dict[str, Any]
    """The same in every chunk."""
    chunks: list[dict[str, Any]]
    """What one chunk has beside the head; the first choice's parts stand in the chunk itself."""
    message: dict[str, Any]
    finish_reason: str | None
    more: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the result has beside head and choice."""
    failure: str | None = None

    @property
    def whole_chunks(self) -> list[dict[str, Any]]:
        """The chunks as they are read."""
        return [
            {**self.head, "choices": [{name: chunk[name] for name in ("delta", "finish_reason") if name in chunk}]}
            | {name: value for name, value in chunk.items() if name not in ("delta", "finish_reason")}
            for chunk in self.chunks
        ]

    @property
    def result(self) -> dict[str, Any]:
        """The folded answer."""
        reason = {} if self.finish_reason is None else {"finish_reason": self.finish_reason}
        whole = {"object": "chat.completion"} if "object" in self.head else {}
        return self.head | whole | {"choices": [reason | {"message": {"role": "assistant"} | self.message}]} | self.more


def sample(name: str) -> bytes:
    """The bytes of a sample."""
    return (FOLDER / f"{name}.sse").read_bytes()


def _head(id: str, created: int, model: str, **more: str) -> dict[str, Any]:
    return {"id": id, "created": created, "model": model, **more}


def _delta(**fields: Any) -> dict[str, Any]:
    return {"delta": {"role": "assistant", **fields}}


def _call(function: dict[str, str], id: str | None = None, index: int = 0) -> dict[str, Any]:
    return {"index": index, **({"id": id} if id else {}), "type": "function", "function": function}


_OBJECT = {"object": "chat.completion.chunk"}
_S1_USAGE = {
    "prompt_tokens": 13,
    "completion_tokens": 59,
    "total_tokens": 72,
    "prompt_tokens_details": {"cached_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 49},
}
_S2_CALL = _call({"name": "wiki_search", "arguments": '{"q":"GLM"}'}, "call_6a61d9153a764ee7a01bdcef")
_S2_USAGE = {
    "prompt_tokens": 24636,
    "completion_tokens": 282,
    "total_tokens": 24918,
    "prompt_tokens_details": {"cached_tokens": 20160},
    "completion_tokens_details": {"reasoning_tokens": 231},
}
_S3_USAGE = {
    "prompt_tokens": 171,
    "completion_tokens": 60,
    "total_tokens": 231,
    "prompt_tokens_details": {"cached_tokens": 0},
}
_S4_CALL = _call({"name": "get_time", "arguments": "{}"}, "call_-8123456789012345678", index=-1)
_S4_USAGE = {
    "prompt_tokens": 180,
    "completion_tokens": 20,
    "total_tokens": 200,
    "prompt_tokens_details": {"cached_tokens": 0},
}
_S7_HEAD = _head("20261001090000c1c2c3c4c5c6c7c8", 1790816400, "glm-4.7", **_OBJECT)
_S7_CALLS = [
    _call({"name": "get_weather", "arguments": '{"city":"北京"}'}, "call_a"),
    _call({"name": "get_time", "arguments": '{"zone":"Asia/Shanghai"}'}, "call_b", index=1),
]
_S7_USAGE = {
    "prompt_tokens": 180,
    "completion_tokens": 44,
    "total_tokens": 224,
    "prompt_tokens_details": {"cached_tokens": 0},
}
_S7_END = {"finish_reason": "tool_calls", **_delta(content=""), "usage": _S7_USAGE}
_S7: dict[str, Any] = {
    "message": {"content": "", "tool_calls": _S7_CALLS},
    "finish_reason": "tool_calls",
    "more": {"usage": _S7_USAGE},
}
_S8_PAGE = {
    "icon": "https://example.com/i.png",
    "title": "...",
    "link": "https://example.com",
    "media": "...",
    "publish_date": "2026-10-01",
    "content": "...",
    "refer": "ref_1",
}
_NO_FINISH = "StreamTruncated: the stream ended without a finish reason"

SAMPLES: dict[str, Expected] = {
    "S1": Expected(
        _head("20260323160404f91d4991ff6c48a3", 1774253044, "glm-4.7", **_OBJECT),
        [
            _delta(reasoning_content="The"),
            _delta(reasoning_content=" user"),
            _delta(reasoning_content=".\n"),
            _delta(content="2"),
            _delta(content=" +"),
            {"finish_reason": "stop", **_delta(content=""), "usage": _S1_USAGE},
        ],
        {"content": "2 +", "reasoning_content": "The user.\n"},
        "stop",
        {"usage": _S1_USAGE},
    ),
    "S2": Expected(
        _head("20260823101500a1b2c3d4e5f60718", 1787451300, "glm-5.3", **_OBJECT),
        [
            _delta(reasoning_content="I should search."),
            {"delta": {"tool_calls": [_S2_CALL]}},
            {"finish_reason": "tool_calls", **_delta(content=""), "usage": _S2_USAGE},
        ],
        {"content": "", "reasoning_content": "I should search.", "tool_calls": [_S2_CALL]},
        "tool_calls",
        {"usage": _S2_USAGE},
    ),
    "S3": Expected(
        _head("20260924170643c06bcfffa5d44648", 1790240803, "glm-5.3-flash", **_OBJECT),
        [
            _delta(tool_calls=[_call({"name": "get_weather", "arguments": '{"'}, "call_4f2c9a51b7de4c0d9f3e")]),
            _delta(tool_calls=[_call({"arguments": "city"})]),
            _delta(tool_calls=[_call({"arguments": '":"北京"}'})]),
            {"finish_reason": "tool_calls", **_delta(content=""), "usage": _S3_USAGE},
        ],
        {
            "content": "",
            "tool_calls": [_call({"name": "get_weather", "arguments": '{"city":"北京"}'}, "call_4f2c9a51b7de4c0d9f3e")],
        },
        "tool_calls",
        {"usage": _S3_USAGE},
    ),
    "S4": Expected(
        _head("20250914120000aaaaaaaaaaaa4001", 1757822400, "glm-4.5-flash"),
        [
            _delta(content="", reasoning_content="\n"),
            {"finish_reason": "tool_calls", **_delta(tool_calls=[_S4_CALL])},
            {"finish_reason": "tool_calls", **_delta(content=""), "usage": _S4_USAGE},
        ],
        {"content": "", "reasoning_content": "\n", "tool_calls": [_S4_CALL]},
        "tool_calls",
        {"usage": _S4_USAGE},
    ),
    "S5": Expected(
        _head("202510181239034578873d49744455", 1760762344, "glm-4.6"),
        [_delta(content="\n")],
        {"content": "\n"},
        None,
        failure=_NO_FINISH,
    ),
    "S6": Expected(
        _head("20261001090000b1b2b3b4b5b6b7b8", 1790816400, "glm-5.3", **_OBJECT),
        [_delta(content="Once upon"), {"finish_reason": "network_error", **_delta(content="")}],
        {"content": "Once upon"},
        "network_error",
    ),
    "S7_one_delta": Expected(_S7_HEAD, [_delta(tool_calls=_S7_CALLS), _S7_END], **_S7),
    "S7_two_deltas": Expected(_S7_HEAD, [*(_delta(tool_calls=[call]) for call in _S7_CALLS), _S7_END], **_S7),
    "S7_interleaved": Expected(
        _S7_HEAD,
        [
            _delta(tool_calls=[_call({"name": "get_weather", "arguments": '{"'}, "call_a")]),
            _delta(tool_calls=[_call({"name": "get_time"}, "call_b", index=1)]),
            _delta(tool_calls=[_call({"arguments": 'city":"'})]),
            _delta(tool_calls=[_call({"arguments": '{"zone"'}, index=1), _call({"arguments": "北京"})]),
            _delta(tool_calls=[_call({"arguments": ':"Asia/'}, index=1)]),
            _delta(tool_calls=[_call({"arguments": '"}'})]),
            _delta(tool_calls=[_call({"arguments": 'Shanghai"}'}, index=1)]),
            _S7_END,
        ],
        **_S7,
    ),
    "S8": Expected(
        _head("...", 1790816400, "glm-4.6"),
        [{**_delta(content=""), "web_search": [_S8_PAGE]}],
        {"content": ""},
        None,
        {"web_search": [_S8_PAGE]},
        failure=_NO_FINISH,
    ),
}
