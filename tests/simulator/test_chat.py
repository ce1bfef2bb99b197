"""The default answers, held against chat.md."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from zhipu_async.simulator import Scenario

from .asking import HELLO, TIME, WEATHER, Asker, simulated

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
ASKED = {"role": "user", "content": "What is the weather in Tokyo?"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}


async def test_plain_shape(ask: Asker) -> None:
    """A plain answer has the recorded keys in the recorded order, and no null."""
    answered = await ask.hello()
    body = answered.json
    assert answered.status == 200
    assert answered.headers["content-type"] == "application/json; charset=UTF-8"
    assert list(body) == ["id", "request_id", "created", "model", "object", "choices", "usage"]
    assert list(body["choices"][0]) == ["index", "finish_reason", "message"]
    assert list(answered.message) == ["role", "content", "reasoning_content"]
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["finish_reason"] == "stop"
    assert b"null" not in answered.body


async def test_ids(ask: Asker) -> None:
    """An id is 14 digits and hex, differs between answers, and is the request id where none was given."""
    first, second = (await ask.hello()).json, (await ask.hello()).json
    assert re.fullmatch(r"20\d{12}[0-9a-f]{16}", first["id"])
    assert first["id"] != second["id"]
    assert first["request_id"] == first["id"]
    assert isinstance(first["created"], int)


async def test_request_id_is_echoed(ask: Asker) -> None:
    """A request id is echoed in a plain answer and appears in no chunk."""
    body = (await ask.hello(request_id="mine-0001")).json
    assert body["request_id"] == "mine-0001" != body["id"]
    streamed = await ask.hello(request_id="mine-0001", stream=True)
    assert b"request_id" not in streamed.body


async def test_model_is_served_in_lower_case(ask: Asker) -> None:
    """An upper-case model id is accepted and answered in lower case."""
    assert (await ask.hello(model="GLM-4.6")).json["model"] == "glm-4.6"


async def test_usage_adds_up(ask: Asker) -> None:
    """Usage counts the reasoning within the completion, and the total is the sum."""
    usage = (await ask.hello()).json["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert 0 < usage["completion_tokens_details"]["reasoning_tokens"] < usage["completion_tokens"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 0}


async def test_answers_are_deterministic_and_in_the_users_language(ask: Asker) -> None:
    """The same request gets the same message, Chinese for Chinese."""
    english, again, chinese = [await ask.say(text) for text in ("Hello", "Hello", "你好")]
    assert english.message == again.message
    assert "Hello" in english.message["content"]
    assert "你好！" in chinese.message["content"]


@pytest.mark.parametrize(
    ("fields", "thinks"),
    [
        ({"model": "glm-4.6"}, True),
        ({"model": "glm-4.6", "thinking": {"type": "disabled"}}, False),
        ({"model": "glm-4.7", "thinking": {"type": "enabled", "clear_thinking": False}}, True),
        ({"model": "glm-5.3"}, True),
        ({"model": "glm-5.3-flash", "reasoning_effort": "low"}, False),
        ({"model": "glm-5.2", "reasoning_effort": "none"}, False),
        ({"model": "glm-5.2", "reasoning_effort": "medium"}, True),
        ({"model": "glm-4.1v-thinking-flash", "thinking": {"type": "disabled"}}, True),
        ({"model": "glm-4-plus"}, False),
        ({"model": "charglm-4"}, False),
    ],
)
async def test_thinking(ask: Asker, fields: dict[str, Any], thinks: bool) -> None:
    """A model thinks as section 3 says, and without thinking the key is absent."""
    answered = await ask.hello(**fields)
    assert ("reasoning_content" in answered.message) is thinks
    details = answered.json["usage"].get("completion_tokens_details")
    assert (
        (details is None)
        if fields["model"] in ("glm-4-plus", "charglm-4")
        else (details["reasoning_tokens"] > 0) is thinks
    )


async def test_tool_call(ask: Asker) -> None:
    """The first user turn with a tool is answered with a call whose arguments come from the text, as JSON text."""
    answered = await ask.say(ASKED["content"], tools=[WEATHER], tool_choice="auto")
    assert answered.json["choices"][0]["finish_reason"] == "tool_calls"
    assert answered.message["content"] == ""
    (call,) = answered.message["tool_calls"]
    assert call["id"].startswith("call_")
    assert call["index"] == 0
    assert call["type"] == "function"
    assert call["function"] == {"name": "get_weather", "arguments": '{"city":"Tokyo"}'}


async def test_two_named_functions_are_called_in_parallel(ask: Asker) -> None:
    """Functions that the user names are called all, each with an id and an index of its own."""
    answered = await ask.say("Use get_weather and get_time for 北京", tools=[TIME, WEATHER])
    calls = answered.message["tool_calls"]
    assert [call["index"] for call in calls] == [0, 1]
    assert [call["function"] for call in calls] == [
        {"name": "get_time", "arguments": "{}"},
        {"name": "get_weather", "arguments": '{"city":"北京"}'},
    ]
    assert calls[0]["id"] != calls[1]["id"]


async def test_tool_results_are_used(ask: Asker) -> None:
    """After the tool messages comes a text with their contents, and a later turn does not call again by itself."""
    call = (await ask.say(ASKED["content"], tools=[WEATHER])).message
    result = {"role": "tool", "tool_call_id": call["tool_calls"][0]["id"], "content": '{"temp":21}'}
    answered = await ask.hello(messages=[ASKED, call, result], tools=[WEATHER])
    assert "tool_calls" not in answered.message
    assert 'get_weather: {"temp":21}' in answered.message["content"]
    said = {"role": "assistant", "content": answered.message["content"]}
    later = await ask.hello(
        messages=[ASKED, call, result, said, {"role": "user", "content": "Thanks"}], tools=[WEATHER]
    )
    assert "tool_calls" not in later.message


async def test_models_without_tools_do_not_call(ask: Asker) -> None:
    """A role-play model answers with text where tools are offered."""
    assert "tool_calls" not in (await ask.hello(model="charglm-4", tools=[WEATHER])).message


@pytest.mark.parametrize(("limit", "keys"), [(3, ["reasoning_content"]), (10, ["content", "reasoning_content"])])
async def test_max_tokens(ask: Asker, limit: int, keys: list[str]) -> None:
    """Reasoning counts for `max_tokens`; where it takes all, there is no content key."""
    answered = await ask.hello(max_tokens=limit)
    assert answered.json["choices"][0]["finish_reason"] == "length"
    assert answered.json["usage"]["completion_tokens"] == limit
    assert sorted(answered.message.keys() - {"role"}) == keys


async def test_stop_word(ask: Asker) -> None:
    """The answer ends before a stop word."""
    answered = await ask.hello(stop=["am"])
    assert answered.message["content"] == "Hello! I "
    assert answered.json["choices"][0]["finish_reason"] == "stop"


async def test_unsafe_prompt(ask: Asker) -> None:
    """A prompt with the marker is refused with 1301, and `contentFilter` beside the error."""
    answered = await ask.say("[unsafe prompt]")
    assert (answered.status, answered.code) == (400, "1301")
    assert answered.json["contentFilter"] == [{"level": 1, "role": "user"}]


async def test_unsafe_answer() -> None:
    """An answer that content safety stops says so in finish_reason and content_filter."""
    async with simulated(Scenario(unsafe_answer="tell me")) as ask:
        body = (await ask.say("tell me")).json
        assert body["choices"][0]["finish_reason"] == "sensitive"
        assert body["content_filter"] == [{"level": 1, "role": "assistant"}]


async def test_json_object(ask: Asker) -> None:
    """With `json_object` the content is a JSON object, fitting a schema that the prompt spells out."""
    wanted = {"response_format": {"type": "json_object"}}
    assert json.loads((await ask.say("Hi, in JSON", **wanted)).message["content"]) == {"answer": "Hi, in JSON"}
    schema = SCHEMA | {"required": ["city", "days"]}
    fitting = await ask.say(f"Paris for 4 days, as JSON of the schema {json.dumps(schema)}", **wanted)
    assert json.loads(fitting.message["content"]) == {"city": "Paris", "days": 4}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://example.com/a.png", "https://example.com/a.png"),
        ("data:image/webp;base64," + base64.b64encode(PNG).decode(), "image/webp, 108 bytes"),
        (base64.b64encode(PNG).decode(), "image/png, 108 bytes"),
    ],
)
async def test_images_are_acknowledged(ask: Asker, url: str, said: str) -> None:
    """A vision model says how many images it sees, with type and size of what is in the request itself."""
    image = {"type": "image_url", "image_url": {"url": url}}
    answered = await ask.say([image, {"type": "text", "text": "What?"}], model="glm-4.6v")
    assert answered.message["content"] == f"I see 1 image: {said}."


async def test_web_search(ask: Asker) -> None:
    """The web_search tool puts results beside the choices if they are wanted."""
    search = {"enable": True, "search_engine": "search_pro", "search_result": True}
    answered = await ask.hello(tools=[{"type": "web_search", "web_search": search}])
    (result,) = answered.json["web_search"]
    assert result.keys() == {"icon", "title", "link", "media", "publish_date", "content", "refer"}
    silent = await ask.hello(tools=[{"type": "web_search", "web_search": search | {"search_result": False}}])
    assert "web_search" not in silent.json


async def test_voice(ask: Asker) -> None:
    """glm-4-voice answers with a transcript and a WAV file in base64."""
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    answered = await ask.say([{"type": "text", "text": "Hello"}, sound], model="glm-4-voice")
    assert answered.message["audio"].keys() == {"id", "data", "expires_at"}
    assert base64.b64decode(answered.message["audio"]["data"]).startswith(b"RIFF")
    assert answered.message["content"]


async def test_models_endpoint(ask: Asker) -> None:
    """`GET /models` lists models in the recorded shape, on the coding plan's root too."""
    for url in ("/models", "/api/coding/paas/v4/models"):
        listed = (await ask.request("GET", url)).json
        assert listed["object"] == "list"
        assert {"id": "glm-4.5", "object": "model", "owned_by": "z-ai"} in listed["data"]


async def test_coding_root(ask: Asker) -> None:
    """The coding plan's chat endpoint answers like the general one."""
    assert (await ask.post(HELLO, "/api/coding/paas/v4/chat/completions")).message["role"] == "assistant"
