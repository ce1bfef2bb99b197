"""Assistants, an older API below ``paas/v4``: ``POST /assistant`` and its lists (data.md section 12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import msgspec

from .base import Failure, Request, Response, State
from .chat import ChatMessage, Folded, Usage
from .messages import UserMessage

# ---------------------------------------------------------------- requests


class AssistantAttachment(msgspec.Struct, frozen=True):
    """A file that was uploaded before."""

    file_id: str


class TranslationLanguages(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """From which language into which."""

    source: str | None = msgspec.field(name="from", default=None)
    """``from`` on the wire."""
    target: str | None = msgspec.field(name="to", default=None)
    """``to`` on the wire."""


class AssistantExtra(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What single assistants take."""

    translate: TranslationLanguages | Mapping[str, Any] | None = None


class AssistantParameters(Request, kw_only=True, frozen=True, omit_defaults=True):
    """Talk with an assistant.

    The service streams unless it is told not to, so ``stream`` is always sent: false where it is left out.
    """

    assistant_id: str
    """For example ``65940acff94777010aa6b796``, which is ChatGLM; ``list`` names all."""
    messages: Sequence[UserMessage | Mapping[str, Any]]
    """Of the user: text, or parts ``text`` and ``image_url``."""
    model: str | None = None
    """``glm-4-assistant`` or ``glm-4-alltools``. The vendor's document wants it; the official SDK does not."""
    conversation_id: str | None = None
    """Goes on with a conversation."""
    request_id: str | None = None
    """6 to 64 characters, unique per call."""
    user_id: str | None = None
    """6 to 128 characters: the end user, for abuse control."""
    do_sample: bool | None = None
    attachments: Sequence[AssistantAttachment | Mapping[str, Any]] | None = None
    metadata: Mapping[str, Any] | None = None
    extra_parameters: AssistantExtra | Mapping[str, Any] | None = None


class AssistantRequest(AssistantParameters, kw_only=True, frozen=True, omit_defaults=True):
    __doc__ = AssistantParameters.__doc__

    stream: Literal[False] | None = None

    def __post_init__(self) -> None:
        if self.stream is None:
            msgspec.structs.force_setattr(self, "stream", False)


class AssistantStreamRequest(AssistantParameters, kw_only=True, frozen=True, omit_defaults=True):
    __doc__ = AssistantParameters.__doc__

    stream: Literal[True]


class AssistantEitherRequest(AssistantParameters, kw_only=True, frozen=True, omit_defaults=True):
    __doc__ = AssistantParameters.__doc__

    stream: bool | None

    def __post_init__(self) -> None:
        if self.stream is None:
            msgspec.structs.force_setattr(self, "stream", False)


class AssistantListRequest(Request, frozen=True, omit_defaults=True):
    """What assistants there are."""

    assistant_id_list: Sequence[str] | None = None
    """Only these; all when it is left out or empty. It is always sent."""
    request_id: str | None = None
    user_id: str | None = None

    def __post_init__(self) -> None:
        if self.assistant_id_list is None:
            msgspec.structs.force_setattr(self, "assistant_id_list", ())


class ConversationListRequest(Request, frozen=True, omit_defaults=True):
    """The conversations with an assistant, page by page."""

    assistant_id: str
    page: int | None = None
    """From 1, the default."""
    page_size: int | None = None
    """1 to 100; the service's default is 5."""
    request_id: str | None = None
    user_id: str | None = None


# ---------------------------------------------------------------- answers

_STATES: Mapping[str, State] = {"completed": "done", "failed": "failed"}


