"""The lines of a journal: readable by anything that reads JSON, exact in what they keep, patient with foreign lines."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zhipu_async import errors
from zhipu_async.errors import ConfigError, DecodeError, ZhipuError
from zhipu_async.protocol import recorded
from zhipu_async.protocol.codec import decode
from zhipu_async.protocol.endpoint import Endpoint
from zhipu_async.protocol.form import FilePiece, Form
from zhipu_async.protocol.jsonl import (
    BatchNote,
    Begun,
    Record,
    RecordError,
    RecordResponse,
    decode_line,
    encode_line,
    is_whole,
    may_begin,
    request_hash,
    run_id,
)
from zhipu_async.protocol.places import Place, Places, State
from zhipu_async.protocol.strict import DEEPEST, LONGEST_NUMBER, embedded
from zhipu_async.types.batches import BatchOutput
from zhipu_async.types.chat import ChatCompletion
from zhipu_async.types.texts import EmbeddingResponse

HASH, OTHER_HASH, RUN = "ab" * 16, "cd" * 16, "ef" * 16
HIGH, LOW = "\\ud83d", "\\ude00"


def answered(body: bytes, identity: str = "q-17") -> Record:
    """The record of an answer."""
    return Record(identity, RecordResponse(200, msgspec.Raw(body)), None, HASH, RUN, 1.234, 1, "2026-11-21T09:00:00Z")


def line_of(body: bytes) -> dict[str, Any]:
    """What the standard library reads of the line of an answer; it is one line."""
    data = encode_line(answered(body))
    assert data.endswith(b"\n")
    assert data.count(b"\n") == 1
    assert b"\r" not in data
    read: dict[str, Any] = json.loads(data.decode())
    return read


def body_of(data: bytes) -> bytes:
    """The body in a line."""
    record = decode_line(data)
    assert isinstance(record, Record)
    assert record.response is not None
    return bytes(record.response.body)


# ---------------------------------------------------------------- the format


def test_the_line_of_an_answer() -> None:
    """The members stand in the order of the format, the body as it came, and a batch's reader takes the line."""
    data = encode_line(answered(b'{"id": "a", "usage":{"total_tokens":7}}'))
    assert data == (
        b'{"custom_id":"q-17","response":{"status_code":200,"body":{"id": "a", "usage":{"total_tokens":7}}},'
        b'"error":null,"hash":"%b","run":"%b","seconds":1.234,"attempts":1,"at":"2026-11-21T09:00:00Z"}\n'
    ) % (HASH.encode(), RUN.encode())
    output = msgspec.json.decode(data, type=BatchOutput)
    assert output.ok
    assert output.custom_id == "q-17"


def test_the_line_of_an_error() -> None:
    """What is unset is not written, and a batch's reader sees that the call failed."""
    error = RecordError(type="RateLimitError", message="slow", code="1302", status=429, again=True)
    data = encode_line(Record("q-1", None, error, HASH, RUN, 2.0, 3, "2026-11-21T09:00:00Z"))
    assert (
        b'"response":null,"error":{"type":"RateLimitError","message":"slow","code":"1302","status":429,"again":true},'
    )
    assert json.loads(data)["error"] == {
        "type": "RateLimitError", "message": "slow", "code": "1302", "status": 429, "again": True,
    }  # fmt: skip
    assert not msgspec.json.decode(data, type=BatchOutput).ok
    record = decode_line(data)
    assert isinstance(record, Record)
    assert record.error == error


