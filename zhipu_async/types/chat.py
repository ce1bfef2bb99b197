"""Chat completions: ``POST /chat/completions`` (chat.md, streaming.md), and as a task (async_tasks.md section 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from .base import Request, Response
from .messages import AssistantMessage, AudioReference, Message, sendable
from .tools import FunctionCall, Tool, ToolCall, ToolCallDelta

# ---------------------------------------------------------------- requests


class Thinking(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Whether the model thinks before it answers; what each model supports is in chat.md section 3."""

    type: Literal["enabled", "disabled"] | None = None
    clear_thinking: bool | None = None
    """False keeps the reasoning of earlier turns (preserved thinking)."""


class ResponseFormat(msgspec.Struct, kw_only=True, frozen=True):
    """``text`` or ``json_object``; with the latter say in the prompt that JSON is wanted."""

    type: Literal["text", "json_object"]


class SensitiveWordCheck(msgspec.Struct, kw_only=True, frozen=True):
    """Switches the sensitive word check; needs a permission of the account."""

    type: str = msgspec.field(default="ALL")
    status: str = msgspec.field(default="ENABLE")
    """``ENABLE`` or ``DISABLE``."""


class CharacterMeta(msgspec.Struct, kw_only=True, frozen=True):
    """Who talks to whom, for emohaa; all four are required."""

    user_info: str
    bot_info: str
    bot_name: str
    user_name: str


class CommonParameters(Request, kw_only=True, frozen=True, omit_defaults=True):
    """What a conversation is asked with, whichever way the answer comes: whole, as a stream or as a task."""

    model: str
    """Model id, lower case, for example ``glm-4.6``. Unknown ids are passed on."""
    messages: Sequence[Message | Mapping[str, Any]]
    """The conversation so far; it must not consist of system and assistant messages only."""
    do_sample: bool | None = None
    """False: greedy; then ``temperature`` and ``top_p`` are ignored."""
    temperature: float | None = None
    """0.0 to 1.0, at most two decimals."""
    top_p: float | None = None
    """0.01 to 1.0, at most two decimals."""
    max_tokens: int | None = None
    """1 to 131072 tokens, reasoning and answer together."""
    thinking: Thinking | Mapping[str, Any] | None = None
    reasoning_effort: Literal["max", "xhigh", "high", "medium", "low", "minimal", "none"] | None = None
    """GLM-5.2 and newer only."""
    tools: Sequence[Tool | Mapping[str, Any]] | None = None
    """At most 128 functions."""
    tool_choice: str | Mapping[str, Any] | None = None
    """Only ``auto`` is documented."""
    stop: Sequence[str] | None = None
    """Up to 4 texts that end the answer; send a list also for one."""
    response_format: ResponseFormat | Mapping[str, Any] | None = None
    request_id: str | None = None
    """6 to 64 characters, unique per call; the service makes one when it is left out."""
    user_id: str | None = None
    """6 to 128 characters: the end user, for abuse control."""
    watermark_enabled: bool | None = None
    """glm-4-voice on open.bigmodel.cn."""
    sensitive_word_check: SensitiveWordCheck | Mapping[str, Any] | None = None
    meta: CharacterMeta | Mapping[str, Any] | None = None
    """emohaa only, and required there."""
    seed: int | None = None
    extra: Mapping[str, Any] | None = None
    """codegeex-4 only: target and contexts."""


class AsyncChatRequest(CommonParameters, kw_only=True, frozen=True, omit_defaults=True):
    """Ask a model for an answer as a task that is fetched later (async_tasks.md section 1).

    A second call makes, and bills, a second task.
    """


class ChatParameters(CommonParameters, kw_only=True, frozen=True, omit_defaults=True):
    """Ask a model for an answer.

    Text, vision (``glm-4.6v`` ...), voice (``glm-4-voice``) and role-play (``charglm-4``, ``emohaa``) models share this
    call; chat.md says which fields each takes. A field left out is not sent, and no value is ever changed.
    """

    tool_stream: bool | None = None
    """Stream the arguments of tool calls in pieces (GLM-4.6 and newer); takes effect with ``stream=True``."""
    stream_options: Mapping[str, Any] | None = None
    """Tolerated by the service without effect: usage always comes."""


class ChatRequest(ChatParameters, kw_only=True, frozen=True, omit_defaults=True):
    __doc__ = ChatParameters.__doc__

    stream: Literal[False] | None = None


class ChatStreamRequest(ChatParameters, kw_only=True, frozen=True, omit_defaults=True):
    __doc__ = ChatParameters.__doc__

    stream: Literal[True]


class ChatEitherRequest(ChatParameters, kw_only=True, frozen=True, omit_defaults=True):
    __doc__ = ChatParameters.__doc__

    stream: bool | None


# ---------------------------------------------------------------- answers


