"""What the service says to the key: whether it is accepted, which models there are and answer, what is left."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Sequence
from typing import Any

from ..client import AsyncZhipuAI
from ..config import Auth, PlainTextWarning
from ..errors import (
    AuthenticationError,
    ConfigError,
    NotFoundError,
    OverloadedError,
    RateLimitError,
    TransportError,
    ZhipuError,
)
from ..models import CHAT, MODELS, find, least_thinking
from ..types.models import ModelList
from .doctor_network import Reached
from .doctor_settings import Setup
from .files import moment
from .findings import Findings, Level
from .shared import client_of
from .terminal import in_words_of_the_command_line

FREE = "free"
"""The word that stands for all free models."""
ASKED_AT_ONCE = 4
NEARLY_ALL = 90
"""Per cent of a quota from which on it is warned of."""


def models_asked(wanted: Sequence[str], platform: str | None) -> list[str]:
    """The models that ``--ask`` names: its values may be lists with commas. ConfigError for what is no chat model."""
    here = {"bigmodel": "CN", "zai": "INTL"}.get(platform or "")
    names: list[str] = []
    for name in (part.strip() for value in wanted for part in value.split(",")):
        if not name:
            raise ConfigError("--ask takes models with commas between them: one of the names is empty")
        if name.lower() == FREE:
            free = (info for info in MODELS.values() if info.free and info.kind in ("text", "vision"))
            names += [info.id for info in free if here is None or here in info.platforms]
            continue
        info = find(name)
        if info is not None and info.kind not in CHAT:
            raise ConfigError(f"--ask holds a short chat, and {name} is for {info.kind}")
        names.append(name)
    return list(dict.fromkeys(names))


async def look_at_service(
    setup: Setup,
    reached: Reached,
    base_url: str | None,
    seconds: float,
    asked: Sequence[str],
    findings: Findings,
    *,
    all_listed: bool,
) -> None:
    """Say what the service answers to the key. Each call has ``seconds`` and is made once; only ``asked`` cost."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PlainTextWarning)  # said of the endpoint
        client = client_of(base_url, seconds)
    async with client:
        client = client.with_options(max_retries=0)
        listed = await _keys(client, setup, reached, findings)
        if listed is not None:
            ids = [model.id for model in listed.data]
            text = f"{len(ids)} listed: {', '.join(ids)}" if ids else "none are listed"
            findings.add("models", "ok", text, details={"models": ids})
        elif all_listed:
            findings.add("models", "skipped", "none are listed, so that --all asks none", "name them: --ask MODEL,...")
        if not findings.failed("bearer"):
            await _ask_all(
                client, [*asked, *((each.id for each in listed.data) if listed and all_listed else ())], findings
            )
            if "/api/" in (setup.url or ""):
                await _quota(client, findings)


async def _keys(client: AsyncZhipuAI, setup: Setup, reached: Reached, findings: Findings) -> ModelList | None:
    """Whether the key is accepted in both forms; the models that are listed for it."""
    if not reached.lists_models:
        findings.add("bearer", "skipped", "without a list of models only a call tells", "add --ask MODEL")
        return None
    level, text, way, listed = await _try(client, "bearer")
    if reached.open and listed is not None:
        text = "answered; it asks for no key"
    findings.add("bearer", level, text, way)
    if not setup.signs:
        findings.add("jwt", "skipped", "no token can be made from a key of this form")
        return listed
    refused = level != "ok"
    level, text, way, answer = await _try(client, "jwt")
    if level == "failed" and not refused:
        # the default form works
        level, way = ("warning", way) if setup.platform else ("skipped", None)
    findings.add("jwt", level, text, way)
    return listed or answer


async def _try(client: AsyncZhipuAI, auth: Auth) -> tuple[Level, str, str | None, ModelList | None]:
    what = "the key itself" if auth == "bearer" else "a token made from the key"
    try:
        listed = await client.with_options(auth=auth).models.list()
    except NotFoundError as error:
        return "skipped", f"{what}: {error.message or f'HTTP {error.status} without a message'}", None, None
    except (RateLimitError, OverloadedError) as error:
        return "warning", f"{what}: {_text(error)}", _way(error), None
    except ZhipuError as error:
        of_key = auth == "jwt" and isinstance(error, AuthenticationError)
        way = "check the clock of this machine, and the key" if of_key else _way(error)
        return "failed", f"{what}: {_text(error)}", way, None
    return "ok", f"{what} is accepted", None, listed


async def _ask_all(client: AsyncZhipuAI, models: Sequence[str], findings: Findings) -> None:
    gate = asyncio.Semaphore(ASKED_AT_ONCE)

    async def ask(model: str) -> tuple[Level, str, str | None, float]:
        async with gate:
            began, least = time.perf_counter(), least_thinking(model)
            try:
                answer = await client.chat.completions.create(
                    model=model,
                    messages=[{"role": "user", "content": "1"}],
                    max_tokens=1,
                    thinking=least.get("thinking"),
                    reasoning_effort=least.get("reasoning_effort"),
                )
            except (RateLimitError, OverloadedError) as error:
                return "warning", _text(error), _way(error), time.perf_counter() - began
            except ZhipuError as error:
                return "failed", _text(error), _way(error), time.perf_counter() - began
            tokens = (answer.usage and answer.usage.total_tokens) or 0
            return "ok", f"answers, for {tokens} tokens", None, time.perf_counter() - began

    names = list(dict.fromkeys(models))
    tasks = [asyncio.create_task(ask(name)) for name in names]
    try:
        for name, task in zip(names, tasks, strict=True):
            level, text, way, took = await task
            findings.add("model", level, f"{name}: {text}", way, seconds=took)
    finally:
        for task in tasks:
            task.cancel()


async def _quota(client: AsyncZhipuAI, findings: Findings) -> None:
    try:
        limits = (await client.account.quota()).limits
    except ZhipuError:
        limits = []
    if not limits:
        findings.add("quota", "skipped", "the endpoint tells none; it does for coding plans")
    for limit in limits:
        findings.add("quota", *_told(limit), details=limit)


def _told(limit: dict[str, Any]) -> tuple[Level, str, str | None]:
    """What can be told of a limit whose fields are not documented."""
    share, until, kind = limit.get("percentage"), limit.get("nextResetTime"), str(limit.get("type", "limit"))
    if not isinstance(share, (int, float)):
        return "ok", f"{kind[:40]}: see --json", None
    time_of_day = moment(int(until / 1000)) if isinstance(until, (int, float)) else ""
    when = f", begins anew {time_of_day}" if time_of_day else ""
    if share >= NEARLY_ALL:
        return "warning", f"{kind[:40]}: {share:.0f} % used{when}", "wait for that time, or use another key"
    return "ok", f"{kind[:40]}: {share:.0f} % used{when}", None


def _text(error: ZhipuError) -> str:
    hint = getattr(error, "hint", None)
    return str(error).removesuffix(f": {hint}") if hint else str(error)


def _way(error: ZhipuError) -> str | None:
    hint = in_words_of_the_command_line(getattr(error, "hint", None) or "") or None
    if isinstance(error, AuthenticationError):
        return hint
    return hint or ("see the lines above" if isinstance(error, TransportError) else None)
