"""The input of ``run``: prompts and calls in a file, checked as a whole, then read one by one."""

from __future__ import annotations

import csv
import shutil
import stat
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import msgspec

from ..errors import ConfigError
from .batch_lines import Faults
from .outputs import shown, size_of
from .run_calls import PROMPTS, Entry, Reading, Template, UnfitError, body_of, names_of, short

_BOM = b"\xef\xbb\xbf"
_LONGEST_CELL = 64 * 1024 * 1024
"""Characters of a cell of a CSV file."""
_HEAD = 64 * 1024
"""Bytes in which the format shows."""


class Format(StrEnum):
    """What the input is made of."""

    AUTO = "auto"
    JSONL = "jsonl"
    CSV = "csv"
    LINES = "lines"


_ENDINGS = {
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".json": Format.JSONL,
    ".csv": Format.CSV,
    ".tsv": Format.CSV,
    ".txt": Format.LINES,
}

Numbered = Iterator[tuple[int, Entry | UnfitError]]
"""Entries and what is none, with the number of the line where it begins, from 1."""


class Input:
    """The calls of an open file. Each iteration reads the file from its beginning; one at a time.

    Iterating, once it is checked, gives calls, or pairs of id and call where there is an id. Memory holds one record at
    a time, and during :meth:`check` the ids.
    """

    def __init__(self, file: BinaryIO, name: str, form: Format, reading: Reading, limit: int | None = None) -> None:
        self._file = file
        self._name = name
        self._form = form
        self._reading = reading
        self._limit = limit
        self._count = 0

    def __len__(self) -> int:
        """The number of calls, once it is checked."""
        return self._count

    def check(self) -> None:
        """Read the whole input, which blocks, and count it. ConfigError that lists what is wrong, by line."""
        faults = Faults()
        seen: dict[str, int] = {}
        paths: dict[str, int] = {}
        count = 0
        for number, entry in self._entries():
            count += 1
            if isinstance(entry, UnfitError):
                faults.add(number, str(entry))
                continue
            identity, call = entry
            try:
                body_of(call)
            except ConfigError as error:
                faults.add(number, str(error))
            paths.setdefault(call.endpoint.path, number)
            if identity is not None and (first := seen.setdefault(identity, number)) != number:
                faults.add(number, f"the id {short(identity)} is that of line {first} already")
        if faults.count:
            more = faults.count - len(faults.told)
            listed = "".join(f"\n  {told}" for told in faults.told)
            raise ConfigError(f"{self._name} cannot be run:{listed}" + (f"\n  and {more:,} more" if more else ""))
        if not count:
            raise ConfigError(f"{self._name} has nothing to run in it")
        if self._reading.model is not None and len(paths) > 1:
            listed = " and ".join(f"{path} in line {number}" for path, number in [*paths.items()][:2])
            raise ConfigError(f"--model cannot be for {listed} alike: say it in the lines")
        self._count = count

    def __iter__(self) -> Iterator[Any]:
        for number, entry in self._entries():
            if isinstance(entry, UnfitError):
                raise ConfigError(f"line {number} of {self._name} has changed since it was checked: {entry}")
            identity, call = entry
            yield call if identity is None else (identity, call)

    def _entries(self) -> Numbered:
        self._file.seek(0)
        form = _form_of(self._file) if self._form is Format.AUTO else self._form
        self._file.seek(0)
        entries = {Format.JSONL: self._json_lines, Format.CSV: self._rows, Format.LINES: self._lines}[form]
        return islice(entries(), self._limit)

    def _json_lines(self) -> Numbered:
        decode, record = msgspec.json.Decoder().decode, self._reading.record
        for number, line in _lines_of(self._file):
            try:
                yield number, record(decode(line))
            except UnfitError as fault:
                yield number, fault
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                yield number, UnfitError(f"no JSON: {str(error).removeprefix('JSON is malformed: ')}")

    def _lines(self) -> Numbered:
        if self._reading.id_column is not None:
            raise ConfigError("--id-column goes with JSON lines and CSV: lines of text have no columns")
        for number, line in _lines_of(self._file):
            try:
                yield number, self._reading.line(line.removesuffix(b"\n").removesuffix(b"\r").decode())
            except UnfitError as fault:
                yield number, fault
            except UnicodeDecodeError:
                yield number, _not_utf8()

    def _rows(self) -> Numbered:
        csv.field_size_limit(_LONGEST_CELL)
        texts = (line.decode() for _, line in _lines_of(self._file, blank=True))
        number = 0
        columns: list[str] = []
        try:
            first = next(texts, "")
            rows = csv.reader(_chain(first, texts), delimiter=max(",;\t", key=first.count), strict=True)
            while True:
                number = rows.line_num + 1
                row = next(rows, None)
                if row is None:
                    return
                if not any(cell.strip() for cell in row):
                    continue
                if not columns:
                    columns = self._columns([name.strip() for name in row], number)
                    continue
                yield number, self._row(columns, row)
        except csv.Error as error:  # where the next row begins cannot be known
            yield number, UnfitError(f"no CSV from here: {error}")
        except UnicodeDecodeError:
            yield number, _not_utf8()

    def _row(self, columns: list[str], row: list[str]) -> Entry | UnfitError:
        if len(row) != len(columns):
            return UnfitError(f"{len(row)} cells in {len(columns)} columns")
        try:
            return self._reading.row(dict(zip(columns, row, strict=True)))
        except UnfitError as fault:
            return fault

    def _columns(self, names: list[str], number: int) -> list[str]:
        """The names of the columns; ConfigError where one is missing that every row needs."""
        reading = self._reading
        there = f"line {number} of {self._name} has the columns {names_of(names)}"
        if twice := [name for name in names if name and names.count(name) > 1]:
            raise ConfigError(f"{there}: {twice[0]!r} is there twice")
        if missing := [name for name in (reading.template.names if reading.template else ()) if name not in names]:
            raise ConfigError(f"{there}: the template's {missing[0]!r} is not among them")
        if reading.template is None and not set(PROMPTS) & set(names):
            raise ConfigError(f"{there}: name one {PROMPTS[0]!r}, or use --template with the names of columns")
        if reading.id_column is not None and reading.id_column not in names:
            raise ConfigError(f"{there}: --id-column {reading.id_column!r} is not among them")
        return names


