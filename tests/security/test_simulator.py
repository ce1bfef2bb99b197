"""The simulator is for this machine, and lets in who has its key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import inspect
import json
import socket
from typing import Any

import pytest
import typer.main

from tests.cli.running import command, process_of
from tests.security.planted import KEY, PLAIN_KEY
from zhipu_async import AsyncZhipuAI, AuthenticationError
from zhipu_async.cli.app import app
from zhipu_async.protocol import token
from zhipu_async.simulator import Scenario, Simulator
from zhipu_async.simulator.authentication import DEFAULT_KEY


async def test_it_listens_on_the_loopback_alone() -> None:
    """By default, whatever the port: no other address of this machine answers."""
    async with Simulator() as sim:
        assert sim.origin.startswith("http://127.0.0.1:")
        port = int(sim.origin.rpartition(":")[2])
        assert [address[0] for address in sim._runner.addresses] == ["127.0.0.1"]  # type: ignore[union-attr]
        with socket.socket() as other:
            other.settimeout(0.5)
            assert other.connect_ex(("127.0.0.2", port)) != 0


def test_only_an_option_opens_it_to_others() -> None:
    """The class and the command have the same default, and no variable changes it."""
    assert inspect.signature(Simulator).parameters["host"].default == "127.0.0.1"
    command: Any = typer.main.get_command(app)
    [host] = [option for option in command.commands["simulate"].params if option.name == "host"]
    assert (host.default, host.envvar) == ("127.0.0.1", None)


OTHERS: dict[str, Any] = {
    "another key": KEY,
    "another kind of key": PLAIN_KEY,
    "a part of its key": DEFAULT_KEY[:-1],
    "its id alone": DEFAULT_KEY.partition(".")[0],
    "its key in other letters": DEFAULT_KEY.upper(),
    "a token with another secret": token.encode(f"{DEFAULT_KEY.partition('.')[0]}.x", expires=9**15, timestamp=0),
    "a token of another id": token.encode(f"x.{DEFAULT_KEY.partition('.')[2]}", expires=9**15, timestamp=0),
    "an expired token": token.encode(DEFAULT_KEY, expires=1, timestamp=0),
}


@pytest.mark.parametrize("other", OTHERS)
async def test_it_lets_nobody_in_by_accident(other: str) -> None:
    """Only its key, whole, and tokens that are signed with it."""
    async with Simulator() as sim, AsyncZhipuAI(OTHERS[other], base_url=sim.base_url, max_retries=0) as client:
        with pytest.raises(AuthenticationError):
            await client.models.list()


async def test_keys_are_a_collection() -> None:
    """One text would be a collection of its letters; no keys let nobody in; a key without a dot signs nothing."""
    with pytest.raises(TypeError, match="collection"):
        Scenario(api_keys="a.b")
    for keys, given in (((), DEFAULT_KEY), (("abc",), "abc"[:1])):
        async with Simulator(Scenario(api_keys=keys)) as sim:  # noqa: SIM117
            async with AsyncZhipuAI(given, base_url=sim.base_url, max_retries=0) as client:
                with pytest.raises(AuthenticationError):
                    await client.models.list()

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    signed = f"{part({'alg': 'HS256', 'sign_type': 'SIGN'})}.{part({'api_key': 'abc', 'exp': 9**15, 'timestamp': 0})}"
    mark = base64.urlsafe_b64encode(hmac.new(b"", signed.encode(), hashlib.sha256).digest()).decode().rstrip("=")
    async with Simulator(Scenario(api_keys=("abc",))) as sim:  # noqa: SIM117
        async with AsyncZhipuAI(f"{signed}.{mark}", base_url=sim.base_url, max_retries=0) as client:
            with pytest.raises(AuthenticationError):
                await client.models.list()


@pytest.mark.heavy
async def test_its_command_prints_its_own_key_and_no_other() -> None:
    """What is to be exported is the simulator's, not what the environment has; requests are not printed."""
    async with process_of(*command("simulate", "--port", "0"), env={"ZHIPU_API_KEY": KEY}) as process:
        assert process.stdout is not None
        lines = [(await process.stdout.readline()).decode() for _ in range(3)]
        url = lines[1].strip().partition("=")[2]
        assert lines[2].strip() == f"export ZHIPU_API_KEY={DEFAULT_KEY}"
        async with AsyncZhipuAI(PLAIN_KEY, base_url=url, max_retries=0) as client:
            with pytest.raises(AuthenticationError):
                await client.models.list()
        process.terminate()
        output, errors = await process.communicate()
    assert (output, errors) == (b"", b"")
    assert KEY not in "".join(lines)
