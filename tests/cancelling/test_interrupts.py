"""Ctrl-C at every wait of a program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cancelling.interrupted import INTERRUPTED


@pytest.mark.heavy
def test_ctrl_c_at_every_wait(tmp_path: Path) -> None:
    """KeyboardInterrupt comes out of ``asyncio.run``; no socket, file or part of a file is left, and nothing is
    reported to the loop or as a ResourceWarning."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-m", "tests.cancelling.interrupted", str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert (ran.stderr, ran.returncode) == ("", 0)
    assert ran.stdout.splitlines() == [f"{name}: True" for name in INTERRUPTED]