@pytest.mark.parametrize(
    ("line", "members"),
    [
        (Begun("x", HASH, RUN), {"custom_id": "x", "begun": True, "hash": HASH, "run": RUN}),
        (
            BatchNote("b1", 2, 1, 500, "f1", "created", RUN),
            {
                "batch": {"id": "b1", "shard": 2, "round": 1, "calls": 500, "file": "f1", "state": "created"},
                "run": RUN,
            },
        ),
        (
            BatchNote("b1", 2, 1, 500, "f1", "created", RUN, "12 abc"),
            {
                "batch": {
                    "id": "b1",
                    "shard": 2,
                    "round": 1,
                    "calls": 500,
                    "file": "f1",
                    "state": "created",
                    "input": "12 abc",
                },
                "run": RUN,
            },
        ),
        (
            BatchNote(None, 1, 1, 3),
            {
                "batch": {"id": None, "shard": 1, "round": 1, "calls": 3, "file": None, "state": "intended"},
                "run": "",
            },
        ),
    ],
)
def test_lines_without_an_answer(line: Begun | BatchNote, members: dict[str, Any]) -> None:
    """Notes are JSON of the stated form and come back equal."""
    data = encode_line(line)
    assert json.loads(data) == members
    assert decode_line(data) == line


# ---------------------------------------------------------------- bodies


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\ud83Nai-1e\n\r\t ', max_size=40).map(str.encode))
@example(b"")
@example(b"\xef\xbb\xbf{}")
@example(b'{"a":"\xed\xa0\x80"}')
@example(b'{"a":1}\x00')
@example(b"\x85")
def test_any_bytes_become_one_line_of_json(body: bytes) -> None:
    """Whatever came, the line is one line that the standard library reads, and reading it again changes nothing."""
    line_of(body)
    data = encode_line(answered(body))
    assert embedded(body_of(data)) == body_of(data)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, st.sampled_from([None, 1, "\t"]), st.booleans(), st.sampled_from(["\n", "\r\n", "\r"]))
def test_json_survives_in_any_layout(value: Any, indent: Any, escaped: bool, end: str) -> None:
    """Strict JSON keeps its value; without line breaks it keeps its very bytes."""
    text = json.dumps(value, indent=indent, ensure_ascii=escaped).replace("\n", end)
    body = text.encode()
    assert line_of(body)["response"]["body"] == value
    assert body_of(encode_line(answered(body))) == body.replace(b"\n", b" ").replace(b"\r", b" ")


@pytest.mark.parametrize(
    "number",
    ["123456789012345678901234567890", "-0", "-0.0", "1.10", "0.1234567890123456789012345", "1e400", "-1E-999",
     "9007199254740993", "1e5", "9" * LONGEST_NUMBER],
)  # fmt: skip
def test_numbers_stay_as_they_came(number: str) -> None:
    """No digit of a number is lost or changed, whatever a reader makes of it."""
    data = encode_line(answered(f'{{"n":{number}}}'.encode()))
    assert body_of(data) == f'{{"n":{number}}}'.encode()
    json.loads(data)


def test_a_number_that_python_cannot_read_becomes_text() -> None:
    """A longer one than the standard library takes stands in the line as text, wherever it stands in the body."""
    for before in (0, 1, 4299, 4300, 5000):
        body = b'{"a":"%b","n":%b}' % (b"x" * before, b"9" * (LONGEST_NUMBER + 1))
        assert line_of(body)["response"]["body"] == body.decode()


