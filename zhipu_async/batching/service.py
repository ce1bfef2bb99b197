"""One batch at the service: from a file to results on the disk, so that nothing is paid twice (data.md section 9)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, BinaryIO, Protocol, TypeVar

from ..downloads import Download
from ..errors import (
    AccountError,
    APIError,
    AuthenticationError,
    ClientClosedError,
    ConfigError,
    CreationUnknown,
    DecodeError,
    NotFoundError,
    PermissionDeniedError,
    QuotaError,
    TaskFailed,
    ZhipuError,
)
from ..protocol.endpoint import Call
from ..protocol.retry import repeatable
from ..resources import Batches, Files
from ..telemetry import logger
from ..types.base import Request
from ..types.batches import Batch, BatchList
from ..types.paging import next_page
from ..types.uploads import FileUpload
from .files import ResultFile

A = TypeVar("A")

TAG = "zhipu_async"
"""The key of a batch's metadata that says of which run, round and shard it is."""
LOOKS = (2.0, 5.0, None)
"""Seconds after each look for a batch whose creation was not answered; None after the last."""
LISTED = 100
"""Batches on a page of their list: the most that the service gives."""
PAGES = 1000
"""Pages of the list of batches that are looked through: a list without an end says nothing about what is not in it."""
PATIENCE = (2.0, 5.0, 15.0, 30.0, 60.0, 60.0, 60.0)
"""Seconds between attempts to learn of results, beyond the client's own repeats: they are paid for."""
FATAL = (AuthenticationError, AccountError, QuotaError, PermissionDeniedError, ClientClosedError, ConfigError)
"""What every other batch would meet too: it ends the run."""


class Send(Protocol):
    """What sends a call."""

    def __call__(self, call: Call[A], /) -> Coroutine[Any, Any, A]:
        """The whole answer."""
        ...


class Fetch(Protocol):
    """What sends a call that a file answers."""

    def __call__(self, call: Call[Any], consume: Callable[[Download], Awaitable[A]], /) -> Coroutine[Any, Any, A]:
        """What ``consume`` makes of the file; asked again, with a new file, for a repeat."""
        ...


class Wait(Protocol):
    """What waits for a batch: ``client.wait``."""

    def __call__(
        self, task: Batch, /, *, timeout: float | None, progress: Callable[[Batch], object] | None
    ) -> Coroutine[Any, Any, Batch]:
        """The batch when it is completed; TaskFailed when it failed, expired or was cancelled."""
        ...


