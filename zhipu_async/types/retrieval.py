"""Retrieval from knowledge bases: ``/llm-application/open/knowledge/retrieve`` and ``/zrag/retrieval/retrieve``.

data.md section 10. Answers that an agent writes from what it retrieves are in ``knowledge_agent``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from .base import Request
from .envelope import Envelope

RecallMethod = Literal["embedding", "keyword", "mixed"]

# ---------------------------------------------------------------- knowledge bases of text


class KnowledgeRetrieveRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """Find the slices of knowledge bases that fit a query."""

    query: str
    """At most 1000 characters."""
    knowledge_ids: Sequence[str]
    document_ids: Sequence[str] | None = None
    request_id: str | None = None
    top_k: int | None = None
    """Slices in the answer: 1 to 20, the service's default is 8."""
    top_n: int | None = None
    """Slices at first, before they are ranked: 1 to 100, the service's default is 10."""
    recall_method: RecallMethod | None = None
    """The service's default is mixed."""
    recall_ratio: int | None = None
    """Weight of the embedding in ``mixed``: 0 to 100, the service's default is 80."""
    rerank_status: Literal[0, 1] | None = None
    """1: rank the slices again."""
    rerank_model: str | None = None
    """``rerank`` or ``rerank-pro``."""
    fractional_threshold: float | None = None
    """Leave out what is less similar: 0 to 1."""


class SliceMetadata(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Where a slice comes from."""

    id: str | None = msgspec.field(name="_id", default=None)
    """``_id`` on the wire."""
    knowledge_id: str | None = None
    doc_id: str | None = None
    doc_name: str | None = None
    doc_url: str | None = None
    contextual_text: str | None = None
    """The slice's context, where the knowledge base keeps one."""


class Slice(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A piece of a document."""

    text: str | None = None
    score: float | None = None
    metadata: SliceMetadata | None = None


class KnowledgeRetrieveResponse(Envelope, kw_only=True, omit_defaults=True, dict=True):
    """The slices that were found."""

    data: list[Slice] | None = None

    @property
    def items(self) -> list[Slice]:
        """The slices."""
        return self.data or []


# ---------------------------------------------------------------- knowledge bases of text, images and video


class KnowledgeSelection(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A knowledge base, or some documents of it."""

    id: str
    doc_ids: Sequence[str] | None = None


class QueryPart(msgspec.Struct, kw_only=True, frozen=True, tag_field="type", tag="image_url"):
    """A picture to look for."""

    url: str


class QueryMessage(msgspec.Struct, kw_only=True, frozen=True):
    """An earlier message, for queries that refer to it."""

    role: Literal["user", "assistant"]
    content: str


class IndexFilter(msgspec.Struct, kw_only=True, frozen=True):
    """An index of a knowledge base."""

    know_id: str
    index_type_id: int


class TagFilter(msgspec.Struct, kw_only=True, frozen=True):
    """Documents with a tag. All fields are required by the service."""

    tag_id: str
    value_type: Literal["fixed", "ref"]
    filter_type: Literal[1, 2, 3, 4]
    """1 at least, 2 at most, 3 contains, 4 does not contain."""
    filter_value: str
    """A date, a text or a reference."""
    multiple_value: Sequence[str]


class QAIntervention(msgspec.Struct, kw_only=True, frozen=True):
    """Prepared answers that go first."""

    qa_similarity_threshold: float
    """0.6 is usual."""
    qa_intervention_ids: Sequence[str]


class SearchFilters(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What is searched."""

    index_types: Sequence[IndexFilter | Mapping[str, Any]] | None = None
    tags: Sequence[TagFilter | Mapping[str, Any]] | None = None
    qa_intervention: QAIntervention | Mapping[str, Any] | None = None


class MultimodalRetrieveRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """Find what fits a text, pictures or both; one of ``query`` and ``multimodal_parts`` must be given."""

    knows: Sequence[KnowledgeSelection | Mapping[str, Any]]
    query: str | None = None
    multimodal_parts: Sequence[QueryPart | Mapping[str, Any]] | None = None
    multimodal: bool | None = None
    """The service's default is true."""
    top_k: int | None = None
    """Slices in the answer, 8 by default."""
    top_n: int | None = None
    """Slices at first, before they are ranked, 10 by default."""
    recall_method: RecallMethod | None = None
    """For text; the service's default is mixed."""
    recall_ratio: float | None = None
    """Weight of the embedding in ``mixed``: 0 to 1, the service's default is 0.8."""
    enable_rerank: bool | None = None
    enable_rewrite: bool | None = None
    """Rewrite the query first, with ``messages`` where it refers to them."""
    enable_expansion: bool | None = None
    similarity_threshold: float | None = None
    """Leave out what is less similar, 0.2 by default."""
    messages: Sequence[QueryMessage | Mapping[str, Any]] | None = None
    search_filters: SearchFilters | Mapping[str, Any] | None = None


class Media(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A picture inside a text."""

    id: str | None = None
    url: str | None = None
    description: str | None = None


class MediaURL(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An address."""

    url: str | None = None


class FindingMetadata(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Where a finding stands."""

    doc_type: str | None = None
    """pdf, docx, jpeg, mp4, mp3 ..."""
    doc_name: str | None = None
    doc_url: str | None = None
    index: int | None = None
    """Of the slice in its document."""
    page_index: int | None = None
    clip_index: int | None = None
    """Of the slice in its video."""
    start_time: int | None = None
    """Of the first frame."""
    end_time: int | None = None
    """Of the last frame."""
    duration: int | None = None
    frames: list[str] | None = None
    """Key frames."""


class Finding(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A text, picture or piece of video that fits."""

    id: str | None = None
    know_id: str | None = None
    doc_id: str | None = None
    text: str | None = None
    medias: list[Media] | None = None
    image_url: MediaURL | None = None
    video_url: MediaURL | None = None
    index: int | None = None
    """Place before ranking again."""
    score: float | None = None
    rerank_index: int | None = None
    rerank_score: float | None = None
    metadata: FindingMetadata | None = None


class RewrittenQuery(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What became of the query."""

    original_query: str | None = None
    multi_queries: list[str] | None = None


class Findings(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What was found."""

    contents: list[Finding] = []
    rewritten_query: RewrittenQuery | None = None
    elapsed_ms: int | None = None
    total_tokens: int | None = None
    request_id: str | None = None


class MultimodalRetrieveResponse(Envelope, kw_only=True, omit_defaults=True, dict=True):
    """What was found."""

    data: Findings | None = None

    @property
    def items(self) -> list[Finding]:
        """The findings."""
        return self.data.contents if self.data else []
