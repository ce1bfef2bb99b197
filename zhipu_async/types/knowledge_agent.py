"""An agent that answers from knowledge bases, always as a stream: ``POST /zrag/agent/chat`` (data.md section 10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import msgspec

from .agents import AgentUsage
from .base import Request, Response
from .chat import Folded
from .messages import UserMessage

# ---------------------------------------------------------------- request


class KnowledgeAgentRetrieval(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Where and how the agent retrieves; the model decides only whether it does."""

    know_ids: Sequence[str]
    top_k: int | None = None
    """Slices that it reads, 8 by default."""
    top_n: int | None = None
    """Slices at first, before they are ranked, 10 by default."""
    enable_rerank: bool | None = None
    similarity_threshold: float | None = None
    """Leave out what is less similar, 0.2 by default."""


class KnowledgeAgentRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """Ask an agent that thinks, retrieves and answers. There is no answer but a stream."""

    messages: Sequence[UserMessage | Mapping[str, Any]]
    """Of the user: text, or parts ``text`` and ``image_url``."""
    retrieval: KnowledgeAgentRetrieval | Mapping[str, Any]
    session_id: str | None = None
    """Goes on with a session; travels as the header ``X-Session-Id``."""
    model: str | None = None
    """The service's default is ``glm-5v-turbo``."""
    temperature: float | None = None
    """The service's default is 0.7."""
    max_steps: int | None = None
    """Of thinking and retrieving, 10 by default."""
    enable_thinking: bool | None = None
    """Stream the reasoning too."""

    header_fields: ClassVar[Mapping[str, str]] = {"session_id": "X-Session-Id"}
    stream: ClassVar[Literal[True]] = True
    """Says that the answer is a stream; there is no such field in the body."""


# ---------------------------------------------------------------- events


class AgentEventData(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """What an event that is no text carries: a tool's call, its result, or an error."""

    call_id: str | None = msgspec.field(name="callId", default=None)
    tool_name: str | None = msgspec.field(name="toolName", default=None)
    arguments: dict[str, Any] | str | None = None
    """With ``tool_call``."""
    result: Any = None
    """With ``tool_result``."""
    status: str | None = None
    """With ``tool_result``: success or error."""
    duration_ms: int | None = msgspec.field(name="durationMs", default=None)
    """With ``tool_result``: milliseconds."""
    message: str | None = None
    """With ``error``."""


class AgentStreamEvent(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One event. Its ``type`` says what ``data`` is.

    Text with reasoning, thought and answer; :class:`AgentEventData` with tool_call, tool_result and error; nothing with
    session_created and done.
    """

    type: str | None = None
    session_id: str | None = msgspec.field(name="sessionId", default=None)
    message_id: str | None = msgspec.field(name="messageId", default=None)
    """With ``done``."""
    data: str | AgentEventData | None = None
    usage: AgentUsage | None = None
    code: int | str | None = None
    """Of an error that comes in the envelope of the other knowledge endpoints."""
    message: str | None = None
    """Of such an error."""

    @property
    def text(self) -> str:
        """The piece of text, "" for events that carry none."""
        return self.data if isinstance(self.data, str) else ""


# ---------------------------------------------------------------- the answer, folded


class KnowledgeToolCall(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the agent did: a call of a tool and, once it is there, the result."""

    call_id: str | None = None
    tool_name: str | None = None
    arguments: dict[str, Any] | str | None = None
    result: Any = None
    status: str | None = None
    """success or error; None while it runs."""
    duration_ms: int | None = None


class KnowledgeAnswer(Response, Folded, kw_only=True, omit_defaults=True, dict=True):
    """What the agent said and did, folded from its events."""

    session_id: str | None = None
    """Send it back to go on with the session."""
    message_id: str | None = None
    text: str = ""
    """The answer."""
    reasoning: str = ""
    """With ``enable_thinking``."""
    thoughts: str = ""
    """What the agent thought between its steps."""
    tool_calls: list[KnowledgeToolCall] = []
    usage: AgentUsage | None = None
