"""What a call is in the vocabulary of the conventions: names of operations and attributes, as tables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias, cast
from urllib.parse import urlsplit

from ...errors import APIError
from ...statistics import TokenUsage
from ...telemetry import CallBegan

Value: TypeAlias = str | bool | int | float | Sequence[str]
Attributes: TypeAlias = dict[str, Value]

SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.0"
"""Of the conventions' schema; 1.41.1 has none of its own."""

OPERATIONS: Mapping[str, tuple[str, str | None]] = {
    "POST /chat/completions": ("chat", None),
    "POST /embeddings": ("embeddings", None),
    "POST /rerank": ("rerank", None),
    "POST /images/generations": ("generate_content", "image"),
    "POST /audio/speech": ("generate_content", "speech"),
    "POST /audio/customization": ("generate_content", "speech"),
    "POST /audio/transcriptions": ("generate_content", "text"),
    "POST /layout_parsing": ("generate_content", "text"),
    "POST /async/chat/completions": ("create_task", None),
    "POST /async/images/generations": ("create_task", "image"),
    "POST /videos/generations": ("create_task", "video"),
    "POST /web_search": ("retrieval", None),
    "POST /tools": ("retrieval", None),
    "POST /api/llm-application/open/knowledge/retrieve": ("retrieval", None),
    "POST /api/zrag/retrieval/retrieve": ("retrieval", None),
    "POST /api/zrag/agent/chat": ("invoke_agent", None),
    "POST /api/v1/agents": ("invoke_agent", None),
    "POST /assistant": ("invoke_agent", None),
    "POST /api/llm-application/open/v3/application/invoke": ("invoke_agent", None),
}
"""Endpoints that are operations of generative AI, and the type of output that they always have. ``rerank`` and
``create_task`` (work that another call fetches) are names of our own: the conventions have none that applies."""


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _double(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _texts(value: Any) -> tuple[str, ...] | None:
    given: tuple[Any, ...] = tuple(cast(Any, value)) if isinstance(value, Sequence) else ()
    texts = (value,) if isinstance(value, str) else given
    return texts if texts and all(isinstance(text, str) for text in texts) else None


def _several(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 1 else None


def _format(value: Any) -> str | None:
    kind = cast("Mapping[str, Any]", value).get("type") if isinstance(value, Mapping) else getattr(value, "type", None)
    return {"json_object": "json", "json_schema": "json", "text": "text"}.get(str(kind))


def _only(value: Any) -> str | None:
    texts = _texts(value) or ()
    return texts[0] if len(texts) == 1 else None


REQUEST: Mapping[str, tuple[str, Callable[[Any], Value | None]]] = {
    "agent_id": ("gen_ai.agent.id", _text),
    "app_id": ("gen_ai.agent.id", _text),
    "assistant_id": ("gen_ai.agent.id", _text),
    "conversation_id": ("gen_ai.conversation.id", _text),
    "dimensions": ("gen_ai.embeddings.dimension.count", _integer),
    "encoding_format": ("gen_ai.request.encoding_formats", _texts),
    "frequency_penalty": ("gen_ai.request.frequency_penalty", _double),
    "knowledge_ids": ("gen_ai.data_source.id", _only),
    "max_tokens": ("gen_ai.request.max_tokens", _integer),
    "n": ("gen_ai.request.choice.count", _several),
    "presence_penalty": ("gen_ai.request.presence_penalty", _double),
    "response_format": ("gen_ai.output.type", _format),
    "seed": ("gen_ai.request.seed", _integer),
    "stop": ("gen_ai.request.stop_sequences", _texts),
    "temperature": ("gen_ai.request.temperature", _double),
    "top_k": ("gen_ai.request.top_k", _double),
    "top_p": ("gen_ai.request.top_p", _double),
}
"""Arguments of calls, also those in ``extra_body``, and what they are recorded as; of another type they are not."""

_OF_ANSWERS: Mapping[str, Collection[str]] = {
    "embeddings": ("gen_ai.response.model", "gen_ai.usage.input_tokens"),
    "retrieval": (),
}
"""What is recorded of the answers of operations of which not everything is."""


def given(arguments: Any, name: str) -> Any:
    """An argument of a call as it is sent; None where it is not."""
    over: Mapping[str, Any] = getattr(arguments, "extra_body", None) or {}
    return over[name] if name in over else getattr(arguments, name, None)


def server(url: str) -> Attributes:
    """Where a call goes."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme.replace("ws", "http"), 443)
    return {"server.address": parts.hostname or "", "server.port": port}


def begun(call: CallBegan, provider: str) -> tuple[str, Attributes, Attributes]:
    """The name of a call's span, its first attributes, and those of its metrics: none for what is no operation of
    generative AI. That has the attributes of a request, which the conventions for HTTP have names for."""
    method, _, path = call.endpoint.partition(" ")
    operation, output = OPERATIONS.get(f"{method} /{path.lstrip('/')}", (None, None))
    if operation is None:
        if call.arguments is None and method != "WS":  # the path of ``client.request``, which may hold ids
            return method, {"http.request.method": method, **server(call.url)}, {}
        method = "GET" if method == "WS" else method
        return call.endpoint, {"http.request.method": method, "url.template": path, **server(call.url)}, {}
    metric: Attributes = {"gen_ai.operation.name": operation, "gen_ai.provider.name": provider, **server(call.url)}
    if call.model is not None:
        metric["gen_ai.request.model"] = call.model
    span = dict(metric)
    if call.stream:
        span["gen_ai.request.stream"] = True
    if output is not None:
        span["gen_ai.output.type"] = output
    for name, (attribute, recorded) in REQUEST.items():
        if (value := given(call.arguments, name)) is not None and (found := recorded(value)) is not None:
            span[attribute] = found
    subject = span.get("gen_ai.data_source.id") if operation == "retrieval" else call.model
    return f"{operation} {subject}" if subject else operation, span, metric


def answered(operation: Value, answer: Any, finish_reason: str | None, usage: TokenUsage | None) -> Attributes:
    """What is recorded of an answer, whole or in part."""
    choices = getattr(answer, "choices", None) or ()
    reasons = [reason for choice in choices if isinstance(reason := getattr(choice, "finish_reason", None), str)]
    found: dict[str, Value | None] = {
        "gen_ai.response.id": getattr(answer, "id", None),
        "gen_ai.response.model": getattr(answer, "model", None),
        "gen_ai.response.finish_reasons": reasons or ([finish_reason] if finish_reason else None),
    }
    if usage is not None:
        prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
        found["gen_ai.usage.input_tokens"] = usage.prompt_tokens
        found["gen_ai.usage.output_tokens"] = usage.completion_tokens
        found["gen_ai.usage.cache_read.input_tokens"] = prompt.cached_tokens if prompt else None
        found["gen_ai.usage.reasoning.output_tokens"] = completion.reasoning_tokens if completion else None
    names = _OF_ANSWERS.get(str(operation), found)
    return {name: value for name, value in found.items() if value is not None and name in names}


def failed(error: Exception) -> Attributes:
    """What is recorded of an error: its class, and what the service called it. Not its text, which may hold content."""
    found: Attributes = {"error.type": type(error).__name__}
    if isinstance(error, APIError):
        if error.status:
            found["http.response.status_code"] = error.status
        if error.code:
            found["zhipu_async.error.code"] = error.code
    return found
