"""Lines of a journal and what they stand for: outcomes of calls, and the entries of a file that is read on its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast, overload

import msgspec

from ..downloads import AnyPath, Binary
from ..errors import ConfigError, DecodeError, TaskError, ZhipuError
from ..items import Item
from ..outcomes import Outcome
from ..protocol import codec, faults, recorded
from ..protocol.jsonl import BatchNote, Begun, Record, RecordResponse, decode_line
from ..protocol.places import Places
from ..telemetry import Timing, logger
from .file import lines_of

T = TypeVar("T")


def record_of(outcome: Outcome[Any], *, hash: str, run: str, body: bytes | None, at: str) -> Record:
    """The line of an outcome. ``body`` is the answer as it came; without it what its struct holds is written."""
    error, response = None, None
    if outcome.error is not None:
        error = recorded.told_of(outcome.error, creates=outcome.call.endpoint.creates)
        response = recorded.answer_to(outcome.error, body)
    else:
        response = RecordResponse(200, msgspec.Raw(_body(outcome.value, body)))
    return Record(outcome.id, response, error, hash, run, round(outcome.seconds, 6), outcome.attempts, at)


def outcome_of(record: Record, item: Item[T], id: str) -> Outcome[T]:
    """What a line says, as the outcome of its call. An answer that cannot be read any more is a DecodeError in it."""
    endpoint = item.call.endpoint
    value, error = _result(record, endpoint.response, recorded.error_of(record, endpoint))
    if endpoint.failed == "raise" and error is None and (failure := faults.of_outcome(value)):
        value, error = None, failure
    return Outcome(id, item.index, item.call, value, error, record.seconds, record.attempts, True)


@dataclass(slots=True, eq=False)
class JournalEntry(Generic[T]):
    """A finished call, as its journal holds it: a value or an error."""

    id: str
    value: T | None
    error: ZhipuError | None
    record: Record
    """The whole line."""

    @property
    def ok(self) -> bool:
        """Whether there is a value."""
        return self.error is None

    def unwrap(self) -> T:
        """The value; raises the error where there is none."""
        if self.error is not None:
            raise self.error
        return cast(T, self.value)


@overload
def read_journal(path: AnyPath, response_type: None = None) -> Iterator[JournalEntry[Any]]: ...
@overload
def read_journal(path: AnyPath, response_type: type[T]) -> Iterator[JournalEntry[T]]: ...
def read_journal(path: AnyPath, response_type: type[Any] | None = None) -> Iterator[JournalEntry[Any]]:
    """What a journal holds: the last line of each id, in the order of the file. Result files of batches are read too.

    ``response_type`` is what answers are decoded into, as ``types.chat.ChatCompletion``; without it they are plain
    objects. Reads the file twice, and blocks; a run may be writing it. ConfigError where it cannot be read.
    """
    places = Places()
    try:
        with open(path, "rb") as file:
            places.read(file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"cannot read {str(path)!r}: {reason}") from error
    if not places.is_journal and not len(places):
        raise ConfigError(f"{path} is no journal: no line of it holds an answer or an error")
    if places.skipped:
        logger.warning("%s: lines that cannot be read are passed over: %d", path, places.skipped)
    return _entries(Path(path), places, Any if response_type is None else response_type)


def _entries(path: Path, places: Places, kind: Any) -> Iterator[JournalEntry[Any]]:
    for offset, data in lines_of(path):
        line = decode_line(data)
        if line is None or isinstance(line, BatchNote):
            continue
        place = places.place(line.custom_id)
        if place is None or place.offset != offset:
            continue
        if isinstance(line, Begun):
            line = Record(line.custom_id, error=recorded.begun_before(), hash=line.hash, run=line.run)
        value, error = _result(line, kind, recorded.error_of(line))
        yield JournalEntry(line.custom_id, value, error, line)


class _File(msgspec.Struct):
    """The body of an answer that is a file."""

    content_type: str | None
    base64: bytes


def _body(value: Any, body: bytes | None) -> bytes:
    if isinstance(value, Binary):
        return msgspec.json.encode(_File(value.content_type, value.content))
    return recorded.plain(value) if body is None else body


def _result(record: Record, kind: Any, error: ZhipuError | None) -> tuple[Any, ZhipuError | None]:
    """Value and error of a line; ``error`` is what it says of one. A task that failed gets its last answer back."""
    if record.response is None or (error is not None and not isinstance(error, TaskError)):
        return None, error
    if error is not None:
        with suppress(DecodeError):
            error.answer = _value(record, record.response, kind)
        return None, error
    try:
        return _value(record, record.response, kind), None
    except DecodeError as failure:
        return None, failure


def _value(record: Record, response: RecordResponse, kind: Any) -> Any:
    body = bytes(response.body)
    if _is_binary(kind):
        file = codec.decode(_File, body)
        headers = {} if file.content_type is None else {"content-type": file.content_type}
        return Binary(file.base64, headers, Timing(total=record.seconds, attempts=record.attempts))
    try:
        return codec.decode(kind, body)
    except DecodeError:
        if (content := response.content) == body:
            raise
        return codec.decode(kind, content)  # what could not stand in a line as it came


def _is_binary(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Binary)
