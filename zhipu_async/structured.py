"""Answers as types of the caller's: the schema is in the prompt; what comes back is found, checked, asked for again."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, ParamSpec, Protocol, Self, TypeVar, cast, overload

import msgspec
from msgspec.structs import replace

from .answer_types import AnswerType, answer_type
from .binding import Bound, Sender, described
from .config import check_count
from .errors import AnswerError, AnswerInvalid, AnswerRefused, AnswerTruncated, ConfigError, StreamConsumed
from .finish import add, check_finish
from .protocol import tolerant
from .protocol.chunks import CHAT
from .protocol.endpoint import Call, Endpoint
from .protocol.extract import Extraction, NoExtraction, extract
from .protocol.preview import Preview
from .types.chat import ChatCompletion, ChatEitherRequest, ChatParameters, ResponseFormat, Usage
from .types.events import ChatEvent, ContentDelta, Finished, ToolCallDelta
from .types.messages import Message, SystemMessage, ToolMessage, UserMessage, refuse_bytes, sendable
from .types.tools import FunctionDefinition, FunctionTool, ToolCall

P = ParamSpec("P")
T = TypeVar("T")

TOOL = "give_answer"
"""The function that stands for the answer with ``mode="tool"``."""

_AGAIN = {
    "json": "Answer again, with the corrected JSON alone.",
    "tool": f"Call {TOOL} again, with corrected arguments.",
}
_CUT_OFF = {
    "length": "cut off: allow more max_tokens",
    "model_context_window_exceeded": "cut off: the conversation is too long for the model",
}
"""Finish reasons of answers that would be cut off again, and what to do."""
_ERRORS: Mapping[str, type[AnswerError]] = {"truncated": AnswerTruncated, "no_json": AnswerRefused}


class ParseRequest(ChatParameters, kw_only=True, frozen=True, omit_defaults=True):
    """Ask a model for an answer of a type.

        parsed = await client.chat.completions.parse(Recipe, model="glm-4.6", messages=[...])
        print(parsed.value.title)

        async with client.chat.completions.parse(Recipe, model="glm-4.6", messages=[...]) as run:
            async for partial in run: ...  # the plain JSON as far as it has come
        print(run.result.value.title)

    The type is a msgspec struct, dataclass, TypedDict, NamedTuple, enum, pydantic model, or what is made of them, such
    as ``list[Recipe]`` or ``Recipe | None``. The parameters of ``create`` apply to each question to the model; nothing
    that is given is changed. Functions among ``tools`` are not called here: the model is told so.
    """

    mode: Literal["json", "tool"] = "json"
    """``json``: the schema is in the system message, and ``response_format`` asks for a JSON object; give ``{"type":
    "text"}`` for models that do not take that. ``tool``: the schema is that of a function, give_answer, which the model
    is told to call (the service forces none); its arguments are streamed in pieces unless ``tool_stream`` is False."""
    max_requests: int = 3
    """How often the model is asked at most. After an answer that does not fit it is told why, and asked again."""


@dataclass(slots=True, eq=False)
class Parsed(Generic[T]):
    """An answer as the type that was asked for."""

    value: T
    completion: ChatCompletion
    """The answer that it was found in."""
    requests: int
    """How often the model was asked."""
    usage: Usage
    """Tokens of all its answers."""
    extraction: Extraction[T]
    """How it was found: ``.repairs`` names what had to be mended, ``.ambiguous`` tells of a second candidate."""


class ParseRun(Generic[T]):
    """Await it for the :class:`Parsed`, or iterate over the answer as it grows: ``result`` is the Parsed in the end.

    What is iterated over is plain JSON that nobody has checked: the first object of the answer that has a member (or
    list, where no object is asked for), outside of thoughts, for as long as it is strict JSON. It only grows, and does
    so in its place: copy what is to be kept. When the model is asked again ``requests`` goes up, and another value
    begins. Iterating goes on where it was left; awaiting then reads to the end. Leaving ``async with``, or dropping the
    run, closes the stream.

    Raises what a call raises, and for an answer that is none:

    * AnswerTruncated: cut off at the limit of tokens before its value was whole. It is not asked for again.
    * AnswerFiltered: stopped by content safety. It is not asked for again.
    * AnswerInvalid, AnswerRefused: not of the type, or prose, and ``max_requests`` are made.
    * StreamFailed: finish reason ``network_error``, and ``max_requests`` are made. Until then the question is repeated
      as it was, at once: the answer came with HTTP 200, so the client's retry policy does not see it.
    * StreamConsumed: the run has failed, was closed, or another task waits for it.

    ConfigError, at once, for a type that cannot be one.
    """

    def __init__(
        self, sender: Sender, endpoint: Endpoint[ChatCompletion], kind: AnswerType[T], request: ParseRequest
    ) -> None:
        check_count("max_requests", request.max_requests, least=1)
        if sender.raw_sender is sender:
            raise ConfigError("parse has to read the answer, and gives none raw: see .completion of what it gives")
        self._sender = sender
        self._endpoint = endpoint
        self._kind = kind
        self._request = request
        self._question = _first_question(request, kind.schema)
        self._may_ask = True
        self._coming: _Coming | None = None
        self._result: Parsed[T] | None = None
        self.requests = 0
        """How often the model was asked so far."""
        self.usage = Usage()
        """Tokens of the answers so far."""

    @property
    def result(self) -> Parsed[T]:
        """The answer. RuntimeError while there is none."""
        if self._result is None:
            raise RuntimeError("there is no answer yet: iterate to the end, or await it")
        return self._result

    def __await__(self) -> Generator[Any, Any, Parsed[T]]:
        return self._to_the_end().__await__()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while self._result is None:
            if self._coming is None:
                stream = await self._sender.open(self._ask(stream=True), CHAT)
                self._coming = _Coming(stream.events(), stream.close, self._kind, self._request.mode)
            event = await anext(self._coming.events)
            if isinstance(event, Finished):
                self._coming = None
                if not event.result.complete:  # a task that was cancelled while it waited has closed the stream
                    raise StreamConsumed("this run was closed", partial=event.result)
                self._take(event.result)
            elif self._coming.grows_by(event):
                return self._coming.preview.value
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop, and close the stream. A result stays."""
        self._may_ask = False
        coming, self._coming = self._coming, None
        if coming is not None:
            await coming.close()

    aclose = close

    async def _to_the_end(self) -> Parsed[T]:
        if self._coming is not None:
            async for _ in self:
                pass
        while self._result is None:
            self._take(await self._sender.send(self._ask(stream=False)))
        return self._result

    def _ask(self, *, stream: bool) -> Call[ChatCompletion]:
        """The next question. The one before it has been answered."""
        if not self._may_ask:
            raise StreamConsumed("this run has failed, was closed, or another task waits for it")
        self._may_ask = False
        self.requests += 1
        question = self._question
        if stream:
            in_pieces = True if self._request.mode == "tool" and question.tool_stream is None else question.tool_stream
            question = replace(question, stream=True, tool_stream=in_pieces)
        return Call(self._endpoint, question)

    def _take(self, completion: ChatCompletion) -> None:
        """Make the value of an answer; or prepare the next question; or raise why there is none."""
        self.usage = add(self.usage, completion.usage)
        tokens = self.usage.total_tokens or 0
        again = self.requests < self._request.max_requests
        if again and completion.finish_reason == "network_error":
            self._may_ask = True
            return
        check_finish(completion, requests=self.requests, tokens=tokens)
        found = _found(completion, self._kind, self._request.mode)
        if isinstance(found, Extraction):
            self._result = Parsed(found.value, completion, self.requests, self.usage, found)
        elif again and completion.finish_reason not in _CUT_OFF:
            told = f"That was not accepted: {found.message}. {_AGAIN[self._request.mode]}"
            messages = [*self._question.messages, *_refused(completion, told, self.requests)]
            self._question = replace(self._question, messages=messages)
            self._may_ask = True
        else:
            cut_off = _CUT_OFF.get(completion.finish_reason or "")
            kind = AnswerTruncated if cut_off else _ERRORS.get(found.kind, AnswerInvalid)
            hint = cut_off or f"after {self.requests} request{'s' if self.requests > 1 else ''}"
            raise kind(
                f"{found.message} ({hint})",
                text=completion.text,
                completion=completion,
                requests=self.requests,
                tokens=tokens,
            )


