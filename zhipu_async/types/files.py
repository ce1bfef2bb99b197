"""Files kept by the service: ``/files`` (data.md section 7)."""

from __future__ import annotations

from typing import Literal

from .base import Request, Response, Transfer
from .paging import after_last
from .uploads import FileInput


class FileUploadRequest(Transfer, kw_only=True, frozen=True, omit_defaults=True):
    """Upload a file: ``POST /files``. The purpose decides what it may be and how large."""

    file: FileInput
    purpose: str
    """``batch`` (.jsonl, 100 MB), ``code-interpreter`` and ``agent`` (20 MB, pictures 5 MB), ``voice-clone-input``
    (mp3 or wav of 3 to 30 seconds, 10 MB), ``user_data``; formerly ``fine-tune`` and ``retrieval``."""
    knowledge_id: str | None = None
    """The knowledge base, for the purpose ``retrieval``."""
    sentence_size: int | None = None
    """Length of the pieces that the text is cut into, for the purpose ``retrieval``."""


class FileListRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """List the files of one purpose, page by page: ``GET /files`` (open.bigmodel.cn)."""

    purpose: str
    """``batch``, ``code-interpreter``, ``agent``, ...: the service wants one."""
    after: str | None = None
    """The id after which the page begins."""
    limit: int | None = None
    """1 to 100 files, 20 by the service's default."""
    order: Literal["created_at"] | None = None


class FileDeleteRequest(Request, frozen=True, omit_defaults=True):
    """Delete a file: ``DELETE /files/{file_id}`` (open.bigmodel.cn)."""

    file_id: str


class FileContentRequest(Transfer, frozen=True, omit_defaults=True):
    """Fetch a file's bytes: ``GET /files/{file_id}/content`` (open.bigmodel.cn); files of batches only."""

    file_id: str


class FileObject(Response, kw_only=True, omit_defaults=True, dict=True):
    """What the service knows of a file."""

    id: str | None = None
    object: str | None = None
    bytes: int | None = None
    """Size."""
    created_at: int | None = None
    """Unix seconds."""
    filename: str | None = None
    purpose: str | None = None
    status: str | None = None
    status_details: str | None = None


class FileList(Response, kw_only=True, omit_defaults=True, dict=True):
    """A page of files, in ``data``."""

    object: str | None = None
    data: list[FileObject] = []
    has_more: bool | None = None

    @property
    def items(self) -> list[FileObject]:
        """The files of this page."""
        return self.data

    def following(self, request: Request) -> Request | None:
        """The request for the page after this one, which answered ``request``; None at the end."""
        return after_last(request, self.data[-1].id if self.data else None, self.has_more)


class FileDeleted(Response, kw_only=True, omit_defaults=True, dict=True):
    """Whether a file was deleted."""

    id: str | None = None
    object: str | None = None
    deleted: bool | None = None


class FetchRequest(Transfer, frozen=True, omit_defaults=True):
    """Fetch a file of any host, such as a generated image or video, without the key and the client's own headers.

    In memory when awaited, with ``to_file(path, url)`` under a path, with ``open(url)`` as it arrives.
    """

    url: str
    """http or https."""
