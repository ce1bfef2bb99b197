"""A batch service in memory, for runs through batches: it keeps what it was sent, and a function answers each line."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from zhipu_async.batching import BatchRun
from zhipu_async.errors import NotFoundError, TaskFailed
from zhipu_async.protocol.endpoint import Call
from zhipu_async.types.batches import Batch, BatchCounts, BatchError, BatchErrors, BatchList
from zhipu_async.types.files import FileDeleted, FileObject

Line = dict[str, Any]


def echo(line: Line) -> Line:
    """An output line that says what was asked."""
    content = line["body"]["messages"][-1]["content"]
    message = {"role": "assistant", "content": f"echo {content}"}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    body = {"id": "1", "model": line["body"]["model"], "choices": [choice], "usage": {"total_tokens": 3}}
    return {"custom_id": line["custom_id"], "response": {"status_code": 200, "body": body}, "id": "batch"}


def refusal(line: Line, code: str, status: int = 429) -> Line:
    """An output line with an error envelope."""
    body = {"error": {"code": code, "message": f"refused with {code}"}}
    return {"custom_id": line["custom_id"], "response": {"status_code": status, "body": body}}


class Vendor:
    """``answer(line, how often its id came)`` is an output line, or raw bytes, or None for a line without an answer.

    ``fault(lines, number of the batch)`` is the errors of a batch that is not taken. ``ends`` is the status of a batch
    by its number, from 1. ``gate`` holds back the end of all batches until it is set.
    """

    def __init__(
        self,
        answer: Callable[[Line, int], Line | bytes | None] | None = None,
        *,
        fault: Callable[[list[Line], int], list[BatchError]] | None = None,
        ends: Callable[[int], str] = lambda number: "completed",
        gate: asyncio.Event | None = None,
    ) -> None:
        self._answer = answer or (lambda line, times: echo(line))
        self._fault = fault or (lambda lines, number: [])
        self._ends = ends
        self._gate = gate
        self.calls: Counter[str] = Counter()
        """Calls by the names of their endpoints."""
        self.uploads: list[list[Line]] = []
        """The lines of each file, in the order of uploading."""
        self.sizes: list[int] = []
        """Bytes of each file."""
        self.times: Counter[str] = Counter()
        """How often each custom id was worked off."""
        self.batches: dict[str, Batch] = {}
        self.cancelled: list[str] = []
        self.waited: list[str] = []
        self._files: dict[str, bytes] = {}
        self._cancelling = asyncio.Event()
        self.before: dict[str, Callable[[], None]] = {}
        """Called before a call of that endpoint takes effect; may raise."""
        self.after: dict[str, Callable[[], None]] = {}
        """Called when it has taken effect, before the answer; may raise."""

    def run(self, source: Any, **options: Any) -> BatchRun[Any]:
        """A run of prompts, or of calls where ``parameters={}``."""
        parameters = options.pop("parameters", {"model": "glm-4.6"})
        return BatchRun(
            source,
            parameters,
            send=self.send,
            fetch=self.fetch,
            wait=self.wait,
            base_url="https://open.bigmodel.cn/api/paas/v4",
            **options,
        )

    async def send(self, call: Call[Any], /) -> Any:
        """Any call of files and batches."""
        await asyncio.sleep(0)
        name, given = call.endpoint.name, call.arguments
        self.calls[name] += 1
        self.before.get(name, lambda: None)()
        answer = self._carry_out(name, given)
        self.after.get(name, lambda: None)()
        return answer

    def _carry_out(self, name: str, given: Any) -> Any:
        match name:
            case "POST /files":
                identity = f"file-{len(self.uploads)}"
                self._files[identity] = data = given.file.source.read()
                assert given.purpose == "batch"
                assert given.file.filename.endswith(".jsonl")
                self.uploads.append([json.loads(text) for text in data.splitlines()])
                self.sizes.append(len(data))
                return FileObject(id=identity)
            case "POST /batches":
                return self._create(given)
            case "GET /batches":
                newest = sorted(self.batches.values(), key=lambda batch: -(batch.created_at or 0))
                start = [batch.id for batch in newest].index(given.after) + 1 if given.after else 0
                page = newest[start : start + 2]
                return BatchList(data=page, has_more=start + 2 < len(newest))
            case "POST /batches/{batch_id}/cancel":
                self.cancelled.append(given.batch_id)
                self._cancelling.set()
                self.batches[given.batch_id].status = "cancelling"
                return self.batches[given.batch_id]
            case "DELETE /files/{file_id}":
                self._files.pop(given.file_id, None)
                return FileDeleted(id=given.file_id, deleted=True)
            case _:
                raise AssertionError(f"{name} was not expected")

    def _create(self, given: Any) -> Batch:
        number = len(self.batches) + 1
        if given.input_file_id not in self._files:
            raise NotFoundError("no such file", status=404)
        batch = Batch(
            id=f"batch_{number}",
            status="validating",
            endpoint=given.endpoint,
            input_file_id=given.input_file_id,
            created_at=number,
            metadata=dict(given.metadata),
        )
        self.batches[f"batch_{number}"] = batch
        return Batch(id=batch.id, status="validating")

    async def wait(self, task: Batch, /, *, timeout: float | None, progress: Callable[[Batch], object] | None) -> Batch:
        """The end of a batch, in which its lines are answered."""
        assert task.id
        self.waited.append(task.id)
        batch = self.batches[task.id]
        if batch.status == "validating":
            batch.status = "in_progress"
            batch.request_counts = BatchCounts(total=len(self._lines(batch)), completed=0, failed=0)
        if progress is not None:
            progress(batch)
        if self._gate is not None and batch.state == "running":
            pair = [asyncio.create_task(event.wait()) for event in (self._gate, self._cancelling)]
            try:
                await asyncio.wait(pair, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in pair:
                    each.cancel()
        if batch.state == "running":
            self._work_off(batch)
        if batch.state == "failed":
            raise TaskFailed(f"batch {batch.id} {batch.status}", task_id=batch.id, answer=batch)
        return batch

    def _lines(self, batch: Batch) -> list[Line]:
        return [json.loads(text) for text in self._files[batch.input_file_id or ""].splitlines()]

    def _work_off(self, batch: Batch) -> None:
        number, lines = int((batch.id or "").removeprefix("batch_")), self._lines(batch)
        if faults := self._fault(lines, number):
            batch.status, batch.errors = "failed", BatchErrors(data=faults)
            return
        results: dict[bool, list[bytes]] = {True: [], False: []}
        for line in reversed(lines):
            self.times[line["custom_id"]] += 1
            answered = self._answer(line, self.times[line["custom_id"]])
            if isinstance(answered, bytes):
                results[True].append(answered)
            elif answered is not None:
                well = (answered.get("response") or {}).get("status_code") == 200
                results[well].append(json.dumps(answered).encode())
        for well, kind in ((True, "output"), (False, "error")):
            if results[well]:
                self._files[f"{batch.id}-{kind}"] = b"\n".join(results[well]) + b"\n"
                setattr(batch, f"{kind}_file_id", f"{batch.id}-{kind}")
        batch.status = "cancelled" if batch.status == "cancelling" else self._ends(number)

    async def fetch(self, call: Call[Any], consume: Callable[[Any], Awaitable[Any]], /) -> Any:
        """A file, block by block."""
        self.calls[call.endpoint.name] += 1
        self.before.get(call.endpoint.name, lambda: None)()
        identity: str = call.arguments.file_id  # type: ignore[attr-defined]
        if identity not in self._files:
            raise NotFoundError("no such file", status=404)
        data = self._files[identity]
        await consume(_Blocks(data))

    def creations(self) -> int:
        """How many batches were asked for."""
        return self.calls["POST /batches"]

    def lines(self) -> list[int]:
        """How many lines each file had."""
        return [len(lines) for lines in self.uploads]


class _Blocks:
    def __init__(self, data: bytes) -> None:
        self._blocks = [data[start : start + 997] for start in range(0, len(data), 997)]

    async def __aiter__(self) -> Any:
        for block in self._blocks:
            await asyncio.sleep(0)
            yield block
