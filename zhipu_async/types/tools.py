"""Tools that a request offers to the model, and the calls that come back (chat.md sections 4 and 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec


def _function() -> str:
    return "function"


class FunctionDefinition(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A function the model may call. All three fields are required by the service."""

    name: str
    """1 to 64 characters of ``a-z A-Z 0-9 _ -``."""
    description: str
    parameters: Mapping[str, Any]
    """A JSON schema object; ``{"type": "object", "properties": {}}`` when there are none."""


class FunctionTool(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, tag_field="type", tag="function"):
    """A function of the caller's as a tool."""

    function: FunctionDefinition | Mapping[str, Any]


class Retrieval(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A knowledge base to retrieve from; the template may hold ``{{knowledge}}`` and ``{{question}}``."""

    knowledge_id: str
    prompt_template: str | None = None


class RetrievalTool(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, tag_field="type", tag="retrieval"):
    """Retrieval from a knowledge base of the account."""

    retrieval: Retrieval | Mapping[str, Any]


class WebSearch(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Settings of the built-in web search."""

    search_engine: str
    """``search_std``, ``search_pro``, ``search_pro_sogou``, ``search_pro_quark``; ``search_pro_jina`` on Z.ai."""
    enable: bool | None = None
    """The service's default is false: send True."""
    search_query: str | None = None
    search_intent: bool | None = None
    count: int | None = None
    """1 to 50 results."""
    search_domain_filter: str | None = None
    search_recency_filter: Literal["oneDay", "oneWeek", "oneMonth", "oneYear", "noLimit"] | None = None
    content_size: Literal["medium", "high"] | None = None
    result_sequence: Literal["before", "after"] | None = None
    search_result: bool | None = None
    """True returns ``web_search`` in the answer."""
    require_search: bool | None = None
    search_prompt: str | None = None


class WebSearchTool(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, tag_field="type", tag="web_search"):
    """The service's own web search."""

    web_search: WebSearch | Mapping[str, Any]


class MCPServer(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """An MCP server that the service talks to; a server hosted by the vendor needs only its label."""

    server_label: str
    server_url: str | None = None
    transport_type: Literal["streamable-http", "sse"] | None = None
    allowed_tools: Sequence[str] | None = None
    headers: Mapping[str, str] | None = None


class MCPTool(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, tag_field="type", tag="mcp"):
    """Tools of an MCP server, called by the service."""

    mcp: MCPServer | Mapping[str, Any]


Tool = FunctionTool | RetrievalTool | WebSearchTool | MCPTool


class FunctionCall(msgspec.Struct, gc=False):
    """A call of a function. ``arguments`` is JSON as text, exactly as the model wrote it: it may be invalid."""

    name: str = ""
    arguments: str = ""


class ToolCall(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A call that the model asks for. Answer it with a ``ToolMessage`` that carries its ``id``."""

    id: str | None = None
    type: str = msgspec.field(default_factory=_function)
    """``function``; also ``mcp``, and in older answers ``web_search`` or ``retrieval``."""
    index: int | None = None
    """As the service sent it: absent or negative in some older answers."""
    function: FunctionCall = msgspec.field(default_factory=FunctionCall)
    mcp: dict[str, Any] | None = None
    """What the service called itself, for ``type`` ``mcp``."""


class FunctionCallDelta(msgspec.Struct, omit_defaults=True, gc=False):
    """A piece of a function call."""

    name: str | None = None
    arguments: str = ""


class ToolCallDelta(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A piece of a tool call (streaming.md section 3): normally only the first carries ``id`` and ``function.name``."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: FunctionCallDelta = msgspec.field(default_factory=FunctionCallDelta)
    mcp: dict[str, Any] | None = None