class _Coming:
    """An answer that is coming in: its stream, and the preview of its value."""

    def __init__(
        self, events: AsyncIterator[ChatEvent], close: Callable[[], Awaitable[None]], kind: AnswerType[Any], mode: str
    ) -> None:
        self.events = events
        self.close = close
        self._new_preview = functools.partial(Preview, kind.unwrap, lists=kind.wrapped)
        self.preview = self._new_preview()
        self._tool = TOOL if mode == "tool" else None
        self._call: int | None = None
        """The position of the call whose arguments are looked at, in the place of text."""

    def grows_by(self, event: ChatEvent) -> bool:
        """Whether ``event`` told more of the value."""
        if isinstance(event, ContentDelta) and event.choice == 0 and self._call is None:
            return self.preview.feed(event.text)
        if isinstance(event, ToolCallDelta) and event.choice == 0 and event.call.name == self._tool:
            if self._call is None and not self.preview.begun:
                self._call, self.preview = event.position, self._new_preview()
            return event.position == self._call and self.preview.feed(event.arguments)
        return False


def _first_question(request: ParseRequest, schema: Mapping[str, Any]) -> ChatEitherRequest:
    """The caller's request with what is wanted in it: nothing of theirs is changed."""
    refuse_bytes(request.messages)
    given = {name: getattr(request, name) for name in ChatParameters.__struct_fields__}
    if request.mode == "json":
        wanted = "Answer with one JSON object that fits this JSON schema, and with nothing else:\n"
        wanted += msgspec.json.encode(schema).decode()
        given["response_format"] = request.response_format or ResponseFormat(type="json_object")
    elif request.mode == "tool":
        wanted = f"Give your answer by calling the function {TOOL}, and in no other way."
        definition = FunctionDefinition(name=TOOL, description="Takes your answer.", parameters=schema)
        if any(_member(_member(tool, "function"), "name") == TOOL for tool in request.tools or ()):
            raise ConfigError(f"{TOOL} is the function that takes the answer: give your tool another name")
        given["tools"] = [*(request.tools or ()), FunctionTool(function=definition)]
    else:
        raise ConfigError(f"mode must be 'json' or 'tool', not {request.mode!r}")
    given["messages"] = _instructed(request.messages, wanted)
    return ChatEitherRequest(stream=None, **given)


