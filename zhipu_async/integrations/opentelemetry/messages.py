"""Content in the form of the conventions: messages made of parts, as JSON. Only where capturing it was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from .attributes import given

_FINISH_REASONS = {
    "tool_calls": "tool_call",
    "sensitive": "content_filter",
    "network_error": "error",
    "model_context_window_exceeded": "length",
}
"""Names of the service, and those of the conventions for messages; others are the same, or kept."""
_MODALITIES = {
    "image_url": "image",
    "video_url": "video",
    "input_audio": "audio",
    "audio_url": "audio",
    "file_url": "file",
    "file": "file",
}


def of_request(operation: str, arguments: Any) -> dict[str, str]:
    """What the model was given, by attribute."""
    if operation == "retrieval":
        query = given(arguments, "query") or given(arguments, "search_query")
        return {"gen_ai.retrieval.query.text": query} if isinstance(query, str) else {}
    found: dict[str, str] = {}
    messages = given(arguments, "messages")
    if messages is None and operation == "generate_content":
        prompt = given(arguments, "prompt") or given(arguments, "input")
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else None
    if messages is not None:
        found["gen_ai.input.messages"] = _json([_message(message) for message in _plain(messages)])
    if tools := given(arguments, "tools"):
        found["gen_ai.tool.definitions"] = _json([_definition(tool) for tool in _plain(tools)])
    return found


def of_answer(answer: Any) -> dict[str, str]:
    """What the model answered, whole or in part, by attribute."""
    messages: list[dict[str, Any]] = []
    for choice in _plain(getattr(answer, "choices", None) or []):
        said: Any = choice.get("messages") or choice.get("message") or choice.get("delta") or []  # as agents have it
        several: list[Any] = cast(Any, said) if isinstance(said, list) else [said]
        parts = [part for message in several for part in _parts(message)]
        reason = choice.get("finish_reason") or "incomplete"
        reason = _FINISH_REASONS.get(reason, reason)
        messages.append({"role": "assistant", "parts": parts, "finish_reason": reason})
    if not messages and isinstance(text := getattr(answer, "text", None), str) and text:
        messages.append({"role": "assistant", "parts": [{"type": "text", "content": text}], "finish_reason": "stop"})
    return {"gen_ai.output.messages": _json(messages)} if messages else {}


def _plain(value: Any) -> Any:
    """Structs and mappings of any kind as dicts, sequences of any kind as lists."""
    return msgspec.to_builtins(value, enc_hook=_builtin)


def _builtin(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(cast(Any, value))
    return list(cast(Any, value)) if isinstance(value, Sequence) else str(value)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    if message.get("role") == "tool":
        answer = {"type": "tool_call_response", "id": message.get("tool_call_id"), "response": message.get("content")}
        return {"role": "tool", "parts": [answer]}
    return {"role": str(message.get("role", "user")), "parts": list(_parts(message))}


def _parts(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if reasoning := message.get("reasoning_content") or message.get("reasoning"):
        yield {"type": "reasoning", "content": reasoning}
    content = message.get("content")
    if isinstance(content, str) and content:
        yield {"type": "text", "content": content}
    elif isinstance(content, (list, dict)):
        yield from map(_part, cast(Any, content if isinstance(content, list) else [content]))
    for call in message.get("tool_calls") or ():
        function: dict[str, Any] = call.get("function") or {}
        arguments = _decoded(function.get("arguments"))
        yield {"type": "tool_call", "id": call.get("id"), "name": function.get("name") or "", "arguments": arguments}


def _part(part: Any) -> dict[str, Any]:
    """A part of a message. Of what stands in the message itself (a picture as base64) only the size is kept."""
    if not isinstance(part, Mapping):
        return {"type": "text", "content": str(part)}
    part = cast("Mapping[str, Any]", part)
    kind = str(part.get("type"))
    if kind == "text":
        return {"type": "text", "content": str(part.get("text", ""))}
    if kind not in _MODALITIES:
        return {"type": kind}
    modality, inner = _MODALITIES[kind], part.get(kind)
    inner = cast("Mapping[str, Any]", inner) if isinstance(inner, Mapping) else {"url": inner}
    if isinstance(file_id := inner.get("file_id"), str):
        return {"type": "file", "modality": modality, "file_id": file_id}
    place = inner.get("url") or inner.get("file_url") or inner.get("file_data") or inner.get("data") or ""
    if isinstance(place, str) and place.startswith(("http://", "https://")):
        return {"type": "uri", "modality": modality, "uri": place}
    return {"type": "omitted_blob", "modality": modality, "characters": len(str(place))}


def _decoded(arguments: Any) -> Any:
    """The arguments of a call as an object; as text where the model wrote no JSON."""
    try:
        return msgspec.json.decode(arguments)
    except (msgspec.MsgspecError, TypeError, UnicodeError, RecursionError):
        return arguments


def _definition(tool: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(tool.get("type"))
    function = tool.get("function")
    if kind != "function" or not isinstance(function, Mapping):
        return {"type": kind, "name": kind}
    return {
        "type": "function",
        **{name: function[name] for name in ("name", "description", "parameters") if name in function},
    }
