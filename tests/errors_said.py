"""What a program wrote on standard error, without what speaks of the machine and not of the program."""

from __future__ import annotations

import re

OF_THE_MACHINE = re.compile(
    r"^(?:Executing <.*> took \d+\.\d+ seconds"  # asyncio's debug mode on a machine that is busy
    r"|\[.* logging\.cc:\d+: Set ray log level from environment variable .*)\n",
    re.MULTILINE,
)


def said(errors: bytes) -> str:
    """The text of ``errors``, lines of the machine left out."""
    return OF_THE_MACHINE.sub("", errors.decode())
