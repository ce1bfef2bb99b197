"""Input files of batches, for the tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CHAT = "/v4/chat/completions"
EMBEDDINGS = "/v4/embeddings"


def call(identity: str = "request-1", content: str = "hi", **more: Any) -> dict[str, Any]:
    """A line of an input file."""
    body = {"model": "glm-4.6", "messages": [{"role": "user", "content": content}]}
    return {"custom_id": identity, "method": "POST", "url": CHAT, "body": body, **more}


def without(field: str) -> dict[str, Any]:
    """A line that misses a field."""
    return {name: value for name, value in call().items() if name != field}


def write(name: str, *lines: Mapping[str, Any] | str | bytes) -> Path:
    """A file of lines, each as JSON or as it is given."""
    texts = [json.dumps(line).encode() if isinstance(line, Mapping) else line for line in lines]
    path = Path(name)
    path.write_bytes(b"".join((text.encode() if isinstance(text, str) else text) + b"\n" for text in texts))
    return path
