"""The chat page in a real Chromium without a window: beside the simulated service of the show, or one with a script."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.errors_said import said
from zhipu_async.config import KEY_VARIABLES, URL_VARIABLES
from zhipu_async.simulator import Scenario, SeenRequest, Simulator

ROOT = Path(__file__).parent.parent.parent
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = ("background-networking", "component-update", "sync", "default-apps", "extensions", "gpu", "quic")
"""What a browser does by itself, and a test does not need."""


@asynccontextmanager
async def web_chat(**environment: str) -> AsyncIterator[str]:
    """The page's server as a program of its own, ended by Ctrl-C; gives its address. No word on standard error."""
    outside = {
        name: value for name, value in os.environ.items() if name not in {*KEY_VARIABLES, *URL_VARIABLES.values()}
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-W", "error", "examples/web_chat", "--port", "0"),
        cwd=ROOT,
        env={**outside, "PYTHONUTF8": "1", **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            line = (await process.stdout.readline()).decode()
        yield line.split()[-1] if line else pytest.fail((await process.communicate())[1].decode())
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            _, errors = await process.communicate()
    assert (process.returncode, said(errors)) == (0, "")


class Script:
    """Answers by the last question, each a list of which the last is given again and again."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Any]] = {}

    def __call__(self, request: SeenRequest) -> Any:
        question = next(said["content"] for said in reversed(request.get("messages")) if said["role"] == "user")
        answers = self.answers[question]
        return answers.pop(0) if len(answers) > 1 else answers[0]


class Stage:
    """What a test has: pages beside the show, pages beside a simulator of its own, and pictures."""

    def __init__(self, browser: Any, show: str, scripted: str, service: Simulator, script: Script) -> None:
        self.show = show
        self.scripted = scripted
        self.service = service
        self.complaints: list[str] = []
        """What pages wrote to their console as errors, and what they threw."""
        self._browser = browser
        self._script = script

    def answers(self, question: str, *answers: Any) -> None:
        """What the service says when this is asked: the answers in their order, then the last one for good."""
        self._script.answers[question] = list(answers)

    def asked(self, question: str) -> list[SeenRequest]:
        """The requests with this as the last question."""
        return [
            request
            for request in self.service.requests
            if [said["content"] for said in request.get("messages") if said["role"] == "user"][-1:] == [question]
        ]

    async def page(self, address: str | None = None, **options: Any) -> Any:
        """The page, loaded, in a browser that knows nothing of the others; by default beside the script."""
        options = {"viewport": {"width": 1180, "height": 820}, "color_scheme": "light", **options}
        context = await self._browser.new_context(**options)
        context.set_default_timeout(20_000)
        page = await context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        await page.goto(address or self.scripted)
        await page.wait_for_selector(".starters button")
        return page

    def _heard(self, message: Any) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):  # that are refusals
            self.complaints.append(message.text)

    async def close(self) -> None:
        """Close all pages."""
        for context in self._browser.contexts:
            await context.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _theatre() -> AsyncIterator[Callable[[], Awaitable[Stage]]]:
    """One browser, two servers."""
    missing = [*([] if CHROMIUM else ["chromium"]), *([] if importlib.util.find_spec("playwright") else ["playwright"])]
    if missing:
        reason = f"no {' and no '.join(missing)}: apt-get install chromium fonts-noto-cjk; pip install -e '.[browser]'"
        (pytest.fail if os.environ.get("REQUIRE_BROWSER") == "1" else pytest.skip)(reason)
    from playwright.async_api import async_playwright

    script = Script()
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(Simulator(Scenario(replies=script)))
        here = {"ZHIPU_API_KEY": service.api_key, "ZHIPU_BASE_URL": service.base_url}
        playwright = await stack.enter_async_context(async_playwright())
        flags = ["--no-first-run", *(f"--disable-{each}" for each in QUIET)]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        stack.push_async_callback(browser.close)
        show = await stack.enter_async_context(web_chat())
        scripted = await stack.enter_async_context(web_chat(**here))
        yield lambda: Stage(browser, show, scripted, service, script)


@pytest_asyncio.fixture(loop_scope="module")
async def stage(_theatre: Callable[[], Stage]) -> AsyncIterator[Stage]:
    """The stage, with no page open, and none that complained in the end."""
    stage = _theatre()
    yield stage
    await stage.close()
    assert stage.complaints == []


@pytest.fixture
def picture() -> Callable[[str], str]:
    """Where a screenshot of this name goes: into the folder SCREENSHOTS, by default build/screenshots."""
    folder = Path(os.environ.get("SCREENSHOTS", ROOT / "build" / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return lambda name: str(folder / f"{name}.png")
