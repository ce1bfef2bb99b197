"""One batch at the service: from a file to results on the disk, so that nothing is paid twice (data.md section 9)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
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
from ..types.uploads import FileUpload
from .files import ResultFile

A = TypeVar("A")

TAG = "zhipu_async"
"""The key of a batch's metadata that says of which run, round and shard it is."""
LOOKS = (2.0, 5.0, None)
"""Seconds after each look for a batch whose creation was not answered; None after the last."""
PAGES = 1000
"""Pages of the list of batches that are looked through: a list without an end says nothing about what is not in it."""
PATIENCE = (2.0, 5.0, 15.0, 30.0, 60.0, 60.0, 60.0)
"""Seconds between attempts to fetch results, beyond the client's own repeats: they are paid for."""
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

    @property
    def running(self) -> list[str]:
        """The ids of the batches that have not ended, as far as is known."""
        return [identity for identity, batch in self.batches.items() if batch.state == "running"]

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
            request: Request | None = Batches.list.call(limit=100).arguments
            pages = 0
            while request is not None:
                if (pages := pages + 1) > PAGES:
                    raise CreationUnknown(f"the list of batches has no end: {PAGES} pages were read")
                page: BatchList = await self._send(Call(Batches.list.endpoint, request))
                for batch in page.items:
                    tagged = batch.input_file_id is None and (batch.metadata or {}).get(TAG) == tag
                    if batch.id and (tagged or (file is not None and batch.input_file_id == file)):
                        return batch
                request = page.following(request)
            if seconds is not None:
                await asyncio.sleep(seconds)
        return None

    async def end_of(self, batch: Batch) -> Batch:
        """The batch as it ended, however it did; one that the service no longer knows counts as expired."""
        self.hear(batch)
        try:
            ended = await self._wait(batch, timeout=self._timeout, progress=self.hear)
        except TaskFailed as error:
            if not isinstance(error.answer, Batch):
                raise
            ended = error.answer
        except NotFoundError:
            logger.warning("the service knows no batch %s any more", batch.id)
            ended = Batch(id=batch.id, status="expired")
        self.hear(ended)
        return ended

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
            except NotFoundError:
                logger.warning("the service has no file %s any more", identity)
                return False
            except ZhipuError as error:
                if seconds is None or not error.retryable:
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
