"""A scripted service: what it answers, and what it says of what it was asked."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import ANY

import pytest

from tests.conftest import SHORT_SLEEPS
from zhipu_async import (
    AsyncZhipuAI,
    BadRequestError,
    ConnectionLost,
    RateLimitError,
    StreamTruncated,
    ZhipuError,
    types,
)
from zhipu_async.simulator import Delivery, Json, Reply, Scenario, SeenRequest
from zhipu_async.testing import GLMSimulator, LoopThread

HELLO = [{"role": "user", "content": "Hello there"}]


@pytest.fixture(scope="module")
def thread() -> Iterator[LoopThread]:
    """One for all tests."""
    with LoopThread() as thread:
        yield thread


@pytest.fixture
def service(thread: LoopThread) -> Iterator[GLMSimulator]:
    """A service that is not strict, and not verified at the end."""
    with GLMSimulator(thread=thread) as service:
        yield service


async def ask(service: GLMSimulator, *, retries: int = 2, **changes: Any) -> Any:
    """One chat call; a stream is read to its end."""
    asked: dict[str, Any] = {"model": "glm-4.6", "messages": HELLO, **changes}
    async with AsyncZhipuAI(
        service.api_key, base_url=service.base_url, retry=SHORT_SLEEPS, max_retries=retries
    ) as client:
        answer = await client.chat.completions.create(**asked)
        return await answer.until_done() if asked.get("stream") else answer


def said(service: GLMSimulator, check: Callable[[], object]) -> str:
    """What the AssertionError of a check says."""
    with pytest.raises(AssertionError) as caught:
        check()
    return str(caught.value)


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize("stream", [None, True])
async def test_the_model_says_what_it_is_told(service: GLMSimulator, stream: bool | None) -> None:
    """Text, reasoning, tool calls and pieces arrive, plain or as a stream, one answer for each request in order."""
    service.answers("Hi!", reasoning="A greeting.").calls_tool("get_weather", city="Paris").streams("a", "b", "c")
    first, second, third = [await ask(service, stream=stream) for _ in range(3)]
    assert (first.text, first.reasoning) == ("Hi!", "A greeting.")
    (call,) = second.tool_calls
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city":"Paris"}')
    assert third.text == "abc"
    service.verify()


async def test_refusals_are_repeated_and_errors_come_as_they_would(service: GLMSimulator) -> None:
    """A refusal for load is repeated by the client; a request gets a code of its own, and Retry-After with it."""
    service.refuses("1302").answers("Hi!").refuses("1305", times=2).refuses("9999", status=400, message="odd")
    assert (await ask(service)).text == "Hi!"
    with pytest.raises(ZhipuError, match="1305"):
        await ask(service, retries=1)
    with pytest.raises(BadRequestError, match="odd"):
        await ask(service)
    service.refuses("1302", retry_after=0.25)
    with pytest.raises(RateLimitError) as caught:
        await ask(service, retries=0)
    assert caught.value.retry_after == 0.25
    assert [request.status for request in service.requests] == [429, 200, 429, 429, 400, 429]


async def test_streams_and_answers_are_cut_off(service: GLMSimulator) -> None:
    """A stream has its first events and ends in an error; a plain answer, or no answer at all, is a lost connection."""
    service.cuts_after(3).cuts_after(3).hangs_up().hangs_up(reset=True)
    with pytest.raises(StreamTruncated) as caught:
        await ask(service, stream=True)
    assert caught.value.partial.text == "This answer is"
    for _ in range(3):
        with pytest.raises(ConnectionLost):
            await ask(service, retries=0)
    service.verify()


async def test_any_answer_of_the_simulator_and_functions(service: GLMSimulator) -> None:
    """`gives` takes every kind of answer, and functions of the request; `times` is the answer's or its own."""
    service.gives(Reply("Again", times=2)).gives(lambda request: Reply(request.prompt.upper()), times=None)
    texts = [(await ask(service)).text for _ in range(4)]
    assert texts == ["Again", "Again", "HELLO THERE", "HELLO THERE"]
    service.verify()


async def test_rules_answer_requests_of_their_kind(service: GLMSimulator) -> None:
    """The first rule that fits and has answers left gives one; then comes what is for all; then the default."""
    service.answers("for all")
    service.when(model="glm-4.6", prompt="weather").answers("Sunny")
    service.when(lambda request: len(request.messages) == 2).answers("two")
    service.when(prompt=re.compile(r"wea\w+")).answers("Cloudy", times=None)
    weather = [{"role": "user", "content": "The weather?"}]
    assert (await ask(service)).text == "for all"
    assert [(await ask(service, messages=weather)).text for _ in range(3)] == ["Sunny", "Cloudy", "Cloudy"]
    assert (await ask(service, messages=[{"role": "system", "content": "x"}, *HELLO])).text == "two"
    assert "Hello there" in (await ask(service)).text
    service.verify()


