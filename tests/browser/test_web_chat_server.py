"""The chat page's server without a browser: what it lets in, and its run that ends by itself."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import aiohttp
import pytest
import pytest_asyncio

from tests.browser.conftest import ROOT, web_chat
from tests.errors_said import said

pytestmark = [pytest.mark.heavy, pytest.mark.asyncio(loop_scope="module")]

QUESTION = {"model": "glm-4.6", "messages": [{"role": "user", "content": "Hello"}]}
LONG = {"model": "glm-4.6", "messages": [{"role": "user", "content": "asyncio?"}]}
"""A question whose answer takes seconds."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Requests to the server, beside the show."""
    async with web_chat() as address, aiohttp.ClientSession(address) as session:
        yield session


async def test_it_asks_one_question_and_ends() -> None:
    """With --check it starts, loads its page, asks one question as the page does, prints what came, and ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-W", "error", "examples/web_chat", "--check"),
        cwd=ROOT,
        env={"PATH": "", "PYTHONUTF8": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        output, errors = await process.communicate()
    assert (process.returncode, said(errors)) == (0, "")
    shown = output.decode()
    assert re.search(r"^page: 200 \d{4} bytes\nevents: .*'call\.returned': 1.*\nAbout \*\*1,539 m³\*\*", shown), shown


async def test_it_ends_in_the_middle_of_an_answer() -> None:
    """Ctrl-C while an answer is on its way ends the server, the answer unfinished, without a word on standard error."""
    async with AsyncExitStack() as stack:
        server = AsyncExitStack()
        address = await server.enter_async_context(web_chat())
        session = await stack.enter_async_context(aiohttp.ClientSession(address))
        answer = await stack.enter_async_context(session.post("/chat", json=LONG))
        assert answer.status == 200
        assert (await answer.content.readline()).startswith(b"event: ")
        await server.aclose()
        with suppress(aiohttp.ClientError):
            assert b"[DONE]" not in await answer.read()


@pytest.mark.parametrize(
    "headers", [{"Host": "elsewhere.example:80"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}]
)
async def test_pages_of_others_do_not_ask_here(session: aiohttp.ClientSession, headers: dict[str, str]) -> None:
    """A name that others gave to this server, or a page of another site, is refused before the model is asked."""
    async with session.post("/chat", json=QUESTION, headers=headers) as answer:
        assert answer.status == 403
        assert (await answer.json())["error"]["type"] == "bad_request"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model": "glm-4.6"}', b'{"model": 1, "messages": []}'])
async def test_what_is_no_question_is_refused(session: aiohttp.ClientSession, body: bytes) -> None:
    """A body that is not a question is an error of the asker's."""
    async with session.post("/chat", data=body) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["message"].startswith("This is no question")


@pytest.mark.parametrize("path", ["/", "/static/chat.js", "/settings", "/nothing"])
async def test_every_answer_has_the_policy(session: aiohttp.ClientSession, path: str) -> None:
    """Scripts and styles come from the server alone, whatever the page or the model says."""
    async with session.get(path) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert answer.status == (404 if path == "/nothing" else 200)
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy


async def test_nothing_is_loaded_from_elsewhere() -> None:
    """The page's files name no other host but that of the drawing language."""
    for path in (ROOT / "examples" / "web_chat" / "static").iterdir():
        found = re.findall(r"(?:https?:)?//[\w.-]+\.\w+", path.read_text(encoding="utf-8"))
        assert set(found) <= {"http://www.w3.org"}, path.name
