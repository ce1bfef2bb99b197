"""Commands inside this process, tasks that are asked after often, and what a folder holds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from zhipu_async import polling
from zhipu_async.cli.app import app
from zhipu_async.simulator import Simulator


@dataclass(frozen=True)
class Invoked:
    """How a command ended, and what it wrote."""

    code: int
    raw: bytes
    """Standard output as bytes."""
    errors: str

    @property
    def output(self) -> str:
        """Standard output."""
        return self.raw.decode()


async def invoke(*arguments: str | Path, stdin: bytes | None = None) -> Invoked:
    """Run a command inside this process, with pipes for all streams."""
    done = await asyncio.to_thread(CliRunner().invoke, app, [str(argument) for argument in arguments], input=stdin)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Invoked(done.exit_code, done.stdout_bytes, done.stderr)


def ask_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask after tasks every 50 ms, so that tests do not wait as people do."""
    quick = {kind: replace(how, first=0.05, longest=0.05) for kind, how in polling.KINDS.items()}
    monkeypatch.setattr(polling, "KINDS", quick)


def paths(simulator: Simulator) -> list[str]:
    """What was asked, as ``POST /files``; the content of answers aside."""
    return [f"{seen.method} {seen.path.removeprefix('/api/paas/v4')}" for seen in simulator.requests]


def names(folder: Path) -> list[str]:
    """What lies in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())