async def test_delays_are_kept(service: GLMSimulator) -> None:
    """`after` is the time to the first byte, `pause` that between two events: neither is shorter than it says."""
    service.streams("a", "b", "c", after=0.05, pause=0.02)
    begun = asyncio.get_running_loop().time()
    await ask(service, stream=True)
    assert asyncio.get_running_loop().time() - begun >= 0.05 + 3 * 0.02


async def test_limits_come_from_the_scenario(thread: LoopThread) -> None:
    """Keys, further models and answers of a scenario count; its answers come before those of the script."""
    scenario = Scenario(api_keys=["k.secret"], models=["mine"], replies=[Reply("first")])
    with GLMSimulator(scenario, thread=thread) as service:
        service.answers("second")
        assert service.api_key == "k.secret"
        assert [(await ask(service, model="mine")).text for _ in range(2)] == ["first", "second"]
    with GLMSimulator(Scenario(replies=lambda _: Reply("made")), thread=thread) as service:
        assert (await ask(service)).text == "made"


def test_a_test_without_a_loop_of_its_own() -> None:
    """The service runs in a thread: `asyncio.run` in code under test asks it, twice on two loops."""
    with GLMSimulator() as service:
        service.answers("one").answers("two")
        assert [asyncio.run(ask(service)).text for _ in range(2)] == ["one", "two"]
    with service:  # entered again, it goes on where it was
        assert asyncio.run(ask(service.answers("three"))).text == "three"
    assert len(service.requests) == 3


# ---------------------------------------------------------------- requests


async def test_requests_are_found_by_their_fields(service: GLMSimulator) -> None:
    """Fields, the end of the path, a part of the prompt, patterns, structs, `ANY` and `approx` are compared."""
    await ask(service, temperature=0.2, messages=[{"role": "system", "content": "Be brief."}, *HELLO])
    found = service.assert_called_once(
        method="POST",
        path="/chat/completions",
        model="glm-4.6",
        temperature=pytest.approx(0.2),
        prompt="there",
        messages=[{"role": "system", "content": ANY}, types.messages.UserMessage(content="Hello there")],
    )
    assert found is service.requests[0]
    assert service.assert_called(prompt=re.compile("^Hello")) is found
    service.assert_not_called(model="glm-5")
    assert [message["role"] for message in found.messages] == ["system", "user"]


def seen(**fields: Any) -> SeenRequest:
    """A request with this body."""
    return SeenRequest(0, 1, "POST", "/", {}, {}, 0.0, body=fields)


@pytest.mark.parametrize(
    ("body", "prompt"),
    [
        ({}, ""),
        ({"messages": "no list"}, ""),
        ({"messages": [{"role": "system", "content": "a"}]}, ""),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}, "b"),
        ({"messages": [{"role": "user", "content": None}]}, ""),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}]}, "a"),
        ({"messages": [7, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "a"),
        ({"prompt": "a cat"}, "a cat"),
        ({"input": "a text"}, "a text"),
        ({"input": "a text", "prompt": "a cat"}, "a cat"),
        ({"input": ["a", "b"]}, ""),
        ({"messages": [{"role": "system", "content": "a"}], "prompt": "b"}, ""),
    ],
)
def test_the_prompt_is_what_the_last_user_message_says(body: dict[str, Any], prompt: str) -> None:
    """Its text or its text parts; without messages `prompt` or `input`; nothing where there is none."""
    assert seen(**body).prompt == prompt


async def test_a_prompt_of_an_image_is_one(service: GLMSimulator) -> None:
    """What a picture is made from is found by rules and assertions as what a message says is."""
    service.when(prompt="cat").refuses("1301")
    async with AsyncZhipuAI(service.api_key, base_url=service.base_url) as client:
        with pytest.raises(ZhipuError):
            await client.images.generate(model="cogview-4", prompt="a black cat")
    service.assert_called_once(path="/images/generations", prompt=re.compile("black"))
    service.assert_not_called(prompt="dog")


async def test_a_failed_assertion_says_what_was_sent(service: GLMSimulator) -> None:
    """It names what was expected, lists the requests, and shows of each the fields that differ, long ones as a diff."""
    await ask(service, temperature=0.7)
    text = said(
        service,
        lambda: service.assert_called_once(
            model="glm-4.6", temperature=0.2, top_p=0.5, messages=[{"role": "user", "content": "Hello here"}]
        ),
    )
    assert text.startswith("expected one request with model='glm-4.6', temperature=0.2, top_p=0.5, messages=[{'role'")
    for line in (
        "1 request was seen:\n  [0] POST /api/paas/v4/chat/completions -> 200 model='glm-4.6' prompt='Hello there'",
        "      temperature: 0.7, expected 0.2",
        "      top_p: not sent, expected 0.5",
        "      messages differs (- expected, + sent):",
        '      -    "content": "Hello here"\n      +    "content": "Hello there"',
    ):
        assert line in text
    assert "model: " not in text


