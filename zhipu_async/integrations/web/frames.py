"""What a browser reads: items of a stream as frames of server-sent events, each with one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ...errors import ConfigError
from ...tool_runs import ToolRunResult
from ...types.chat import ChatCompletion, ChatCompletionChunk
from ...types.events import ContentDelta, Finished
from ...types.realtime_events import UnknownEvent
from ...types.tool_events import CallDecoded, CallReturned, TurnFinished

DONE = b"data: [DONE]\n\n"
"""The last frame of an answer that is whole."""
KEEP_ALIVE = b": keep-alive\n\n"
"""A comment, which browsers ignore, for the proxies on the way."""


class Event(msgspec.Struct, frozen=True):
    """A frame of one's own: ``data`` is anything that JSON can hold, ``name`` the browser's type of the event."""

    data: Any
    name: str | None = None

    def __post_init__(self) -> None:
        if self.name is not None and not _is_name(self.name):
            raise ConfigError(f"{self.name!r} cannot name an event: it must be one line and not empty")


def frame(item: object, *, text_only: bool = False) -> bytes:
    """The frame of an item; b"" where only text is wanted and it has none.

    Chunks of a chat are written as the service writes them, a text as ``{"text": ...}``, events as named events with
    their ``type`` for name, and everything else as its JSON. ConfigError for what JSON cannot hold.
    """
    if text_only:
        text = _text(item)
        return written({"text": text}) if text else b""
    if isinstance(item, str):
        return written({"text": item})
    if isinstance(item, Event):
        return written(item.data, item.name)
    make = _FORMS.get(type(item))
    if isinstance(item, UnknownEvent):
        return written(item.raw, item.type if _is_name(item.type) else None)
    name = _event_name(item)
    data = make(item) if make is not None else item
    return written(data if name is None else {"type": name, **msgspec.to_builtins(data)}, name)


def finished(result: ToolRunResult, begun_with: int) -> bytes:
    """The frame that tells how a run with tools ended; ``begun_with`` messages were there before."""
    data = {
        "type": "run.finished",
        "ended": result.ended,
        "steps": result.steps,
        "usage": result.usage,
        "messages": result.messages[begun_with:],
    }
    return written(data, "run.finished")


def written(data: object, name: str | None = None) -> bytes:
    """``data`` as JSON in a frame of its own."""
    try:
        line = msgspec.json.encode(data)
    except UnicodeEncodeError:  # half of a character, the other half of which is in the next piece: JSON can escape it
        line = json.dumps(msgspec.to_builtins(data), separators=(",", ":")).encode()
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ConfigError(f"{type(data).__name__} cannot be relayed: {error}") from error
    return b"data: %b\n\n" % line if name is None else b"event: %b\ndata: %b\n\n" % (name.encode(), line)


def _text(item: object) -> str | None:
    if isinstance(item, str):
        return item
    if isinstance(item, ContentDelta):
        return item.text if item.choice == 0 else None
    if isinstance(item, ChatCompletionChunk):
        return "".join(choice.delta.content or "" for choice in item.choices if choice.index == 0)
    return None


def _is_name(name: str) -> bool:
    return bool(name) and name.isprintable()


def _event_name(item: object) -> str | None:
    """The ``type`` of an event; None for what has none, or has a field of that name."""
    if not isinstance(item, msgspec.Struct) or "type" in item.__struct_fields__:
        return None
    name: object = getattr(item, "type", None)
    return name if isinstance(name, str) else None


def _chunk(chunk: ChatCompletionChunk) -> Mapping[str, Any]:
    """With what structs leave out and browser code counts on: the index of a choice, its delta, the list itself."""
    choices = [
        {"index": choice.index, "delta": choice.delta, **_given(finish_reason=choice.finish_reason)}
        for choice in chunk.choices
    ]
    return {**msgspec.to_builtins(chunk), "choices": choices}


def _of_completion(completion: ChatCompletion) -> Mapping[str, Any]:
    return {"finish_reason": completion.finish_reason, "usage": completion.usage, "model": completion.model}


def _returned(event: CallReturned) -> Mapping[str, Any]:
    error = None if event.error is None else type(event.error).__name__
    return {"call": event.call, "content": event.content, "error": error, "seconds": event.seconds}


def _given(**members: object) -> Mapping[str, object]:
    return {name: value for name, value in members.items() if value is not None}


_FORMS: Mapping[type[Any], Callable[[Any], Any]] = {
    ChatCompletionChunk: _chunk,
    CallDecoded: lambda event: {"call": event.call},  # its decoded arguments may be anything; their text is there
    CallReturned: _returned,
    TurnFinished: lambda event: {"step": event.step, **_of_completion(event.completion)},
    Finished: lambda event: _of_completion(event.result),
}
"""What is not written field by field."""
