"""Embeddings, rerank, tokenizer and moderation: what is done with texts beside chat (data.md sections 1 to 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import msgspec

from .base import Request, Response
from .chat import SensitiveWordCheck, Usage
from .messages import URL, ImagePart, Message, TextPart, VideoPart
from .tools import Tool

# ---------------------------------------------------------------- embeddings


class EmbeddingRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """Turn texts into vectors: ``POST /embeddings`` (open.bigmodel.cn)."""

    model: str
    """``embedding-3`` or ``embedding-2``."""
    input: str | Sequence[str]
    """embedding-3: up to 64 texts of 3072 tokens each. embedding-2: 512 tokens each, 8K tokens together."""
    dimensions: int | None = None
    """Length of the vectors, embedding-3 only: 256, 512, 1024 or 2048 (the service's default)."""
    request_id: str | None = None
    user_id: str | None = None
    encoding_format: str | None = None
    """Known to the official SDK, without a documented effect, as the two below."""
    user: str | None = None
    sensitive_word_check: SensitiveWordCheck | Mapping[str, Any] | None = None


class Embedding(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The vector of one text; ``index`` is the text's place in ``input``."""

    index: int | None = None
    object: str | None = None
    embedding: list[float] = []


class EmbeddingResponse(Response, kw_only=True, omit_defaults=True, dict=True):
    """The vectors in ``data``, in the order that the service chose; :attr:`vectors` has them in the input's."""

    model: str | None = None
    object: str | None = None
    data: list[Embedding] = []
    usage: Usage | None = None

    @property
    def vectors(self) -> list[list[float]]:
        """The vectors in the order of ``input``, each of the length ``dimensions``."""
        places = [place if item.index is None else item.index for place, item in enumerate(self.data)]
        ordered = sorted(zip(places, self.data, strict=True), key=lambda pair: pair[0])
        return [item.embedding for _, item in ordered]


# ---------------------------------------------------------------- rerank


class RerankRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """Order documents by how well they answer a query: ``POST /rerank`` (open.bigmodel.cn)."""

    model: str
    """``rerank``."""
    query: str
    """At most 4096 characters."""
    documents: Sequence[str]
    """At most 128, of at most 4096 characters each."""
    top_n: int | None = None
    """How many results to return; 0 (the service's default) returns all."""
    return_documents: bool | None = None
    """True repeats the text of each document in its result."""
    return_raw_scores: bool | None = None
    request_id: str | None = None
    """6 to 64 characters, unique per call."""
    user_id: str | None = None


class RerankResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One document: ``index`` is its place in ``documents``, ``document`` its text where that was asked for."""

    index: int | None = None
    relevance_score: float | None = None
    document: str | None = None


class RerankResponse(Response, kw_only=True, omit_defaults=True, dict=True):
    """The documents in ``results``, best first."""

    id: str | None = None
    request_id: str | None = None
    created: int | None = None
    """Unix seconds."""
    results: list[RerankResult] = []
    usage: Usage | None = None


# ---------------------------------------------------------------- tokenizer


class TokenizerRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """Count the tokens of a conversation without answering it: ``POST /tokenizer``."""

    model: str
    """``glm-4.6``, ``glm-4.6v``, ``glm-4.5``, and older ones on open.bigmodel.cn."""
    messages: Sequence[Message | Mapping[str, Any]]
    """As in a chat; parts other than text for glm-4.6v only."""
    tools: Sequence[Tool | Mapping[str, Any]] | None = None
    request_id: str | None = None
    """6 to 64 characters, unique per call."""
    user_id: str | None = None


class TokenizerUsage(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Tokens of a conversation, by what they stand for."""

    prompt_tokens: int | None = None
    image_tokens: int | None = None
    video_tokens: int | None = None
    total_tokens: int | None = None


class TokenizerResponse(Response, kw_only=True, omit_defaults=True, dict=True):
    """The counts in ``usage``."""

    id: str | None = None
    request_id: str | None = None
    created: int | None = None
    """Unix seconds."""
    usage: TokenizerUsage | None = None


# ---------------------------------------------------------------- moderation


class AudioURLPart(msgspec.Struct, frozen=True, tag_field="type", tag="audio_url"):
    """Sound by address, for moderation; about 60 seconds."""

    audio_url: URL

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Sound that the service fetches itself."""
        return cls(URL(url))


ModerationItem = TextPart | ImagePart | VideoPart | AudioURLPart
"""Images of less than 10 MB and 20 x 20 to 6000 x 6000 pixels, videos of about 30 seconds, by address."""


class ModerationRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """Have texts, images, videos or sound checked for content that is not allowed (open.bigmodel.cn)."""

    model: str
    """``moderation``."""
    input: str | ModerationItem | Mapping[str, Any] | Sequence[ModerationItem | Mapping[str, Any]]
    """A text of at most 2000 characters, an item, or several items."""


class ModerationResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What was found in one item."""

    content_type: str | None = None
    risk_level: str | None = None
    """PASS, REVIEW or REJECT."""
    risk_type: list[str] = []


class ModerationCount(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How many checks were billed."""

    call_count: int | None = None


class ModerationUsage(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What was billed, by kind of content."""

    moderation_text: ModerationCount | None = None


class ModerationResponse(Response, kw_only=True, omit_defaults=True, dict=True):
    """One result for each item."""

    id: str | None = None
    request_id: str | None = None
    created: int | None = None
    """Unix seconds."""
    result_list: list[ModerationResult] = []
    usage: ModerationUsage | None = None

    @property
    def passed(self) -> bool:
        """Whether everything was found to be PASS; False where there is no result."""
        return bool(self.result_list) and all(result.risk_level == "PASS" for result in self.result_list)
