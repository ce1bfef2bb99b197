"""Who may ask, held against README.md section 2."""

from __future__ import annotations

import time
import warnings
from typing import Any

import jwt
import pytest

from zhipu_async.simulator import DEFAULT_KEY, Scenario

from .asking import Asker, simulated

KEY_ID, SECRET = DEFAULT_KEY.split(".")
VECTOR = (
    "eyJhbGciOiJIUzI1NiIsInNpZ25fdHlwZSI6IlNJR04iLCJ0eXAiOiJKV1QifQ.eyJhcGlfa2V5IjoiMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
    "ODlhYmNkZWYiLCJleHAiOjE3NjM1OTY4MDAwMDAsInRpbWVzdGFtcCI6MTc2MzU5NjU5MDAwMH0.uMfyFj2Q4ENbMcZ4qc_OEbgqJ7hf-0g42Yv1"
    "WSWeHGA"
)


def token(secret: str = SECRET, headers: dict[str, str] | None = None, **claims: Any) -> str:
    """A token as a client makes it; a claim of None is left out."""
    now = int(time.time() * 1000)
    payload = {"api_key": KEY_ID, "exp": now + 210_000, "timestamp": now} | claims
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return jwt.encode(
            {name: value for name, value in payload.items() if value is not None},
            secret,
            headers={"sign_type": "SIGN"} if headers is None else headers,
        )


async def status_and_code(ask: Asker, authorization: str) -> tuple[int, str | None]:
    """How a request with this header is answered."""
    answered = await ask.request("GET", "/models", headers={"Authorization": authorization})
    return answered.status, answered.code if answered.status != 200 else None


@pytest.mark.parametrize("credential", [DEFAULT_KEY, f" {DEFAULT_KEY} "])
async def test_the_raw_key_is_accepted(ask: Asker, credential: str) -> None:
    """The raw key is accepted."""
    assert await status_and_code(ask, f"Bearer {credential}") == (200, None)


async def test_a_token_is_accepted(ask: Asker) -> None:
    """A token made from the key is accepted, as long as it has not expired."""
    assert await status_and_code(ask, f"Bearer {token()}") == (200, None)


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ("", "1001"),
        ("Bearer", "1002"),
        (f"Basic {DEFAULT_KEY}", "1002"),
        ("Bearer sk-0123", "401"),
        (f"Bearer {KEY_ID}.wrong", "401"),
        ("Bearer a.b.c", "1002"),
        ("Bearer e30.e30.e30", "1002"),
        (f"Bearer {token(headers={})}", "1002"),
        (f"Bearer {token(api_key=None)}", "1002"),
        (f"Bearer {token(exp='soon')}", "1002"),
        (f"Bearer {token(timestamp=None)}", "1002"),
        (f"Bearer {token(exp=int(time.time()) + 210)}", "1003"),
        (f"Bearer {token(exp=int(time.time() * 1000) - 1)}", "1003"),
        (f"Bearer {token(secret='another')}", "1004"),
        (f"Bearer {token()}x", "1004"),
        (f"Bearer {token(api_key='unknown')}", "401"),
    ],
)
async def test_refused(ask: Asker, authorization: str, code: str) -> None:
    """A missing header, an illegal, expired or unverified token, and a wrong key have a code each, with HTTP 401."""
    assert await status_and_code(ask, authorization) == (401, code)


async def test_wrong_key_envelope(ask: Asker) -> None:
    """A wrong key is answered with the recorded envelope, on the chat endpoint too."""
    answered = await ask.post({}, headers={"Authorization": "Bearer wrong"})
    assert answered.json == {"error": {"code": "401", "message": "token expired or incorrect"}}


async def test_vector_of_the_contract() -> None:
    """The test vector of the contract is accepted at its time, and expired later."""
    async with simulated(clock=lambda: 1763596600.0) as ask:
        assert await status_and_code(ask, f"Bearer {VECTOR}") == (200, None)
    async with simulated(clock=lambda: 1763596800.0) as ask:
        assert await status_and_code(ask, f"Bearer {VECTOR}") == (401, "1003")


async def test_several_keys() -> None:
    """Of several keys each is accepted, and the default one is not."""
    async with simulated(Scenario(api_keys=["one.1", "two.2"])) as ask:
        assert ask.sim.api_key == "one.1"
        assert await status_and_code(ask, "Bearer two.2") == (200, None)
        assert await status_and_code(ask, f"Bearer {token(secret='2', api_key='two')}") == (200, None)
        assert await status_and_code(ask, f"Bearer {DEFAULT_KEY}") == (401, "401")


async def test_any_key() -> None:
    """With `api_keys=None` any key is accepted, but there must be one."""
    async with simulated(Scenario(api_keys=None)) as ask:
        assert await status_and_code(ask, "Bearer whatever") == (200, None)
        assert await status_and_code(ask, "") == (401, "1001")
