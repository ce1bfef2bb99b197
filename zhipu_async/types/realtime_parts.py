"""Realtime: what the server's events are about (data.md section 13). Any field may be missing."""

from __future__ import annotations

import msgspec

from .realtime import BetaFields, ConversationItem, GreetingConfig, NoiseReduction, RealtimeTool, TurnDetection


class SimpleBrowser(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The built-in search of video mode."""

    description: str | None = None
    """What the model says while it searches."""


class SessionBetaFields(BetaFields, kw_only=True, omit_defaults=True):
    """Beta fields as the server tells them."""

    simple_browser: SimpleBrowser | None = None


class SessionState(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The configuration in force; the fields are explained in :class:`.realtime.SessionConfig`."""

    id: str | None = None
    object: str | None = None
    model: str | None = None
    input_audio_format: str | None = None
    output_audio_format: str | None = None
    turn_detection: TurnDetection | None = None
    instructions: str | None = None
    voice: str | None = None
    temperature: float | None = None
    max_response_output_tokens: str | int | None = None
    tools: list[RealtimeTool] | None = None
    modalities: list[str] | None = None
    input_audio_noise_reduction: NoiseReduction | None = None
    beta_fields: SessionBetaFields | None = None
    greeting_config: GreetingConfig | None = None


class Conversation(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The conversation of a session."""

    id: str | None = None
    object: str | None = None


class ErrorDetail(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What went wrong."""

    type: str | None = None
    """Like ``invalid_request_error`` or ``server_error``."""
    code: str | None = None
    """A business code (errors.md section 3) or a word."""
    message: str | None = None
    param: str | None = None
    event_id: str | None = None
    """The client's event that it is about, where it is told."""


class InputTokenDetails(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Tokens of the input."""

    cached_tokens: int | None = None
    text_tokens: int | None = None
    audio_tokens: int | None = None


class OutputTokenDetails(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Tokens of the output."""

    text_tokens: int | None = None
    audio_tokens: int | None = None


class RealtimeUsage(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Tokens of one response."""

    total_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_token_details: InputTokenDetails | None = None
    output_token_details: OutputTokenDetails | None = None


class RealtimeResponse(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A response of the model's as a whole."""

    id: str | None = None
    object: str | None = None
    status: str | None = None
    """``in_progress``, ``completed``, ``cancelled``, ``failed`` or ``incomplete``."""
    usage: RealtimeUsage | None = None
    output: list[ConversationItem] | None = None
    """Its items, where they are told; not in the vendor's document."""


class RateLimit(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A rate limit."""

    name: str | None = None
    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None
