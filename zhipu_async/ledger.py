"""What is known of the calls of a run: what its journal holds, and the answers to identical calls."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from .config import Timeouts
from .errors import TransportError, ZhipuError
from .items import Item
from .journal import Journal, outcome_of, record_of
from .outcomes import Outcome
from .protocol import codec
from .protocol.jsonl import request_hash

T = TypeVar("T")

_CLOCKS = Timeouts()


@dataclass(slots=True, eq=False)
class Entry(Generic[T]):
    """A call under the id of its outcome."""

    item: Item[T]
    began: float
    """When it was taken from the input; seconds of the loop's clock."""
    id: str
    hash: str = ""
    """Of its request, where there is a journal or identical calls are sent once."""
    error: ZhipuError | None = None
    """Why it cannot be written as a request."""
    begun: bool = False
    """Whether the journal says that it is about to be sent."""

    def outcome(self, value: T | None, error: ZhipuError | None, now: float, *, attempts: int = 0) -> Outcome[T]:
        """What became of it."""
        item = self.item
        return Outcome(self.id, item.index, item.call, value, error, now - self.began, attempts)


class Ledger(Generic[T]):
    """The journal of a run, and with ``dedupe`` its answers by the hash of their requests."""

    def __init__(self, journal: Journal | None, *, dedupe: bool) -> None:
        self._journal = journal
        self._dedupe = dedupe
        self._open = False
        self._hashes: Counter[str] = Counter()
        self._firsts: dict[str, Outcome[T] | list[Entry[T]]] = {}
        """By hash: the outcome, or who waits for it."""
        self.failure: Exception | None = None
        """Why an outcome could not be written down."""

    async def open(self) -> None:
        """Open the journal. ConfigError where that cannot be."""
        if self._journal is not None:
            await self._journal.__aenter__()
            self._open = True

    async def close(self, failure: BaseException | None) -> None:
        """Close the journal, once. JournalError when it did not reach the disk, unless there is a ``failure``."""
        if self._journal is not None and self._open:
            self._open = False
            await self._journal.__aexit__(None, failure, None)

    @property
    def keeps(self) -> bool:
        """Whether answers are wanted as they came."""
        return self._journal is not None

    @property
    def advice(self) -> str:
        """Where what is finished stands, for the note of an error."""
        return f"; they stay in {self._journal.path}: go on with resume=True" if self._journal is not None else ""

    # ------------------------------------------------------------ before a call

    def enter(self, item: Item[T], began: float) -> Entry[T]:
        """A call comes from the input."""
        entry = Entry(item, began, item.id if item.id is not None else str(item.index))
        if self._journal is None and not self._dedupe:
            return entry
        try:
            entry.hash = _hash(item)
        except ZhipuError as error:  # as it would be if it were sent
            entry.error = error
        if self._journal is not None:
            if item.id is None and entry.hash:
                entry.id = self._numbered(entry.hash)
            if item.index == 0:
                self._journal.begin_run(entry.id, entry.hash)
        return entry

    def recall(self, entry: Entry[T], now: float) -> Outcome[T] | None:
        """The outcome that is known already; None where there is none. ConfigError for the journal of another run."""
        if not entry.hash:
            return None
        if self._journal is not None and (record := self._journal.recall(entry.id, entry.hash)) is not None:
            outcome: Outcome[T] = outcome_of(record, entry.item, entry.id)
            if self._dedupe:
                self._firsts.setdefault(entry.hash, outcome)
            return outcome
        first = self._firsts.get(entry.hash)
        return self._copy(first, entry, now, None) if isinstance(first, Outcome) else None

    def joins(self, entry: Entry[T]) -> bool:
        """Whether an identical call is under way: its outcome will be this one's too. Otherwise this is the first."""
        if not (self._dedupe and entry.hash):
            return False
        waiting = self._firsts.get(entry.hash)
        if not isinstance(waiting, list):
            self._firsts[entry.hash] = []
            return False
        waiting.append(entry)
        return True

    def begin(self, entry: Entry[T]) -> None:
        """It is about to be sent. JournalError where that cannot be noted: then it must not be."""
        if self._journal is not None and entry.item.call.endpoint.creates:
            self._journal.begin(entry.id, entry.hash)
            entry.begun = True

    # ------------------------------------------------------------ after it

    def settle(self, entry: Entry[T], outcome: Outcome[T], now: float, body: bytes | None) -> list[Outcome[T]]:
        """The outcome is final: it is written down, and so are those of identical calls, which come with it."""
        self._write(outcome, entry.hash, body)
        waiting = self._firsts.get(entry.hash)
        if not isinstance(waiting, list):
            return [outcome]
        self._firsts[entry.hash] = outcome
        return [outcome, *(self._copy(outcome, other, now, body) for other in waiting)]

    def withdraw(self, entry: Entry[T], error: ZhipuError | None, now: float) -> None:
        """A call that had begun provably was not carried out; a resumed run sends it again."""
        if entry.begun:
            error = error or TransportError("the run was stopped before this call was carried out", arrived=False)
            self._write(entry.outcome(None, error, now), entry.hash, None)

    def _copy(self, first: Outcome[T], entry: Entry[T], now: float, body: bytes | None) -> Outcome[T]:
        outcome = entry.outcome(first.value, first.error, now)
        outcome.replayed = True
        self._write(outcome, entry.hash, body)
        return outcome

    def _write(self, outcome: Outcome[T], digest: str, body: bytes | None) -> None:
        if self._journal is not None:
            try:
                self._journal.record(record_of(outcome, hash=digest, run=self._journal.run, body=body, at=_now()))
            except Exception as error:  # the disk is full: the outcome is given all the same
                self.failure = self.failure or error

    def _numbered(self, digest: str) -> str:
        """The hash as an id; of identical calls the second is ``<hash>-2``."""
        self._hashes[digest] += 1
        return digest if self._hashes[digest] == 1 else f"{digest}-{self._hashes[digest]}"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _hash(item: Item[Any]) -> str:
    request = codec.encode(item.call, "", headers={}, query={}, timeout=None, default=_CLOCKS)
    return request_hash(request.endpoint, request.body, request.url)
