"""Applications made in the vendor's console, an older API: ``/llm-application/open/v2`` (openapi.json).

Answers of an application are in ``application_invoke``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from .base import Request, Transfer
from .envelope import Envelope
from .uploads import FileInput

# ---------------------------------------------------------------- what an application takes


class ApplicationVariablesRequest(Request, frozen=True, omit_defaults=True):
    """What an application wants to be given."""

    app_id: str


class InputTemplate(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What may be given."""

    options: list[Any] = []


class ApplicationVariable(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Something that an application wants to be given."""

    id: str | None = None
    name: str | None = None
    type: str | None = None
    """Input, selection_list, upload_file, upload_image, upload_video, upload_audio."""
    tips: str | None = None
    allowed_values: list[str] | None = None
    """For ``selection_list``."""
    input_template: InputTemplate | None = None


class ApplicationVariables(Envelope, kw_only=True, omit_defaults=True, dict=True):
    """What an application wants to be given."""

    data: list[ApplicationVariable] | None = None

    @property
    def items(self) -> list[ApplicationVariable]:
        """The variables."""
        return self.data or []


class ApplicationUploadRequest(Transfer, kw_only=True, frozen=True, omit_defaults=True):
    """Give files to an application; whether they were read is asked for by their ids."""

    app_id: str
    files: FileInput | list[FileInput]
    """A file, or a list of them."""
    upload_unit_id: str | None = None
    """The variable that the files are for; required by applications that are no conversation."""
    conversation_id: str | None = None
    """Required for conversations."""
    file_type: Literal[1, 2, 3, 4, 5] | None = None
    """1 table, 2 document, 3 sound, 4 image, 5 video."""


class UploadedFile(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A file that was taken."""

    file_id: str | None = None
    file_name: str | None = None


class RefusedFile(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A file that was not taken."""

    file_name: str | None = None
    fail_reason: str | None = None


class UploadedFiles(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What became of each file."""

    success_info: list[UploadedFile] = []
    fail_info: list[RefusedFile] = []


class ApplicationUpload(Envelope, kw_only=True, omit_defaults=True, dict=True):
    """What became of the files: success of the call does not mean that all were taken."""

    data: UploadedFiles | None = None

    @property
    def items(self) -> list[UploadedFile]:
        """Those that were taken."""
        return self.data.success_info if self.data else []

    @property
    def refused(self) -> list[RefusedFile]:
        """Those that were not, and why."""
        return self.data.fail_info if self.data else []


class ApplicationFileStatRequest(Request, frozen=True, omit_defaults=True):
    """Whether files were read."""

    app_id: str
    file_ids: Sequence[str]


class ApplicationFile(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How far a file is."""

    file_id: str | None = None
    code: int | None = None
    """The numbers are not documented."""
    msg: str | None = None


class ApplicationFileStat(Envelope, kw_only=True, omit_defaults=True, dict=True):
    """How far files are."""

    data: list[ApplicationFile] | None = None

    @property
    def items(self) -> list[ApplicationFile]:
        """The files."""
        return self.data or []


# ---------------------------------------------------------------- conversations


class ApplicationConversationRequest(Request, frozen=True, omit_defaults=True):
    """Begin a conversation with an application."""

    app_id: str


class ConversationId(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The id of a conversation."""

    conversation_id: str | None = None


class ApplicationConversation(Envelope, kw_only=True, omit_defaults=True, dict=True):
    """A conversation began."""

    data: ConversationId | None = None

    @property
    def id(self) -> str | None:
        """Its id."""
        return self.data.conversation_id if self.data else None


class ApplicationSuggestionsRequest(Request, frozen=True, omit_defaults=True):
    """What one might ask next in a conversation."""

    app_id: str
    conversation_id: str


class Suggestions(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What one might ask next."""

    problems: list[str] = []


class ApplicationSuggestions(Envelope, kw_only=True, omit_defaults=True, dict=True):
    """What one might ask next."""

    data: Suggestions | None = None

    @property
    def items(self) -> list[str]:
        """The questions."""
        return self.data.problems if self.data else []


# ---------------------------------------------------------------- sources


class ApplicationSlicesRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """Where the knowledge that an answer used stands in its documents."""

    request_id: str
    """Of the answer."""
    node_id: str
    """Of the step that retrieved."""


class SourceDocument(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A document that was used."""

    id: str | None = None
    name: str | None = None
    url: str | None = None
    dtype: int | None = None


class SlicePosition(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A rectangle on a page."""

    x0: float | None = None
    x1: float | None = None
    top: float | None = None
    bottom: float | None = None
    page: int | None = None
    height: float | None = None
    """Of the page."""
    width: float | None = None
    """Of the page."""


class SourceSlice(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A piece of a document that was used."""

    document_id: str | None = None
    position: SlicePosition | None = None
    line: int | None = None
    """Of a table."""
    sheet_name: str | None = None
    text: str | None = None


class SourceImage(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A picture in a document."""

    text: str | None = None
    """Its name."""
    cos_url: str | None = None


class DocumentSlices(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A document and the pieces of it that were used."""

    document: SourceDocument | None = None
    slice_info: list[SourceSlice] = []
    hide_positions: bool | None = None
    images: list[SourceImage] | None = None


class SliceInfo(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What was used."""

    document_slices: list[DocumentSlices] = []
    has_old_document: bool | None = None
    """Whether there are older documents whose pieces have no position."""


class ApplicationSlices(Envelope, kw_only=True, omit_defaults=True, dict=True):
    """Where the knowledge that an answer used stands in its documents."""

    data: SliceInfo | None = None

    @property
    def items(self) -> list[DocumentSlices]:
        """The documents."""
        return self.data.document_slices if self.data else []
