"""The OpenTelemetry conventions for generative AI, release 1.41.1, as far as they concern this client: tables.

A row is the attribute's type and its requirement level; ``if ...`` is a condition that the tests check by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

Rows = Mapping[str, tuple[type, str]]

_EVERYWHERE: Rows = {
    "gen_ai.operation.name": (str, "required"),
    "gen_ai.provider.name": (str, "required"),
    "error.type": (str, "if it failed"),
    "gen_ai.request.model": (str, "if the call names one"),
    "server.address": (str, "recommended"),
    "server.port": (int, "if server.address"),
}

INFERENCE: Rows = {
    **_EVERYWHERE,
    "gen_ai.conversation.id": (str, "if available"),
    "gen_ai.output.type": (str, "if requested"),
    "gen_ai.request.choice.count": (int, "if not 1"),
    "gen_ai.request.seed": (int, "if requested"),
    "gen_ai.request.stream": (bool, "if streaming"),
    "gen_ai.request.frequency_penalty": (float, "recommended"),
    "gen_ai.request.max_tokens": (int, "recommended"),
    "gen_ai.request.presence_penalty": (float, "recommended"),
    "gen_ai.request.stop_sequences": (tuple, "recommended"),
    "gen_ai.request.temperature": (float, "recommended"),
    "gen_ai.request.top_k": (float, "recommended"),
    "gen_ai.request.top_p": (float, "recommended"),
    "gen_ai.response.finish_reasons": (tuple, "recommended"),
    "gen_ai.response.id": (str, "recommended"),
    "gen_ai.response.model": (str, "recommended"),
    "gen_ai.response.time_to_first_chunk": (float, "recommended"),
    "gen_ai.usage.cache_creation.input_tokens": (int, "recommended"),
    "gen_ai.usage.cache_read.input_tokens": (int, "recommended"),
    "gen_ai.usage.input_tokens": (int, "recommended"),
    "gen_ai.usage.output_tokens": (int, "recommended"),
    "gen_ai.usage.reasoning.output_tokens": (int, "recommended"),
    "gen_ai.input.messages": (str, "opt-in"),
    "gen_ai.output.messages": (str, "opt-in"),
    "gen_ai.system_instructions": (str, "opt-in"),
    "gen_ai.tool.definitions": (str, "opt-in"),
}
EMBEDDINGS: Rows = {
    **_EVERYWHERE,
    "gen_ai.embeddings.dimension.count": (int, "recommended"),
    "gen_ai.request.encoding_formats": (tuple, "recommended"),
    "gen_ai.response.model": (str, "recommended"),
    "gen_ai.usage.input_tokens": (int, "recommended"),
}
RETRIEVAL: Rows = {
    **_EVERYWHERE,
    "gen_ai.data_source.id": (str, "if applicable"),
    "gen_ai.request.top_k": (float, "recommended"),
    "gen_ai.retrieval.documents": (str, "opt-in"),
    "gen_ai.retrieval.query.text": (str, "opt-in"),
}
AGENT: Rows = {**INFERENCE, "gen_ai.agent.id": (str, "if applicable"), "gen_ai.data_source.id": (str, "if applicable")}
TOOL: Rows = {
    "gen_ai.operation.name": (str, "required"),
    "gen_ai.tool.name": (str, "required"),
    "error.type": (str, "if it failed"),
    "gen_ai.tool.call.id": (str, "recommended"),
    "gen_ai.tool.description": (str, "recommended"),
    "gen_ai.tool.type": (str, "recommended"),
    "gen_ai.tool.call.arguments": (str, "opt-in"),
    "gen_ai.tool.call.result": (str, "opt-in"),
}
SPANS: Mapping[str, Rows] = {
    "chat": INFERENCE,
    "generate_content": INFERENCE,
    "embeddings": EMBEDDINGS,
    "retrieval": RETRIEVAL,
    "invoke_agent": AGENT,
    "execute_tool": TOOL,
    "rerank": INFERENCE,  # these two are not of the conventions: what is recorded of them is
    "create_task": INFERENCE,
}
"""By ``gen_ai.operation.name``."""

OF_HTTP: Rows = {
    "http.request.method": (str, "required"),
    "http.request.resend_count": (int, "if repeated"),
    "http.response.status_code": (int, "if received"),
    "url.template": (str, "opt-in"),
    "server.address": (str, "required"),
    "server.port": (int, "required"),
    "error.type": (str, "if it failed"),
}
OURS: Rows = {"zhipu_async.cancelled": (bool, ""), "zhipu_async.error.code": (str, "")}

_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
_STREAM: Rows = {name: row for name, row in _EVERYWHERE.items() if name != "error.type"} | {
    "gen_ai.response.model": (str, "recommended")
}
METRICS: Mapping[str, tuple[str, tuple[float, ...], Rows]] = {
    "gen_ai.client.operation.duration": ("s", _SECONDS, {**_EVERYWHERE, "gen_ai.response.model": (str, "recommended")}),
    "gen_ai.client.operation.time_to_first_chunk": ("s", _SECONDS, _STREAM),
    "gen_ai.client.operation.time_per_output_chunk": ("s", _SECONDS, _STREAM),
    "gen_ai.client.token.usage": ("{token}", _TOKENS, {**_STREAM, "gen_ai.token.type": (str, "required")}),
}
"""Unit, boundaries of the buckets, attributes."""


def objections(attributes: Mapping[str, object], rows: Rows, others: Rows) -> list[str]:
    """What the conventions object to: unknown names, wrong types, what is required and missing."""
    found = [
        f"{name} is missing" for name, (_, level) in rows.items() if level == "required" and name not in attributes
    ]
    for name, value in attributes.items():
        kind = (rows.get(name) or others.get(name) or (None,))[0]
        if kind is None:
            found.append(f"{name} is unknown here")
        elif type(value) is not kind or (kind is tuple and not all(type(text) is str for text in value)):  # type: ignore[attr-defined]
            found.append(f"{name} is {value!r}")
    if ("server.address" in attributes) is not ("server.port" in attributes) and "server.port" in rows:
        found.append("address and port come together")
    return found
