"""The vendor's own schema document, where it is at hand: does what we send validate?

It is looked for in ``ZHIPU_CONTRACT_DIR``, then in ``../shared/api`` beside the checkout. People without it skip these
checks with a reason; with ``REQUIRE_CONTRACT=1`` its absence is a failure.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

CHAT = (
    "ChatCompletionTextRequest",
    "ChatCompletionVisionRequest",
    "ChatCompletionAudioRequest",
    "ChatCompletionHumanOidRequest",
)
"""The four request families of chat, told apart by the model (chat.md)."""


def page(name: str) -> Path | None:
    """A page of the contract; None when it is not there and not required."""
    folder = Path(os.environ.get("ZHIPU_CONTRACT_DIR") or Path(__file__).parents[2] / "shared" / "api")
    if (path := folder / name).is_file():
        return path
    if os.environ.get("REQUIRE_CONTRACT") == "1":
        pytest.fail(f"{path} is required (REQUIRE_CONTRACT=1) and is not there")
    return None


@cache
def document() -> dict[str, Any] | None:
    """The parsed ``openapi.json``; None when it is not there and not required."""
    path = page("openapi.json")
    loaded: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path else None
    return loaded


@cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**(document() or {}), "$ref": f"#/components/schemas/{name}"})


def family(model: str) -> str | None:
    """The schema that covers ``model``; None for models newer than the document."""
    schemas = (document() or {"components": {"schemas": {}}})["components"]["schemas"]
    return next((name for name in CHAT if model in schemas[name]["properties"]["model"]["enum"]), None)


def objections(body: dict[str, Any]) -> list[str]:
    """What the document has against a chat request; [] when it has nothing, or does not cover the model."""
    name = family(str(body.get("model"))) if document() else None
    if name is None:
        return []
    return [f"{error.json_path}: {error.message}" for error in _validator(name).iter_errors(body)]
