"""any-llm's messages as the service takes them, and the service's answers as any-llm's models."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from any_llm.exceptions import InvalidRequestError
from any_llm.types.completion import ChatCompletion, ChatCompletionChunk, CreateEmbeddingResponse
from any_llm.types.model import Model
from any_llm.types.moderation import ModerationResponse, ModerationResult
from any_llm.types.rerank import RerankResponse
from any_llm.utils.structured_output import get_json_schema, is_structured_output_type

from ..protocol.accumulate import ToolCallAccumulator
from ..protocol.tolerant import is_object
from ..types import chat, texts
from ..types.models import ModelList

_FINISH_REASONS = {"sensitive": "content_filter", "model_context_window_exceeded": "length"}
"""What has another name in the vocabulary of OpenAI; the service's own word is kept as ``native_finish_reason``."""

_OF_ANSWERS = frozenset({"extra_content", "annotations", "refusal", "images", "parsed", "function_call"})
"""Fields of any-llm's answers that say nothing to the service when they are sent back."""

_Object = dict[str, Any]

# ---------------------------------------------------------------- what is asked


def conversation(messages: Iterable[Mapping[str, Any]], schema: _Object | None) -> list[_Object]:
    """The messages as the service takes them, after the ``schema`` that the answer is to fit, where there is one."""
    sent = [_message(message) for message in messages]
    if schema is None:
        return sent
    wanted = "Answer with one JSON object" + (
        f" that fits this JSON schema, and with nothing else:\n{json.dumps(schema, ensure_ascii=False)}"
        if schema
        else ""
    )
    return [{"role": "system", "content": wanted}, *sent]


def _message(message: Mapping[str, Any]) -> _Object:
    """A message without what only any-llm knows; the reasoning of an answer goes back as it came."""
    sent: _Object = {
        name: value
        for name, value in message.items()
        if name not in _OF_ANSWERS and (value is not None or name == "content")
    }
    reasoning = sent.pop("reasoning", None)
    if reasoning and not sent.get("reasoning_content"):
        sent["reasoning_content"] = reasoning.get("content") if is_object(reasoning) else reasoning
    if sent.get("role") == "developer":
        sent["role"] = "system"
    if is_object(audio := sent.get("audio")):
        sent["audio"] = {"id": audio.get("id")}
    if (calls := sent.get("tool_calls")) is not None:
        sent["tool_calls"] = [{name: call[name] for name in call if name not in _OF_ANSWERS} for call in calls]
    if isinstance(sent.get("content"), list):
        sent["content"] = _content(sent["content"])
    return sent


def _content(parts: list[_Object]) -> str | list[_Object]:
    """Parts as the service has them (chat.md section 2): text alone is a text, and an image has no ``detail``."""
    texts = [text for part in parts if part.get("type") == "text" and isinstance(text := part.get("text"), str)]
    if parts and len(texts) == len(parts):
        return "\n\n".join(texts)
    return [
        {**part, "image_url": {name: value for name, value in image.items() if name != "detail"}}
        if is_object(image := part.get("image_url"))
        else part
        for part in parts
    ]


def schema_of(response_format: Any) -> _Object | None:
    """The schema that an answer is to fit: {} for any object, None where JSON is not asked for, or by the caller."""
    if is_structured_output_type(response_format):
        return get_json_schema(response_format)
    if not is_object(response_format) or response_format.get("type") != "json_schema":
        return None
    described = response_format.get("json_schema")
    schema = described.get("schema", {}) if is_object(described) else None
    if not is_object(schema):
        raise InvalidRequestError("response_format of type 'json_schema' needs a 'json_schema' with a 'schema'")
    return schema


# ---------------------------------------------------------------- what is answered


def completion(answer: chat.ChatCompletion) -> ChatCompletion:
    """A whole answer. What any-llm has no field for stays beside its fields: request_id, web_search ..."""
    fields = _common(answer, "chat.completion")
    fields["choices"] = [
        _choice(choice) | {"message": _whole(_said(choice.message, choice.message.tool_calls or []))}
        for choice in answer.choices
    ]
    return ChatCompletion.model_validate(fields)


