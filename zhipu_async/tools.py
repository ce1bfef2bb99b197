"""Python functions as tools of a model: made with ``@tool`` or given as they are, called with checked arguments."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

import msgspec

from .config import check_seconds
from .errors import ConfigError
from .protocol.schema import InvalidArguments, Signature, signature_of
from .threads import apart
from .types.tools import FunctionDefinition, FunctionTool, MCPTool, RetrievalTool, Tool, ToolCall, WebSearchTool

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

current_call: contextvars.ContextVar[ToolCall] = contextvars.ContextVar("zhipu_async.tools.current_call")
"""The model's call that a function of ``run_tools`` carries out, for the function and what it calls."""
current_clock: contextvars.ContextVar[asyncio.Timeout] = contextvars.ContextVar("zhipu_async.tools.current_clock")
"""The clock of that call: whether a function is cancelled since it ran too long."""


class PythonTool(Generic[P, R]):
    """A function that a model may call; calling it calls the function.

    ``signature`` holds name, description and JSON schema; ``timeout`` is seconds for one call, None for what the run
    allows. A function that is not async runs in a thread of its own, which a time-out or a cancelled run leaves behind:
    threads cannot be ended from outside, and the program ends without waiting for them. An async function is cancelled,
    and waited for: it ends when it lets itself be cancelled.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        timeout: float | None = None,
    ) -> None:
        function, made = _taken_apart(function)
        if made is not None:
            name, description = name or made.name, description or made.signature.description
            timeout = made.timeout if timeout is None else timeout
        self.function: Callable[P, R] = function
        self.signature: Signature = signature_of(self.function, name=name, description=description)
        self.timeout: float | None = check_seconds("timeout", timeout)
        functools.update_wrapper(self, self.function, updated=())

    @property
    def name(self) -> str:
        """What the model calls it."""
        return self.signature.name

    @property
    def definition(self) -> FunctionTool:
        """The tool as the service takes it."""
        signature = self.signature
        return FunctionTool(
            function=FunctionDefinition(
                name=signature.name, description=signature.description, parameters=signature.schema
            )
        )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def decode(self, arguments: str) -> dict[str, Any]:
        """The arguments that a model wrote, by name, in the annotated types; InvalidArguments where they do not fit."""
        return self.signature.decode(arguments)

    async def run(self, arguments: Mapping[str, Any]) -> Any:
        """What the function gives for ``arguments``; raises what it raises."""
        leading, named = self.signature.bind(arguments)
        call = cast("Callable[..., Any]", self.function)
        if inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(getattr(call, "__call__", None)):  # noqa: B004
            return await call(*leading, **named)
        result = await apart(lambda: call(*leading, **named), "zhipu_async tool")
        return await result if inspect.isawaitable(result) else result

    def __repr__(self) -> str:
        return f"<tool {self.name}>"


def _taken_apart(function: Any) -> tuple[Callable[..., Any], PythonTool[..., Any] | None]:
    """A function without the tool that it is, or that ``functools.partial`` fills in; and that tool."""
    if isinstance(function, PythonTool):
        given = cast("PythonTool[..., Any]", function)
        return given.function, given
    if isinstance(function, functools.partial):
        inner, made = _taken_apart(function.func)
        if made is not None:
            return functools.partial(inner, *function.args, **function.keywords), made
    return cast(Any, function), None


AnyTool = PythonTool[..., Any] | Callable[..., Any] | Tool | Mapping[str, Any]
"""A function, with or without ``@tool``; one of the service's own tools; or a plain object."""


