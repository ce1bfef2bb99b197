"""Realtime, what the client says: configuration of a session, conversation items, client events (data.md section 13).

The server's events are in :mod:`.realtime_events`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec


def _wav() -> str:
    return "wav"


def _pcm() -> str:
    return "pcm"


def _function() -> str:
    return "function"


def _item() -> str:
    return "realtime.item"


class TurnDetection(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Who decides when the user has finished speaking: ``server_vad``, or ``client_vad`` (the service's default).

    The other fields tune ``server_vad``; the vendor's SDK has them, its document does not.
    """

    type: str | None = None
    threshold: float | None = None
    prefix_padding_ms: int | None = None
    silence_duration_ms: int | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None


class RealtimeTool(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A function that the model may call, in audio mode only. Flat, unlike the tools of chat."""

    type: str = msgspec.field(default_factory=_function)
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """A JSON schema object."""


class NoiseReduction(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Noise reduction of the input: ``near_field`` or ``far_field``."""

    type: str | None = None


class BetaFields(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the service calls beta."""

    chat_mode: str | None = None
    """``audio`` or ``video_passive``; the service requires it when there are beta fields."""
    tts_source: str | None = None
    """``e2e``."""
    auto_search: bool | None = None
    """The built-in search, in audio mode; the service's default is true."""


class GreetingConfig(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A greeting that the model begins with."""

    enable: bool | None = None
    content: str | None = None


def _client_vad() -> TurnDetection:
    return TurnDetection(type="client_vad")


class SessionConfig(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The configuration that a ``session.update`` sets.

    The three fields that the service requires are always sent, with its own defaults where they are not given; give a
    mapping in place of this struct to leave them out.
    """

    model: str | None = None
    """``glm-realtime-flash`` or ``glm-realtime-air``."""
    input_audio_format: str = msgspec.field(default_factory=_wav)
    """``wav`` or ``pcm``, with the sampling rate in kHz where it is not 16, like ``pcm24``. Mono."""
    output_audio_format: str = msgspec.field(default_factory=_pcm)
    """``pcm``: 24 kHz, mono, 16 bits."""
    turn_detection: TurnDetection | Mapping[str, Any] = msgspec.field(default_factory=_client_vad)
    instructions: str | None = None
    voice: str | None = None
    """``tongtong`` (default), ``female-tianmei``, ``male-qn-daxuesheng``, ``lovely_girl``, ..."""
    temperature: float | None = None
    """0 to 1."""
    max_response_output_tokens: str | int | None = None
    """0 to 1024 tokens of text. The document declares a text."""
    tools: Sequence[RealtimeTool | Mapping[str, Any]] | None = None
    modalities: Sequence[Literal["text", "audio"]] | None = None
    """What the model answers with; by default both."""
    input_audio_noise_reduction: NoiseReduction | Mapping[str, Any] | None = None
    beta_fields: BetaFields | Mapping[str, Any] | None = None
    greeting_config: GreetingConfig | Mapping[str, Any] | None = None


class ContentPart(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A part of a message: ``input_text``, ``input_audio``, ``text`` or ``audio``."""

    type: str | None = None
    text: str | None = None
    audio: str | None = None
    """Base64."""
    transcript: str | None = None


class ConversationItem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A message, a function call, or the output of one; both sides send it."""

    id: str | None = None
    type: str | None = None
    """``message``, ``function_call`` or ``function_call_output``."""
    object: str = msgspec.field(default_factory=_item)
    status: str | None = None
    """``completed`` or ``incomplete``."""
    role: str | None = None
    """``user``, ``assistant`` or ``system``, for a message."""
    content: list[ContentPart] | None = None
    call_id: str | None = None
    """Which call it is, where the service numbers them; not in its document."""
    name: str | None = None
    """The function, for a call."""
    arguments: str | None = None
    """The arguments of a call, JSON as text that a model wrote."""
    output: str | None = None
    """What a function gave."""

    @classmethod
    def message(cls, text: str, role: Literal["user", "assistant", "system"] = "user") -> ConversationItem:
        """A message of text."""
        kind = "text" if role == "assistant" else "input_text"
        return cls(type="message", role=role, content=[ContentPart(type=kind, text=text)])

    @classmethod
    def function_output(cls, output: str, call_id: str | None = None) -> ConversationItem:
        """What the function that the model called gave, as text."""
        return cls(type="function_call_output", output=output, call_id=call_id)


class ClientEvent(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, tag_field="type", tag=""):
    """What all events of the client have. ``type`` is its name on the wire."""

    event_id: str | None = None
    """A name of the caller's for this event."""
    client_timestamp: int | None = None
    """When it was sent: milliseconds since 1970."""

    @property
    def type(self) -> str:
        """The name on the wire, like ``session.update``."""
        return str(self.__struct_config__.tag)


class SessionUpdate(ClientEvent, kw_only=True, frozen=True, omit_defaults=True, tag="session.update"):
    """Set the configuration; answered with ``session.updated``. What is left out may be set back to its default."""

    session: SessionConfig | Mapping[str, Any]


class InputAudioBufferAppend(
    ClientEvent, kw_only=True, frozen=True, omit_defaults=True, tag="input_audio_buffer.append"
):
    """Sound for the input buffer. With ``client_vad`` at most 30 seconds for one commit."""

    audio: str
    """Base64 of wav or pcm."""


class InputAudioBufferAppendVideoFrame(
    ClientEvent, kw_only=True, frozen=True, omit_defaults=True, tag="input_audio_buffer.append_video_frame"
):
    """A picture for the input buffer, in video mode."""

    video_frame: str
    """Base64 of a JPEG."""


class InputAudioBufferPreCommit(
    ClientEvent, kw_only=True, frozen=True, omit_defaults=True, tag="input_audio_buffer.pre_commit"
):
    """Announce that a commit may follow; not in the vendor's document."""


class InputAudioBufferCommit(
    ClientEvent, kw_only=True, frozen=True, omit_defaults=True, tag="input_audio_buffer.commit"
):
    """Make a message of the user's of what is in the input buffer (``client_vad``)."""


class InputAudioBufferClear(ClientEvent, kw_only=True, frozen=True, omit_defaults=True, tag="input_audio_buffer.clear"):
    """Forget what is in the input buffer."""


class ConversationItemCreate(
    ClientEvent, kw_only=True, frozen=True, omit_defaults=True, tag="conversation.item.create"
):
    """Add an item: text of the user's, or what a function gave."""

    item: ConversationItem | Mapping[str, Any]
    previous_item_id: str | None = None
    """The item after which it is added; the vendor's SDK has it, its document does not."""


class ConversationItemDelete(
    ClientEvent, kw_only=True, frozen=True, omit_defaults=True, tag="conversation.item.delete"
):
    """Remove an item."""

    item_id: str


class ConversationItemRetrieve(
    ClientEvent, kw_only=True, frozen=True, omit_defaults=True, tag="conversation.item.retrieve"
):
    """Ask for an item."""

    item_id: str


class ConversationItemTruncate(
    ClientEvent, kw_only=True, frozen=True, omit_defaults=True, tag="conversation.item.truncate"
):
    """Cut off what the user did not hear of a spoken answer; not in the vendor's document."""

    item_id: str
    content_index: int | None = None
    audio_end_ms: int | None = None
    """Milliseconds that stay."""


class ResponseCreate(ClientEvent, kw_only=True, frozen=True, omit_defaults=True, tag="response.create"):
    """Let the model answer (with ``server_vad`` it does so by itself)."""


class ResponseCancel(ClientEvent, kw_only=True, frozen=True, omit_defaults=True, tag="response.cancel"):
    """Interrupt the answer under way."""


CLIENT_EVENTS: tuple[type[ClientEvent], ...] = (
    SessionUpdate,
    InputAudioBufferAppend,
    InputAudioBufferAppendVideoFrame,
    InputAudioBufferPreCommit,
    InputAudioBufferCommit,
    InputAudioBufferClear,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    ResponseCreate,
    ResponseCancel,
)
"""All events that a client may send."""
