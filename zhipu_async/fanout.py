"""Many calls: as many at a time as the service takes, one outcome for each, bounded memory, resumable.

Workers take items from the input, one each, and a new worker begins when every other one has its call on the wire. So
no more is taken from the input than can be sent, and the limiter alone decides how much that is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import GeneratorType
from typing import Any, Generic, Literal, Protocol, Self, TypeVar

from .config import check_count
from .errors import AccountError, AuthenticationError, ClientClosedError, ConfigError, QuotaError, ZhipuError
from .items import Calls, Item, Prompts, Source
from .journal import Journal
from .ledger import Entry, Ledger
from .outcomes import Outbox, Outcome, Pace, RunProgress
from .protocol.endpoint import Call
from .telemetry import logger

T = TypeVar("T")
U = TypeVar("U")

FATAL = (AuthenticationError, AccountError, QuotaError, ClientClosedError)
"""Errors that every further call would meet: they end the run."""
WORKERS = 1000
"""So many calls may rest (refused, or between repeats) before fewer are taken from the input than are on the wire."""
LAST_WORD = 1.0
"""Seconds that an input has to say that it has ended, once the budget is spent and nothing is on the wire."""

Leaving = Literal["stop", "drain"]


class Send(Protocol):
    """What sends a call and gives its whole answer; ``keep`` gets the answer's bytes as they came."""

    def __call__(self, call: Call[U], keep: Callable[[bytes], None] | None = None) -> Coroutine[Any, Any, U]: ...