REPAIRS = {
    "a lone surrogate": (rf'{{"a":"x{HIGH}y"}}'.encode(), {"a": "x\ufffdy"}),
    "the wrong way round": (rf'{{"a":"{LOW}{HIGH}"}}'.encode(), {"a": "\ufffd\ufffd"}),
    "a pair after a lone one": (rf'{{"a":"{HIGH}{HIGH}{LOW}"}}'.encode(), {"a": "\ufffd😀"}),
    "no escape at all": (rf'{{"a":"{HIGH}","b":"\{HIGH}"}}'.encode(), {"a": "\ufffd", "b": HIGH}),
    "a key": (rf'{{"{HIGH}":1}}'.encode(), {"\ufffd": 1}),
    "NaN and infinities": (b'{"a":NaN,"b":[Infinity,-Infinity],"c":"NaN"}',
                           {"a": "NaN", "b": ["Infinity", "-Infinity"], "c": "NaN"}),
    "not UTF-8": (b'{"a":"\xff"}', {"a": "\ufffd"}),
    "a surrogate as UTF-8": (b'{"a":"\xed\xa0\x80"}', {"a": "\ufffd\ufffd\ufffd"}),
    "a byte order mark": (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
    "a page": (b"<html>\n502 </html>", "<html>\n502 </html>"),
    "cut off": (b'{"a":"b', '{"a":"b'),
    "nothing": (b"", ""),
    "a control character": (b'{"a":"b\nc"}', '{"a":"b\nc"}'),
    "two values": (b"{} {}", "{} {}"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "read"), REPAIRS.values(), ids=REPAIRS)
def test_what_is_no_strict_json(body: bytes, read: Any) -> None:
    """It is made strict with as little change as can be, or becomes one text."""
    assert line_of(body)["response"]["body"] == read


def test_numbers_survive_a_repair() -> None:
    """Making a body strict changes nothing but what was wrong with it."""
    body = b'{"big":123456789012345678901234567890,"f":1.10,"a":1,"a":2,"x":NaN}'
    assert body_of(encode_line(answered(body))) == body.replace(b"NaN", b'"NaN"')


@given(st.integers(DEEPEST - 3, DEEPEST + 3), st.booleans())
def test_depth(levels: int, objects: bool) -> None:
    """As deep as any reader goes a body stays JSON, deeper it becomes text; brackets in strings do not count."""
    start, end = (b'{"a":', b"}") if objects else (b"[", b"]")
    inner = b'"' + b"[" * 300 + b'"'
    body = start * levels + inner + end * levels
    read = line_of(body)["response"]["body"]
    assert (read == body.decode()) == (levels > DEEPEST)


@pytest.mark.parametrize("levels", [1000, 100_000])
def test_a_depth_that_no_reader_follows(levels: int) -> None:
    """A body that would exhaust the stack is text."""
    assert line_of(b"[" * levels + b"]" * levels)["response"]["body"] == "[" * levels + "]" * levels


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (EmbeddingResponse, b'{"data":[{"embedding":[1.5,NaN,Infinity],"index":0}]}'),
        (ChatCompletion, b'\xef\xbb\xbf{"choices":[{"message":{"content":"a\xff"}}],\n"usage":{"total_tokens":"7"}}'),
        (ChatCompletion, b'{"id":12345678901234567890123,"created":1.0,"choices":[]}'),
        (dict, b'{"a":[1e400,{"b":null}]}'),
    ],
)
def test_a_kept_body_is_decoded_as_the_one_that_came(kind: Any, body: bytes) -> None:
    """The struct of a line is that of the answer."""
    assert repr(decode(kind, body_of(encode_line(answered(body))))) == repr(decode(kind, body))


def test_what_cannot_be_written_is_replaced() -> None:
    """A lone surrogate in an error's text, or seconds without end, do not cost the line."""
    error = RecordError(type="ZhipuError", message="bad \ud83d")
    record = decode_line(encode_line(Record("q\ud83d", None, error, HASH, RUN, math.inf)))
    assert isinstance(record, Record)
    assert (record.custom_id, record.error, record.seconds) == (
        "q?",
        RecordError(type="ZhipuError", message="bad ?"),
        0,
    )


# ---------------------------------------------------------------- reading


