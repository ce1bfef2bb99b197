"""The account: limits of its coding plan (errors.md section 7) and fine-tuning jobs, which only the older SDK knows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct

from zhipu_async.simulator import listing
from zhipu_async.simulator.chat_request import Text
from zhipu_async.simulator.operation import API_ROOTS, Asked, Nothing, Result, Rows, Turn, of_query
from zhipu_async.simulator.routes import Endpoint
from zhipu_async.simulator.stage import Stage
from zhipu_async.simulator.storage import absent
from zhipu_async.simulator.validation import illegal

_HOUR: Final = 3600
_LIMITS: Final[tuple[Mapping[str, Any], ...]] = (
    {"type": "TOKENS_LIMIT", "unit": 3, "number": 5, "percentage": 12},
    {"type": "TIME_LIMIT", "unit": 5, "number": 1, "usage": 100, "currentValue": 3, "remaining": 97, "percentage": 3},
)
_RESETS: Final = (5 * _HOUR, 30 * 24 * _HOUR)
"""Seconds from now to the reset of each limit."""
_STEPS: Final = 100
_TOKENS: Final = 12_000


class JobRequest(Asked, frozen=True):
    """A model to be trained on a file."""

    model: Text
    training_file: Text
    validation_file: str = ""
    hyperparameters: dict[str, Any] = {}
    suffix: str = ""


class ListQuery(Struct, frozen=True):
    """A page of a list."""

    after: str = ""
    limit: str = "20"


def quota(asked: Nothing, turn: Turn) -> Result:
    """What is used of a coding plan."""
    now = turn.stage.clock()
    limits = [
        {**limit, "nextResetTime": int((now + seconds) * 1000)} for limit, seconds in zip(_LIMITS, _RESETS, strict=True)
    ]
    return {"code": 200, "msg": "操作成功", "success": True, "data": {"limits": limits, "level": "pro"}}


@dataclass(slots=True)
class _Job:
    head: Mapping[str, Any]
    model: str
    ready_at: float
    cancelled_at: int | None = None
    finished_at: int | None = None


class Jobs:
    """Fine-tuning jobs. One is done `Scenario.task_seconds` after its creation."""

    def __init__(self) -> None:
        self._jobs: dict[str, _Job] = {}

    def create(self, asked: JobRequest, turn: Turn) -> Result:
        """A new job for a file that was uploaded for it."""
        stored = turn.stage.files.get(asked.training_file)
        if stored is None or stored.purpose != "fine-tune":
            return illegal("training_file")
        identity = f"ftjob-{turn.id}"
        head = {
            "id": identity,
            "request_id": turn.head["request_id"],
            "object": "fine_tuning.job",
            "model": asked.model,
            "created_at": turn.head["created"],
            "training_file": asked.training_file,
            "validation_file": asked.validation_file or None,
            "hyperparameters": {"n_epochs": "auto", **asked.hyperparameters},
        }
        seconds = turn.stage.scenario.task_seconds
        seconds = seconds(turn.request) if callable(seconds) else seconds
        name = f"{asked.model}:{asked.suffix or 'tuned'}:{turn.id[-6:]}"
        job = self._jobs[identity] = _Job(head, name, asyncio.get_running_loop().time() + seconds)
        return self._shown(job, turn)

    def retrieve(self, asked: Nothing, turn: Turn) -> Result:
        """How a job stands."""
        job = self._jobs.get(turn.field("id"))
        return absent("job", turn.field("id")) if job is None else self._shown(job, turn)

    def list(self, asked: ListQuery, turn: Turn) -> Result:
        """A page of jobs, the newest first."""
        jobs = [self._shown(job, turn) for job in reversed(self._jobs.values())]
        return listing.unfit(turn.request.query) or listing.listed(jobs, turn.request.query)

    def cancel(self, asked: Nothing, turn: Turn) -> Result:
        """Stop a job that is not done."""
        job = self._jobs.get(turn.field("id"))
        if job is None:
            return absent("job", turn.field("id"))
        if self._status(job) == "running":
            job.cancelled_at = int(turn.stage.clock())
        return self._shown(job, turn)

    def delete(self, asked: Nothing, turn: Turn) -> Result:
        """Forget a job."""
        job = self._jobs.pop(turn.field("id"), None)
        return absent("job", turn.field("id")) if job is None else self._shown(job, turn)

    def events(self, asked: ListQuery, turn: Turn) -> Result:
        """A page of what happened in a job."""
        job = self._jobs.get(turn.field("id"))
        if job is None:
            return absent("job", turn.field("id"))
        happened = ["created", "running"] + ([status] if (status := self._status(job)) != "running" else [])
        events = [_event(job, number, text) for number, text in enumerate(happened, 1)]
        return listing.unfit(turn.request.query) or listing.listed(events, turn.request.query)

    def _status(self, job: _Job) -> str:
        if job.cancelled_at is not None:
            return "cancelled"
        return "succeeded" if asyncio.get_running_loop().time() >= job.ready_at else "running"

    def _shown(self, job: _Job, turn: Turn) -> dict[str, Any]:
        status = self._status(job)
        done = status == "succeeded"
        if done and job.finished_at is None:
            job.finished_at = int(turn.stage.clock())
        return {
            **job.head,
            "status": status,
            "fine_tuned_model": job.model if done else None,
            "finished_at": job.finished_at if done else job.cancelled_at,
            "result_files": [],
            "trained_tokens": _TOKENS if done else None,
            "error": None,
        }


def _event(job: _Job, number: int, text: str) -> dict[str, Any]:
    metrics = {
        "epoch": 1,
        "current_steps": _STEPS * (number - 1) // 2,
        "total_steps": _STEPS,
        "elapsed_time": f"00:00:{number:02}",
        "remaining_time": "00:00:00",
        "trained_tokens": _TOKENS * (number - 1) // 2,
        "loss": round(1 / number, 4),
        "eval_loss": round(1.1 / number, 4),
        "acc": 0.9,
        "eval_acc": 0.89,
        "learning_rate": 0.0001,
    }
    return {
        "id": f"ftevent-{job.head['id'][6:]}-{number}",
        "object": "fine_tuning.job.event",
        "type": "metrics",
        "created_at": job.head["created_at"],
        "level": "info",
        "message": f"The job is {text}",
        "data": metrics,
    }


def endpoints(stage: Stage) -> tuple[Endpoint, ...]:
    """The rows of the account."""
    jobs, rows = Jobs(), Rows(stage)
    path = "/fine_tuning/jobs"
    return (
        Rows(stage, API_ROOTS).row("GET", "/monitor/usage/quota/limit", Nothing, quota, arguments=of_query),
        rows.row("POST", path, JobRequest, jobs.create),
        rows.row("GET", path, ListQuery, jobs.list, arguments=of_query),
        rows.row("GET", f"{path}/{{id}}", Nothing, jobs.retrieve, arguments=of_query),
        rows.row("DELETE", f"{path}/{{id}}", Nothing, jobs.delete, arguments=of_query),
        rows.row("POST", f"{path}/{{id}}/cancel", Nothing, jobs.cancel, arguments=of_query),
        rows.row("GET", f"{path}/{{id}}/events", ListQuery, jobs.events, arguments=of_query),
    )
