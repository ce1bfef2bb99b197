"""The endpoint list, read off the client: what ``python -m zhipu_async endpoints`` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from .binding import Events, Group, Method
from .client import AsyncZhipuAI


class Row(NamedTuple):
    """One endpoint."""

    verb: str
    path: str
    """As in the contract: below ``.../api/paas/v4``, or from ``/api/`` on."""
    name: str
    """``chat.completions.create``: the method below the client."""
    aliases: tuple[str, ...]
    """Its other names, as users of the official SDK know them."""
    request: str
    response: str
    events: str | None
    """The type of a stream's events, where the endpoint can stream."""
    method: Method[..., Any, Any]


def rows() -> list[Row]:
    """Every endpoint of the client, in the order of paths."""
    names: dict[int, list[str]] = {}
    methods: dict[int, Method[..., Any, Any]] = {}
    for name, method in _methods(AsyncZhipuAI, ""):
        names.setdefault(id(method), []).append(name)
        methods[id(method)] = method
    found = [_row(methods[key], *names[key]) for key in methods]
    return sorted(found, key=lambda row: (row.path.startswith("/api/"), row.path, row.verb))


def _methods(kind: type[Any], prefix: str) -> Iterator[tuple[str, Method[..., Any, Any]]]:
    for name, member in vars(kind).items():
        if isinstance(member, Group):
            group: Group[Any] = member  # pyright: ignore[reportUnknownVariableType]
            yield from _methods(group.kind, f"{prefix}{name}.")
        elif isinstance(member, Method):
            method: Method[..., Any, Any] = member  # pyright: ignore[reportUnknownVariableType]
            yield f"{prefix}{name}", method


def _row(method: Method[..., Any, Any], name: str, *aliases: str) -> Row:
    endpoint = method.endpoint
    events = endpoint.chunk.__name__ if endpoint.chunk else None
    response = events if isinstance(method, Events) and events else endpoint.response.__name__
    return Row(endpoint.method, endpoint.path, name, aliases, method.request.__name__, response, events, method)
