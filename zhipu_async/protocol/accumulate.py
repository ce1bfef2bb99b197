"""Fragments to whole calls, chunks to a whole answer (streaming.md sections 2 to 4). Text is joined when asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..types.chat import Audio, ChatCompletion, ChatCompletionChunk, ChatMessage, Choice, Delta, Usage
from ..types.tools import FunctionCall, ToolCall, ToolCallDelta
from . import tolerant
from .copying import copied


class Text(list[str]):
    """Pieces of text, joined when they are asked for."""

    __slots__ = ()

    @property
    def whole(self) -> str | None:
        """The text so far; None until the first piece, even an empty one, has come."""
        if len(self) > 1:
            self[:] = [_whole_characters("".join(self))]
        return self[0] if self else None


def _whole_characters(text: str) -> str:
    """``text`` with characters whose two surrogates came in two pieces made whole."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return text


class _GrowingCall:
    __slots__ = ("arguments", "id", "index", "mcp", "name", "position", "type")

    def __init__(self, position: int, index: int | None) -> None:
        self.position = position
        self.index = index
        self.id: str | None = None
        self.name: str | None = None
        self.type: str | None = None
        self.mcp: dict[str, Any] | None = None
        self.arguments = Text()

    @property
    def named(self) -> bool:
        return bool(self.name) or self.mcp is not None