class AssistantDelta(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """Text (``type`` content) or what tools did (``type`` tool_calls)."""

    role: str | None = None
    """assistant, or tool."""
    type: str | None = None
    content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    """Each with a ``type`` and an object of that name: code_interpreter, drawing_tool, function, retrieval,
    web_browser; with ``input`` (of a function ``name`` and ``arguments``) and ``outputs``."""


class AssistantChoice(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """What an assistant said: in ``delta``, also in whole answers, or in ``message``."""

    index: int = 0
    delta: AssistantDelta | None = None
    message: ChatMessage | None = None
    finish_reason: str | None = None
    """stop, sensitive, network_error, or what is new."""
    metadata: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """The text, "" when there is none."""
        return (self.delta and self.delta.content) or (self.message and self.message.content) or ""


class AssistantCompletion(Response, Folded, kw_only=True, omit_defaults=True, dict=True):
    """A whole answer, as it came or folded from a stream."""

    id: str | None = None
    request_id: str | None = None
    conversation_id: str | None = None
    """Send it back to go on with the conversation."""
    assistant_id: str | None = None
    created: int | None = None
    """Unix seconds."""
    model: str | None = None
    status: str | None = None
    """completed, in_progress, failed, or what is new."""
    last_error: Failure | None = None
    choices: list[AssistantChoice] = []
    metadata: dict[str, Any] | None = None
    usage: Usage | None = None

    @property
    def state(self) -> State:
        """Where the answer stands; without a status an answer is done."""
        if self.status:
            return _STATES.get(self.status, "running")
        if self.failure != (None, ""):
            return "failed"
        return "done" if self.choices and self.complete else "running"

    @property
    def failure(self) -> tuple[str | None, str]:
        """Code and message of an answer that failed, as far as the service says."""
        return (self.last_error.code, self.last_error.message or "") if self.last_error else (None, "")

    @property
    def text(self) -> str:
        """The first choice's text, "" when there is none."""
        return self.choices[0].text if self.choices else ""

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """What the assistant's tools did, [] when they did nothing."""
        delta = self.choices[0].delta if self.choices else None
        return (delta.tool_calls if delta else None) or []

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended."""
        return self.choices[0].finish_reason if self.choices else None


class AssistantChunk(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One event of a stream."""

    id: str | None = None
    request_id: str | None = None
    conversation_id: str | None = None
    assistant_id: str | None = None
    created: int | None = None
    model: str | None = None
    status: str | None = None
    last_error: Failure | None = None
    choices: list[AssistantChoice] = []
    metadata: dict[str, Any] | None = None
    usage: Usage | None = None


# ---------------------------------------------------------------- lists


class AssistantTag(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A word for an assistant."""

    key: str | None = None
    label: str | None = None


class AssistantInfo(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An assistant."""

    assistant_id: str | None = None
    name: str | None = None
    avatar: str | None = None
    """Address of a picture."""
    description: str | None = None
    tools: list[str] | None = None
    tags: list[AssistantTag] | None = None
    status: str | None = None
    starter_prompts: list[Any] | None = None
    """Objects or texts."""
    created_at: str | int | None = None
    updated_at: str | int | None = None


class AssistantList(Response, kw_only=True, omit_defaults=True, dict=True):
    """Assistants, in the gateway's envelope."""

    success: bool | None = None
    code: int | None = None
    msg: str | None = None
    data: list[AssistantInfo] | None = None

    @property
    def items(self) -> list[AssistantInfo]:
        """The assistants."""
        return self.data or []


class AssistantConversation(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A conversation with an assistant, and the tokens that it took."""

    id: str | None = None
    assistant_id: str | None = None
    create_time: str | int | None = None
    update_time: str | int | None = None
    usage: Usage | None = None


class AssistantConversations(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Some conversations."""

    assistant_id: str | None = None
    conversation_list: list[AssistantConversation] = []
    has_more: bool | None = None


class ConversationList(Response, kw_only=True, omit_defaults=True, dict=True):
    """A page of conversations, in the gateway's envelope."""

    success: bool | None = None
    code: int | None = None
    msg: str | None = None
    data: AssistantConversations | None = None

    @property
    def items(self) -> list[AssistantConversation]:
        """The conversations of this page."""
        return self.data.conversation_list if self.data else []

    def following(self, request: Request) -> ConversationListRequest | None:
        """The request for the next page, None at the end."""
        asked = cast(ConversationListRequest, request)
        more = self.data is not None and self.data.has_more and self.items
        return msgspec.structs.replace(asked, page=(asked.page or 1) + 1) if more else None