class ChunkShapes:
    """Chunks of one stream, as any-llm's; it remembers which call a piece belongs to."""

    def __init__(self) -> None:
        self._calls: dict[int, ToolCallAccumulator] = {}

    def chunk(self, chunk: chat.ChatCompletionChunk) -> ChatCompletionChunk:
        """The next chunk."""
        fields = _common(chunk, "chat.completion.chunk")
        fields["choices"] = [_choice(choice) | {"delta": self._delta(choice)} for choice in chunk.choices]
        return ChatCompletionChunk.model_validate(fields)

    def _delta(self, choice: chat.ChunkChoice) -> _Object:
        calls = self._calls.setdefault(choice.index, ToolCallAccumulator())
        placed: list[Any] = [
            msgspec.structs.replace(piece, index=calls.add(piece)) for piece in choice.delta.tool_calls or ()
        ]
        return _said(choice.delta, placed)


def _common(answer: chat.ChatCompletion | chat.ChatCompletionChunk, kind: str) -> _Object:
    fields: _Object = {"id": "", "created": 0, "model": "", **msgspec.to_builtins(answer), "object": kind}
    if answer.usage is not None:
        fields["usage"] = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), 0) | fields["usage"]
    return fields


def _choice(choice: chat.Choice | chat.ChunkChoice) -> _Object:
    reason = choice.finish_reason
    said = _FINISH_REASONS.get(reason or "", reason)
    fields = {"index": choice.index, "finish_reason": said if isinstance(choice, chat.ChunkChoice) else said or ""}
    return fields if said == reason else {**fields, "native_finish_reason": reason}


def _said(message: chat.ChatMessage | chat.Delta, calls: list[Any]) -> _Object:
    """A message or a delta. Calls that are none of a function stand in ``extra_content``."""
    fields: _Object = msgspec.to_builtins(message)
    reasoning = message.reasoning_content or message.reasoning
    if reasoning:  # under the service's name too: so it goes back with the message
        fields |= {"reasoning": reasoning, "reasoning_content": reasoning}
    functions = [call for call in calls if call.type in (None, "function")]
    fields["tool_calls"] = msgspec.to_builtins(functions) or None
    if others := [call for call in calls if call not in functions]:
        fields["extra_content"] = {"zhipu": {"tool_calls": msgspec.to_builtins(others)}}
    if message.audio is not None and isinstance(message, chat.ChatMessage):
        needed = {"id": "", "data": "", "expires_at": 0, "transcript": message.content or ""}
        fields["audio"] = {**needed, **fields["audio"]}
    return fields


def _whole(message: _Object) -> _Object:
    """A message whose calls have all that any-llm needs: what the service left out is empty."""
    for call in message["tool_calls"] or ():
        call |= {"id": "", "type": "function"} | call
        call["function"] = {"name": "", "arguments": ""} | call["function"]
    return message


def embeddings(answer: texts.EmbeddingResponse) -> CreateEmbeddingResponse:
    """Vectors in the order of the input."""
    tokens = answer.usage
    return CreateEmbeddingResponse.model_validate(
        {
            "object": "list",
            "model": answer.model or "",
            "data": [
                {"object": "embedding", "index": place, "embedding": vector}
                for place, vector in enumerate(answer.vectors)
            ],
            "usage": {
                "prompt_tokens": (tokens and tokens.prompt_tokens) or 0,
                "total_tokens": (tokens and tokens.total_tokens) or 0,
            },
        }
    )


def models(answer: ModelList) -> list[Model]:
    """The core models that the service names."""
    return [
        Model.model_validate({"created": 0, "owned_by": "", **msgspec.to_builtins(model), "object": "model"})
        for model in answer.data
    ]


def reranked(answer: texts.RerankResponse) -> RerankResponse:
    """Documents, best first. Their texts, where they were asked for, have no place in any-llm's type."""
    return RerankResponse.model_validate(
        {
            "id": answer.id,
            "results": [
                {"index": result.index or 0, "relevance_score": result.relevance_score or 0.0}
                for result in answer.results
            ],
            "usage": {"total_tokens": answer.usage.total_tokens} if answer.usage else None,
        }
    )


def moderated(answer: texts.ModerationResponse, model: str) -> ModerationResponse:
    """What was found; ``flagged`` is all that is not PASS."""
    return ModerationResponse(
        id=answer.id or "",
        model=model,
        results=[
            ModerationResult(
                flagged=result.risk_level != "PASS",
                categories=dict.fromkeys(result.risk_type, True),
                provider_raw=msgspec.to_builtins(result),
            )
            for result in answer.result_list
        ],
    )
