"""Documents of a knowledge base: ``/llm-application/open/document`` (data.md section 10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import msgspec

from .base import Request, Transfer
from .envelope import Envelope, page_after
from .knowledge import PAGE_SIZE
from .uploads import FileInput

KnowledgeType = Literal[1, 2, 3, 5, 6, 7]
"""How a document is cut: 1 by headings and paragraphs, 2 by question and answer, 3 by line (xls, xlsx, csv), 5 by
separators of one's own, 6 by page (pdf, ppt, pptx), 7 in one piece (xls, xlsx, csv)."""

# ---------------------------------------------------------------- adding documents


class DocumentUploadRequest(Transfer, frozen=True, omit_defaults=True):
    """Put files into a knowledge base; what became of each is in the answer."""

    knowledge_id: str
    files: FileInput | list[FileInput]
    """A file, or a list of them: txt, doc, docx, pdf, ppt, pptx, md, xls, xlsx, csv."""
    knowledge_type: KnowledgeType | None = None
    """Left out, the service decides by the content."""
    custom_separator: list[str] | None = None
    r"""With ``knowledge_type=5``; the service's default is a line end."""
    sentence_size: int | None = None
    """With ``knowledge_type=5``: 20 to 2000 characters of a slice, 300 by default."""
    parse_image: bool | None = None
    """Whether pictures are read too; the service's default is no."""
    callback_url: str | None = None
    """Called when the document is embedded."""
    callback_header: Mapping[str, str] | None = None
    word_num_limit: str | int | None = None
    """Refuse documents of more words; a whole number."""
    req_id: str | None = None
    """Unique per call."""


class URLDocument(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A document or page that the service fetches itself."""

    url: str
    knowledge_type: KnowledgeType
    custom_separator: Sequence[str] | None = None
    sentence_size: int | None = None
    callback_url: str | None = None
    callback_header: Mapping[str, str] | None = None


class DocumentUploadURLRequest(Request, frozen=True, omit_defaults=True):
    """Put documents at URLs into a knowledge base."""

    knowledge_id: str
    upload_detail: Sequence[URLDocument | Mapping[str, Any]]


class UploadedDocument(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A document that was taken; it is embedded later."""

    document_id: str | None = msgspec.field(name="documentId", default=None)
    file_name: str | None = msgspec.field(name="fileName", default=None)
    url: str | None = None
    """In place of a name, for a document fetched from a URL."""


class RefusedDocument(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A document that was not taken."""

    file_name: str | None = msgspec.field(name="fileName", default=None)
    url: str | None = None
    fail_reason: str | None = msgspec.field(name="failReason", default=None)


class UploadedDocuments(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What became of each document."""

    success_infos: list[UploadedDocument] = msgspec.field(name="successInfos", default=[])
    failed_infos: list[RefusedDocument] = msgspec.field(name="failedInfos", default=[])


class DocumentUploadResponse(Envelope, kw_only=True, omit_defaults=True, dict=True):
    """What became of the documents: success of the call does not mean that all were taken."""

    data: UploadedDocuments | None = None

    @property
    def items(self) -> list[UploadedDocument]:
        """Those that were taken."""
        return self.data.success_infos if self.data else []

    @property
    def refused(self) -> list[RefusedDocument]:
        """Those that were not, and why."""
        return self.data.failed_infos if self.data else []

    @property
    def id(self) -> str | None:
        """The id of the first that was taken."""
        return self.items[0].document_id if self.items else None


# ---------------------------------------------------------------- documents of a knowledge base


class DocumentListRequest(Request, frozen=True, omit_defaults=True):
    """The documents of a knowledge base, page by page."""

    knowledge_id: str
    page: int | None = None
    """From 1, the default."""
    size: int | None = None
    """Elements of a page; the service's default is 10."""
    word: str | None = None
    """Part of the document's name."""


class DocumentDetailRequest(Request, frozen=True, omit_defaults=True):
    """One document."""

    document_id: str


class DocumentDeleteRequest(Request, frozen=True, omit_defaults=True):
    """Delete a document."""

    document_id: str


class DocumentImagesRequest(Request, frozen=True, omit_defaults=True):
    """The pictures that were found in a document."""

    document_id: str


class DocumentEmbedRequest(Request, frozen=True, omit_defaults=True):
    """Embed a document again, above all one from a URL."""

    document_id: str
    callback_url: str | None = None
    """Called when the document is embedded."""
    callback_header: Mapping[str, str] | None = None


class EmbeddingFailure(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Why a document could not be embedded."""

    embedding_code: int | None = None
    embedding_msg: str | None = None


class KnowledgeDocument(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A document of a knowledge base."""

    id: str | None = None
    knowledge_type: int | None = None
    custom_separator: list[str] | None = None
    sentence_size: int | None = None
    """Characters of a slice."""
    length: int | None = None
    word_num: int | None = None
    name: str | None = None
    url: str | None = None
    embedding_stat: int | None = None
    """How far the embedding is; the numbers are not documented."""
    fail_info: EmbeddingFailure | None = msgspec.field(name="failInfo", default=None)


class DocumentPage(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Some documents."""

    items: list[KnowledgeDocument] = msgspec.field(name="list", default=[])
    """``list`` on the wire."""
    total: int | None = None
    """Of all pages."""


class DocumentListResponse(Envelope, kw_only=True, omit_defaults=True, dict=True):
    """A page of documents."""

    data: DocumentPage | None = None

    @property
    def items(self) -> list[KnowledgeDocument]:
        """The documents of this page."""
        return self.data.items if self.data else []

    @property
    def total(self) -> int | None:
        """How many there are on all pages."""
        return self.data.total if self.data else None

    def following(self, request: Request) -> DocumentListRequest | None:
        """The request for the next page, None at the end."""
        asked = cast(DocumentListRequest, request)
        page = page_after(asked.page, self.items, self.total, asked.size or PAGE_SIZE)
        return None if page is None else msgspec.structs.replace(asked, page=page)


class DocumentDetailResponse(Envelope, kw_only=True, omit_defaults=True, dict=True):
    """A document, in ``data``."""

    data: KnowledgeDocument | None = None

    @property
    def id(self) -> str | None:
        """Its id."""
        return self.data.id if self.data else None


class DocumentDeleteResponse(Envelope, kw_only=True, omit_defaults=True, dict=True):
    """A document was deleted."""


class DocumentEmbedResponse(Envelope, kw_only=True, omit_defaults=True, dict=True):
    """A document is being embedded again."""


class DocumentImage(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A picture in a document."""

    text: str | None = None
    """The mark that stands for it in the slices."""
    cos_url: str | None = None


class DocumentImages(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The pictures in a document."""

    images: list[DocumentImage] = []


class DocumentImagesResponse(Envelope, kw_only=True, omit_defaults=True, dict=True):
    """The pictures that were found in a document."""

    data: DocumentImages | None = None

    @property
    def items(self) -> list[DocumentImage]:
        """The pictures."""
        return self.data.images if self.data else []
