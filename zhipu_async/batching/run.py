"""A batch run as its user sees it: an input, outcomes, progress."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, closing
from typing import Any, Generic, Self, TypeVar

from ..config import check_count, check_seconds
from ..errors import ConfigError, ZhipuError
from ..items import Calls, Item, Prompts, Source
from ..journal import Journal, outcome_of
from ..outcomes import Outcome, Pace, RunProgress
from ..protocol import batch_lines as lines
from ..protocol.jsonl import request_hash, run_id
from ..telemetry import logger
from ..types.batches import Batch
from .files import Spool
from .rounds import INPUT, Rounds
from .service import TAG, BatchService, Fetch, Send, Wait

T = TypeVar("T")

WINDOW = 1000
"""Outcomes that may wait for the consumer."""
TURN = 64
"""Items that are taken before other tasks get their turn."""
MOST_ROUNDS = 100
_PAIRS, _KEY, _VALUE = 14, 64, 512
"""Of metadata: pairs beside our two, characters of a key and of a value."""


class BatchRun(Generic[T]):
    """The calls of ``source`` through batches: ``async for outcome in run``, best inside ``async with run``.

    Outcomes come as batches end, not in the order of the input; ``await run.collect()`` is a list in that order. Every
    item has one outcome. ``outcome.call`` sends what the item did; structs in its arguments have become plain objects.

    ``parameters``
        Those of prompts, as of ``fan_out``.
    ``send``, ``fetch``, ``wait``, ``base_url``
        The client's: what sends a call, what fetches a file, what waits for a batch; the URL is named in errors.
    ``journal``
        Results are written to it before they are given out, and batches before they are waited for. With a journal that
        is resumed, a run gives what it holds, collects the batches that went on meanwhile, and sends the rest.
    ``timeout``
        Seconds to wait for each batch; TaskTimeout ends the run. None: as long as it takes, which may be days.
    ``rounds``
        How often a call is sent again that failed for a reason that passes, or that its batch had no time for. The
        lines beside one that the service refused to take go into the next file without being counted.
    ``most_lines``, ``most_bytes``
        Of one file, below the limits of the service.
    ``progress``
        Called with :class:`RunProgress` at each news of a batch, and with outcomes at most ten times a second. There,
        ``in_flight`` is the unanswered calls of batches under way, ``concurrency`` the number of these batches, and
        ``refused`` the calls that were sent again.
    ``metadata``
        Up to 14 pairs of text, given to each batch.

    The input is read to its end before anything is sent, into a temporary file; in memory stay the ids and about 40
    bytes for each. A wrong first item raises ConfigError; a later one has it as its outcome. A refused key, an empty
    account and the like end the run, after what is finished was given out. Leaving a run early leaves its batches
    alone: they go on at the service, and are paid for; a note on the error and the log name them.
    ``await run.cancel()`` cancels them.
    """

    def __init__(
        self,
        source: Calls[T] | Prompts,
        parameters: Mapping[str, Any],
        *,
        send: Send,
        fetch: Fetch,
        wait: Wait,
        base_url: str,
        journal: Journal | None = None,
        timeout: float | None = None,
        rounds: int = 2,
        most_lines: int | None = None,
        most_bytes: int | None = None,
        progress: Callable[[RunProgress], object] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        check_seconds("timeout", timeout)
        check_count("rounds", rounds, least=0)
        for name, limit in (("most_lines", most_lines), ("most_bytes", most_bytes)):
            if limit is not None:
                check_count(name, limit, least=1)
        if rounds > MOST_ROUNDS:
            raise ConfigError(f"rounds is how often a call is sent again, at most {MOST_ROUNDS} times, not {rounds}")
        self._source: Source[T] = Source(source, parameters)
        self._journal = journal
        self._settings: dict[str, Any] = {
            "rounds": rounds,
            "base_url": base_url,
            "metadata": _checked(metadata or {}),
            "most_lines": most_lines,
            "most_bytes": most_bytes,
        }
        self._most_bytes = most_bytes or lines.MOST_BYTES
        self._hook = progress
        self._service = BatchService(send, fetch, wait, timeout, self._tell)
        self._rounds: Rounds | None = None
        self._pace = Pace(None)
        self._ready: deque[Outcome[Any]] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._entered = self._told = self._cancelled = False
        self._run = ""
        self._fingerprint = 0

    # ------------------------------------------------------------ what the caller does

    @property
    def batches(self) -> list[Batch]:
        """The batches of this run as they stood when they were last heard of, in the order of their creation."""
        return list(self._service.batches.values())

    @property
    def progress(self) -> RunProgress:
        """How far the run is."""
        running = [batch.counts for batch in self.batches if batch.state == "running"]
        self._pace.total = self._source.length
        return self._pace.progress(
            self._loop.time() if self._task is not None else 0.0,
            in_flight=sum((each.total or 0) - (each.completed or 0) - (each.failed or 0) for each in running),
            concurrency=len(running),
            refused=self._rounds.again if self._rounds else 0,
        )

    @property
    def strays(self) -> int:
        """Lines of results that belong to no call of this run, or came twice: they are logged and left out."""
        return self._rounds.strays if self._rounds else 0

    async def collect(self) -> list[Outcome[T]]:
        """All outcomes, in the order of the input.

        Where the run ends with an error, those that are finished can still be had by iterating.
        """
        outcomes: list[Outcome[T]] = []
        try:
            async for outcome in self:
                outcomes.append(outcome)
        except BaseException:
            self._ready.extendleft(reversed(outcomes))
            raise
        return sorted(outcomes, key=lambda outcome: outcome.index)

    async def cancel(self) -> None:
        """Send nothing more, and cancel the batches that are under way, also those of a run that was left.

        What they have answered becomes outcomes still; the other calls have TaskFailed as theirs, and are sent again by
        a resumed run. Each batch is tried; the first error of one is raised at the end.
        """
        self._cancelled = True
        if self._rounds is not None:
            self._rounds.cancelled = True
        failure: ZhipuError | None = None
        for identity in self._service.running:
            try:
                await self._service.cancel(identity)
            except ZhipuError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    async def close(self) -> None:
        """Leave the run. Its batches go on at the service."""
        task = self._task
        if task is None:
            return
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # was raised already, or nobody is there to get it
        self._mention(None)

    aclose = close

    async def __aenter__(self) -> Self:
        self._entered = True
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._mention(error)
        await self.close()

    async def __aiter__(self) -> AsyncIterator[Outcome[T]]:
        if self._task is None:
            self._loop = asyncio.get_running_loop()
            self._pace.begin(self._loop.time())
            self._task = self._loop.create_task(self._work())
            self._task.add_done_callback(lambda _: self._news.set())
        try:
            while True:
                while not self._ready and not self._task.done():
                    self._news.clear()
                    await self._news.wait()
                if not self._ready:
                    break
                outcome = self._ready.popleft()
                self._room.set()
                yield outcome
            if not self._task.cancelled():
                self._task.result()
        except Exception as error:
            if not self._entered:
                self._mention(error)
            raise
        finally:
            if not self._entered:
                await self.close()

    def _mention(self, error: BaseException | None) -> None:
        """Say, once, of which batches nobody takes the results."""
        running, ended = self._service.running, self._service.uncollected
        if self._told or self._task is None or not (running or ended):
            return
        self._told = True
        way = "fetch them by these ids" if self._journal is None else "resume the run with its journal"
        texts = [f"these batches go on at the service: {', '.join(running)}"] if running else []
        if ended:
            texts.append(f"these have ended, and their results were not all given out: {', '.join(ended)}")
        text = f"{'; '.join(texts)}. To have their results, {way}"
        logger.warning("%s", text)
        if error is not None:
            error.add_note(text)

    # ------------------------------------------------------------ the run

    async def _work(self) -> None:
        """The whole run, in a task of its own."""
        async with AsyncExitStack() as stack:
            if self._journal is not None:
                await stack.enter_async_context(self._journal)
            spool = stack.enter_context(closing(Spool()))
            try:
                await self._read(spool)
            finally:
                await self._source.close()
            self._rounds = Rounds(
                spool,
                self._service,
                self._journal,
                self._give,
                run=self._run,
                fingerprint=f"{self._source.taken} {self._fingerprint % 2**64:016x}",
                **self._settings,
            )
            self._rounds.cancelled = self._cancelled
            await self._rounds.work()
            self._tell()

    async def _read(self, spool: Spool) -> None:
        """Take the input: what the journal holds is given out, the rest kept for the batches."""
        journal, names = self._journal, _Names(hashed=self._journal is not None)
        while (item := await self._source.next()) is not None:
            now = self._loop.time()
            if not item.index % TURN:
                await asyncio.sleep(0)
            try:
                model, body = lines.encoded(item.call)
                digest = lines.digest_of(item.call.endpoint, body)
                identity = names.of(item, digest)
                size = Spool.line_bytes(identity, item.call.endpoint.path, len(body))
                if size > self._most_bytes:
                    raise ConfigError(f"the call is a line of {size:,} bytes; a file has at most {self._most_bytes:,}")
            except ConfigError as error:
                if not item.index:
                    raise
                named = str(item.index) if item.id is None else item.id
                await self._give(Outcome(named, item.index, item.call, error=error))
                continue
            self._fingerprint += int(request_hash(identity, digest.encode())[:16], 16)
            if not item.index:
                self._run = run_id(identity, digest)
                if journal is not None:
                    journal.begin_run(identity, digest)
                    self._run = journal.run
            record = journal.recall(identity, digest) if journal is not None else None
            if record is not None:
                await self._give(outcome_of(record, item, identity))
            else:
                await spool.add(item.index, identity, item.call, model, body, now)
        await spool.flush()

    async def _give(self, outcome: Outcome[Any]) -> None:
        """Hand an outcome to the consumer, who may be slow."""
        while len(self._ready) >= WINDOW:
            self._room.clear()
            await self._room.wait()
        self._ready.append(outcome)
        self._pace.count(outcome, self._loop.time())
        if not outcome.replayed:
            self._pace.count_tokens(outcome.value)
        self._news.set()
        if self._pace.due():
            self._tell()

    def _tell(self) -> None:
        if self._hook is not None:
            try:
                self._hook(self.progress)
            except Exception:  # foreign code: its failure must not end a run
                logger.exception("the progress hook %r failed", self._hook)


class _Names:
    """The ids of a run: the caller's; else the hash of the request, or its place in the input."""

    def __init__(self, *, hashed: bool) -> None:
        self._hashed = hashed
        self._seen: set[str] = set()
        self._repeats: dict[str, int] = {}

    def of(self, item: Item[Any], digest: str) -> str:
        """The id of the next item, whose request has this hash. ConfigError for an id that came before."""
        if item.id is not None and item.id in self._seen:
            raise ConfigError(f"item {item.index} has the id {item.id!r}, which an earlier one has: ids are unique")
        name = base = item.id or (digest if self._hashed else str(item.index))
        while name in self._seen:
            self._repeats[base] = self._repeats.get(base, 1) + 1
            name = f"{base}-{self._repeats[base]}"
        self._seen.add(name)
        return name


def _checked(metadata: Mapping[str, str]) -> dict[str, str]:
    pairs = dict(metadata)
    if len(pairs) > _PAIRS or TAG in pairs or INPUT in pairs:
        raise ConfigError(f"metadata takes {_PAIRS} pairs beside {TAG!r} and {INPUT!r}, which are the run's own")
    for key, value in pairs.items():
        if not isinstance(key, str) or not isinstance(value, str) or len(key) > _KEY or len(value) > _VALUE:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(
                f"metadata is text: keys of up to {_KEY} characters, values of up to {_VALUE}; not {key!r}"
            )
    return pairs
