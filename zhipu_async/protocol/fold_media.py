"""Folds of streams of speech and of what is heard in it (media.md sections 3 and 4), and of the older search tool."""

from __future__ import annotations

from typing import Literal

from ..errors import StreamCorrupted
from ..types.audio import SpeechAudio, SpeechChunk, Transcription, TranscriptionChunk
from ..types.web import SearchCall, SearchChoice, SearchMessage, SearchToolChunk, SearchToolResponse
from .accumulate import Text as Text
from .codec import excerpt
from .copying import copied
from .fold_agents import fill

# ---------------------------------------------------------------- speech to text


class TranscriptionAccumulator:
    """Folds the events of a transcription into the :class:`Transcription` that the plain call would have given."""

    def __init__(self) -> None:
        self._text = Text()
        self._whole = Transcription()
        self.finished = False
        """Whether the event that ends the text has come."""

    def add(self, chunk: TranscriptionChunk) -> None:
        """Take the next event. A text that comes with the last one stands in the place of all pieces."""
        last = (chunk.type or "").endswith(".done")
        if chunk.content and not (last and self._text):
            self._text.append(chunk.content)
        if last and chunk.text:
            self._text = Text()
            self._text.append(chunk.text)
        self.finished = self.finished or chunk.final
        fill(self._whole, chunk, "id", "request_id", "created", "model")

    def result(self, *, complete: bool) -> Transcription:
        """What was said so far, a new struct each time."""
        result = copied(self._whole)
        result.text = self._text.whole or ""
        vars(result)["complete"] = complete
        return result


def transcription_says_something(chunk: TranscriptionChunk) -> bool:
    """Whether an event adds to the text or holds it."""
    return bool(chunk.content or chunk.text)


def transcription_is_final(chunk: TranscriptionChunk) -> bool:
    """Whether the text ends with an event."""
    return chunk.final


# ---------------------------------------------------------------- text to speech


class SpeechAccumulator:
    """Decodes the pieces of a stream of sound one by one, and joins them when asked."""

    def __init__(self, encode_format: Literal["base64", "hex"] = "base64") -> None:
        self._encode_format: Literal["base64", "hex"] = encode_format
        self._pieces: list[bytes] = []
        self._whole = SpeechAudio()

    def add(self, chunk: SpeechChunk) -> None:
        """Take the next piece, in the order of arrival. StreamCorrupted for one that cannot be decoded."""
        whole = self._whole
        fill(whole, chunk, "id", "request_id", "created", "model")
        for choice in chunk.choices:
            delta = choice.delta
            try:
                self._pieces.append(delta.audio(self._encode_format))
            except ValueError as error:
                text = (delta.content or "").encode("utf-8", "replace")
                raise StreamCorrupted(f"a piece of sound is no {self._encode_format}", raw=excerpt(text)) from error
            whole.sample_rate = whole.sample_rate or delta.return_sample_rate
            whole.format = whole.format or delta.return_format
            whole.finish_reason = choice.finish_reason or whole.finish_reason

    @property
    def finished(self) -> bool:
        """Whether a finish reason has come: every piece is a choice of its own, and the last one has it."""
        return bool(self._whole.finish_reason)

    def result(self, *, complete: bool) -> SpeechAudio:
        """The sound so far, a new struct each time."""
        if len(self._pieces) > 1:
            self._pieces = [b"".join(self._pieces)]
        result = copied(self._whole)
        result.audio = self._pieces[0] if self._pieces else b""
        vars(result)["complete"] = complete
        return result


def speech_says_something(chunk: SpeechChunk) -> bool:
    """Whether a chunk carries sound."""
    return any(choice.delta.content for choice in chunk.choices)


def speech_is_final(chunk: SpeechChunk) -> bool:
    """Whether a chunk carries a finish reason."""
    return any(choice.finish_reason for choice in chunk.choices)


# ---------------------------------------------------------------- the older search tool


class _GrowingSearch:
    __slots__ = ("calls", "finish_reason", "index", "known", "role")

    def __init__(self, index: int) -> None:
        self.index = index
        self.role: str | None = None
        self.calls: list[SearchCall] = []
        self.known: dict[tuple[object, ...], SearchCall] = {}
        self.finish_reason: str | None = None

    def add(self, message: SearchMessage) -> None:
        self.role = self.role or message.role
        for step in message.tool_calls or ():
            key = step.id, step.type, step.index
            call = self.known.get(key)
            if call is None:
                call = self.known[key] = SearchCall(id=step.id, type=step.type, index=step.index)
                self.calls.append(call)
            if step.search_intent is not None:
                call.search_intent = call.search_intent or []
                call.search_intent += copied(step.search_intent)
            if step.search_result is not None:
                call.search_result = call.search_result or []
                call.search_result += copied(step.search_result)
            if step.search_recommend is not None:
                call.search_recommend = call.search_recommend or []
                call.search_recommend += copied(step.search_recommend)


class SearchToolAccumulator:
    """Folds the chunks of a search into the :class:`SearchToolResponse` that the plain call would have given."""

    def __init__(self) -> None:
        self._choices: dict[int, _GrowingSearch] = {}
        self._whole = SearchToolResponse()

    def add(self, chunk: SearchToolChunk) -> None:
        """Take the next chunk; what belongs to a step that is known joins it."""
        for choice in chunk.choices:
            growing = self._choices.get(choice.index)
            if growing is None:
                growing = self._choices[choice.index] = _GrowingSearch(choice.index)
            growing.add(choice.delta)
            growing.finish_reason = choice.finish_reason or growing.finish_reason
        fill(self._whole, chunk, "id", "created")

    @property
    def finished(self) -> bool:
        """Whether every choice that was begun has a finish reason, and one was begun."""
        return bool(self._choices) and all(choice.finish_reason for choice in self._choices.values())

    def result(self, *, complete: bool) -> SearchToolResponse:
        """The answer as it stands, a new struct each time."""
        result = copied(self._whole)
        result.choices = [
            SearchChoice(
                index=choice.index,
                finish_reason=choice.finish_reason,
                message=SearchMessage(role=choice.role, tool_calls=copied(choice.calls) or None),
            )
            for _, choice in sorted(self._choices.items())
        ]
        vars(result)["complete"] = complete
        return result


def search_says_something(chunk: SearchToolChunk) -> bool:
    """Whether a chunk carries a step of the search."""
    return any(choice.delta.tool_calls for choice in chunk.choices)


def search_is_final(chunk: SearchToolChunk) -> bool:
    """Whether a chunk carries a finish reason."""
    return any(choice.finish_reason for choice in chunk.choices)
