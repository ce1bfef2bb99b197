"""Fine-tuning jobs: ``/fine_tuning/jobs``, which only the older official SDK knows (README.md section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .base import Request, Response, State
from .paging import after_last

# ---------------------------------------------------------------- requests


class Hyperparameters(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """How to train; each may be ``auto``."""

    n_epochs: str | int | None = None
    batch_size: str | int | None = None
    learning_rate_multiplier: str | float | None = None


class FineTuningCreateRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """Train a model on examples of one's own: ``POST /fine_tuning/jobs`` (open.bigmodel.cn)."""

    model: str
    """The model to start from."""
    training_file: str
    """Id of a file uploaded with the purpose ``fine-tune``."""
    validation_file: str | None = None
    hyperparameters: Hyperparameters | Mapping[str, Any] | None = None
    suffix: str | None = None
    """Part of the new model's name."""
    request_id: str | None = None


class FineTuningRetrieveRequest(Request, frozen=True, omit_defaults=True):
    """Ask how a job stands: ``GET /fine_tuning/jobs/{fine_tuning_job_id}``."""

    fine_tuning_job_id: str


class FineTuningListRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """List the jobs of the account, page by page: ``GET /fine_tuning/jobs``."""

    after: str | None = None
    """The id after which the page begins."""
    limit: int | None = None


class FineTuningCancelRequest(Request, frozen=True, omit_defaults=True):
    """Cancel a job: ``POST /fine_tuning/jobs/{fine_tuning_job_id}/cancel``."""

    fine_tuning_job_id: str


class FineTuningEventsRequest(Request, frozen=True, omit_defaults=True):
    """List what happened in a job: ``GET /fine_tuning/jobs/{fine_tuning_job_id}/events``."""

    fine_tuning_job_id: str
    after: str | None = None
    """The id of the event after which the page begins."""
    limit: int | None = None


# ---------------------------------------------------------------- answers


class FineTuningError(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Why a job failed."""

    code: str | None = None
    message: str | None = None
    param: str | None = None


class JobHyperparameters(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How a job trains."""

    n_epochs: str | int | None = None
    batch_size: str | int | None = None
    learning_rate_multiplier: str | int | float | None = None


class FineTuningJob(Response, kw_only=True, omit_defaults=True, dict=True):
    """A job and how it stands."""

    id: str | None = None
    request_id: str | None = None
    object: str | None = None
    model: str | None = None
    status: str | None = None
    """validating_files, queued, running, succeeded, failed or cancelled."""
    created_at: int | None = None
    """Unix seconds."""
    finished_at: int | None = None
    """Unix seconds."""
    fine_tuned_model: str | None = None
    """The new model's id, when the job succeeded."""
    training_file: str | None = None
    validation_file: str | None = None
    result_files: list[str] | None = None
    trained_tokens: int | None = None
    hyperparameters: JobHyperparameters | None = None
    error: FineTuningError | None = None

    @property
    def state(self) -> State:
        """``done`` when succeeded, ``failed`` when failed or cancelled, else ``running``."""
        if self.status in ("failed", "cancelled"):
            return "failed"
        return "done" if self.status == "succeeded" else "running"

    @property
    def failure(self) -> tuple[str | None, str]:
        """Code and message of a job that failed; where the service gives none, the status."""
        if self.state != "failed":
            return None, ""
        error = self.error or FineTuningError()
        return error.code, error.message or self.status or ""


class FineTuningJobList(Response, kw_only=True, omit_defaults=True, dict=True):
    """A page of jobs, in ``data``."""

    object: str | None = None
    data: list[FineTuningJob] = []
    has_more: bool | None = None

    @property
    def items(self) -> list[FineTuningJob]:
        """The jobs of this page."""
        return self.data

    def following(self, request: Request) -> Request | None:
        """The request for the page after this one, which answered ``request``; None at the end."""
        return after_last(request, self.data[-1].id if self.data else None, self.has_more)


class FineTuningMetrics(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How far the training is and how well it goes."""

    epoch: str | int | float | None = None
    current_steps: int | None = None
    total_steps: int | None = None
    elapsed_time: str | None = None
    remaining_time: str | None = None
    trained_tokens: int | None = None
    loss: str | int | float | None = None
    eval_loss: str | int | float | None = None
    acc: str | int | float | None = None
    eval_acc: str | int | float | None = None
    learning_rate: str | int | float | None = None


class FineTuningEvent(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Something that happened in a job."""

    id: str | None = None
    object: str | None = None
    type: str | None = None
    created_at: int | None = None
    """Unix seconds."""
    level: str | None = None
    message: str | None = None
    data: FineTuningMetrics | None = None


class FineTuningEventList(Response, kw_only=True, omit_defaults=True, dict=True):
    """A page of events, in ``data``."""

    object: str | None = None
    data: list[FineTuningEvent] = []
    has_more: bool | None = None

    @property
    def items(self) -> list[FineTuningEvent]:
        """The events of this page."""
        return self.data

    def following(self, request: Request) -> Request | None:
        """The request for the page after this one, which answered ``request``; None at the end."""
        return after_last(request, self.data[-1].id if self.data else None, self.has_more)