@overload
def tool(function: Callable[P, R], /) -> PythonTool[P, R]: ...
@overload
def tool(
    *, name: str | None = ..., description: str | None = ..., timeout: float | None = ...
) -> Callable[[Callable[P, R]], PythonTool[P, R]]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
) -> Any:
    """Make a tool of a function: ``@tool``, or ``@tool(name=..., description=..., timeout=seconds)``.

    Its parameters need annotations that msgspec can decode: str, int, float, bool, None, enums, Literal, lists, dicts,
    tuples, dataclasses, TypedDicts, msgspec structs, unions of them, dates; ``Annotated[int, msgspec.Meta(ge=0,
    description="...")]`` constrains and describes, ``Annotated[str, "..."]`` describes; so do pydantic's ``Field`` and
    annotated_types, as far as msgspec has words for what they say. The docstring is the description, and describes
    parameters too. Parameters that ``functools.partial`` fills in by name are not the model's to choose. A tool made
    of a tool keeps what is not given anew. ConfigError for what cannot be a tool.
    """

    def decorate(function: Callable[..., Any]) -> PythonTool[..., Any]:
        return PythonTool(function, name=name, description=description, timeout=timeout)

    return decorate if function is None else decorate(function)


class Toolbox:
    """The tools of a run: those that are Python functions by name, and what the service is told of all."""

    def __init__(self, tools: Iterable[AnyTool]) -> None:
        self.functions: dict[str, PythonTool[..., Any]] = {}
        self.offered: list[Tool | Mapping[str, Any]] = []
        """As they are sent."""
        self.foreign: set[str] = set()
        """Functions of which only the schema is known: their calls are the caller's to answer."""
        if not isinstance(tools, Iterable) or isinstance(tools, (str, Mapping)):  # pyright: ignore[reportUnnecessaryIsInstance]
            kind = type(cast(Any, tools)).__name__
            raise ConfigError(f"tools must be a list of functions and tools, not {kind}")
        for given in tools:
            if isinstance(given, PythonTool):
                self._take(cast("PythonTool[..., Any]", given))
            elif isinstance(given, (FunctionTool, RetrievalTool, WebSearchTool, MCPTool, Mapping)):
                self._offer(cast(Any, given))
            elif callable(given):
                self._take(PythonTool(given))
            else:
                raise ConfigError(f"{given!r:.80} is no tool: give a function, or a tool as the service takes it")

    @property
    def names(self) -> list[str]:
        """All functions that a model may call."""
        return [*self.functions, *sorted(self.foreign)]

    def _take(self, ours: PythonTool[..., Any]) -> None:
        self._name(ours.name)
        self.functions[ours.name] = ours
        self.offered.append(ours.definition)

    def _offer(self, given: Tool | Mapping[str, Any]) -> None:
        self.offered.append(given)
        name = _member(_member(given, "function"), "name")
        if isinstance(name, str):
            self._name(name)
            self.foreign.add(name)

    def _name(self, name: str) -> None:
        if name in self.functions or name in self.foreign:
            raise ConfigError(f"two tools are called {name!r}: give one of them another name with @tool(name=...)")


def _member(value: Any, name: str) -> Any:
    return cast("Mapping[str, Any]", value).get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def content_of(result: Any) -> str:
    """What a function gave, as the content of a tool message: text as it is, the rest as JSON. TypeError for what JSON
    cannot carry, and for text that is not Unicode (a lone surrogate)."""
    try:
        if isinstance(result, str):
            return result.encode().decode()
        return msgspec.json.encode(result, enc_hook=_plain).decode()
    except (ValueError, OverflowError, RecursionError) as error:
        raise TypeError(f"the result cannot be written as JSON: {error}") from error


def _plain(value: Any) -> Any:
    """What msgspec does not know: models of pydantic's, any mapping, sequence or set."""
    if callable(dump := getattr(value, "model_dump", None)) and not isinstance(value, type):
        return dump(mode="json")
    if isinstance(value, Mapping):
        return dict(cast(Any, value))
    if isinstance(value, (Sequence, Set)):
        return list(cast("Iterable[Any]", value))
    raise TypeError(f"the result cannot be written as JSON: it holds a {type(value).__name__}")


__all__ = ["AnyTool", "InvalidArguments", "PythonTool", "Toolbox", "content_of", "current_call", "tool"]
