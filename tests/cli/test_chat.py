"""One question on the command line, and what comes on which stream."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from zhipu_async.simulator import Delivery, HangUp, Pace, Refusal, Reply, Scenario

from .conftest import Service
from .running import PATIENCE, command, environment, finish, process_of, run

pytestmark = pytest.mark.heavy

SKY = Reply("Because of Rayleigh.", reasoning="Light is scattered.")


async def test_the_answer_alone_is_standard_output(service: Service) -> None:
    """Standard output has the answer and a line end; thinking is on standard error; a pipe gets no escape sequence."""
    simulator = await service(Scenario(replies=[SKY]))
    done = await run("chat", "Why is the sky blue?")
    assert (done.code, done.output) == (0, "Because of Rayleigh.\n")
    assert done.errors == "thinking: Light is scattered.\n"
    assert simulator.requests[0].body == {
        "model": "glm-4.7-flash",
        "messages": [{"role": "user", "content": "Why is the sky blue?"}],
        "stream": True,
    }


@pytest.mark.parametrize("arguments", [[], ["-"]])
async def test_a_question_from_standard_input(service: Service, arguments: list[str]) -> None:
    """Without a question, or with -, standard input is asked, without the blanks around it."""
    simulator = await service()
    done = await run("chat", *arguments, stdin="你好吗？\n".encode())
    assert done.code == 0
    assert simulator.requests[0].get("messages") == [{"role": "user", "content": "你好吗？"}]
    assert "你好吗？" in done.output


async def test_options_reach_the_service(service: Service) -> None:
    """What was given is sent as it was given."""
    simulator = await service()
    done = await run(
        *("chat", "Hi", "--model", "glm-4.6", "--system", "Be brief.", "--no-thinking"),
        *("--max-tokens", "50", "--temperature", "0.3", "--timeout", "20"),
    )
    assert (done.code, done.errors) == (0, "")
    assert simulator.requests[0].body == {
        "model": "glm-4.6",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "thinking": {"type": "disabled"},
        "max_tokens": 50,
        "temperature": 0.3,
        "stream": True,
    }


async def test_the_base_url_of_the_command_wins(service: Service) -> None:
    """--base-url is asked rather than the address in the environment."""
    asked = await service()
    left_out = await service()
    done = await run("chat", "Hi", "--thinking", "--base-url", asked.base_url)
    assert (done.code, len(asked.requests), len(left_out.requests)) == (0, 1, 0)
    assert asked.requests[0].get("thinking") == {"type": "enabled"}


async def test_images_by_path_and_url(service: Service, tmp_path: Path) -> None:
    """Images go before the text, a file as data, and to a model that sees."""
    simulator = await service()
    picture = tmp_path / "photo.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n")
    address = "https://example.com/a.png"
    done = await run("chat", "--image", str(picture), "--image", address, "What is this?")
    assert done.code == 0
    assert simulator.requests[0].model == "glm-4.6v-flash"
    assert simulator.requests[0].get("messages")[0]["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        {"type": "image_url", "image_url": {"url": address}},
        {"type": "text", "text": "What is this?"},
    ]


async def test_json_is_one_object_and_nothing_else(service: Service) -> None:
    """--json prints one line that parses, with text, reasoning, usage and timing, and is silent on standard error."""
    await service(Scenario(replies=[SKY]))
    done = await run("chat", "--json", "Why?")
    answer = json.loads(done.output)
    assert (done.code, done.errors, done.output.count("\n")) == (0, "", 1)
    assert (answer["text"], answer["reasoning"]) == ("Because of Rayleigh.", "Light is scattered.")
    assert (answer["model"], answer["finish_reason"]) == ("glm-4.7-flash", "stop")
    assert answer["usage"]["completion_tokens"] > 0
    assert 0 <= answer["timing"]["first_token"] <= answer["timing"]["total"]


async def test_usage_is_said_on_standard_error(service: Service) -> None:
    """--usage adds a line with tokens and seconds."""
    await service()
    done = await run("chat", "--usage", "Hi")
    assert done.code == 0
    assert " completion tokens (" in done.errors
    assert ", first token 0." in done.errors


async def test_an_answer_that_was_cut_off_is_marked(service: Service) -> None:
    """A limit of tokens that was reached is said on standard error."""
    await service()
    done = await run("chat", "--no-thinking", "--max-tokens", "3", "Hi")
    assert done.code == 0
    assert done.errors == "(cut off: the limit of tokens was reached)\n"


# ---------------------------------------------------------------- what goes wrong


async def test_a_refusal_is_one_message_with_its_hint(service: Service) -> None:
    """What the service refuses ends with 1, one line that says what to do, no traceback, and no key."""
    simulator = await service(Scenario(replies=[Refusal("1113")]))
    done = await run("chat", "Hi")
    assert (done.code, done.output) == (1, "")
    assert done.errors.startswith("error: Insufficient balance")
    assert "1113" in done.errors
    assert "recharge" in done.errors
    assert done.errors.count("\n") == 1
    assert simulator.api_key not in done.errors


async def test_a_wrong_key_is_not_printed(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is refused ends with 1 and appears nowhere, not even with --debug."""
    await service()
    monkeypatch.setenv("ZHIPU_API_KEY", "my.secret")
    done = await run("--debug", "chat", "Hi")
    assert (done.code, done.output) == (1, "")
    assert "check the API key" in done.errors
    assert "CallFailed" in done.errors
    assert "secret" not in done.errors


