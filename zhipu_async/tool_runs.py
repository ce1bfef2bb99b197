"""The tool loop: the model is asked, its calls are carried out, and it is asked again, until it answers."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from types import AsyncGeneratorType, TracebackType
from typing import Any, Generic, Literal, ParamSpec, Self, TypeAlias, cast

import msgspec

from .binding import Bound, Sender, described
from .config import check_count, check_seconds
from .errors import ConfigError, StreamConsumed
from .finish import add, check_finish
from .protocol.chunks import CHAT
from .protocol.endpoint import Call, Endpoint
from .tool_calls import Approve, CallOptions, TurnCalls, cancelled
from .tools import AnyTool, Toolbox
from .types.chat import ChatCompletion, ChatEitherRequest, ChatParameters, Usage
from .types.events import Finished
from .types.messages import AssistantMessage, Message, ToolMessage, refuse_bytes
from .types.tool_events import CallReturned, ToolEvent, TurnFinished
from .types.tools import ToolCall

P = ParamSpec("P")

Ended: TypeAlias = Literal["answer", "cut_off", "max_steps", "token_budget", "pending"]

_CUT_OFF = ("length", "model_context_window_exceeded")
"""Finish reasons of answers that broke off at a limit of tokens (chat.md section 5)."""
_OF_THE_SERVICE = ("mcp", "web_search", "retrieval")
"""Types of calls that the service carries out itself; it does not take them all back (chat.md section 2)."""


class ToolRunRequest(ChatParameters, kw_only=True, frozen=True, omit_defaults=True):
    """Let a model call Python functions until it answers.

        async with client.chat.completions.run_tools(model="glm-4.6", messages=[...], tools=[get_weather]) as run:
            async for event in run: ...
        print(run.result.text)

    ``await client.chat.completions.run_tools(...)`` gives the result alone. The parameters of ``create`` apply to each
    question to the model.
    """

    tools: Sequence[AnyTool]  # type: ignore[assignment]
    """Functions (plain, or with ``@tool``), and the service's own tools. A function of which only the schema is given
    ends the run when it is called: answer its call and go on."""
    stream: bool | None = None
    """Ask for streams: text, reasoning and arguments come as events while the model writes them."""
    max_steps: int = 10
    """How often the model is asked at most."""
    token_budget: int | None = None
    """Tokens of all answers together after which the model is not asked again."""
    parallel: int = 8
    """Calls of one turn that are carried out at the same time."""
    tool_timeout: float | None = 60.0
    """Seconds for one call, unless its tool has its own. None: no limit. Waiting for approval, or for other calls, does
    not count."""
    on_error: Literal["tell", "raise"] = "tell"
    """When a function raises, runs too long, or gives what JSON cannot carry: tell the model, or raise ToolFailed."""
    max_invalid: int = 3
    """How many calls of unknown functions or with wrong arguments the model is told of; one more is ToolCallInvalid."""
    approve: Approve | None = None
    """Asked before each call, with its decoded arguments; also async. True lets it go on, a text is the reason that the
    model is told, anything else says no. It is asked for all calls of a turn at once, and what it raises ends the run.
    """


@dataclass(slots=True, eq=False)
class ToolRunResult:
    """How a run ended."""

    completion: ChatCompletion
    """The model's last answer."""
    messages: list[Message | Mapping[str, Any]]
    """The conversation: the caller's messages, answers and results. It can be gone on with as it is."""
    ended: Ended
    """Why: the model answered (``answer``), or was cut off at a limit of tokens while it did (``cut_off``), a limit of
    the run was reached, or a call is the caller's to answer (``pending``)."""
    steps: int
    usage: Usage
    """Tokens of all answers."""
    calls: list[CallReturned] = field(default_factory=list[CallReturned])
    """The calls that have their answers, in the order of the conversation."""
    pending: list[ToolCall] = field(default_factory=list[ToolCall])
    """Calls of functions that the run does not have: append a ToolMessage for each to go on."""

    @property
    def text(self) -> str:
        """The text of the last answer."""
        return self.completion.text


