"""Realtime, what the server says: its events (data.md section 13). Any field may be missing."""

from __future__ import annotations

import binascii
from typing import Any

import msgspec

from .realtime import ContentPart, ConversationItem
from .realtime_parts import Conversation, ErrorDetail, RateLimit, RealtimeResponse, SessionBetaFields, SessionState


class ServerEvent(msgspec.Struct, kw_only=True, omit_defaults=True, tag_field="type", tag=""):
    """What all events of the server may have. ``type`` is its name on the wire."""

    event_id: str | None = None
    client_timestamp: int | None = None
    """Milliseconds since 1970."""

    @property
    def type(self) -> str:
        """The name on the wire, like ``response.text.delta``."""
        return str(self.__struct_config__.tag)


class UnknownEvent(msgspec.Struct, frozen=True):
    """An event that is newer than this library, or that does not fit: nothing the server sends is lost."""

    type: str
    """Its name on the wire; "" where it has none."""
    raw: Any
    """The decoded JSON; where it is none, the frame as it came."""


RealtimeEvent = ServerEvent | UnknownEvent
"""What a session gives."""


class ErrorEvent(ServerEvent, kw_only=True, omit_defaults=True, tag="error"):
    """Something went wrong. In most cases the session goes on."""

    error: ErrorDetail | None = None


class Heartbeat(ServerEvent, kw_only=True, omit_defaults=True, tag="heartbeat"):
    """The session is alive; comes about every 30 seconds."""


class SessionCreated(ServerEvent, kw_only=True, omit_defaults=True, tag="session.created"):
    """The session is open."""

    session: SessionState | None = None


class SessionUpdated(ServerEvent, kw_only=True, omit_defaults=True, tag="session.updated"):
    """The configuration was set."""

    session: SessionState | None = None


class ConversationCreated(ServerEvent, kw_only=True, omit_defaults=True, tag="conversation.created"):
    """The conversation of the session begins."""

    conversation: Conversation | None = None


class _Item(ServerEvent, kw_only=True, omit_defaults=True):
    """An item."""

    item: ConversationItem | None = None
    previous_item_id: str | None = None


class ConversationItemCreated(_Item, kw_only=True, omit_defaults=True, tag="conversation.item.created"):
    """An item was added."""


class ConversationItemRetrieved(_Item, kw_only=True, omit_defaults=True, tag="conversation.item.retrieved"):
    """The item that was asked for; not in the vendor's document."""


class _ItemId(ServerEvent, kw_only=True, omit_defaults=True):
    """About an item."""

    item_id: str | None = None


class ConversationItemDeleted(_ItemId, kw_only=True, omit_defaults=True, tag="conversation.item.deleted"):
    """An item was removed."""


class ConversationItemTruncated(_ItemId, kw_only=True, omit_defaults=True, tag="conversation.item.truncated"):
    """A spoken item was cut off."""

    content_index: int | None = None
    audio_end_ms: int | None = None


class TranscriptionCompleted(
    _ItemId, kw_only=True, omit_defaults=True, tag="conversation.item.input_audio_transcription.completed"
):
    """What the user said, by a model of its own: it may differ from what the answering model understood."""

    content_index: int | None = None
    transcript: str | None = None


class TranscriptionFailed(
    _ItemId, kw_only=True, omit_defaults=True, tag="conversation.item.input_audio_transcription.failed"
):
    """What the user said could not be transcribed."""

    content_index: int | None = None
    error: ErrorDetail | None = None


class InputAudioBufferCommitted(_ItemId, kw_only=True, omit_defaults=True, tag="input_audio_buffer.committed"):
    """The input buffer became the item ``item_id``."""

    previous_item_id: str | None = None


class InputAudioBufferCleared(ServerEvent, kw_only=True, omit_defaults=True, tag="input_audio_buffer.cleared"):
    """The input buffer was emptied."""


class SpeechStarted(_ItemId, kw_only=True, omit_defaults=True, tag="input_audio_buffer.speech_started"):
    """The user began to speak (``server_vad``)."""

    audio_start_ms: int | None = None


class SpeechStopped(_ItemId, kw_only=True, omit_defaults=True, tag="input_audio_buffer.speech_stopped"):
    """The user stopped speaking (``server_vad``)."""

    audio_end_ms: int | None = None


class _Response(ServerEvent, kw_only=True, omit_defaults=True):
    """A response."""

    response: RealtimeResponse | None = None


class ResponseCreated(_Response, kw_only=True, omit_defaults=True, tag="response.created"):
    """A response begins."""