async def test_no_connection_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody listens, the message says so."""
    monkeypatch.setenv("ZHIPU_API_KEY", "a.b")
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    address = "http://{}:{}".format(*server.sockets[0].getsockname())
    server.close()
    await server.wait_closed()
    done = await run("chat", "Hi", "--base-url", address)
    assert (done.code, done.output) == (1, "")
    assert done.errors.startswith(f"error: no connection to {address}")


async def test_a_stream_that_breaks_off_shows_what_came(service: Service) -> None:
    """The part that arrived stays on standard output, as a whole line; the error follows on the other."""
    await service(Scenario(replies=[Reply("One two three", delivery=Delivery(stops_after=2, pause=0.0, then="close"))]))
    done = await run("chat", "Hi")
    assert (done.code, done.output) == (1, "One two\n")
    assert done.errors.startswith("error: the stream")


async def test_a_model_that_broke_off_inside_the_service_is_an_error(service: Service) -> None:
    """The finish reason network_error ends with 1, though the stream itself was whole."""
    await service(Scenario(replies=[Reply("Once upon", finish_reason="network_error")]))
    done = await run("chat", "Hi")
    assert (done.code, done.output) == (1, "Once upon\n")
    assert "network_error" in done.errors


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        ([], b" \n", "the question is empty"),
        (["Hi", "--image", "/does/not/exist.png"], b"", "No such file"),
        (["Hi", "--timeout", "-1"], b"", "positive number of seconds"),
        (["Hi", "--base-url", "somewhere"], b"", "unknown endpoint"),
        ([], b"\xff\xfe", "not UTF-8"),
        (["Hi", "--temperature", "warm"], b"", "--temperature"),
        (["Hi", "--nonsense"], b"", "--nonsense"),
    ],
    ids=lambda value: None if isinstance(value, list) else str(value)[:20],
)
async def test_wrong_use_ends_with_2(service: Service, arguments: list[str], stdin: bytes, message: str) -> None:
    """Nothing is sent, standard output is empty, and the reason is said without a traceback."""
    simulator = await service()
    done = await run("chat", *arguments, stdin=stdin)
    assert (done.code, done.output, len(simulator.requests)) == (2, "", 0)
    assert message in done.errors
    assert "Traceback" not in done.errors


async def test_without_a_key_the_variables_are_named() -> None:
    """The message says which environment variables to set, and the exit code is 2."""
    done = await run("chat", "Hi")
    assert (done.code, done.output) == (2, "")
    assert "ZHIPU_API_KEY" in done.errors


async def test_ctrl_c_ends_with_130(service: Service) -> None:
    """Ctrl-C while an answer streams ends the command at once, cleanly, and frees the connection."""
    simulator = await service(Scenario(replies=[Reply("so " * 1000)], pace=Pace(per_chunk=0.05)))
    async with process_of(*command("chat", "Talk.")) as process:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            begun = await process.stdout.read(2)
        process.send_signal(signal.SIGINT)
        done = await finish(process)
    assert (done.code, done.errors) == (130, "")
    assert (begun.decode() + done.output).endswith("so\n")
    await simulator.wait_until(lambda: simulator.connections.open == 0)


async def test_a_reader_that_leaves_ends_the_command(service: Service) -> None:
    """Where the other end of the pipe is closed, the command ends as by SIGPIPE and without a traceback."""
    simulator = await service(Scenario(replies=[Reply("so " * 1000)], pace=Pace(per_chunk=0.01)))
    ours, theirs = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *command("chat", "Talk."), env=environment({}), stdout=theirs, stderr=asyncio.subprocess.PIPE
    )
    os.close(theirs)
    await simulator.wait_until(lambda: simulator.served == 1, PATIENCE)
    os.close(ours)
    done = await finish(process)
    assert (done.code, done.errors) == (141, "")


async def test_debug_logs_attempts(service: Service) -> None:
    """--debug says on standard error why an attempt failed, and how the call ended."""
    await service(Scenario(replies=[HangUp(), SKY]))
    done = await run("--debug", "chat", "Hi")
    assert (done.code, done.output) == (0, "Because of Rayleigh.\n")
    assert "attempt 1 failed" in done.errors
    assert "CallSucceeded" in done.errors
