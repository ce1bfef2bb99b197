"""What must hold of any bytes: one function for each format, which raises where it does not hold.

There is no pytest in here: atheris runs it.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from zhipu_async.catalogue import rows
from zhipu_async.client import AsyncZhipuAI
from zhipu_async.config import RetryPolicy, Timeouts, check_key
from zhipu_async.errors import APIError, ConfigError, DecodeError, ZhipuError
from zhipu_async.journal.file import open_file
from zhipu_async.journal.lines import read_journal
from zhipu_async.protocol import batch_lines, codec, faults, realtime, recorded, retry, strict, tolerant
from zhipu_async.protocol.copying import copied
from zhipu_async.protocol.endpoint import Call, Endpoint
from zhipu_async.protocol.extract import ENDED, Extraction, NoExtraction, extract
from zhipu_async.protocol.jsonl import BatchNote, decode_line, encode_line
from zhipu_async.protocol.partial import PartialJSON
from zhipu_async.protocol.places import Places
from zhipu_async.protocol.preview import Preview
from zhipu_async.protocol.scan import NO_VALUE
from zhipu_async.protocol.scan import strict as strict_value
from zhipu_async.protocol.token import sign
from zhipu_async.transport.target import take_apart
from zhipu_async.types.batches import Batch
from zhipu_async.types.chat import ChatCompletion

from .inputs import SMALL, alike, check_error, some, text_of
from .streams import chunks, sse

ENDPOINTS: list[Endpoint[Any]] = [row.method.endpoint for row in rows()]
CHAT_ENDPOINT = next(endpoint for endpoint in ENDPOINTS if endpoint.path == "/chat/completions")
FETCH = AsyncZhipuAI.download
HTTP_STATUSES = (200, 400, 401, 404, 429, 500, 503)


def answers(data: bytes) -> None:
    """A whole answer is an error of its envelope, a struct whose fields have their types, or a bounded DecodeError."""
    for endpoint in (CHAT_ENDPOINT, some(data, ENDPOINTS)):
        for status in HTTP_STATUSES[:: 1 if len(data) <= SMALL else 6]:
            if error := faults.of_response(status, {}, data, endpoint):
                check_error(error)
        if endpoint.binary:
            error = faults.of_file(200, {}, data)
            assert error is None or isinstance(error, APIError)
            continue
        try:
            answer = codec.decode(endpoint.response, data)
        except DecodeError as error:
            check_error(error, 400)
            continue
        plain = msgspec.to_builtins(answer)
        assert alike(msgspec.to_builtins(msgspec.convert(plain, endpoint.response)), plain)
        if endpoint.failed and (failed := faults.of_outcome(answer)):
            check_error(failed, 3 * len(data) + 400)


def envelopes(data: bytes) -> None:
    """Any body under any status is no error or an APIError that can be printed, and its wait is bounded."""
    for status in (*HTTP_STATUSES, 302, 418):
        for endpoint in (None, some(data, ENDPOINTS)):
            error = faults.of_response(status, {}, data, endpoint)
            assert error is not None or status < 300
            if error is not None:
                check_error(error, len(data) * 8 + 2000)
                progress = retry.Progress(2)
                wait = retry.wait_before_retry(error, RetryPolicy(), progress, creates=False, jitter=1.0)
                assert wait is None or 0 <= wait < math.inf
    try:
        members = tolerant.loads(data)
    except (ValueError, RecursionError):
        return
    if tolerant.is_object(members) and (error := faults.of_frame(members, {}, data)):
        check_error(error, len(data) * 8 + 2000)


def headers(data: bytes) -> None:
    """Whatever the headers say, the wait is None or finite seconds, and the error can be printed."""
    after, date, message, log_id = (data.decode("utf-8", "surrogateescape").split("\n") + [""] * 4)[:4]
    given = {"retry-after": after, "date": date, "x-log-id": log_id, "ga-traceid": message}
    seconds = faults.retry_after(given)
    assert seconds is None or 0 <= seconds < math.inf
    text, moment = faults.reset_time(message)
    assert moment is None or (text is not None and moment.tzinfo is not None)
    error = faults.of_response(429, given, data)
    assert isinstance(error, APIError)
    check_error(error, len(data) * 8 + 2000)
    for patient in (False, True):
        progress = retry.Progress(1, patient=patient, refusals=1)
        wait = retry.wait_before_retry(error, RetryPolicy(), progress, creates=True, jitter=0.5)
        assert wait is None or 0 <= wait < math.inf


def frames(data: bytes) -> None:
    """Any realtime frame, bytes or text, is an event, and what is an error of the service can be printed."""
    for frame in (data, text_of(data)):
        event = realtime.decode(frame)
        assert isinstance(event.type, str)
        if error := realtime.error_of(event):
            check_error(error, len(data) * 8 + 2000)


def partial(data: bytes) -> None:
    """A growing value never raises, only grows, is the same however it is cut, and is what json reads at the end; the
    work is linear."""
    text = text_of(data)
    whole = PartialJSON()
    whole.feed(text)
    so_far = whole.complete, whole.failed, repr(whole.value)
    whole.close()
    characters = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")  # pairs made whole
    expected = strict_value(characters.removeprefix("\ufeff"))
    assert whole.complete == (expected is not NO_VALUE) == (not whole.failed)
    assert not whole.complete or repr(whole.value) == repr(expected)
    assert whole.touched <= 8 * len(text) + 64
    step = 1 if len(text) <= SMALL else 997
    parser, before = PartialJSON(), None
    for place in range(0, len(text), step):
        parser.feed(text[place : place + step])
        if len(text) <= 128:
            after = repr(parser.value)
            assert before is None or _grew(before[1], parser.value), (before, after)
            before = after, copied(parser.value)
    assert (parser.complete, parser.failed, repr(parser.value)) == so_far


def _grew(before: Any, after: Any) -> bool:
    """Whether the one value can have become the other: strings and lists got longer, objects more or newer members."""
    if isinstance(before, str):
        return isinstance(after, str) and after.startswith(before)
    if isinstance(before, list):
        return isinstance(after, list) and len(before) <= len(after) and all(map(_grew, before, after))
    if isinstance(before, dict):
        return isinstance(after, dict) and before.keys() <= after.keys()  # an equal key begins its value anew
    return before is None or repr(before) == repr(after)


def extraction(data: bytes) -> None:
    """Looking for JSON in an answer never raises and says what it found or why not; a preview of it never raises."""
    text = text_of(data)
    for reason in ("stop", "length", None):
        result = extract(text, finish_reason=reason)
        assert isinstance(result, (Extraction, NoExtraction))
        assert not isinstance(result, Extraction) or reason in ENDED or "missing_brackets" not in result.repairs
        assert isinstance(result, Extraction) or (result.message and len(result.message) < 600)
    previews = [Preview(lambda value: value, lists=lists) for lists in (True, False)]
    for preview in previews:
        for place in range(0, len(text), step := 1 if len(text) <= SMALL else 997):
            preview.feed(text[place : place + step])
        assert preview.touched <= 16 * len(text) + 64


def journal(data: bytes) -> None:
    """Any file is read line by line up to what is whole; each line is a finished call, a note or nothing, its error is
    ours, and what was read is written the same."""
    places = Places()
    places.read(data.splitlines(keepends=True) if b"\r" not in data else _lines(data))
    assert places.end <= len(data)
    assert places.end == len(data) or b"\n" not in data[places.end :]
    for text in _lines(data)[:64]:
        line = decode_line(text)
        if line is None:
            continue
        again = decode_line(written := encode_line(line))
        assert written.count(b"\n") == 1
        assert again is not None
        assert encode_line(again) == written
        if not isinstance(line, BatchNote):
            assert type(again) is type(line)
        if isinstance(line, recorded.Record):
            for endpoint in (None, CHAT_ENDPOINT, some(data, ENDPOINTS)):
                error = recorded.error_of(line, endpoint)
                assert error is None or isinstance(error, ZhipuError)


def _lines(data: bytes) -> list[bytes]:
    """Lines as a file gives them: they end with line feeds alone."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def journal_file(data: bytes) -> None:
    """A file on disk is read as a journal or refused with ConfigError; opening it to go on takes away no whole line."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        path = Path(folder, "journal.jsonl")
        path.write_bytes(data)
        for kind in (None, ChatCompletion):
            try:
                entries = list(read_journal(path, kind))
            except ConfigError:
                continue
            assert all(entry.error is None or isinstance(entry.error, ZhipuError) for entry in entries)
        file = open_file(path)
        try:
            file.load()
        except ConfigError:
            assert path.read_bytes() == data
        else:
            kept = path.read_bytes()
            assert kept.endswith(b"\n") or not kept
            assert kept.rstrip(b"\n") == data[: len(kept)].rstrip(b"\n")
            assert b"\n" not in data[len(kept) :]
        finally:
            file.close()


def batches(data: bytes) -> None:
    """A line of a batch's results is None or has an id; its answer is a value or an error of ours, never both."""
    line = batch_lines.read_line(data)
    if line is None:
        return
    line.custom_id.encode("utf-8", "surrogatepass")
    for endpoint in (CHAT_ENDPOINT, some(data, ENDPOINTS)):
        value, error = batch_lines.answer(line, endpoint, "https://x/v4", Batch(id="b", status="completed"))
        assert (value is None) == (error is not None)
        assert error is None or isinstance(error, ZhipuError)