def _lines_of(file: BinaryIO, *, blank: bool = False) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers, without byte order mark, and without those that are blank."""
    # bytes break at LF alone: U+2028 and the like are part of a text
    for number, line in enumerate(file, 1):
        text = line.removeprefix(_BOM) if number == 1 else line
        if blank or text.strip():
            yield number, text


def _chain(first: str, others: Iterator[str]) -> Iterator[str]:
    yield first
    yield from others


def _form_of(file: BinaryIO) -> Format:
    """What the beginning of the file looks like: JSON lines or plain lines. CSV is not to be told from text."""
    head = file.read(_HEAD).removeprefix(_BOM).lstrip()
    if head.startswith((b"{", b"[")):
        return Format.JSONL
    try:
        quoted = head.startswith(b'"') and isinstance(msgspec.json.decode(head.partition(b"\n")[0]), str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        quoted = False
    return Format.JSONL if quoted else Format.LINES


def _not_utf8() -> UnfitError:
    return UnfitError("not UTF-8 text: save the file as UTF-8 (iconv -f GB18030 -t UTF-8 for one from Chinese Excel)")


@contextmanager
def opened(place: str, form: Format, reading: Reading, limit: int | None = None) -> Generator[Input]:
    """The input at a path, or on standard input for ``-``. ConfigError for a file that cannot be read.

    What can be read but once, such as a pipe, is copied to a temporary file first, so that it too is checked as a
    whole before anything is paid for.
    """
    name = "standard input" if place == "-" else repr(shown(Path(place)))
    if form is Format.AUTO:
        form = _ENDINGS.get(Path(place).suffix.lower(), Format.AUTO)
    with _file_of(place) as file:
        yield Input(file, name, form, reading, limit)


@contextmanager
def _file_of(place: str) -> Generator[BinaryIO]:
    if place != "-" and not _once(Path(place)):
        size_of(Path(place))
        with Path(place).open("rb") as file:
            yield file
        return
    source: TextIO | None = sys.stdin
    with tempfile.TemporaryFile(prefix="zhipu-async-") as copy:
        try:
            if place != "-":
                with Path(place).open("rb") as pipe:
                    shutil.copyfileobj(pipe, copy)
            elif source is not None:  # closed by whoever started this
                shutil.copyfileobj(source.buffer, copy)
        except OSError as error:
            raise ConfigError(f"cannot read {place!r}: {error.strerror or error}") from None
        yield copy


def _once(path: Path) -> bool:
    """Whether it is a pipe or device, which cannot be read again."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False  # told by who opens it
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def template_of(argument: str | None) -> Template | None:
    """The template, from a file where the argument is ``@path``; the line end at the file's end is no part of it."""
    if argument is None:
        return None
    if not argument.startswith("@"):
        return Template(argument)
    path = Path(argument[1:])
    size_of(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{shown(path)!r} is not UTF-8 text") from None
    except OSError as error:
        raise ConfigError(f"cannot read {shown(path)!r}: {error.strerror or error}") from None
    return Template(text.removesuffix("\n").removesuffix("\r"))
