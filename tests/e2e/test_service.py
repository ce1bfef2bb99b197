"""The real service, asked with a real key: `E2E_ZHIPU_API_KEY=... pytest -m e2e`.

`E2E_ZHIPU_BASE_URL` names another endpoint (`zai`, or a URL), `E2E_ZHIPU_MODEL` another model. Every question is small.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from zhipu_async import (
    AsyncZhipuAI,
    AuthenticationError,
    FunctionDefinition,
    FunctionTool,
    Message,
    Thinking,
    ToolCallDelta,
    ToolMessage,
    UserMessage,
)

KEY = os.environ.get("E2E_ZHIPU_API_KEY", "")
BASE_URL = os.environ.get("E2E_ZHIPU_BASE_URL") or "bigmodel"
MODEL = os.environ.get("E2E_ZHIPU_MODEL") or "glm-4.7-flash"

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not KEY, reason="asks the real service: set E2E_ZHIPU_API_KEY"),
]

QUIET = Thinking(type="disabled")
WEATHER = FunctionTool(
    function=FunctionDefinition(
        name="get_weather",
        description="The weather of a city now.",
        parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    )
)


@pytest.fixture
async def client() -> AsyncIterator[AsyncZhipuAI]:
    """A client of the real service that gives up after a minute."""
    async with AsyncZhipuAI(KEY, base_url=BASE_URL, timeout=60, max_retries=4) as client:
        yield client


def asking(text: str, **more: Any) -> dict[str, Any]:
    """The arguments of a small call."""
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": 1024, **more}


async def test_a_plain_answer(client: AsyncZhipuAI) -> None:
    """A question is answered with text, an id, a finish reason and usage."""
    reply = await client.chat.completions.create(**asking("Reply with the word: pong", thinking=QUIET))
    assert "pong" in reply.text.lower()
    assert reply.finish_reason == "stop"
    assert reply.id
    assert reply.usage
    assert (reply.usage.total_tokens or 0) > 0


async def test_a_streamed_answer(client: AsyncZhipuAI) -> None:
    """A stream comes in pieces that make up its result, and ends whole."""
    stream = await client.chat.completions.create(**asking("Reply with: one two three", thinking=QUIET, stream=True))
    pieces = [text async for text in stream.text_deltas()]
    assert len(pieces) > 1
    assert stream.result.text == "".join(pieces)
    assert (stream.result.complete, stream.result.finish_reason, stream.damaged) == (True, "stop", 0)
    assert stream.result.usage
    assert 0 < (stream.timing.first_token or 0) <= (stream.timing.total or 0)


async def test_thinking(client: AsyncZhipuAI) -> None:
    """With thinking switched on there is reasoning before the text."""
    stream = await client.chat.completions.create(
        **asking("What is 17 * 19? Think first.", max_tokens=4096, thinking=Thinking(type="enabled"), stream=True)
    )
    reply = await stream.until_done()
    assert reply.reasoning
    assert reply.text


async def test_a_tool_call_in_pieces(client: AsyncZhipuAI) -> None:
    """The streamed arguments of a tool call are put together, and its result is understood."""
    question = "What is the weather in Tokyo? Use get_weather."
    messages: list[Message] = [UserMessage(question)]
    settings = asking(question, messages=messages, tools=[WEATHER], thinking=QUIET)
    stream = await client.chat.completions.create(**settings, stream=True, tool_stream=True)
    pieces = [event.arguments async for event in stream.events() if isinstance(event, ToolCallDelta)]
    (call,) = stream.result.tool_calls
    assert stream.result.finish_reason == "tool_calls"
    assert (call.function.name, call.function.arguments) == ("get_weather", "".join(pieces))
    assert "city" in json.loads(call.function.arguments)
    messages += [stream.result.message, ToolMessage(content='{"celsius": 21}', tool_call_id=call.id or "")]
    answer = await client.chat.completions.create(**settings)
    assert "21" in answer.text


async def test_signed_tokens(client: AsyncZhipuAI) -> None:
    """A token that was made from the key is accepted in its place."""
    if KEY.count(".") != 1:
        pytest.skip("tokens are made of keys in the form <id>.<secret>")
    reply = await client.with_options(auth="jwt").chat.completions.create(**asking("Say hello.", thinking=QUIET))
    assert reply.text


async def test_a_wrong_key(client: AsyncZhipuAI) -> None:
    """A key that nobody has is refused as such, without a repeat."""
    stranger = client.with_options(api_key="0" * 32 + "." + "0" * 16)
    with pytest.raises(AuthenticationError) as caught:
        await stranger.chat.completions.create(**asking("Hello"))
    assert caught.value.status == 401
    assert len(caught.value.attempts) == 1