def bodies(data: bytes) -> None:
    """What stands in a journal's line for a body is one line of strict JSON, which stays as it is from then on."""
    line = strict.embedded(data)
    assert b"\n" not in line
    assert b"\r" not in line
    assert strict.embedded(line) == line
    value = strict_value(line.decode())
    assert value is not NO_VALUE or b"e" in line.lower()  # a number that is too large for a float is JSON too
    msgspec.json.decode(line, type=msgspec.Raw)


def urls(data: bytes) -> None:
    """The URL of a file is refused with ConfigError, or leads to the host that two parsers read in it, with no key."""
    text = data.decode("utf-8", "surrogateescape")
    call: Call[Any] = FETCH.call(url=text)
    try:
        request = codec.encode(call, "https://service/v4", headers={}, query={}, timeout=None, default=Timeouts())
    except ConfigError as error:
        check_error(error)
        return
    assert not request.authorized
    parts, target = urlsplit(request.url), take_apart(request.url, None)
    assert parts.scheme == target.route.scheme in ("http", "https")
    assert (parts.hostname or "").lower() == target.route.host.lower()
    assert parts.port in (None, target.route.port)
    assert not any(char.isspace() or ord(char) < 32 for char in target.line + target.head.removesuffix("\r\n")[6:])


def keys(data: bytes) -> None:
    """A key becomes a token, or is refused with a ConfigError that does not show it."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        key = check_key(text)
        signed = sign(key, 1_763_596_590.0)
    except ConfigError as error:
        shown = str(error)
    else:
        assert signed.text.count(".") == 2
        shown = signed.text
    secret = text.strip().partition(".")[2]
    assert len(secret) < 16 or secret not in shown


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        sse, chunks, answers, envelopes, headers, frames, partial, extraction, journal, journal_file, batches, bodies,
        urls, keys,
    )
}  # fmt: skip