FOREIGN = {
    "an answer of a batch": (
        b'{"id":"b1","custom_id":"q","response":{"status_code":200,"request_id":"r","body":{"a":1}}}',
        (200, b'{"a":1}', None),
    ),
    "with an empty error": (b'{"custom_id":"q","response":{"status_code":200,"body":1},"error":{}}', (200, b"1", None)),
    "with an error of text": (b'{"custom_id":"q","response":null,"error":"broken"}', RecordError(message="broken")),
    "with a code": (b'{"custom_id":"q","error":{"code":"12","message":"m"}}', RecordError(message="m", code="12")),
    "with a number": (b'{"custom_id":"q","error":{"code":12,"message":"m"}}', RecordError(message="m", code="12")),
    "with a list as error": (b'{"custom_id":"q","error":[1]}', RecordError(message="[1]")),
    "with other members": (b'{"custom_id":"q","error":"e","seconds":"1","x":{}}', RecordError(message="e")),
    "with a status of text": (b'{"custom_id":"q","response":{"status_code":"x","body":1}}', None),
    "with a text as answer": (b'{"custom_id":"q","response":"hello"}', None),
    "an input line": (b'{"custom_id":"q","method":"POST","url":"/v4/chat/completions","body":{}}', None),
    "a number as id": (b'{"custom_id":7,"response":{"status_code":200,"body":1}}', None),
    "no id": (b'{"response":{"status_code":200,"body":1}}', None),
    "a prompt": (b'{"prompt":"hello"}', None),
    "a text": (b'"hello"', None),
    "a list": (b"[]", None),
    "plain text": (b"hello", None),
    "a torn line": (b'{"custom_id":"q","response":{"status_co', None),
    "two lines in one": (b'{"custom_id":"q","error":"e"}{"custom_id":"r","error":"e"}', None),
    "bytes": (b"\xff\x00\xfe", None),
    "an id that is not UTF-8": (b'{"custom_id":"\xff","error":"e"}', None),
    "deep": (b'{"custom_id":"q","error":' + b"[" * 200_000 + b"]" * 200_000 + b"}", None),
    "a note of another form": (b'{"batch":{"id":1}}', None),
    "nothing": (b"", None),
    "blanks": (b" \t\r\n", None),
}  # fmt: skip


@pytest.mark.parametrize(("line", "meaning"), FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("frame", [b"%b", b"%b\n", b"%b\r\n", b"\xef\xbb\xbf%b\n", b"  %b \n"])
def test_foreign_lines(line: bytes, meaning: Any, frame: bytes) -> None:
    """The lines of a batch are records without hash and run, and what is none is None, however its lines end."""
    record = decode_line(frame % line)
    if meaning is None:
        assert record is None
        return
    assert isinstance(record, Record)
    assert (record.custom_id, record.hash, record.run, record.seconds) == ("q", "", "", 0.0)
    if isinstance(meaning, RecordError):
        assert record.error == meaning
    else:
        assert record.response is not None
        assert (record.response.status_code, bytes(record.response.body), record.error) == meaning


@given(st.binary(max_size=100))
def test_reading_never_fails(data: bytes) -> None:
    """Whatever a line holds, reading it gives what it says or None."""
    decode_line(data)
    is_whole(data)
    may_begin(data)


@given(st.text(), VALUES)
@example('"\\\n\u2028', {})
def test_each_beginning_of_a_line_is_known_for_one(identity: str, body: Any) -> None:
    """A line that is cut anywhere is not whole, and known for the beginning of one."""
    for line in (answered(json.dumps(body).encode(), identity), Begun(identity, HASH, RUN), BatchNote("b", 1, 1, 1)):
        data = encode_line(line).removesuffix(b"\n")
        assert is_whole(data)
        for cut in range(len(data)):
            assert may_begin(data[:cut])
            assert not is_whole(data[:cut])


@pytest.mark.parametrize(
    "data",
    [b"hello", b'{"prompt":"a"', b'{"custom_id":"q","method":"P', b'{"custom_id":"q","respond', b"[", b"\x00\x00",
     b'{"custom_id": "q"', b'{"batches":{'],
)  # fmt: skip
def test_other_beginnings(data: bytes) -> None:
    """The beginning of anything else is not taken for one."""
    assert not may_begin(data)


# ---------------------------------------------------------------- hashes


def test_a_hash_is_of_the_whole_request() -> None:
    """Endpoint, body and what else there is tell requests apart, wherever one ends and the next begins."""
    hashes = [
        request_hash("POST /a", b"{}"), request_hash("POST /b", b"{}"), request_hash("POST /a", b"{ }"),
        request_hash("POST /a", None), request_hash("POST /a{}", b""), request_hash("POST /a", b"{}", "x"),
        request_hash("POST /a", b"{}", "x", ""), request_hash("POST /a", b"", "{}"), run_id("POST /a", "{"),
    ]  # fmt: skip
    assert len(set(hashes)) == len(hashes)
    assert request_hash("POST /a", b"{}") == hashes[0] == hashes[0].lower()
    assert all(len(bytes.fromhex(digest)) == 16 for digest in hashes)
    assert run_id("a", HASH) == run_id("a", HASH) != run_id("b", HASH)


class Named(io.RawIOBase):
    """An open file with a name, whose bytes are not in memory."""

    name = "/data/a.wav"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"abc", b"abd"), ("/a", "/b"), (Path("/a"), Path("/b")), (io.BytesIO(b"a"), io.BytesIO(b"b")),
        (bytearray(b"a"), memoryview(b"b")),
    ],
)  # fmt: skip
def test_a_form_is_hashed_without_its_boundary(one: Any, other: Any) -> None:
    """Two forms with the same files have one hash whatever their boundaries; with other files they have another."""

    def hashed(source: Any, boundary: str) -> str:
        pieces = (f"--{boundary}\r\n".encode(), FilePiece(source, 0), f"\r\n--{boundary}--".encode())
        return request_hash("POST /files", Form(boundary, pieces))

    assert hashed(one, "x1") == hashed(one, "y22") != hashed(other, "x1")