async def test_a_diff_has_only_what_differs(service: GLMSimulator) -> None:
    """What is equal by its own measure, as `ANY` is, is no line of a diff; nor is the order of the keys."""
    await ask(service, messages=[{"content": "a", "role": "system"}, *HELLO])
    expected = [{"role": "system", "content": ANY}, {"role": "user", "content": "Bye"}, {"role": "user", "content": 1}]
    text = said(service, lambda: service.assert_called(messages=expected))
    changed = [line.strip() for line in text.splitlines() if line.strip()[0] in "+-" and "@@" not in line]
    assert changed == [
        '-    "content": "Bye"',
        "-  },",
        "-  {",
        '-    "role": "user",',
        '-    "content": 1',
        '+    "content": "Hello there"',
    ]


async def test_counts_are_told(service: GLMSimulator) -> None:
    """Too many, too few and unwanted requests are told as such; asking for none has a method of its own."""
    assert "expected a request, and there was none\nno request was seen" in said(service, service.assert_called)
    for _ in range(2):
        await ask(service)
    assert "expected one request, not 2\n2 requests were seen:" in said(service, service.assert_called_once)
    assert "expected 3 requests with stream=True, and there was none" in said(
        service, lambda: service.assert_called(3, stream=True)
    )
    assert "expected no request with model='glm-4.6'\n2 requests" in said(
        service, lambda: service.assert_not_called(model="glm-4.6")
    )
    with pytest.raises(ValueError, match="assert_not_called"):
        service.assert_called(0)


async def test_left_streams_can_be_waited_for(service: GLMSimulator) -> None:
    """`wait_until` returns when the simulator saw that the client left."""
    service.gives(Reply("abcdefgh", delivery=Delivery(pause=0.0, stops_after=3, then="hang")))
    async with AsyncZhipuAI(service.api_key, base_url=service.base_url) as client:
        async with await client.chat.completions.create(model="glm-4.6", messages=HELLO, stream=True) as stream:
            await anext(stream)
        await service.wait_until(lambda: service.requests[0].closed_by_peer)
    with pytest.raises(TimeoutError):
        await service.wait_until(lambda: len(service.requests) > 1, timeout=0.01)


# ---------------------------------------------------------------- what fails at the end


async def test_answers_that_nobody_asked_for_are_told(service: GLMSimulator) -> None:
    """Each is named as it was written, those of rules and those asked for too rarely too; `times=None` never counts."""
    service.answers("Hi!", times=3).refuses("1302").gives(Json({}), times=None)
    service.when(model="glm-5").calls_tool("f", x=1)
    await ask(service)
    assert service.complaints() == [
        "nobody asked for answers('Hi!'), 2 of 3",
        "nobody asked for refuses('1302')",
        "nobody asked for when(model='glm-5').calls_tool('f', x=1)",
    ]
    assert said(service, service.verify).endswith("model='glm-4.6' prompt='Hello there'")
    service.answers("x", times=None)
    with pytest.raises(ValueError, match="times must be at least 1"):
        service.answers("x", times=0)


async def test_strict_refuses_what_is_not_scripted(service: GLMSimulator) -> None:
    """The call fails at once, with a text that says what was asked, and `verify` fails too."""
    service.strict = True
    service.answers("Hi!")
    await ask(service)
    text = "no answer is scripted for POST /api/paas/v4/chat/completions model='glm-4.6', prompt='Hello there'"
    with pytest.raises(BadRequestError, match=re.escape(text)):
        await ask(service)
    assert len(service.requests) == 2
    assert service.complaints() == [text]


async def test_an_error_in_a_function_of_the_test_is_told(service: GLMSimulator) -> None:
    """What a condition or an answer raises is a complaint, not an answer of the service alone."""
    service.when(lambda request: request.headers["x-absent"] == "1").answers("never", times=None)
    with pytest.raises(BadRequestError, match="KeyError"):
        await ask(service)
    assert "a function of the script raised KeyError('x-absent')" in service.complaints()[0]


def no_answer(_: SeenRequest) -> Any:
    """What is easily written in a test."""
    return "Hello"


async def test_what_is_no_answer_is_told(service: GLMSimulator) -> None:
    """A text in the place of an answer is a TypeError at once, and from a function a complaint that shows it."""
    with pytest.raises(TypeError, match=r"use answers\(\)"):
        service.gives("Hello")  # type: ignore[arg-type]
    service.gives(no_answer)
    with pytest.raises(BadRequestError, match="TypeError"):
        await ask(service)
    (complaint,) = service.complaints()
    assert "gave 'Hello', not a Reply" in complaint


def test_a_thread_without_a_loop_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no event loop can be made, such as for want of file descriptors, entering fails and does not wait."""
    told: list[str] = []

    def too_many() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(asyncio.events, "new_event_loop", too_many)
    monkeypatch.setattr(threading, "excepthook", lambda failed: told.append(str(failed.exc_value)))
    with pytest.raises(RuntimeError, match="no event loop"), LoopThread():
        pass
    assert told == ["[Errno 24] Too many open files"]
