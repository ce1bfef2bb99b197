"""One file per client: each has ``connect(url)``, an async context manager that gives a :class:`Client`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

KEY = "benchmark.key"
MODEL = "glm-4.6"
MESSAGES: list[dict[str, Any]] = [{"role": "user", "content": "Hello, who are you?"}]


class Client(Protocol):
    """What every load asks of a client."""

    async def whole(self) -> str:
        """The text of a whole answer."""
        ...

    def stream(self) -> AsyncIterator[str]:
        """The text of each chunk, as chunks come."""
        ...

    async def bulk(self) -> str:
        """A stream read to its end: its whole text."""
        ...
