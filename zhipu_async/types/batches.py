"""Batches: many calls in a file, answered within a day (data.md section 9); and the lines of their files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .base import Request, Response, State
from .paging import after_last

# ---------------------------------------------------------------- requests


class BatchCreateRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """Have the calls of an uploaded file answered: ``POST /batches`` (open.bigmodel.cn).

    A file holds up to 50,000 lines (10,000 for embeddings) and 100 MB, for one model and one endpoint.
    """

    input_file_id: str
    """A file uploaded with the purpose ``batch``."""
    endpoint: str
    """``/v4/chat/completions`` or ``/v4/embeddings``; the same as ``url`` in the lines."""
    auto_delete_input_file: bool | None = None
    """True by the service's default."""
    metadata: Mapping[str, str] | None = None
    """Up to 16 pairs: keys of up to 64 characters, values of up to 512."""
    completion_window: str | None = None
    """``24h``; known to the official SDK."""


class BatchRetrieveRequest(Request, frozen=True, omit_defaults=True):
    """Ask how a batch stands: ``GET /batches/{batch_id}``."""

    batch_id: str


class BatchListRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """List the batches of the account, page by page: ``GET /batches``."""

    after: str | None = None
    """The id after which the page begins."""
    limit: int | None = None
    """Up to 100 batches, 20 by the service's default."""


class BatchCancelRequest(Request, frozen=True, omit_defaults=True):
    """Cancel a batch: ``POST /batches/{batch_id}/cancel``. It is ``cancelling`` at first."""

    batch_id: str


# ---------------------------------------------------------------- answers


class BatchCounts(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How many calls a batch has, and how many of them are answered and failed."""

    total: int | None = None
    completed: int | None = None
    failed: int | None = None


class BatchError(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is wrong with the input file; ``line`` is the number of the line."""

    code: str | None = None
    line: int | None = None
    message: str | None = None
    param: str | None = None


class BatchErrors(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is wrong with the input file, in ``data``."""

    object: str | None = None
    data: list[BatchError] = []


class Batch(Response, kw_only=True, omit_defaults=True, dict=True):
    """A batch and how it stands. All times are Unix seconds.

    ``completed`` says that every call was tried: those that failed stand in the file ``error_file_id``.
    """

    id: str | None = None
    object: str | None = None
    endpoint: str | None = None
    input_file_id: str | None = None
    completion_window: str | None = None
    status: str | None = None
    """validating, in_progress, finalizing, completed, failed, expired, cancelling, cancelled."""
    output_file_id: str | None = None
    error_file_id: str | None = None
    created_at: int | None = None
    in_progress_at: int | None = None
    expires_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: BatchCounts | int | None = None
    """The counts, or only their total with the others beside it; :attr:`counts` reads both."""
    total: int | None = None
    completed: int | None = None
    failed: int | None = None
    errors: BatchErrors | None = None
    metadata: dict[str, Any] | None = None

    @property
    def counts(self) -> BatchCounts:
        """How many calls there are, and how many are answered and failed, in whichever form the service said it."""
        told = self.request_counts
        if isinstance(told, BatchCounts):
            return told
        total = told if self.total is None else self.total
        return BatchCounts(total=total, completed=self.completed, failed=self.failed)

    @property
    def state(self) -> State:
        """``done`` when completed; ``failed`` when failed, expired or cancelled; else ``running``."""
        if self.status in ("failed", "expired", "cancelled"):
            return "failed"
        return "done" if self.status == "completed" else "running"

    @property
    def failure(self) -> tuple[str | None, str]:
        """Code and message of the first error of a batch that failed; where there is none, the status."""
        if self.state != "failed":
            return None, ""
        first = self.errors.data[0] if self.errors and self.errors.data else BatchError()
        return first.code, first.message or self.status or ""


class BatchList(Response, kw_only=True, omit_defaults=True, dict=True):
    """A page of batches, in ``data``."""

    object: str | None = None
    data: list[Batch] = []
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool | None = None

    @property
    def items(self) -> list[Batch]:
        """The batches of this page."""
        return self.data

    def following(self, request: Request) -> Request | None:
        """The request for the page after this one, which answered ``request``; None at the end."""
        last = (self.last_id or self.data[-1].id) if self.data else None
        return after_last(request, last, self.has_more)


# ---------------------------------------------------------------- lines of files


class BatchLine(msgspec.Struct, kw_only=True, frozen=True):
    """A line of an input file: one call."""

    custom_id: str
    """Unique in the file, at least 6 characters: answers do not come in the order of the lines."""
    method: str = "POST"
    url: str
    """``/v4/chat/completions``: without the ``/api/paas`` part."""
    body: Mapping[str, Any]
    """The call's JSON body."""


class BatchLineResponse(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The answer to one line. ``body`` is its JSON: an error envelope where the status is not 200."""

    status_code: int | None = None
    body: Any = None


class BatchOutput(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A line of an output or error file: match it with the input by ``custom_id``; ``id`` is the batch's."""

    custom_id: str | None = None
    id: str | None = None
    response: BatchLineResponse | None = None
    error: Any = None
    """An object or text; good lines have none."""

    @property
    def ok(self) -> bool:
        """Whether the call was answered: HTTP 200 and no error."""
        return not self.error and self.response is not None and self.response.status_code == 200