class Window(Protocol):
    """What lets calls start, and says how many there are."""

    on_start: Callable[[], None] | None
    """To be called whenever a call starts."""
    closing: bool  # set when the run is stopped: no call is repeated then
    in_flight: int
    waiting: int
    refused: int
    holders: set[asyncio.Task[Any]]
    """Tasks whose call is on the wire."""

    @property
    def level(self) -> int:
        """How many calls may be in flight."""
        ...

    @property
    def crowded(self) -> bool:
        """Whether so many calls wait that no others are wanted."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """How a run goes; what each means is said in ``AsyncZhipuAI.fan_out``."""

    ordered: bool = False
    window: int = 1000
    concurrency: int | None = None
    token_budget: int | None = None
    dedupe: bool = False
    leaving: Leaving = "stop"
    progress: Callable[[RunProgress], object] | None = None
    total: int | None = None

    def __post_init__(self) -> None:
        for name in ("window", "concurrency", "token_budget", "total"):
            if (value := getattr(self, name)) is not None:
                check_count(name, value, least=0 if name == "total" else 1)
        if self.leaving not in ("stop", "drain"):
            raise ConfigError(f"leaving must be 'stop' or 'drain', not {self.leaving!r}")


class FanOut(Generic[T]):
    """A run: ``async with client.fan_out(...) as run``, then ``async for outcome in run``; or ``await run.collect()``.

    Iterating gives each outcome once, and ends when every item has one. Where the run cannot go on (a refused key, an
    empty account, a used-up quota, the budget of tokens, an input that raises) it gives what is finished first, then
    raises that. Leaving the block early stops the run, at once or after what is on the wire (``leaving="drain"``).
    """

    def __init__(
        self,
        source: Calls[T] | Prompts,
        parameters: Mapping[str, Any],
        options: Options,
        *,
        send: Send,
        window: Window | None = None,
        journal: Journal | None = None,
    ) -> None:
        self._run = _Run[T](Source(source, parameters), options, send, window, journal)
        self._run.generator = source if isinstance(source, GeneratorType) else None
        self._entered = False

    @property
    def progress(self) -> RunProgress:
        """How far the run is."""
        return self._run.progress()

    def stop(self) -> None:
        """Send nothing more. What is on the wire is finished and given, then iterating ends without an error."""
        self._run.stop()

    async def collect(self) -> list[Outcome[T]]:
        """All outcomes in the order of the input. They are all in memory then.

        Where the run ends with an error, those that are finished can still be had by iterating.
        """
        outcomes: list[Outcome[T]] = []
        async with self:
            try:
                async for outcome in self:
                    outcomes.append(outcome)
            except BaseException:
                self._run.outbox.give_back(outcomes)
                raise
        return sorted(outcomes, key=lambda outcome: outcome.index)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome[T]:
        try:
            return await self._run.take()
        except asyncio.CancelledError:
            if not self._entered:  # nobody else will end it
                await self._run.leave()
            raise

    async def __aenter__(self) -> Self:
        self._entered = True
        await self._run.begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._run.leave()

    def __del__(self) -> None:
        if hasattr(self, "_run"):  # it has none when its input was refused
            self._run.drop()


class _Run(Generic[T]):
    """What the workers share. It does not know the :class:`FanOut`, so that dropping that one ends it."""

    def __init__(
        self, source: Source[T], options: Options, send: Send, window: Window | None, journal: Journal | None
    ) -> None:
        self._source = source
        self._options = options
        self._send = send
        self._window = window
        self._ledger = Ledger[T](journal, dedupe=options.dedupe)
        self._pace = Pace(options.total, options.token_budget)
        self._begun = self._exhausted = self._stopping = False
        self._doors = asyncio.Lock()
        """Held while the run begins and ends."""
        self._failure: BaseException | None = None
        self._workers: set[asyncio.Task[None]] = set()
        self._taking: set[asyncio.Task[None]] = set()
        """Workers that have no call: they wait for room or for the input."""
        self._recalled: set[asyncio.Task[None]] = set()
        """Workers that were ended while their call was not on the wire."""
        self.outbox = Outbox[T](options.window, ordered=options.ordered)
        self.generator: GeneratorType[Any, Any, Any] | None = None
        """The input, where it is one: to be closed as an async one is."""

    async def begin(self) -> None:
        """Open the journal and start; a second time does nothing."""
        async with self._doors:
            if self._begun or self.outbox.closed:
                return
            await self._ledger.open()
            self._begun = True
            self._loop = asyncio.get_running_loop()
            self._pace.begin(self._loop.time())
            if self._window is not None:
                self._window.on_start = self._one_more
            self._spawn()

    async def take(self) -> Outcome[T]:
        """The next outcome. Several may ask: each outcome goes to one of them."""
        if not self._begun:
            await self.begin()
        if (outcome := await self.outbox.take()) is not None:
            return outcome
        await self._end()
        raise StopAsyncIteration if self._failure is None else self._failure

    async def leave(self) -> None:
        """End the run, as the options say."""
        try:
            if self._options.leaving == "drain" and self._workers:
                self.stop()
                await asyncio.wait(self._workers)
        finally:
            self.abandon()
            try:
                if self._workers:
                    await asyncio.wait(self._workers)
            finally:
                await self._end()

    def stop(self, failure: BaseException | None = None) -> None:
        """Take nothing more from the input; ``failure`` is raised when all that is finished has been given."""
        self._failure = self._failure or failure
        if self._window is not None:
            self._window.closing = True
        if self._begun and not self._stopping:
            others = self._workers - {asyncio.current_task()}
            self._cancel(worker for worker in others if not self._on_the_wire(worker))
        self._stopping = True

    def abandon(self) -> None:
        """Stop everything now."""
        self._stopping = True
        self._cancel(self._workers)

    def drop(self) -> None:
        """Nobody will take what comes: end everything soon. From any thread, also when the loop has ended."""
        if self._workers:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.abandon)

    async def _end(self) -> None:
        """Let go of input and journal."""
        self.outbox.close()
        async with self._doors:
            try:
                await self._source.close()
                if self.generator is not None:
                    self.generator.close()
            finally:
                await self._ledger.close(self._failure)

    def progress(self) -> RunProgress:
        window, pace = self._window, self._pace
        pace.total = self._source.length if self._source.length is not None else self._options.total
        flying = len(self._workers) - len(self._taking)
        return pace.progress(
            self._loop.time() if self._begun else 0.0,
            in_flight=flying if window is None else window.in_flight,
            concurrency=self._options.concurrency or (flying if window is None else window.level),
            refused=0 if window is None else window.refused,
        )

    def _spawn(self) -> None:
        worker = self._loop.create_task(self._work())
        self._workers.add(worker)
        self._taking.add(worker)
        worker.add_done_callback(self._ended)

    def _one_more(self) -> None:
        """A call has started, or waits: begin another worker, if nobody else is about to take the next item."""
        window = self._window
        if self._stopping or self._exhausted or self._taking or (window is not None and window.crowded):
            return
        # some calls sleep before a repeat: more workers than calls on the wire, but not without end
        most = max(WORKERS, 2 * window.in_flight) if window is not None else self._options.concurrency or 1
        if len(self._workers) < most:
            self._spawn()

    def _on_the_wire(self, worker: asyncio.Task[None]) -> bool:
        """Whether its call is; otherwise it has none, or the call waits for its turn or sleeps before a repeat."""
        return worker not in self._taking and (self._window is None or worker in self._window.holders)

    def _cancel(self, workers: Iterable[asyncio.Task[None]]) -> None:
        for worker in workers:
            if not self._on_the_wire(worker):
                self._recalled.add(worker)
            worker.cancel()

    def _ended(self, worker: asyncio.Task[None]) -> None:
        expected = self._stopping or (self._exhausted and worker in self._taking)
        for workers in (self._workers, self._taking, self._recalled):
            workers.discard(worker)
        if not worker.cancelled():
            if isinstance(error := worker.exception(), StopAsyncIteration):  # it would look like the end of the run
                error = RuntimeError("the input raised StopAsyncIteration").with_traceback(error.__traceback__)
            if error is not None:
                self.stop(error)
        elif not expected:
            self.stop(RuntimeError("a call of the run was cancelled by other code"))
        if not self._workers:
            if self._window is not None:
                self._window.on_start = None
            self._failure = self._pace.updated(self._failure)  # by what was still on the wire, too
            self._tell()
            self.outbox.close()

    async def _work(self) -> None:
        while not (self._stopping or self._exhausted):
            self._taking.add(_here())
            await self.outbox.room()
            if self._pace.overspent is not None:
                self._loop.call_later(LAST_WORD, self._end_when_spent)
            item = await self._source.next()
            began = self._loop.time()
            self._taking.discard(_here())
            if item is None:
                self._exhausted = True
                for other in self._taking:
                    other.cancel()  # there is nothing left for it
            elif (spent := self._pace.overspent) is not None:
                self.stop(spent)
            elif not self._stopping:
                await self._carry_out(item, began)

    def _count_tokens(self, value: object) -> None:
        """Those of an answer; when the budget is spent by them, calls that wait are not sent any more."""
        self._pace.count_tokens(value)
        spent = self._pace.overspent
        if spent is not None and not all(map(self._on_the_wire, self._workers - self._taking - {_here()})):
            self.stop(spent)

    def _end_when_spent(self) -> None:
        """The budget is spent: where nothing is on the wire, an input that has nothing at the moment is not awaited."""
        if self._workers == self._taking and self._workers and not (self._stopping or self._exhausted):
            self.stop(self._pace.overspent)

    async def _carry_out(self, item: Item[T], began: float) -> None:
        ledger, loop = self._ledger, self._loop
        entry = ledger.enter(item, began)
        if (outcome := ledger.recall(entry, loop.time())) is not None:
            self._deliver([outcome])
            await asyncio.sleep(0)  # reading it took its time: what else is on the loop comes between two
            return
        if ledger.joins(entry):
            self.outbox.owed += 1
            return
        if self._window is None:
            self._one_more()
        body: list[bytes] = []
        value, error = None, entry.error
        if error is None:
            ledger.begin(entry)
            try:
                value = await self._send(item.call, body.append if ledger.keeps else None)
            except FATAL as fatal:
                self._stop_because(fatal, entry)
                return
            except ZhipuError as failure:
                error = failure
            except asyncio.CancelledError:
                if _here() in self._recalled:
                    ledger.withdraw(entry, None, loop.time())
                raise
        attempts = len(error.attempts) if error is not None else getattr(getattr(value, "timing", None), "attempts", 1)
        self._count_tokens(value)
        outcome = entry.outcome(value, error, loop.time(), attempts=attempts)
        self._deliver(ledger.settle(entry, outcome, loop.time(), body[-1] if body else None))
        del error, outcome  # or this frame, which the error knows, knows the error
        if ledger.failure is not None:
            self.stop(ledger.failure)

    def _stop_because(self, fatal: ZhipuError, entry: Entry[T]) -> None:
        if not isinstance(fatal, ClientClosedError):  # the service did nothing
            self._ledger.withdraw(entry, fatal, self._loop.time())
        if self._failure is None:
            fatal.add_note(f"the run was stopped by this error after {self._pace.done} outcomes{self._ledger.advice}")
            self.stop(fatal)

    def _deliver(self, outcomes: list[Outcome[T]]) -> None:
        """Give an outcome, and with it those of identical calls."""
        self.outbox.owed -= len(outcomes) - 1
        for outcome in outcomes:
            self._pace.count(outcome, self._loop.time())
            self.outbox.put(outcome)
        if self._pace.due():
            self._tell()

    def _tell(self) -> None:
        if self._options.progress is not None:
            try:
                self._options.progress(self.progress())
            except Exception:  # foreign code: its failure must not end a run
                logger.exception("the progress hook %r failed", self._options.progress)


def _here() -> asyncio.Task[Any]:
    """The worker. Never a local of its: what ends it would keep it, and the run with it, until the next collection."""
    task = asyncio.current_task()
    assert task is not None
    return task