class PromptTokensDetails(msgspec.Struct, omit_defaults=True, gc=False):
    """Of the prompt's tokens."""

    cached_tokens: int | None = None


class CompletionTokensDetails(msgspec.Struct, omit_defaults=True, gc=False):
    """Of the completion's tokens."""

    reasoning_tokens: int | None = None


class Usage(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """Tokens of one call. ``completion_tokens`` includes reasoning."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None


class Audio(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """Speech of glm-4-voice: ``data`` is base64 (wav)."""

    id: str | None = None
    data: str | None = None
    expires_at: str | int | None = None


class WebSearchResult(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A page that the web search found."""

    icon: str | None = None
    title: str | None = None
    link: str | None = None
    media: str | None = None
    publish_date: str | None = None
    content: str | None = None
    refer: str | None = None


class VideoResult(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A generated video."""

    url: str | None = None
    cover_image_url: str | None = None


class ContentFilter(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """Where content safety intervened: ``role`` assistant, user or history; ``level`` 0 (most severe) to 3."""

    role: str | None = None
    level: int | None = None


def _assistant() -> str:
    return "assistant"


class ChatMessage(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The answer's message. ``content`` may be absent when tokens ran out while thinking (chat.md section 3)."""

    role: str = msgspec.field(default_factory=_assistant)
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    """The name that some servers of GLM give ``reasoning_content``."""
    tool_calls: list[ToolCall] | None = None
    audio: Audio | None = None


class Choice(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One answer; the service gives one per call."""

    index: int = 0
    finish_reason: str | None = None
    """stop, tool_calls, length, sensitive, network_error, model_context_window_exceeded, or what is new."""
    message: ChatMessage = msgspec.field(default_factory=ChatMessage)


class Folded:
    """An answer that came whole or was folded from a stream."""

    __slots__ = ()

    @property
    def complete(self) -> bool:
        """False for a snapshot of a stream that has not ended, and for the partial result of a broken one."""
        return bool(vars(self).get("complete", True))


class ChatAnswer(Response, kw_only=True, omit_defaults=True, dict=True):
    """What a model answered: the fields that a completion and the result of a task share."""

    id: str | None = None
    request_id: str | None = None
    created: int | None = None
    """Unix seconds."""
    model: str | None = None
    object: str | None = None
    choices: list[Choice] = []
    usage: Usage | None = None
    web_search: list[WebSearchResult] | None = None
    video_result: list[VideoResult] | None = None
    content_filter: list[ContentFilter] | None = None

    @property
    def _message(self) -> ChatMessage | None:
        return self.choices[0].message if self.choices else None

    @property
    def text(self) -> str:
        """The answer's text, "" when there is none."""
        return (self._message.content if self._message else None) or ""

    @property
    def reasoning(self) -> str:
        """What the model thought, "" when it did not or did not say."""
        message = self._message
        return (message.reasoning_content or message.reasoning or "") if message else ""

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The calls that the model asks for, [] when there are none."""
        return (self._message.tool_calls if self._message else None) or []

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended."""
        return self.choices[0].finish_reason if self.choices else None


class ChatCompletion(ChatAnswer, Folded, kw_only=True, omit_defaults=True, dict=True):
    """A whole answer, as it came or folded from a stream."""

    @property
    def message(self) -> AssistantMessage:
        """The answer as a message to append to the conversation, with reasoning for preserved thinking.

        A copy as it can be sent: a lone surrogate, which a model may write, is U+FFFD in it.
        """
        message = self._message
        if message is None:
            return AssistantMessage(content="")
        calls = message.tool_calls
        return AssistantMessage(
            content=sendable(message.content or ""),
            reasoning_content=sendable(message.reasoning_content or message.reasoning),
            tool_calls=[_copy(call) for call in calls] if calls else None,
            audio=AudioReference(sendable(message.audio.id)) if message.audio and message.audio.id else None,
        )


def _copy(call: ToolCall) -> ToolCall:
    """The call as it can be sent back."""
    function = FunctionCall(sendable(call.function.name), sendable(call.function.arguments))
    return ToolCall(id=sendable(call.id), type=sendable(call.type), function=function, mcp=sendable(call.mcp))


# ---------------------------------------------------------------- chunks


class Delta(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """What one chunk adds."""

    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCallDelta] | None = None
    audio: Audio | None = None


class ChunkChoice(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One choice of a chunk."""

    index: int = 0
    delta: Delta = msgspec.field(default_factory=Delta)
    finish_reason: str | None = None


class ChatCompletionChunk(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One event of a stream. ``choices`` may be empty on frames that carry only usage or search results."""

    id: str | None = None
    created: int | None = None
    model: str | None = None
    object: str | None = None
    choices: list[ChunkChoice] = []
    usage: Usage | None = None
    web_search: list[WebSearchResult] | None = None
    video_result: list[VideoResult] | None = None
    content_filter: list[ContentFilter] | None = None
