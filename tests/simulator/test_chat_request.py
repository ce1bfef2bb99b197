"""What is refused, and what is not, held against chat.md."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest

from zhipu_async.simulator import Scenario

from .asking import HELLO, WEATHER, Answered, Asker, simulated

HI = {"role": "user", "content": "hello"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
FILE = {"type": "file", "file": {"file_id": "file-1"}}
ROUND_TRIP: list[dict[str, Any]] = [
    {"role": "user", "content": "Weather in Tokyo?"},
    {
        "role": "assistant",
        "content": "",
        "reasoning_content": "...",
        "tool_calls": [
            {
                "id": "call_-7557876868716684177",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city":"Tokyo"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_-7557876868716684177", "content": '{"temp":21}'},
]
CALL_WITH_OBJECT = {"id": "c", "type": "function", "function": {"name": "f", "arguments": {}}}


def picture(size: int) -> dict[str, Any]:
    """An image part with so many bytes."""
    return {"type": "image_url", "image_url": {"url": base64.b64encode(bytes(size)).decode()}}


def function(**fields: Any) -> list[Any]:
    """The tools of a request with one function that has these fields."""
    return [{"type": "function", "function": {**WEATHER["function"], **fields}}]


ACCEPTED: list[dict[str, Any]] = [
    # the samples of section 8
    {"model": "glm-4.6", "messages": [HI], "thinking": {"type": "disabled"}, "temperature": 0.6},
    {"model": "glm-5.3", "messages": [HI], "reasoning_effort": "low", "stream": True, "tool_stream": True},
    {
        "model": "glm-4.6v",
        "messages": [{"role": "user", "content": [IMAGE, {"type": "text", "text": "What is this?"}]}],
    },
    # sections 2 and 3
    {"model": "glm-4.7", "messages": ROUND_TRIP},
    {"model": "glm-4.6", "messages": [ROUND_TRIP[0], ROUND_TRIP[1] | {"content": None}, ROUND_TRIP[2]]},
    {
        "model": "glm-4.7",
        "stream": False,
        "thinking": {"type": "enabled", "clear_thinking": False},
        "messages": [HI, {"role": "assistant", "content": "323.", "reasoning_content": "\nThe"}, HI],
    },
    {"model": "glm-4.6", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
    {"model": "glm-5.3-flash", "messages": [{"role": "user", "content": [FILE]}]},
    # section 1
    HELLO | {"temperature": 0, "top_p": 1, "max_tokens": 131072, "stop": ["a"], "request_id": "123456", "seed": 1},
    HELLO | {"thinking": None, "response_format": None},
    HELLO | {"temperature": 1.0, "stream_options": {"include_usage": True}, "unknown": {"a": None}},
    HELLO | {"response_format": {"type": "json_object"}, "do_sample": False, "user_id": "user-1"},
    HELLO | {"tools": [WEATHER], "tool_choice": "auto"},
    HELLO | {"tools": [{"type": "retrieval", "retrieval": {"knowledge_id": "1"}}]},
    HELLO | {"tools": [{"type": "web_search", "web_search": {"search_engine": "search_std", "search_result": "True"}}]},
    HELLO | {"tools": [{"type": "mcp", "mcp": {"server_label": "s"}}]},
    HELLO | {"model": "emohaa", "meta": {"user_info": "", "bot_info": "", "bot_name": "", "user_name": ""}},
]


@pytest.mark.parametrize("body", ACCEPTED)
async def test_accepted(ask: Asker, body: dict[str, Any]) -> None:
    """A request that the contract allows is answered."""
    answered = await ask.post(body)
    assert answered.status == 200, answered.body


REFUSED: list[tuple[str, Any]] = [
    ("1210", []),
    ("1210", "text"),
    ("1213", {}),
    ("1213", {"model": "glm-4.6"}),
    ("1213", {"messages": [HI]}),
    ("1211", HELLO | {"model": "glm-3"}),
    ("1214", HELLO | {"model": ""}),
    ("1214", HELLO | {"model": 4.6}),
    ("1214", HELLO | {"messages": []}),
    ("1214", HELLO | {"messages": "hello"}),
    ("1214", HELLO | {"messages": ["hello"]}),
    ("1214", HELLO | {"messages": [{"role": "system", "content": "x"}, {"role": "assistant", "content": "y"}]}),
    ("1214", HELLO | {"messages": [HI | {"role": "developer"}]}),
    ("1214", HELLO | {"messages": [{"content": "x"}]}),
    ("1214", HELLO | {"messages": [{"role": "user"}]}),
    ("1214", HELLO | {"messages": [{"role": "user", "content": None}]}),
    ("1214", HELLO | {"messages": [{"role": "user", "content": []}]}),
    ("1214", HELLO | {"messages": [{"role": "user", "content": 1}]}),
    ("1214", HELLO | {"messages": [HI, {"role": "tool", "content": "x"}]}),
    ("1214", HELLO | {"messages": [HI, {"role": "assistant", "tool_calls": [CALL_WITH_OBJECT]}, HI]}),
    ("1214", HELLO | {"messages": [{"role": "user", "content": [{"type": "image", "image": {}}]}]}),
    ("1214", HELLO | {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "extra": 1}]}]}),
    ("1214", HELLO | {"messages": [{"role": "user", "content": [IMAGE | {"image_url": "https://a"}]}]}),
    (
        "1214",
        HELLO
        | {"messages": [{"role": "user", "content": [IMAGE | {"image_url": {"url": "https://a", "detail": "low"}}]}]},
    ),
    ("1210", HELLO | {"messages": [{"role": "user", "content": [IMAGE]}]}),
    ("1210", HELLO | {"model": "glm-4v-flash", "messages": [{"role": "user", "content": [picture(3)]}]}),
    ("1210", HELLO | {"model": "glm-4v-flash", "messages": [{"role": "user", "content": [IMAGE, IMAGE]}]}),
    (
        "1210",
        HELLO
        | {
            "model": "glm-4.6v",
            "messages": [{"role": "user", "content": [IMAGE | {"image_url": {"url": "data:image/png,x"}}]}],
        },
    ),
    (
        "1210",
        HELLO
        | {"model": "glm-4.6v", "messages": [{"role": "user", "content": [IMAGE | {"image_url": {"url": "no!"}}]}]},
    ),
    ("1215", HELLO | {"model": "glm-5.3-flash", "messages": [{"role": "user", "content": [IMAGE, FILE]}]}),
    ("1214", HELLO | {"temperature": 1.01}),
    ("1214", HELLO | {"temperature": -0.1}),
    ("1214", HELLO | {"temperature": "0.5"}),
    ("1214", HELLO | {"temperature": True}),
    ("1214", HELLO | {"temperature": None}),
    ("1214", HELLO | {"top_p": 0}),
    ("1214", HELLO | {"max_tokens": 0}),
    ("1214", HELLO | {"max_tokens": 131073}),
    ("1214", HELLO | {"max_tokens": 1.5}),
    ("1214", HELLO | {"model": "charglm-4", "max_tokens": 4097}),
    ("1214", HELLO | {"stream": "true"}),
    ("1214", HELLO | {"request_id": "12345"}),
    ("1214", HELLO | {"request_id": "1" * 65}),
    ("1214", HELLO | {"user_id": "u" * 129}),
    ("1214", HELLO | {"stop": "word"}),
    ("1214", HELLO | {"stop": ["1", "2", "3", "4", "5"]}),
    ("1210", HELLO | {"thinking": {"type": "adaptive"}}),
    ("1214", HELLO | {"thinking": True}),
    ("1210", HELLO | {"model": "glm-5.3", "thinking": {"type": "disabled"}}),
    ("1210", HELLO | {"model": "glm-5.3-flashx", "thinking": {"type": "disabled"}}),
    ("1210", HELLO | {"model": "glm-5.3", "reasoning_effort": "medium"}),
    ("1210", HELLO | {"model": "glm-5.2", "reasoning_effort": "most"}),
    ("1210", HELLO | {"tool_choice": "none", "tools": [WEATHER]}),
    ("1214", HELLO | {"tool_choice": {"type": "function"}, "tools": [WEATHER]}),
    ("1210", HELLO | {"response_format": {"type": "json_schema"}}),
    ("1214", HELLO | {"tools": [WEATHER] * 129}),
    ("1214", HELLO | {"tools": [{"type": "other"}]}),
    ("1214", HELLO | {"tools": function(name="get weather")}),
    ("1214", HELLO | {"tools": function(name="x" * 65)}),
    ("1214", HELLO | {"tools": function(parameters="{}")}),
    ("1214", HELLO | {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}),
    ("1214", HELLO | {"tools": [{"type": "web_search", "web_search": {}}]}),
]


@pytest.mark.parametrize(("code", "body"), REFUSED)
async def test_refused(ask: Asker, code: str, body: Any) -> None:
    """A request that the contract forbids is refused with HTTP 400 and the code for it, streaming or not."""
    answered = await ask.post(body)
    assert (answered.status, answered.code) == (400, code), answered.body
    assert answered.json["error"]["message"]
    if isinstance(body, dict) and "stream" not in body:
        assert (await ask.post(body | {"stream": True})).code == code


@pytest.mark.parametrize("raw", [b"", b"{", b'{"model":"glm-4.6","temperature":NaN}', b"\xff", b"[" * 100_000])
async def test_malformed_json(ask: Asker, raw: bytes) -> None:
    """A body that is no JSON is refused with 1210."""
    answered = await ask.request("POST", "/chat/completions", data=raw)
    assert (answered.status, answered.code) == (400, "1210")


async def test_message_names_the_place(ask: Asker) -> None:
    """The message of a refusal says which field is wrong."""
    body = HELLO | {"messages": [HI, {"role": "user", "content": 1}]}
    assert (await ask.post(body)).json["error"]["message"] == "messages[1].content parameter is illegal"
    assert "messages" in (await ask.post({"model": "glm-4.6"})).json["error"]["message"]


async def test_more_models() -> None:
    """A scenario can add models, in any case."""
    async with simulated(Scenario(models=["My-Model"])) as ask:
        assert (await ask.hello(model="my-MODEL")).json["model"] == "my-model"
        assert (await ask.hello(model="other")).code == "1211"


@pytest.mark.parametrize("body", [{}, [], HELLO | {"temperature": 7}, HELLO | {"model": "llama"}])
async def test_without_checks(body: Any) -> None:
    """With `checks=False` nothing is refused, not even a missing key."""
    async with simulated(Scenario(checks=False)) as ask:
        answered = await ask.post(body, headers={"Authorization": ""})
        assert answered.status == 200
        assert answered.message["role"] == "assistant"


async def test_size_of_images(ask: Asker) -> None:
    """Twelve images of 5 MiB in one body are accepted, one with a byte more is refused."""

    async def show(*images: dict[str, Any]) -> Answered:
        body = {"model": "glm-4.6v", "messages": [{"role": "user", "content": images}]}
        return await ask.request("POST", "/chat/completions", data=io.BytesIO(json.dumps(body).encode()))

    answered = await show(*[picture(5 * 1024 * 1024)] * 12)
    assert "I see 12 images" in answered.message["content"]
    assert len(ask.sim.requests[0].raw) > 80 * 1024 * 1024
    assert (await show(picture(5 * 1024 * 1024 + 1))).code == "1210"
