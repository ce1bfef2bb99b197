"""The calls of one answer: decoded, approved, carried out side by side. Each has an answer in the end."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from .errors import ToolCallInvalid, ToolFailed
from .tools import InvalidArguments, PythonTool, Toolbox, content_of, current_call, current_clock
from .types.tool_events import CallDecoded, CallReturned
from .types.tools import ToolCall

Approve: TypeAlias = Callable[[CallDecoded], Awaitable[bool | str] | bool | str]
"""Decides on a call: True lets it go on, a text (the reason, for the model) or anything else does not. May wait as long
as it likes; it is asked for all calls of a turn at once. What it raises ends the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """How calls are carried out; ``tool_runs.ToolRunRequest`` explains them."""

    parallel: int
    timeout: float | None
    on_error: Literal["tell", "raise"]
    max_invalid: int
    approve: Approve | None


class TurnCalls:
    """The calls of one answer. ``invalid`` counts those of the run that could not be carried out; ``cut_off`` is the
    call in which the answer broke off."""

    def __init__(
        self, toolbox: Toolbox, options: CallOptions, calls: Sequence[ToolCall], invalid: int, cut_off: ToolCall | None
    ) -> None:
        self.invalid = invalid
        self._toolbox = toolbox
        self._options = options
        self._calls = calls
        self._cut_off = cut_off
        self._answers: dict[int, CallReturned] = {}

    @property
    def answers(self) -> list[CallReturned]:
        """What the model is told of each call, in their order; of one without an answer, that it was cancelled."""
        return [self._answers.get(position) or cancelled(call) for position, call in enumerate(self._calls)]

    async def carry_out(self) -> AsyncGenerator[CallDecoded | CallReturned, None]:
        """Carry the calls out, and tell of each; the first one to return is told of first. Leaving early cancels."""
        places = asyncio.Semaphore(self._options.parallel)
        tasks: dict[asyncio.Task[None], int] = {}
        try:
            for position, call in enumerate(self._calls):
                try:
                    decoded = self._decoded(call)
                except InvalidArguments as error:
                    answer = self._answers[position] = CallReturned(call=call, content=f"error: {error}", error=error)
                    self._count_invalid(call, error)
                    yield answer
                else:
                    yield decoded
                    tasks[asyncio.create_task(self._carry(position, decoded, places))] = position
            running = set(tasks)
            while running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in sorted(done, key=tasks.__getitem__):
                    task.result()
                    yield self._answers[tasks[task]]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _decoded(self, call: ToolCall) -> CallDecoded:
        name, arguments = call.function.name, call.function.arguments
        if (tool := self._toolbox.functions.get(name)) is None:
            known = ", ".join(self._toolbox.names)
            raise InvalidArguments(f"there is no function {name!r}; there {f'are {known}' if known else 'is none'}")
        broke_off = "the answer was cut off at the limit of tokens before this call was whole"
        if call is self._cut_off and not arguments.strip():
            raise InvalidArguments(broke_off)
        try:
            return CallDecoded(call=call, arguments=tool.decode(arguments))
        except InvalidArguments as error:
            if call is self._cut_off:
                raise InvalidArguments(f"{error}; {broke_off}") from None
            raise

    def _count_invalid(self, call: ToolCall, error: InvalidArguments) -> None:
        self.invalid += 1
        if self.invalid > self._options.max_invalid:
            name, number = call.function.name, self.invalid
            raise ToolCallInvalid(
                f"the model made {number} call{'s' if number > 1 else ''} that cannot be carried out, the last of "
                f"{name!r}: {error}",
                tool=name,
                arguments=call.function.arguments,
            ) from error

    async def _carry(self, position: int, decoded: CallDecoded, places: asyncio.Semaphore) -> None:
        call = decoded.call
        if (reason := await self._objection(decoded)) is not None:
            refused = PermissionError(reason)
            self._answers[position] = CallReturned(call=call, content=f"error: {reason}", error=refused)
            return
        tool, clock = self._toolbox.functions[call.function.name], asyncio.get_running_loop().time
        current_call.set(call)  # of this task alone
        async with places:
            began = clock()
            value, content, failure = await self._outcome(tool, decoded.arguments)
            self._answers[position] = CallReturned(
                call=call, content=content, value=value, error=failure, seconds=clock() - began
            )
        if failure is not None and self._options.on_error == "raise":
            text = f"{tool.name}: {told(failure)}"
            raise ToolFailed(text, tool=tool.name, arguments=call.function.arguments) from failure

    async def _objection(self, decoded: CallDecoded) -> str | None:
        """Why this call must not be carried out; None when it may."""
        if (approve := self._options.approve) is None:
            return None
        try:
            leave: object = approve(decoded)
            leave = await leave if inspect.isawaitable(leave) else leave
        except asyncio.CancelledError:
            if _being_cancelled():
                raise
            leave = "the approval of this call was cancelled"
        if leave is True:
            return None
        return leave if isinstance(leave, str) and leave else "the user did not allow this call"

    async def _outcome(
        self, tool: PythonTool[..., Any], arguments: Mapping[str, Any]
    ) -> tuple[Any, str, Exception | None]:
        """What a function gave, what the model is told of it, and what went wrong."""
        seconds = tool.timeout if tool.timeout is not None else self._options.timeout
        clock = asyncio.timeout(seconds)
        current_clock.set(clock)  # of this task alone
        try:
            async with clock:
                value = await tool.run(arguments)
            return value, content_of(value), None
        except asyncio.CancelledError:
            if _being_cancelled():
                raise
            failure: Exception = RuntimeError("the function was cancelled from within")
        except TimeoutError as error:
            late = clock.expired()
            failure = TimeoutError(f"there was no result within {seconds:g} s") if late else error
        except Exception as error:
            failure = error
        return None, f"error: {told(failure)}", failure


def cancelled(call: ToolCall) -> CallReturned:
    """The answer to a call that nobody carried out to its end."""
    return CallReturned(call=call, content="error: the call was cancelled")


def told(error: BaseException) -> str:
    """Type and text of an error, as text that can be sent."""
    try:
        text = str(error)
    except Exception:  # its own __str__ fails
        text = ""
    kind = type(error).__name__
    return f"{kind}: {text}".encode("utf-8", "replace").decode() if text else kind


def _being_cancelled() -> bool:
    """Whether somebody cancelled the running task: a CancelledError can also come from within what it awaits."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