class BatchService:
    """The batches of an account, and what was last heard of those that were begun here.

    ``heard`` is called with each news of one. ``timeout`` is seconds to wait for one, None as long as it takes.
    """

    def __init__(
        self, send: Send, fetch: Fetch, wait: Wait, timeout: float | None, heard: Callable[[], object]
    ) -> None:
        self._send = send
        self._fetch = fetch
        self._wait = wait
        self._timeout = timeout
        self._heard = heard
        self.batches: dict[str, Batch] = {}
        self.collected: set[str] = set()
        """The ids of those whose results were taken."""

    @property
    def running(self) -> list[str]:
        """The ids of the batches that have not ended, as far as is known."""
        return [identity for identity, batch in self.batches.items() if batch.state == "running"]

    @property
    def uncollected(self) -> list[str]:
        """The ids of the batches that have ended, and whose results were not all taken."""
        return [each for each, batch in self.batches.items() if batch.state != "running" and each not in self.collected]

    async def upload(self, file: BinaryIO, name: str) -> str:
        """The id of a new input file; ``file`` is closed."""
        try:
            uploaded = await self._send(Files.create.call(file=FileUpload(file, name), purpose="batch"))
        finally:
            file.close()
        if not uploaded.id:
            raise DecodeError("the service gave the uploaded file no id")
        return uploaded.id

    async def create(self, file: str, path: str, metadata: Mapping[str, str]) -> Batch:
        """A new batch of the uploaded ``file``. After an error none was created, or its file is gone: the calls may be
        sent again. CreationUnknown when not even that can be learnt."""
        call = Batches.create.call(input_file_id=file, endpoint=f"/v4{path}", metadata=metadata)
        batch: Batch | None
        try:
            batch = await self._send(call)
            if not batch.id:
                raise DecodeError("the service gave the batch no id")
        except FATAL:
            raise
        except ZhipuError as error:
            refused = isinstance(error, APIError) and not error.retryable
            batch = (
                None if refused or repeatable(error, creates=True) else await self._look_again(file, metadata, error)
            )
            if batch is None:
                await self.delete(file)
                raise
            logger.info("the creation of batch %s was not answered, but it is there: %s", batch.id, error)
        self.hear(batch)
        return batch

    async def _look_again(self, file: str, metadata: Mapping[str, str], error: ZhipuError) -> Batch | None:
        try:
            return await self.look_for(file, metadata[TAG])
        except ZhipuError as failure:
            raise CreationUnknown(f"whether a batch of file {file} was created cannot be learnt: {failure}") from error

    async def look_for(self, file: str | None, tag: str) -> Batch | None:
        """The batch of an input file, if the service has it; where batches name no file, the one with the tag."""
        for seconds in LOOKS:
            async for batch in self._listed():
                tagged = batch.input_file_id is None and (batch.metadata or {}).get(TAG) == tag
                if batch.id and (tagged or (file is not None and batch.input_file_id == file)):
                    return batch
            if seconds is not None:
                await asyncio.sleep(seconds)
        return None

    async def _listed(self) -> AsyncIterator[Batch]:
        """All batches of the account. CreationUnknown where the service does not come to the end of its list."""
        request: Request = Batches.list.call(limit=LISTED).arguments
        used: set[str] = set()
        for _ in range(PAGES):
            page: BatchList = await self._send(Call(Batches.list.endpoint, request))
            for batch in page.items:
                yield batch
            try:
                following = next_page(page, request, used)
            except DecodeError as error:
                raise CreationUnknown(f"the list of batches: {error.message}") from error
            if following is None:
                if page.has_more or (page.has_more is None and len(page.items) >= LISTED):
                    raise CreationUnknown("the list of batches goes on, but does not say where")
                return
            request = following
        raise CreationUnknown(f"the list of batches has no end: {PAGES} pages were read")

    async def end_of(self, batch: Batch) -> Batch:
        """The batch as it ended, however it did; one that the service no longer knows counts as expired.

        DecodeError where it has answers, but for minutes names no file of them.
        """
        self.hear(batch)
        patience = iter(PATIENCE)

        def hear(news: Batch) -> None:
            nonlocal patience
            if not _lacks_file(news):
                patience = iter(PATIENCE)
            self.hear(news)

        while True:
            try:
                ended = await self._ended(batch, hear)
                if not _lacks_file(ended):
                    break
                text = f"the batch {batch.id} is {ended.status} and has answers, but names no file of them"
                failure: ZhipuError = DecodeError(text)
                batch = Batch(id=batch.id, input_file_id=batch.input_file_id, status="in_progress")  # to be asked after
            except APIError as error:
                if not _is_unknown(error):
                    raise
                ended, failure = Batch(id=batch.id, status="expired"), error
            if (seconds := next(patience, None)) is None:
                if isinstance(failure, DecodeError) or await self._is_listed(batch):
                    raise failure
                logger.warning("the service knows no batch %s any more", batch.id)
                break
            logger.info("batch %s is asked for again in %g s: %s", batch.id, seconds, failure)
            await asyncio.sleep(seconds)
        self.hear(ended)
        return ended

    async def _ended(self, batch: Batch, hear: Callable[[Batch], object]) -> Batch:
        try:
            return await self._wait(batch, timeout=self._timeout, progress=hear)
        except TaskFailed as error:
            if not isinstance(error.answer, Batch):
                raise
            return error.answer

    async def _is_listed(self, batch: Batch) -> bool:
        """Whether the service lists a batch that it does not know by its id. An error of the list is raised."""
        async for each in self._listed():
            if each.id == batch.id:
                return True
        return False

    async def results(self, identity: str, file: ResultFile) -> bool:
        """Fetch a file of results; False where it is no longer there."""

        async def keep(download: Download) -> None:
            await file.begin()
            async for block in download:
                await file.write(block)

        for seconds in (*PATIENCE, None):
            try:
                await self._fetch(Files.content.call(identity), keep)
                await file.rewind()
                break
            except ZhipuError as error:
                if seconds is None and isinstance(error, NotFoundError):
                    logger.warning("the service has no file %s any more", identity)
                    return False
                if seconds is None or not (error.retryable or _is_unknown(error)):
                    raise
                logger.info("results are asked for again in %g s: %s", seconds, error)
                await asyncio.sleep(seconds)
        return True

    async def cancel(self, identity: str) -> None:
        """Cancel a batch; one that has ended meanwhile is left as it is."""
        try:
            batch = await self._send(Batches.cancel.call(identity))
        except APIError as error:
            if isinstance(error, FATAL) or error.retryable:
                raise
            logger.info("batch %s was not cancelled: %s", identity, error)
        else:
            self.hear(batch)

    async def delete(self, file: str) -> None:
        """Delete an input file, if that is possible."""
        with suppress(ZhipuError):
            await self._send(Files.delete.call(file))

    def hear(self, batch: Batch) -> None:
        """News of a batch."""
        if batch.id:
            self.batches[batch.id] = batch
        self._heard()


def _is_unknown(error: ZhipuError) -> bool:
    """Whether the service says that it does not know what was asked for: in passing, some do of what they have."""
    return isinstance(error, NotFoundError) or (
        isinstance(error, APIError) and error.status == 400 and error.code == "1214"
    )


def _lacks_file(batch: Batch) -> bool:
    """Whether a batch has ended and counts answers, but names no file of them (yet)."""
    if batch.status not in ("completed", "expired", "cancelled") or batch.output_file_id:
        return False
    counts = batch.counts
    answered = counts.completed or 0
    if batch.error_file_id and counts.total is not None:  # where every call that was tried counts as completed
        answered = min(answered, counts.total - (counts.failed or 0))
    return answered > 0
