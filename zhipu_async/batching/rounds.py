"""The rounds of a batch run: shards go out, results become outcomes, what failed in passing goes out again."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from .. import threads
from ..errors import ConfigError, CreationUnknown, JournalError, NotFoundError, TaskFailed, ZhipuError
from ..journal import Journal, record_of
from ..outcomes import Outcome
from ..protocol import batch_lines as lines
from ..protocol.endpoint import Call
from ..protocol.jsonl import BatchNote
from ..protocol.retry import repeatable
from ..telemetry import logger
from ..types.batches import Batch
from .files import ResultFile, Shard, Spool
from .service import FATAL, TAG, BatchService

INPUT = f"{TAG}_input"
"""The key of a batch's metadata that says what the whole input of its run was."""
UPLOADS = 2
"""Files that are made and sent at a time."""


class Rounds:
    """Sends what waits in ``spool`` until each call has its outcome, which goes into the journal and then to ``give``.

    ``run`` and ``fingerprint`` tell the run and its whole input from others. ``rounds`` is how often a call may be sent
    again; ``base_url`` is named in errors.
    """

    def __init__(
        self,
        spool: Spool,
        service: BatchService,
        journal: Journal | None,
        give: Callable[[Outcome[Any]], Awaitable[None]],
        *,
        run: str,
        fingerprint: str,
        rounds: int,
        base_url: str,
        metadata: Mapping[str, str],
        most_lines: int | None,
        most_bytes: int | None,
    ) -> None:
        self._spool = spool
        self._service = service
        self._journal = journal
        self._give = give
        self._run = run
        self._fingerprint = fingerprint
        self._rounds = rounds
        self._base_url = base_url.rstrip("/")
        self._metadata = metadata
        self._most_lines = most_lines
        self._most_bytes = most_bytes
        self._uploading = asyncio.Semaphore(UPLOADS)
        self.cancelled = False
        """Whether nothing more is to be sent."""
        self.again = 0
        """Calls that were sent again."""
        self.strays = 0
        """Lines of results that belong to no call, or came twice."""

    async def work(self) -> None:
        """Collect the batches of an earlier run, then send the rest."""
        number = await self._collect_earlier()
        while not all(self._spool.over):
            shards = await asyncio.to_thread(self._spool.shards, self._most_lines, self._most_bytes)
            await _together([self._through(shard, number, place) for place, shard in enumerate(shards, 1)])
            number += 1

    # ------------------------------------------------------------ one shard

    async def _through(self, shard: Shard, number: int, place: int) -> None:
        """One shard, from its file to its outcomes. What is to be sent again stays in the spool."""
        note = BatchNote(None, place, number, len(shard.places), run=self._run, input=self._fingerprint)
        async with self._uploading:
            batch = await self._begin(shard, note)
        if batch is None:
            return
        if self.cancelled:  # while it was being created
            await self._service.cancel(batch.id or "")
        batch = await self._service.end_of(batch)
        keys = await asyncio.to_thread(self._spool.keys, shard.places)
        heard = await self._collect(batch, keys)
        refused = await self._settle_refused_lines(list(keys.values()), batch)
        if batch.status == "failed" and not refused and isinstance(refusal := lines.refusal(batch), FATAL):
            await self._finish(note, batch)
            raise refusal
        for each in shard.places:
            if self._spool.over[each] or each in heard:
                continue
            if refused:
                self._spool.tries[each] -= 1  # the fault was in other lines
            else:
                failed = batch.status == "failed"
                await self._settle(each, error=lines.refused(batch) if failed else lines.unanswered(batch))
        await self._finish(note, batch)

    async def _finish(self, note: BatchNote, batch: Batch) -> None:
        """Nothing more is to be had of ``batch``."""
        self._service.collected.add(batch.id or "")
        self._note(note, "collected")
        if batch.state == "failed" and note.file:
            await self._service.delete(note.file)

    async def _begin(self, shard: Shard, note: BatchNote) -> Batch | None:
        """Upload a shard and create its batch; None when that failed, which is then the error of its calls."""
        spool = self._spool
        if self.cancelled:
            for each in shard.places:
                await self._settle(each, error=lines.not_sent())
            return None
        for each in shard.places:
            spool.tries[each] += 1
            self.again += spool.tries[each] > 1
        tag = f"{self._run} {note.round}/{note.shard}"
        try:
            file = await threads.acquire(lambda: spool.write(shard), lambda made: made.close())
            note.file = await self._service.upload(file, f"{TAG}-{self._run[:16]}-{note.round}-{note.shard}.jsonl")
            await self._note_safely(note, "intended")
            metadata = {**self._metadata, TAG: tag, INPUT: self._fingerprint}
            batch = await self._service.create(note.file, shard.path, metadata)
        except (*FATAL, NotFoundError, CreationUnknown, JournalError):
            raise
        except ZhipuError as error:
            logger.warning("a batch of %d calls could not be begun: %s", note.calls, error)
            if note.file:
                self._note(note, "collected")  # there is nothing of it to be collected
            for each in shard.places:
                await self._settle(each, error=copy.copy(error), begun=False)
            return None
        note.id = batch.id
        await self._note_safely(note, "created")
        return batch

    async def _settle_refused_lines(self, places: list[int], batch: Batch) -> bool:
        """Give out the errors that a batch which was not taken names by line; whether there were any."""
        found = batch.errors.data if batch.errors is not None and batch.status == "failed" else []
        named = False
        for fault in found:
            if fault.line is None or not 1 <= fault.line <= len(places):
                continue
            place = places[fault.line - 1]
            if not self._spool.over[place]:
                endpoint = self._spool.endpoint(place)
                await self._settle(place, error=lines.line_refused(fault, endpoint, self._base_url + endpoint.path))
                named = named or bool(self._spool.over[place])
        return named

    # ------------------------------------------------------------ results

    async def _collect(self, batch: Batch, keys: Mapping[str, int]) -> set[int]:
        """Settle what the files of ``batch`` tell; the places that were in them. Of several lines of a call the first
        answer counts, which is paid for, and without one the first error."""
        heard: set[int] = set()
        failed: dict[int, _Result] = {}
        for identity in filter(None, (batch.output_file_id, batch.error_file_id)):
            file = ResultFile()
            try:
                if not await self._service.results(identity, file):
                    continue
                while texts := await asyncio.to_thread(file.lines):
                    results, strays = await asyncio.to_thread(self._read, batch, keys, texts)
                    for result in results:
                        known = result.place in heard or bool(self._spool.over[result.place])
                        heard.add(result.place)
                        strays += known
                        if result.error is not None:
                            if not known:
                                failed[result.place] = result._replace(body=None)
                        elif not known or failed.pop(result.place, None) is not None:
                            await self._settle(*result)
                    if strays:
                        self.strays += strays
                        logger.warning("%d lines of batch %s belong to no call, or came twice", strays, batch.id)
            finally:
                file.close()
        for result in failed.values():
            await self._settle(*result)
        return heard

    def _read(self, batch: Batch, keys: Mapping[str, int], texts: Iterable[bytes]) -> tuple[list[_Result], int]:
        """What lines say, and how many of them say nothing about a call; blocks."""
        results: list[_Result] = []
        strays = 0
        for text in filter(bytes.strip, texts):
            line = lines.read_line(text)
            place = keys.get(line.custom_id) if line is not None else None
            if line is None or place is None:
                strays += 1
                continue
            endpoint = self._spool.endpoint(place)
            value, error = lines.answer(line, endpoint, self._base_url + endpoint.path, batch)
            results.append(_Result(place, value, error, line.told, self._spool.body(place)))
        return results, strays

    async def _settle(
        self,
        place: int,
        value: Any = None,
        error: ZhipuError | None = None,
        told: bytes | None = None,
        body: bytes | None = None,
        *,
        begun: bool = True,
    ) -> None:
        """The outcome of a call; unless its error passes and it may be sent again: then it stays in the spool.

        ``told`` is the body of its answer, ``body`` that of the call where it is at hand; ``begun`` says whether there
        was a batch that may have carried it out.
        """
        spool = self._spool
        passing = error is not None and (
            repeatable(error, creates=begun and spool.endpoint(place).creates)
            or (isinstance(error, TaskFailed) and error.retryable)
        )
        if passing and not self.cancelled and spool.tries[place] <= self._rounds:
            return
        if body is None:
            body = await asyncio.to_thread(spool.body, place)
        call: Call[Any] = spool.call(place, body)
        seconds = asyncio.get_running_loop().time() - spool.taken[place]
        outcome: Outcome[Any] = Outcome(
            spool.ids[place], spool.indexes[place], call, value, error, seconds, spool.tries[place]
        )
        if self._journal is not None:
            digest = lines.digest_of(call.endpoint, body)
            at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            record = record_of(outcome, hash=digest, run=self._run, body=told or None, at=at)
            if record.error is not None and passing:
                record.error.again = True
            try:
                self._journal.record(record)
            except JournalError:  # the disk is full: it is given out all the same
                spool.over[place] = 1
                await self._give(outcome)
                raise
        spool.over[place] = 1
        await self._give(outcome)

    # ------------------------------------------------------------ batches of an earlier run

    async def _collect_earlier(self) -> int:
        """Collect the batches that an earlier run began; the number of the first round of this one."""
        notes = {(note.round, note.shard): note for note in (self._journal.batches() if self._journal else ())}
        for note in notes.values():
            if note.state != "intended":
                continue
            found = await self._service.look_for(note.file, f"{note.run or self._run} {note.round}/{note.shard}")
            if found is not None:
                note.id = found.id
                self._note(note, "created")
            else:
                if note.file:
                    await self._service.delete(note.file)  # a creation that comes late finds nothing
                self._note(note, "collected")
        created = [note for note in notes.values() if note.state == "created" and note.id]
        if created:
            keys = await asyncio.to_thread(lambda: self._spool.keys(self._spool.waiting()))
            await _together([self._collect_noted(note, keys) for note in created])
        return max((number for number, _ in notes), default=0) + 1

    async def _collect_noted(self, note: BatchNote, keys: Mapping[str, int]) -> None:
        batch = await self._service.end_of(Batch(id=note.id, input_file_id=note.file, status="in_progress"))
        told = note.input or (batch.metadata or {}).get(INPUT)
        if told not in (None, self._fingerprint):
            raise ConfigError(
                f"batch {batch.id} belongs to an earlier run whose input was another, and results are joined by their "
                "ids: give the input of that run until its batches are collected, then more"
            )
        await self._collect(batch, keys)
        self._service.collected.add(batch.id or "")
        self._note(note, "collected")

    async def _note_safely(self, note: BatchNote, state: Literal["intended", "created"]) -> None:
        """Note it so that not even a power loss takes it."""
        self._note(note, state)
        if self._journal is not None:
            await self._journal.sync()

    def _note(self, note: BatchNote, state: Literal["intended", "created", "collected"]) -> None:
        note.state = state
        if self._journal is not None:
            self._journal.note_batch(copy.copy(note))


class _Result(NamedTuple):
    """What a line says: the arguments of a settlement."""

    place: int
    value: Any
    error: ZhipuError | None
    told: bytes
    body: bytes | None


async def _together(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """All at once; the first error ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