class ToolCallAccumulator:
    """Merges the ``delta.tool_calls`` of one choice into whole calls, by the rules of streaming.md section 3."""

    def __init__(self) -> None:
        self._calls: list[_GrowingCall] = []
        self._newest: dict[int, _GrowingCall] = {}
        self._known: dict[tuple[int | None, str] | str, _GrowingCall] = {}
        """Calls by id, and by index and id: ids are never compared across indexes."""
        self._latest: _GrowingCall | None = None

    def add(self, fragment: ToolCallDelta | Mapping[str, Any]) -> int:
        """Take one element of ``delta.tool_calls``; gives the position of its call in :attr:`tool_calls`."""
        if not isinstance(fragment, ToolCallDelta):
            fragment = tolerant.convert(dict(fragment), ToolCallDelta, [])
        function = fragment.function
        call = self._latest = self._belongs_to(fragment) or self._open(fragment.index)
        if fragment.id:
            call.id = call.id or fragment.id
            self._known[fragment.id] = self._known[call.index, fragment.id] = call
        if function.name:
            call.name = call.name or function.name
        if function.arguments:
            call.arguments.append(function.arguments)
        if fragment.type:
            call.type = fragment.type
        if fragment.mcp is not None:
            call.mcp = copied(fragment.mcp)
        return call.position

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The calls as they stand, in order of opening; new structs each time. Arguments are raw text."""
        return [
            ToolCall(
                id=call.id,
                type=call.type or "function",
                index=call.index,
                function=FunctionCall(call.name or "", call.arguments.whole or ""),
                mcp=copied(call.mcp),
            )
            for call in self._calls
        ]

    def _open(self, index: int | None) -> _GrowingCall:
        call = _GrowingCall(len(self._calls), index)
        self._calls.append(call)
        if index is not None and index >= 0:
            self._newest[index] = call
        return call

    def _belongs_to(self, fragment: ToolCallDelta) -> _GrowingCall | None:
        """The call that ``fragment`` continues, or None when it opens one. What an MCP server did counts as named."""
        index, identity = fragment.index, fragment.id
        named = bool(fragment.function.name) or fragment.mcp is not None
        if index is not None and index >= 0:
            if identity and (known := self._known.get((index, identity))):
                return known
            newest = self._newest.get(index)
            return None if newest is None or (identity and named and newest.id and newest.named) else newest
        if identity:
            return self._known.get(identity)
        latest = self._latest
        return None if latest is None or (named and latest.named) else latest


class _GrowingChoice:
    __slots__ = (
        "audio",
        "audio_data",
        "content",
        "finish_reason",
        "index",
        "reasoning",
        "reasoning_content",
        "role",
        "tools",
    )

    def __init__(self, index: int) -> None:
        self.index = index
        self.role: str | None = None
        self.content = Text()
        self.reasoning_content = Text()
        self.reasoning = Text()
        self.tools: ToolCallAccumulator | None = None
        self.audio: Audio | None = None
        self.audio_data = Text()
        self.finish_reason: str | None = None

    def add(self, delta: Delta) -> None:
        """Take what few deltas have: all but content, reasoning and role."""
        if (text := delta.reasoning) is not None:
            self.reasoning.append(text)
        if delta.tool_calls:
            if self.tools is None:
                self.tools = ToolCallAccumulator()
            for fragment in delta.tool_calls:
                self.tools.add(fragment)
        if delta.audio is not None:
            known = self.audio or Audio()
            self.audio = Audio(id=known.id or delta.audio.id, expires_at=delta.audio.expires_at or known.expires_at)
            if delta.audio.data is not None:
                self.audio_data.append(delta.audio.data)

    def whole(self) -> Choice:
        audio = self.audio
        return Choice(
            index=self.index,
            finish_reason=self.finish_reason,
            message=ChatMessage(
                role=self.role or "assistant",
                content=self.content.whole,
                reasoning_content=self.reasoning_content.whole,
                reasoning=self.reasoning.whole,
                tool_calls=self.tools.tool_calls if self.tools else None,
                audio=audio and Audio(id=audio.id, data=self.audio_data.whole, expires_at=audio.expires_at),
            ),
        )


class ChatAccumulator:
    """Folds the chunks of one answer into the :class:`ChatCompletion` that the unary call would have given."""

    def __init__(self) -> None:
        self._choices: dict[int, _GrowingChoice] = {}
        self._whole = ChatCompletion()

    def add(self, chunk: ChatCompletionChunk) -> None:
        """Take the next chunk. Later changes to it do no harm: text is kept, and copies of the rest."""
        self.add_all((chunk,))

    def add_all(self, chunks: Iterable[ChatCompletionChunk]) -> None:
        """Take chunks that came together."""
        whole, growing = self._whole, None
        named = bool(whole.id and whole.model)
        for chunk in chunks:
            for choice in chunk.choices:
                if growing is None or choice.index != growing.index:
                    growing = self._choices.get(choice.index)
                    if growing is None:
                        growing = self._choices[choice.index] = _GrowingChoice(choice.index)
                delta = choice.delta
                if (text := delta.content) is not None:
                    growing.content.append(text)
                if (text := delta.reasoning_content) is not None:
                    growing.reasoning_content.append(text)
                if delta.tool_calls or delta.reasoning is not None or delta.audio is not None:
                    growing.add(delta)
                if delta.role:
                    growing.role = delta.role
                if choice.finish_reason:
                    growing.finish_reason = choice.finish_reason
            if not named:
                whole.id = whole.id or chunk.id
                whole.created = whole.created or chunk.created
                whole.model = whole.model or chunk.model
                whole.object = whole.object or ("chat.completion" if chunk.object else None)
                named = bool(whole.id and whole.model)
            if chunk.usage is not None:
                whole.usage = copied(chunk.usage)
            if chunk.web_search:
                whole.web_search = copied(chunk.web_search)
            if chunk.video_result:
                whole.video_result = copied(chunk.video_result)
            if chunk.content_filter:
                whole.content_filter = copied(chunk.content_filter)

    @property
    def finished(self) -> bool:
        """Whether every choice that was begun has a finish reason, and one was begun."""
        return bool(self._choices) and all(choice.finish_reason for choice in self._choices.values())

    @property
    def ending(self) -> tuple[Usage | None, str | None]:
        """Usage, and why the first choice ended, without folding anything."""
        return self._whole.usage, self._choices[min(self._choices)].finish_reason if self._choices else None

    def result(self, *, complete: bool) -> ChatCompletion:
        """The answer as it stands, a new struct each time."""
        result = copied(self._whole)
        result.choices = [self._choices[index].whole() for index in sorted(self._choices)]
        vars(result)["complete"] = complete
        return result
