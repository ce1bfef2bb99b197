"""Batches: files of requests that are answered in the background (data.md section 9)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from zhipu_async.simulator import listing
from zhipu_async.simulator.batch_input import Line, read_lines
from zhipu_async.simulator.chat_request import Text
from zhipu_async.simulator.folder import append
from zhipu_async.simulator.rendering import encode, render
from zhipu_async.simulator.replies import Answer, Json, Later, Refusal
from zhipu_async.simulator.routes import Endpoint, Routes
from zhipu_async.simulator.seen import SeenRequest
from zhipu_async.simulator.stage import Stage
from zhipu_async.simulator.storage import OUTPUT, Stored, absent
from zhipu_async.simulator.validation import illegal, validated

_DAY: Final = 24 * 3600
_SLICE: Final = 64
"""Lines that are answered before other work gets its turn."""
_STEPS: Final = 8
"""In how many steps a small batch is worked off."""
_TIMES: Final = (
    "in_progress_at", "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at",
)  # fmt: skip
_FINAL: Final = frozenset({"completed", "failed", "expired", "cancelled"})


class BatchRequest(Struct, frozen=True):
    """The body of a creating call."""

    input_file_id: Text
    endpoint: Literal["/v4/chat/completions", "/v4/embeddings", "/v4/images/generations", "/v4/videos/generations"]
    auto_delete_input_file: bool = True
    completion_window: Literal["24h"] = "24h"
    metadata: Annotated[
        dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
    ] = {}


@dataclass(slots=True, eq=False)
class _Batch:
    """A batch: what is said about it, and its results so far."""

    said: dict[str, Any]
    request: SeenRequest
    """The creating call: lines are answered as if they had come with its headers."""
    input: Stored
    auto_delete: bool
    number: int
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    results: dict[bool, Path] = field(default_factory=dict[bool, Path])
    """The file of the lines that went well, and the file of the others."""

    @property
    def id(self) -> str:
        """The id."""
        return str(self.said["id"])


class Batches:
    """The batches by their ids.

    A batch is worked off in `Scenario.batch_seconds`: a quarter of them it is `validating`, a half `in_progress`, a
    quarter `finalizing`. Its lines are answered by the endpoints of this simulator; answers of a script are for
    requests, not for lines. The order of the results is not that of the lines.
    """

    def __init__(self, stage: Stage, routes: Routes) -> None:
        self._stage = stage
        self._routes = routes
        self._random = Random(stage.scenario.seed)
        self._batches: dict[str, _Batch] = {}
        stage.when_closed(self._batches.clear)

    def check_create(self, request: SeenRequest) -> Refusal | None:
        """What is refused in a creation."""
        asked = validated(request.body, BatchRequest)
        if isinstance(asked, Refusal):
            return asked
        stored = self._stage.files.get(asked.input_file_id)
        return None if stored and stored.purpose == "batch" else illegal("input_file_id")

    def create(self, request: SeenRequest) -> Answer:
        """A new batch, to be worked off in the background."""
        stored = self._stage.files.get(request.get("input_file_id"))
        if stored is None:
            return illegal("input_file_id")
        now = int(self._stage.clock())
        said: dict[str, Any] = {
            "id": f"batch_{self._random.randrange(10**18, 10**19)}",
            "object": "batch",
            "endpoint": request.get("endpoint"),
            "input_file_id": stored.id,
            "completion_window": "24h",
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": now,
            "expires_at": now + _DAY,
            **dict.fromkeys(_TIMES),
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "errors": None,
            "metadata": request.get("metadata") or {},
        }
        auto_delete = request.get("auto_delete_input_file", True) is True
        batch = _Batch(said, request, stored, auto_delete, len(self._batches))
        self._batches[batch.id] = batch
        self._stage.start(self._run(batch))
        return Json(dict(said))

    def retrieve(self, request: SeenRequest) -> Answer:
        """How a batch stands."""
        batch = self._batches.get(request.fields["id"])
        return Json(batch.said) if batch else absent("batch", request.fields["id"])

    def check_list(self, request: SeenRequest) -> Refusal | None:
        """What is refused in the query of a list."""
        return listing.unfit(request.query)

    def list(self, request: SeenRequest) -> Answer:
        """A page of the batches, the newest first."""
        listed = listing.listed([batch.said for batch in reversed(self._batches.values())], request.query)
        ids = [batch["id"] for batch in listed["data"]]
        return Json({**listed, "first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None})

    def cancel(self, request: SeenRequest) -> Answer:
        """End a batch early; the results that it has become its files."""
        batch = self._batches.get(request.fields["id"])
        if batch is None:
            return absent("batch", request.fields["id"])
        if batch.said["status"] in _FINAL:
            return Refusal("1214", message=f"A batch that is {batch.said['status']} cannot be cancelled")
        if batch.said["status"] != "cancelling":
            self._enter(batch, "cancelling")
            batch.cancelled.set()
        return Json(batch.said)

    async def _run(self, batch: _Batch) -> None:
        quarter = self._stage.scenario.batch_seconds / 4
        end = await self._work(batch, quarter)
        if end == "cancelled":
            await asyncio.sleep(quarter)
        self._keep_results(batch)
        if end == "completed" and batch.auto_delete:
            self._stage.files.delete(batch.input.id)
        self._enter(batch, end)

    async def _work(self, batch: _Batch, quarter: float) -> str:
        """Answer the lines; what comes back is the status in which the batch ends."""
        if await _cancelled(batch, quarter):
            return "cancelled"
        lines, faults = await asyncio.to_thread(read_lines, batch.input.path, str(batch.said["endpoint"]))
        wanted = self._stage.scenario.batch_end
        if faults or wanted == "failed":
            unsaid = [{"code": "1230", "line": None, "message": "The batch could not be processed", "param": None}]
            batch.said["errors"] = {"object": "list", "data": faults or unsaid}
            return "failed"
        batch.said["request_counts"]["total"] = len(lines)
        Random(f"{self._stage.scenario.seed} {batch.number}").shuffle(lines)
        self._enter(batch, "in_progress")
        size = max(1, min(_SLICE, len(lines) // _STEPS))
        for start in range(0, len(lines), size):
            if await _cancelled(batch, 2 * quarter * size / len(lines)):
                return "cancelled"
            if wanted == "expired" and 2 * start >= len(lines):
                return wanted
            await self._answer(batch, lines[start : start + size])
        if wanted == "expired":
            return wanted
        self._enter(batch, "finalizing")
        return "cancelled" if await _cancelled(batch, quarter) else "completed"

    async def _answer(self, batch: _Batch, lines: Sequence[Line]) -> None:
        counts = batch.said["request_counts"]
        texts: dict[bool, bytes] = {True: b"", False: b""}
        for line in lines:
            well, text = await self._result(batch, line)
            texts[well] += text
            counts["completed" if well else "failed"] += 1
        for well, text in texts.items():
            if text:
                if well not in batch.results:
                    batch.results[well] = self._stage.folder.new()
                await asyncio.to_thread(append, batch.results[well], text)

    async def _result(self, batch: _Batch, line: Line) -> tuple[bool, bytes]:
        """Whether a line went well, and the line of its result."""
        given: dict[str, Any] = {"request_id": f"{batch.number}-{line.custom_id}"}
        body = given | line.body if 6 <= len(given["request_id"]) <= 64 else line.body
        seen = SeenRequest(
            number=batch.request.number,
            connection=0,
            method="POST",
            path=f"/api/paas{line.url}",
            query={},
            headers=batch.request.headers,
            received_at=asyncio.get_running_loop().time(),
            body=body,
            scheme=batch.request.scheme,
        )
        rendered = render(await self._respond(seen), seen, self._stage.stamps)
        response = {"status_code": rendered.status, "body": msgspec.Raw(b"".join(rendered.blocks))}
        text = encode({"response": response, "custom_id": line.custom_id, "id": batch.id})
        return rendered.status == 200, text + b"\n"

    async def _respond(self, seen: SeenRequest) -> Answer:
        endpoint, _ = self._routes.find(seen.method, seen.path)
        if endpoint is None:
            return Refusal("1222")
        if seen.get("stream"):
            return illegal("stream")
        fault = endpoint.check(seen) if endpoint.check and self._stage.scenario.checks else None
        answer = fault or endpoint.respond(seen)
        return await answer.make() if isinstance(answer, Later) else answer

    def _keep_results(self, batch: _Batch) -> None:
        for well, kind in ((True, "output"), (False, "error")):
            if path := batch.results.get(well):
                stored = self._stage.files.add(path, f"{batch.id}_{kind}.jsonl", OUTPUT)
                batch.said[f"{kind}_file_id"] = stored.id

    def _enter(self, batch: _Batch, status: str) -> None:
        if batch.said["status"] == "cancelling" and status not in _FINAL:
            return
        batch.said["status"] = status
        batch.said[f"{status}_at"] = int(self._stage.clock())


async def _cancelled(batch: _Batch, seconds: float) -> bool:
    """Wait, but not when the batch is cancelled; whether it is."""
    try:
        async with asyncio.timeout(seconds):
            return await batch.cancelled.wait()
    except TimeoutError:
        return batch.cancelled.is_set()


def endpoints(batches: Batches) -> tuple[Endpoint, ...]:
    """The rows of batches."""
    return (
        Endpoint("POST", "/batches", batches.create, batches.check_create),
        Endpoint("GET", "/batches", batches.list, batches.check_list),
        Endpoint("GET", "/batches/{id}", batches.retrieve),
        Endpoint("POST", "/batches/{id}/cancel", batches.cancel),
    )