def test_files_that_are_open() -> None:
    """An open file is told by its name and where reading begins; ConfigError for one that has none."""

    def hashed(source: Any, start: int) -> str:
        return request_hash("POST /files", Form("b", (FilePiece(source, start),)))

    assert hashed(Named(), 0) == hashed(Named(), 0) != hashed(Named(), 5)
    assert hashed(io.BytesIO(b"abc"), 0) != hashed(io.BytesIO(b"abc"), 1)
    with pytest.raises(ConfigError, match="without a name"):
        hashed(io.RawIOBase(), 0)


# ---------------------------------------------------------------- errors

KINDS: list[type[ZhipuError]] = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ZhipuError)
]
CODES: dict[type[ZhipuError], list[tuple[int, str | None]]] = {
    errors.BadRequestError: [(400, "1210"), (400, None), (413, None)],
    errors.ContextLengthError: [(400, "1261")],
    errors.AuthenticationError: [(401, "1000"), (401, None)],
    errors.PermissionDeniedError: [(403, "1220"), (434, None)],
    errors.NotFoundError: [(404, None)],
    errors.ContentFilterError: [(400, "1301")],
    errors.AccountError: [(429, "1113")],
    errors.QuotaError: [(429, "1308")],
    errors.RateLimitError: [(429, "1302"), (429, None)],
    errors.OverloadedError: [(429, "1305"), (503, None)],
    errors.ServerError: [(500, None), (500, "1234")],
}
CHAT = Endpoint("POST", "/chat/completions", ChatCompletion)


def told(error: ZhipuError, body: bytes | None = None, *, creates: bool = False) -> Record:
    """The record of an error, written and read."""
    told = recorded.told_of(error, creates=creates)
    record = decode_line(encode_line(Record("q", recorded.answer_to(error, body), told, HASH, RUN)))
    assert isinstance(record, Record)
    return record


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(
    message=st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf"])), seconds=st.floats(0, 1e6), flag=st.booleans()
)
def test_every_error_comes_back(kind: type[ZhipuError], message: str, seconds: float, flag: bool) -> None:
    """Class, text and what is known of an error survive a line."""
    error = kind(message)
    for name, value in {
        "arrived": flag, "seconds": seconds, "clock": "between", "task_id": "T1", "reason": "broken", "code": "77",
        "status": 418, "request_id": "R", "log_id": "L", "trace_id": "X", "body": f'{{"text": {json.dumps(message)}}}',
    }.items():  # fmt: skip
        if hasattr(error, name):
            setattr(error, name, value)
    if isinstance(error, errors.RequestTimeout):
        error.retryable = True
    back = recorded.error_of(told(error))
    assert type(back) is kind
    assert back.message == message
    assert back.args == error.args
    lost = {"retryable", "meaning", "hint", "answer", "partial", "raw", "reused", "budget", "tokens"}
    assert {name: value for name, value in vars(back).items() if name not in lost} == {
        name: value for name, value in vars(error).items() if name not in lost
    }
    if not isinstance(error, errors.APIError):
        assert back.retryable == error.retryable