class ToolRun:
    """A run: await it for its result, or iterate over its events; best inside ``async with``.

    Leaving it early (or dropping it) cancels functions under way and closes the stream. ``messages`` is the
    conversation so far, also after an error: every call in it has its answer, and the service takes it as it is. What
    the caller gave is never changed. Awaiting it again gives the same result; there are no events after the end.

    Raises what a call to the model raises; StreamFailed for the finish reason ``network_error``, AnswerFiltered for
    ``sensitive``, ToolFailed and ToolCallInvalid as the parameters say, and what ``approve`` raises. ConfigError, at
    once, for wrong tools. StreamConsumed where another task waits for it already.
    """

    def __init__(self, sender: Sender, endpoint: Endpoint[ChatCompletion], request: ToolRunRequest) -> None:
        self._loop = _Loop(sender, endpoint, request)
        self._events = self._loop.events()  # refers to the loop, not to this run, which may be dropped

    @property
    def messages(self) -> list[Message | Mapping[str, Any]]:
        """The conversation so far."""
        return self._loop.messages

    @property
    def usage(self) -> Usage:
        """Tokens of all answers so far."""
        return self._loop.usage

    @property
    def result(self) -> ToolRunResult:
        """How the run ended. RuntimeError while it has not, and when it failed or was left."""
        if self._loop.result is None:
            raise RuntimeError(f"the run has no result: {self._loop.why_none}")
        return self._loop.result

    def __await__(self) -> Generator[Any, Any, ToolRunResult]:
        return self._to_the_end().__await__()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ToolEvent:
        return await self._events.__anext__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop: cancel functions under way, wait for their end, and close the stream."""
        await self._events.aclose()

    aclose = close

    async def _to_the_end(self) -> ToolRunResult:
        if cast("AsyncGeneratorType[Any, Any]", self._events).ag_running:  # `async with` would close the other's run
            raise StreamConsumed("another task waits for this run")
        async with self:
            async for _ in self:
                pass
        return self.result


class _Loop:
    """The state of a run, and its events."""

    def __init__(self, sender: Sender, endpoint: Endpoint[ChatCompletion], request: ToolRunRequest) -> None:
        check_count("max_steps", request.max_steps, least=1)
        check_count("parallel", request.parallel, least=1)
        check_count("max_invalid", request.max_invalid, least=0)
        check_seconds("tool_timeout", request.tool_timeout)
        if request.token_budget is not None:
            check_count("token_budget", request.token_budget, least=1)
        if request.on_error not in ("tell", "raise"):
            raise ConfigError(f"on_error must be 'tell' or 'raise', not {request.on_error!r}")
        self._sender = sender
        self._endpoint = endpoint
        self._options = request
        self._toolbox = Toolbox(request.tools)
        self._call_options = CallOptions(
            parallel=request.parallel,
            timeout=request.tool_timeout,
            on_error=request.on_error,
            max_invalid=request.max_invalid,
            approve=request.approve,
        )
        names = ChatEitherRequest.__struct_fields__
        self._parameters = {name: getattr(request, name) for name in names if name not in ("messages", "tools")}
        self.messages: list[Message | Mapping[str, Any]] = list(request.messages)
        refuse_bytes(self.messages)
        self.usage = Usage()
        self._calls: list[CallReturned] = []
        self._invalid = self._steps = 0
        self.result: ToolRunResult | None = None
        self.why_none = "it has not ended: iterate over it to its end, or await it"

    async def events(self) -> AsyncGenerator[ToolEvent, None]:
        """Everything that happens."""
        try:
            while self.result is None:
                async with aclosing(self._turn()) as turn:
                    async for event in turn:
                        yield event
        except Exception as error:
            self.why_none = f"it failed with {type(error).__name__}: {error}"
            raise
        except BaseException:
            self.why_none = "it was left before its end"
            raise

    async def _turn(self) -> AsyncGenerator[ToolEvent, None]:
        """Ask the model once, and carry out what it calls."""
        self._steps += 1
        if self._options.stream:
            completion = ChatCompletion()
            async with await self._sender.open(self._question(), CHAT) as stream:
                async for event in stream.events():
                    if isinstance(event, Finished):
                        completion = event.result
                    else:
                        yield event
        else:
            completion = await self._sender.send(self._question())
        self.usage = add(self.usage, completion.usage)
        check_finish(completion, requests=self._steps, tokens=self.usage.total_tokens or 0)
        calls = _own_calls(completion.message)
        message = msgspec.structs.replace(completion.message, tool_calls=calls or None)
        ours = [call for call in calls if call.function.name not in self._toolbox.foreign]
        pending = [call for call in calls if call.function.name in self._toolbox.foreign]
        cut_off = calls[-1] if calls and completion.finish_reason in _CUT_OFF else None
        turn = TurnCalls(self._toolbox, self._call_options, ours, self._invalid, cut_off)
        self.messages.append(message)
        whole = False
        try:
            yield TurnFinished(step=self._steps, completion=completion)
            async with aclosing(turn.carry_out()) as carrying:
                async for happened in carrying:
                    yield happened
            whole = True
        finally:  # also when the run is left in the middle: each call of the conversation has an answer
            self._invalid = turn.invalid
            answers = turn.answers + ([] if whole else [cancelled(call) for call in pending])
            self.messages += (
                ToolMessage(content=answer.content, tool_call_id=answer.call.id or "") for answer in answers
            )
            self._calls += answers
        if ended := self._ending(completion, calls, pending):
            self.result = ToolRunResult(completion, self.messages, ended, self._steps, self.usage, self._calls, pending)

    def _question(self) -> Call[ChatCompletion]:
        tools = self._toolbox.offered or None
        return Call(self._endpoint, ChatEitherRequest(messages=self.messages[:], tools=tools, **self._parameters))

    def _ending(self, completion: ChatCompletion, calls: list[ToolCall], pending: list[ToolCall]) -> Ended | None:
        """Why the run ends after this turn; None when it goes on."""
        options = self._options
        if pending:
            return "pending"
        if not calls:
            return "cut_off" if completion.finish_reason in _CUT_OFF else "answer"
        if self._steps >= options.max_steps:
            return "max_steps"
        usage = self.usage
        tokens = usage.total_tokens or (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
        if options.token_budget is not None and tokens >= options.token_budget:
            return "token_budget"
        return None


def _own_calls(message: AssistantMessage) -> list[ToolCall]:
    """The functions that an answer calls, without what the service has carried out itself. One without an id, or with
    that of another, gets an id: answers name the call that they belong to."""
    calls: list[ToolCall] = []
    known: set[str] = set()
    for call in cast("Sequence[ToolCall]", message.tool_calls or ()):
        if call.type in _OF_THE_SERVICE:
            continue
        if not call.id or call.id in known:
            call.id = f"call_{secrets.token_hex(12)}"
        call.type = "function"
        known.add(call.id)
        calls.append(call)
    return calls


class RunTools(Generic[P]):
    """``client.chat.completions.run_tools``: its signature is the constructor of its request struct."""

    def __init__(self, endpoint: Endpoint[ChatCompletion], request: Callable[P, ToolRunRequest]) -> None:
        self._endpoint = endpoint
        self._request = request

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = f"{owner.__name__}.{name}"

    def __get__(self, instance: Bound, owner: type[Any]) -> Callable[P, ToolRun]:
        def method(*args: P.args, **kwargs: P.kwargs) -> ToolRun:
            sender = instance._sender  # pyright: ignore[reportPrivateUsage]
            if sender.raw_sender is sender:
                raise ConfigError("run_tools has no raw response: it asks more than once")
            return ToolRun(sender, self._endpoint, self._request(*args, **kwargs))

        return cast("Callable[P, ToolRun]", described(method, self._name, self._request))