class ResponseDone(_Response, kw_only=True, omit_defaults=True, tag="response.done"):
    """A response ended; ``response.status`` says how."""


class ResponseCancelled(_Response, kw_only=True, omit_defaults=True, tag="response.cancelled"):
    """A response was interrupted."""


class _Part(ServerEvent, kw_only=True, omit_defaults=True):
    """A part of a response."""

    response_id: str | None = None
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None


class ResponseOutputItemAdded(_Part, kw_only=True, omit_defaults=True, tag="response.output_item.added"):
    """An item of a response begins."""

    item: ConversationItem | None = None


class ResponseOutputItemDone(_Part, kw_only=True, omit_defaults=True, tag="response.output_item.done"):
    """An item of a response is whole."""

    item: ConversationItem | None = None


class ResponseContentPartAdded(_Part, kw_only=True, omit_defaults=True, tag="response.content_part.added"):
    """A part of an item begins."""

    part: ContentPart | None = None


class ResponseContentPartDone(_Part, kw_only=True, omit_defaults=True, tag="response.content_part.done"):
    """A part of an item is whole."""

    part: ContentPart | None = None


class ResponseTextDelta(_Part, kw_only=True, omit_defaults=True, tag="response.text.delta"):
    """The text grew by ``delta``."""

    delta: str = ""


class ResponseTextDone(_Part, kw_only=True, omit_defaults=True, tag="response.text.done"):
    """The text is whole."""

    text: str | None = None


class ResponseAudioDelta(_Part, kw_only=True, omit_defaults=True, tag="response.audio.delta"):
    """The sound grew by ``delta``, base64 of pcm: 24 kHz, mono, 16 bits."""

    delta: str = ""

    @property
    def audio(self) -> bytes:
        """The samples. ValueError where ``delta`` is no base64."""
        return binascii.a2b_base64(self.delta)


class ResponseAudioDone(_Part, kw_only=True, omit_defaults=True, tag="response.audio.done"):
    """The sound is whole, or was interrupted."""


class ResponseAudioTranscriptDelta(_Part, kw_only=True, omit_defaults=True, tag="response.audio_transcript.delta"):
    """The transcript of the sound grew by ``delta``."""

    delta: str = ""


class ResponseAudioTranscriptDone(_Part, kw_only=True, omit_defaults=True, tag="response.audio_transcript.done"):
    """The transcript of the sound is whole, or was interrupted."""

    transcript: str | None = None


class ResponseFunctionCallArgumentsDelta(
    _Part, kw_only=True, omit_defaults=True, tag="response.function_call_arguments.delta"
):
    """The arguments of a call grew by ``delta``."""

    call_id: str | None = None
    delta: str = ""


class ResponseFunctionCallArgumentsDone(
    _Part, kw_only=True, omit_defaults=True, tag="response.function_call_arguments.done"
):
    """The model calls a function: answer with a ``function_call_output`` item and ``response.create``."""

    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    """JSON as text that a model wrote: parse it with care."""


class SimpleBrowserSession(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the built-in search tells of itself."""

    beta_fields: SessionBetaFields | None = None


class ResponseFunctionCallSimpleBrowser(
    _Part, kw_only=True, omit_defaults=True, tag="response.function_call.simple_browser"
):
    """The service searches by itself (video mode); nothing has to be done."""

    name: str | None = None
    session: SimpleBrowserSession | None = None


class RateLimitsUpdated(ServerEvent, kw_only=True, omit_defaults=True, tag="rate_limits.updated"):
    """What is left of the rate limits."""

    rate_limits: list[RateLimit] | None = None


SERVER_EVENTS: tuple[type[ServerEvent], ...] = (
    ErrorEvent,
    Heartbeat,
    SessionCreated,
    SessionUpdated,
    ConversationCreated,
    ConversationItemCreated,
    ConversationItemRetrieved,
    ConversationItemDeleted,
    ConversationItemTruncated,
    TranscriptionCompleted,
    TranscriptionFailed,
    InputAudioBufferCommitted,
    InputAudioBufferCleared,
    SpeechStarted,
    SpeechStopped,
    ResponseCreated,
    ResponseDone,
    ResponseCancelled,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseTextDelta,
    ResponseTextDone,
    ResponseAudioDelta,
    ResponseAudioDone,
    ResponseAudioTranscriptDelta,
    ResponseAudioTranscriptDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseFunctionCallSimpleBrowser,
    RateLimitsUpdated,
)
"""All events that a server may send, as far as they are known."""