@pytest.mark.parametrize(("kind", "status", "code"), [(kind, *row) for kind, rows in CODES.items() for row in rows])
def test_the_table_of_faults_explains_a_code(kind: type[ZhipuError], status: int, code: str | None) -> None:
    """An error of the service comes back with its meaning and hint, and whether it may pass."""
    body = json.dumps({"error": {"code": code, "message": "no, not before 2026-04-09 15:13:03"}}).encode()
    live = recorded.faults.make(
        status, code, "no, not before 2026-04-09 15:13:03", members={}, headers={}, body=body.decode()
    )
    assert type(live) is kind
    back = recorded.error_of(told(live, body))
    assert isinstance(back, kind)
    assert vars(back) == vars(live)
    assert str(back) == str(live)
    assert back.hint
    assert back.meaning


def test_only_what_may_pass_is_sent_again() -> None:
    """A refusal for load and a lost connection are; of a call that creates only with proof that it did nothing; and
    what stops a whole run always is."""
    rows: list[tuple[ZhipuError, bool, bool]] = [
        (errors.RateLimitError("", status=429, code="1302", retryable=True), True, True),
        (errors.ServerError("", status=500, retryable=True), True, False),
        (errors.ConnectionLost("", arrived=True), True, False),
        (errors.ConnectError(""), True, True),
        (errors.RequestTimeout("", clock="total"), False, False),
        (errors.BadRequestError("", status=400), False, False),
        (errors.AuthenticationError("", status=401), True, True),
        (errors.AccountError("", status=429, code="1113"), True, True),
        (errors.QuotaError("", status=429, code="1308"), True, True),
        (errors.DecodeError(""), False, False),
        (errors.ContentFilterError("", status=400, code="1301"), False, False),
        (errors.TaskFailed(""), False, False),
    ]
    for error, again, creating in rows:
        assert recorded.told_of(error, creates=False).again == again, error
        assert recorded.told_of(error, creates=True).again == creating, error


def test_a_class_of_a_later_version() -> None:
    """An unknown name is APIError where there is a status, else ZhipuError; no name of anything else is taken."""
    for name in ("LaterError", "AttemptRecord", "datetime", "BODY_KEPT", "__doc__", "Exception"):
        error = recorded.error_of(Record("q", None, RecordError(type=name, message="m", code="9", status=418)))
        assert (type(error), str(error)) == (errors.APIError, "m [code 9, HTTP 418]")
        error = recorded.error_of(Record("q", None, RecordError(type=name, message="m")))
        assert (type(error), str(error)) == (ZhipuError, "m")


VENDOR: dict[str, tuple[bytes, type[ZhipuError] | None]] = {
    "refused": (
        b'{"custom_id":"q","response":{"status_code":400,"body":{"error":{"code":"1214","message":"bad"}}}}',
        errors.BadRequestError,
    ),
    "with an error beside": (
        b'{"custom_id":"q","response":{"status_code":429,"body":{"error":{"code":"1302","message":"s"}}},"error":{"a":1}}',
        errors.RateLimitError,
    ),
    "with a code alone": (b'{"custom_id":"q","error":{"code":"1302","message":"slow"}}', errors.RateLimitError),
    "an error under 200": (
        b'{"custom_id":"q","response":{"status_code":200,"body":{"error":{"code":"1305","message":"busy"}}}}',
        errors.OverloadedError,
    ),
    "a page": (b'{"custom_id":"q","response":{"status_code":502,"body":"<html>bad</html>"}}', errors.ServerError),
    "no status": (b'{"custom_id":"q","response":{"body":{"choices":[]}}}', None),
    "neither": (b'{"custom_id":"q","response":null,"error":null}', ZhipuError),
    "an answer": (b'{"custom_id":"q","response":{"status_code":200,"body":{"choices":[]}}}', None),
}


