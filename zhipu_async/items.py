"""The input of a run: calls or prompts, from any iterable or mapping, as numbered items."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sized
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from .errors import ConfigError
from .protocol.endpoint import Call
from .resources import Completions

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741

_END = object()

AnyIterable = Iterable[I] | AsyncIterable[I]
Calls = AnyIterable[Call[T]] | AnyIterable[tuple[str, Call[T]]] | Mapping[str, Call[T]]
"""Calls; with ids of the caller's as pairs or as a mapping."""
Prompts = AnyIterable[str] | AnyIterable[tuple[str, str]] | Mapping[str, str]
"""Questions to a chat model, in the same forms."""


@dataclass(slots=True, eq=False)
class Item(Generic[T]):
    """One call of a run."""

    index: int
    """Its place in the input, from 0."""
    id: str | None
    """The caller's id, None where there is none."""
    call: Call[T]


class Source(Generic[T]):
    """An input, read one item at a time, as they are asked for. ConfigError, at once, for what cannot be one.

    ``parameters`` are those of prompts: ``model`` and what else ``chat.completions.create`` takes; ``system`` is an
    instruction that stands before each prompt. TypeError for one that does not exist.
    """

    def __init__(self, source: Calls[T] | Prompts, parameters: Mapping[str, Any]) -> None:
        given = cast(Any, source)
        if isinstance(given, (str, bytes)) or not isinstance(given, (Iterable, AsyncIterable)):
            raise ConfigError(f"a run takes an iterable or mapping of calls or prompts, not {type(source).__name__}")
        if parameters:
            if "model" not in parameters:
                raise ConfigError(f"parameters ({', '.join(parameters)}) are those of prompts, which need model=...")
            if _ask("", parameters).stream:
                raise ConfigError("a run gives whole answers: leave stream out")
        self.length = len(given) if isinstance(given, Sized) else None
        """How many items there are; None where that is not known, or not yet."""
        self.taken = 0
        self._parameters = parameters
        self._waits = isinstance(given, AsyncIterable)
        entries = cast(Any, source.items() if isinstance(source, Mapping) else source)
        self._entries: Any = aiter(entries) if self._waits else iter(entries)
        self._turn = asyncio.Lock()

    async def next(self) -> Item[T] | None:
        """The next item; None at the end. What the input itself raises goes through."""
        if self._waits:
            async with self._turn:  # an async generator is asked by one at a time
                entry = await anext(self._entries, _END)
        else:
            entry = next(self._entries, _END)
        if entry is _END:
            self.length = self.taken
            return None
        self.taken += 1
        return _item(self.taken - 1, entry, self._parameters)

    async def close(self) -> None:
        """Nothing more is wanted of a generator."""
        if self._waits and (close := getattr(self._entries, "aclose", None)) is not None:
            await close()


async def items(source: Calls[T] | Prompts, parameters: Mapping[str, Any]) -> AsyncIterator[Item[T]]:
    """The items of ``source``; see :class:`Source`."""
    reader = Source[T](source, parameters)
    while (item := await reader.next()) is not None:
        yield item


def _item(index: int, entry: Any, parameters: Mapping[str, Any]) -> Item[Any]:
    identity: str | None = None
    work = entry
    if isinstance(entry, tuple):
        pair: tuple[Any, ...] = entry  # pyright: ignore[reportUnknownVariableType]
        if len(pair) != 2 or not isinstance(pair[0], str):
            raise ConfigError(f"item {index} is a tuple that is not (id, call): {pair!r:.80}")
        identity, work = pair
    if isinstance(work, str):
        if "model" not in parameters:
            raise ConfigError("prompts need common parameters: fan_out(prompts, model=...)")
        return Item(index, identity, _ask(work, parameters))
    if not isinstance(work, Call):
        kind = type(cast("object", work)).__name__
        raise ConfigError(
            f"item {index} is no call but a {kind}: make one with AsyncZhipuAI.chat.completions.create.call(...), "
            "or give prompts and model=..."
        )
    call: Call[Any] = work  # pyright: ignore[reportUnknownVariableType]
    if parameters:
        raise ConfigError(f"item {index} is a call, which brings its own parameters: {', '.join(parameters)}")
    if call.stream or (call.endpoint.chunk is not None and "stream" not in call.arguments.__struct_fields__):
        raise ConfigError(f"item {index} asks for a stream: a run gives whole answers")
    return Item(index, identity, call)


def _ask(prompt: str, parameters: Mapping[str, Any]) -> Call[Any]:
    given = dict(parameters)
    system = given.pop("system", None)
    first = [] if system is None else [{"role": "system", "content": system}]
    return Completions.create.call(messages=[*first, {"role": "user", "content": prompt}], **given)
