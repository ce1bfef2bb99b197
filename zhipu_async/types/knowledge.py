"""Knowledge bases: ``/llm-application/open/knowledge`` (data.md section 10)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

import msgspec

from .base import Request
from .envelope import Envelope, page_after

Background = Literal["blue", "red", "orange", "purple", "sky", "green", "yellow"]
Icon = Literal["question", "book", "seal", "wrench", "tag", "horn", "house"]
PAGE_SIZE = 10
"""What the service takes when a request names no size."""

# ---------------------------------------------------------------- requests


class KnowledgeCreateRequest(Request, frozen=True, omit_defaults=True):
    """Create a knowledge base."""

    embedding_id: Literal[3, 11, 12]
    """The embedding model: 3 Embedding-2, 11 Embedding-3, 12 Embedding-3-pro."""
    name: str
    embedding_model: str | None = None
    """The same model by name: ``Embedding-2``, ``Embedding-3``, ``Embedding-3-pro``."""
    contextual: Literal[0, 1] | None = None
    """1: each slice is stored with its context."""
    description: str | None = None
    background: Background | None = None
    """The service's default is blue."""
    icon: Icon | None = None
    """The service's default is question."""


class KnowledgeEditRequest(Request, frozen=True, omit_defaults=True):
    """Change a knowledge base; what is left out stays as it is. With another embedding model it is built anew."""

    knowledge_id: str
    embedding_id: Literal[3, 11, 12] | None = None
    embedding_model: str | None = None
    name: str | None = None
    description: str | None = None
    contextual: Literal[0, 1] | None = None
    background: Background | None = None
    icon: Icon | None = None
    callback_url: str | None = None
    """Called when the knowledge base was built anew."""
    callback_header: Mapping[str, str] | None = None


class KnowledgeListRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """The account's knowledge bases, page by page."""

    page: int | None = None
    """From 1, the default."""
    size: int | None = None
    """Elements of a page; the service's default is 10."""


class KnowledgeDetailRequest(Request, frozen=True, omit_defaults=True):
    """One knowledge base."""

    knowledge_id: str


class KnowledgeDeleteRequest(Request, frozen=True, omit_defaults=True):
    """Delete a knowledge base."""

    knowledge_id: str


class KnowledgeCapacityRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """How much of the account's room for knowledge is used."""


# ---------------------------------------------------------------- answers


class KnowledgeBase(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A knowledge base."""

    id: str | None = None
    embedding_id: int | None = None
    name: str | None = None
    description: str | None = None
    contextual: int | None = None
    """1 when slices are stored with their context."""
    background: str | None = None
    icon: str | None = None
    document_size: int | None = None
    """Number of documents."""
    length: int | None = None
    """Of all documents, in tokens."""
    word_num: int | None = None


class KnowledgeId(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The id of a knowledge base that was created."""

    id: str | None = None


class KnowledgeCreateResponse(Envelope, kw_only=True, omit_defaults=True, dict=True):
    """A knowledge base was created."""

    data: KnowledgeId | None = None

    @property
    def id(self) -> str | None:
        """Its id."""
        return self.data.id if self.data else None


class KnowledgeEditResponse(Envelope, kw_only=True, omit_defaults=True, dict=True):
    """A knowledge base was changed."""


class KnowledgeDeleteResponse(Envelope, kw_only=True, omit_defaults=True, dict=True):
    """A knowledge base was deleted."""


class KnowledgeDetailResponse(Envelope, kw_only=True, omit_defaults=True, dict=True):
    """A knowledge base, in ``data``."""

    data: KnowledgeBase | None = None

    @property
    def id(self) -> str | None:
        """Its id."""
        return self.data.id if self.data else None

    @property
    def name(self) -> str | None:
        """Its name."""
        return self.data.name if self.data else None


class KnowledgePage(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Some knowledge bases."""

    items: list[KnowledgeBase] = msgspec.field(name="list", default=[])
    """``list`` on the wire."""
    total: int | None = None
    """Of all pages."""


class KnowledgeListResponse(Envelope, kw_only=True, omit_defaults=True, dict=True):
    """A page of knowledge bases."""

    data: KnowledgePage | None = None

    @property
    def items(self) -> list[KnowledgeBase]:
        """The knowledge bases of this page."""
        return self.data.items if self.data else []

    @property
    def total(self) -> int | None:
        """How many there are on all pages."""
        return self.data.total if self.data else None

    def following(self, request: Request) -> KnowledgeListRequest | None:
        """The request for the next page, None at the end."""
        asked = cast(KnowledgeListRequest, request)
        page = page_after(asked.page, self.items, self.total, asked.size or PAGE_SIZE)
        return None if page is None else msgspec.structs.replace(asked, page=page)


class Capacity(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Room for knowledge."""

    word_num: int | None = None
    length: int | None = None
    """Bytes."""


class CapacityUse(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Room that is used, and room in all."""

    used: Capacity | None = None
    total: Capacity | None = None


class KnowledgeCapacityResponse(Envelope, kw_only=True, omit_defaults=True, dict=True):
    """The account's room for knowledge."""

    data: CapacityUse | None = None

    @property
    def used(self) -> Capacity | None:
        """What is used."""
        return self.data.used if self.data else None

    @property
    def total(self) -> Capacity | None:
        """What there is in all."""
        return self.data.total if self.data else None