@pytest.mark.parametrize(("line", "kind"), VENDOR.values(), ids=VENDOR)
def test_the_errors_of_a_batch(line: bytes, kind: type[ZhipuError] | None) -> None:
    """A line of the vendor has the error of its status and code."""
    record = decode_line(line)
    assert isinstance(record, Record)
    error = recorded.error_of(record, CHAT)
    assert error is None if kind is None else type(error) is kind


def test_the_answer_of_another_attempt_does_not_count() -> None:
    """The body of an error is its own, whole where the bytes are those that the error holds the beginning of."""
    long = b'{"a":"' + b"x" * 9000 + b'"}'
    decoded = DecodeError("no", body=long[:4096].decode())
    assert bytes(msgspec.json.encode(told(decoded, long).response))[:40].startswith(
        b'{"status_code":200,"body":{"a":"x'
    )
    stale = told(errors.ServerError("no", status=500, body="oops"), long)
    assert stale.response is not None
    assert (stale.response.status_code, stale.response.content) == (500, b"oops")
    assert told(errors.ConnectionLost("gone"), long).response is None


# ---------------------------------------------------------------- where lines stand


def test_the_last_line_of_an_id_counts() -> None:
    """A later line takes the place of an earlier one; a beginning never takes that of an end."""
    passing = Record("a", None, RecordError(type="RateLimitError", again=True), HASH, RUN)
    rows: list[tuple[list[Record | Begun], State]] = [
        ([Begun("a", HASH, RUN)], State.BEGUN),
        ([Begun("a", HASH, RUN), answered(b"1", "a")], State.FINISHED),
        ([passing], State.AGAIN),
        ([passing, Begun("a", HASH, RUN)], State.BEGUN),
        ([passing, answered(b"1", "a")], State.FINISHED),
        ([answered(b"1", "a"), passing], State.AGAIN),
        ([answered(b"1", "a"), Begun("a", HASH, RUN)], State.FINISHED),
        ([answered(b"1", "a"), answered(b"22", "a")], State.FINISHED),
    ]
    for lines, state in rows:
        places = Places()
        data = [encode_line(line) for line in lines]
        places.read(data)
        end = max(index for index, line in enumerate(lines) if isinstance(line, Record) or state is State.BEGUN)
        offset = sum(map(len, data[:end]))
        assert places.find("a", HASH) == Place(offset, len(data[end]) - 1, state, bytes.fromhex(HASH))
        assert (len(places), places.lines, places.end) == (1, len(lines), sum(map(len, data)))
        with pytest.raises(ValueError, match="a"):
            places.find("a", OTHER_HASH)


def test_hashes_of_other_forms() -> None:
    """A hash that is not 32 hexadecimal digits tells requests apart all the same."""
    places = Places()
    places.add(Record("a", hash="sha:1"), 0, 1)
    assert places.find("a", "sha:1") is not None
    with pytest.raises(ValueError, match="a"):
        places.find("a", "sha:2")


def test_notes_on_batches() -> None:
    """The latest note on each batch of a run is kept, as a copy, by round and shard."""
    places = Places()
    note = BatchNote(None, 1, 1, 5, run=RUN)
    for line in (BatchNote("x", 2, 2, 1, run=RUN), note, BatchNote("z", 1, 1, 1, run="other")):
        places.add(line, 0, 0)
    note.state = "created"
    assert [(each.round, each.shard, each.state) for each in places.notes(RUN)] == [
        (1, 1, "intended"), (2, 2, "intended"),
    ]  # fmt: skip
    places.add(note, 0, 0)
    places.notes(RUN)[0].state = "collected"
    assert [each.state for each in places.notes(RUN)] == ["created", "intended"]
    assert len(places.notes("")) == 3
    assert len(places) == 0
