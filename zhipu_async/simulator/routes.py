"""Rows of the route table, and the finding of the row that a request wants."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from zhipu_async.simulator.replies import Answer
from zhipu_async.simulator.seen import SeenRequest

MODEL_ROOTS: Final = ("/api/paas/v4", "/api/coding/paas/v4")
"""Where the endpoints of models live: the general one and the coding plan's."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A row: a method and a path below each root, with `{name}` for its variable parts; a check, and an answer.

    `check` says what is wrong with a request, or None; `respond` answers one that is right.
    """

    method: str
    path: str
    respond: Callable[[SeenRequest], Answer]
    check: Callable[[SeenRequest], Answer | None] | None = None
    roots: tuple[str, ...] = MODEL_ROOTS
    keyless: bool = False
    """Whether it answers without a key."""


class Routes:
    """Finds the endpoint of a request."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._fixed: dict[tuple[str, str], Endpoint] = {}
        self._variable: list[tuple[str, re.Pattern[str], Endpoint]] = []
        for endpoint in endpoints:
            for root in endpoint.roots:
                if "{" in endpoint.path:
                    pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(root + endpoint.path))
                    self._variable.append((endpoint.method, re.compile(pattern), endpoint))
                else:
                    self._fixed[endpoint.method, root + endpoint.path] = endpoint

    def find(self, method: str, path: str) -> tuple[Endpoint | None, Mapping[str, str]]:
        """The endpoint of a request and the variable parts of its path; None where there is none."""
        if endpoint := self._fixed.get((method, path)):
            return endpoint, {}
        for known, pattern, endpoint in self._variable:
            if known == method and (match := pattern.fullmatch(path)):
                return endpoint, match.groupdict()
        return None, {}