def _instructed(messages: Sequence[Message | Mapping[str, Any]], wanted: str) -> list[Message | Mapping[str, Any]]:
    """The messages with what is wanted at the end of the system message, or as one before them."""
    first = messages[0] if messages else None
    if isinstance(first, SystemMessage):
        return [SystemMessage(f"{first.content}\n\n{wanted}"), *messages[1:]]
    if isinstance(first, Mapping) and first.get("role") == "system":
        content = first.get("content")
        if isinstance(content, str):
            return [{**first, "content": f"{content}\n\n{wanted}"}, *messages[1:]]
        if tolerant.is_list(content):
            return [{**first, "content": [*content, {"type": "text", "text": wanted}]}, *messages[1:]]
    return [SystemMessage(wanted), *messages]


def _member(value: Any, name: str) -> Any:
    """A member of a struct or of a plain object; None where there is none."""
    return value.get(name) if tolerant.is_object(value) else getattr(value, name, None)


def _found(completion: ChatCompletion, kind: AnswerType[T], mode: str) -> Extraction[T] | NoExtraction:
    """The value in the arguments of a call or in the text, or why there is none."""
    called = [call.function for call in completion.tool_calls if call.type == "function"]
    answers = [function.arguments for function in called if mode == "tool" and function.name == TOOL]
    reason = completion.finish_reason
    found = [extract(text, kind.accept, finish_reason=reason) for text in (*answers, completion.text)]
    failure = found[0]
    if called and not answers and isinstance(failure, NoExtraction) and failure.kind in ("empty", "no_json"):
        names = ", ".join(function.name for function in called)
        failure = NoExtraction("unfit", f"{names} was called in place of an answer: calls are not carried out here")
    return next((each for each in found if isinstance(each, Extraction)), failure)


def _refused(completion: ChatCompletion, told: str, request: int) -> list[Message]:
    """An answer that was not accepted, and why, as messages; the service wants ids, which some servers do not give."""
    message, told = completion.message, sendable(told)
    calls = [
        replace(call, id=call.id or f"call_{request}_{number}")
        for number, call in enumerate(cast("Sequence[ToolCall]", message.tool_calls or ()))
    ]
    messages: list[Message] = [replace(message, tool_calls=calls or None)]
    messages += [ToolMessage(content=told, tool_call_id=call.id or "") for call in calls if call.type == "function"]
    return messages if len(messages) > 1 else [*messages, UserMessage(told)]


class ParseMethod(Protocol[P]):
    """``client.chat.completions.parse``. Types that checkers see as such, and others, by position or by name."""

    @overload
    def __call__(self, response_type: type[T], /, *args: P.args, **kwargs: P.kwargs) -> ParseRun[T]: ...
    @overload
    def __call__(self, response_type: Any, /, *args: P.args, **kwargs: P.kwargs) -> ParseRun[Any]: ...
    @overload
    def __call__(self, *, response_type: type[T], **parameters: Any) -> ParseRun[T]: ...
    @overload
    def __call__(self, *, response_type: Any, **parameters: Any) -> ParseRun[Any]: ...


class Parse(Generic[P]):
    """The method, for the page of endpoints; its signature is the type and the constructor of its request struct."""

    def __init__(self, endpoint: Endpoint[ChatCompletion], request: Callable[P, ParseRequest]) -> None:
        self._endpoint = endpoint
        self._request = request

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = f"{owner.__name__}.{name}"

    @functools.cached_property
    def _signature(self) -> inspect.Signature:
        signature = inspect.signature(self._request)
        kind = inspect.Parameter("response_type", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return signature.replace(parameters=[kind, *signature.parameters.values()], return_annotation=ParseRun)

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(self, instance: Bound, owner: type[Any]) -> ParseMethod[P]: ...
    def __get__(self, instance: Bound | None, owner: type[Any]) -> Self | ParseMethod[P]:
        if instance is None:
            return self
        sender = instance._sender  # pyright: ignore[reportPrivateUsage]

        def method(response_type: Any, *args: P.args, **kwargs: P.kwargs) -> ParseRun[Any]:
            kind = answer_type(response_type)
            try:
                request = self._request(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{self._name}(): {error}") from None
            return ParseRun(sender, self._endpoint, kind, request)

        described(method, self._name, self._request).__signature__ = self._signature
        return cast("ParseMethod[P]", method)
