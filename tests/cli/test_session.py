"""A conversation at a terminal."""

from __future__ import annotations

import pytest

from zhipu_async.simulator import Pace, Refusal, Reply, Scenario

from .conftest import Service
from .running import terminal

pytestmark = pytest.mark.heavy


async def test_a_session_remembers(service: Service) -> None:
    """The second question is sent with the first and its answer, reasoning included; /exit ends with 0."""
    simulator = await service(Scenario(replies=[Reply("I will.", reasoning="Noted."), Reply("Blue.")]))
    async with terminal("chat", "--system", "Be brief.") as person:
        await person.until("> ")
        person.type("Remember: blue.\n")
        await person.until("I will.\n> ")
        person.type("\nWhat did I say?\n")
        await person.until("Blue.\n> ")
        person.type("/exit\n")
        assert await person.end() == 0
    assert simulator.requests[1].get("messages") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Remember: blue."},
        {"role": "assistant", "content": "I will.", "reasoning_content": "Noted."},
        {"role": "user", "content": "What did I say?"},
    ]


async def test_the_end_of_input_ends_the_session(service: Service) -> None:
    """Ctrl-D at the prompt ends with 0."""
    await service()
    async with terminal("chat") as person:
        await person.until("> ")
        person.type("\x04")
        assert await person.end() == 0


async def test_ctrl_c_at_the_prompt_ends_the_session(service: Service) -> None:
    """Ctrl-C at the prompt ends with 130 and no traceback."""
    await service()
    async with terminal("chat") as person:
        await person.until("> ")
        await person.interrupt_prompt()
        assert await person.end() == 130
        assert "Traceback" not in person.text


async def test_ctrl_c_stops_an_answer_and_not_the_session(service: Service) -> None:
    """An answer that was stopped is forgotten with its question, its connection is freed, and the next one works."""
    simulator = await service(Scenario(replies=[Reply("so " * 1000), Reply("Short.")], pace=Pace(per_chunk=0.02)))
    async with terminal("chat") as person:
        await person.until("> ")
        person.type("Talk.\n")
        await person.until("so so")
        person.interrupt()
        await person.until("(stopped)\n> ")
        person.type("And now?\n")
        await person.until("Short.\n> ")
        person.type("/exit\n")
        assert await person.end() == 0
    assert simulator.requests[0].closed_by_peer
    assert simulator.requests[1].get("messages") == [{"role": "user", "content": "And now?"}]


async def test_an_error_does_not_end_the_session(service: Service) -> None:
    """What the service refuses is said, the question is forgotten, and the next one is answered."""
    simulator = await service(Scenario(replies=[Refusal("1301"), Reply("Fine.")]))
    async with terminal("chat") as person:
        await person.until("> ")
        person.type("Something bad\n")
        await person.until("1301")
        await person.until("> ", times=2)
        person.type("Something good\n")
        await person.until("Fine.\n> ")
        person.type("/exit\n")
        assert await person.end() == 0
    assert simulator.requests[1].get("messages") == [{"role": "user", "content": "Something good"}]


async def test_images_belong_to_the_first_question(service: Service) -> None:
    """The images of the command go with the first question only."""
    simulator = await service()
    async with terminal("chat", "--image", "https://example.com/a.png") as person:
        await person.until("> ")
        person.type("What is this?\n")
        await person.until("example.com/a.png.\n> ")
        person.type("Really?\n")
        await person.until("example.com/a.png.\n> ", times=2)
        person.type("/exit\n")
        assert await person.end() == 0
    first, _, second = simulator.requests[1].get("messages")
    assert [part["type"] for part in first["content"]] == ["image_url", "text"]
    assert second == {"role": "user", "content": "Really?"}


async def test_thinking_is_dim_at_a_terminal(service: Service) -> None:
    """At a terminal thinking is dimmed and the answer is not."""
    await service(Scenario(replies=[Reply("Answer", reasoning="Thought")]))
    async with terminal("chat", "Hi") as person:
        assert await person.end() == 0
        await person.until("Answer\n")
    assert "\x1b[2mThought\x1b[0m" in person.seen
    assert "\nAnswer\r\n" in person.seen


async def test_no_color_is_respected(service: Service) -> None:
    """With NO_COLOR a terminal gets no escape sequence either."""
    await service(Scenario(replies=[Reply("Answer", reasoning="Thought")]))
    async with terminal("chat", "Hi", env={"NO_COLOR": "1"}) as person:
        assert await person.end() == 0
        await person.until("Answer\n")
    assert "\x1b" not in person.seen


async def test_a_model_cannot_steer_the_terminal(service: Service) -> None:
    """Control characters in an answer do not reach a terminal."""
    await service(Scenario(replies=[Reply("a\x1b]0;title\x07b\x1b[2Jc\x9bd")]))
    async with terminal("chat", "Hi", env={"NO_COLOR": "1"}) as person:
        assert await person.end() == 0
        await person.until("c")
    assert person.text == "a]0;titleb[2Jcd\n"
