"""Inputs that are made to break parsers: how they end, how much memory they take, and how their time grows.

Memory is the highest that was traced, in bytes for each byte of input. Python's own values of JSON weigh up to 24 bytes
for each of ``[],[],...``, and a struct of ours stands beside the objects that it is made of.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from zhipu_async.downloads import Download
from zhipu_async.errors import DecodeError, StreamCorrupted, ZhipuError
from zhipu_async.protocol import codec, faults, realtime, strict
from zhipu_async.protocol.batch_lines import read_line
from zhipu_async.protocol.chunks import CHAT, ChunkReader
from zhipu_async.protocol.extract import extract
from zhipu_async.protocol.folds import AGENT
from zhipu_async.protocol.jsonl import Record, decode_line
from zhipu_async.protocol.partial import PartialJSON
from zhipu_async.protocol.sse import SSEDecoder
from zhipu_async.types.chat import ChatCompletion

from .targets import TARGETS

pytestmark = pytest.mark.heavy


def chunk(delta: bytes) -> bytes:
    """A chunk of a stream of chat."""
    return b'{"id":"1","choices":[{"index":0,"delta":' + delta + b"}]}"


def fragment(index: bytes) -> bytes:
    """A piece of a tool call under an index."""
    return chunk(b'{"tool_calls":[{"index":' + index + b',"id":"c","function":{"name":"f","arguments":"{}"}}]}')


BODIES: dict[str, Callable[[int], bytes]] = {
    "brackets": lambda n: b"[" * n,
    "braces": lambda n: b'{"a":' * (n // 5),
    "closed brackets": lambda n: b"[" * (n // 2) + b"]" * (n // 2),
    "brackets in a field": lambda n: b'{"id":"1","choices":' + b"[" * n,
    "a deep object": lambda n: b'{"error":' + b'{"a":' * (n // 6) + b"1" + b"}" * (n // 6) + b"}",
    "arguments of many levels": lambda n: chunk(
        b'{"tool_calls":[{"function":{"arguments":' + b"[" * (n // 2) + b"]" * (n // 2) + b"}}]}"
    ),
    "a whole number": lambda n: b'{"id":' + b"9" * n + b"}",
    "a negative number": lambda n: b'{"created":-' + b"9" * n + b"}",
    "a number in a text": lambda n: b'{"created":"' + b"9" * n + b'"}',
    "a fraction": lambda n: b'{"created":0.' + b"9" * n + b"}",
    "an exponent": lambda n: b'{"created":1e' + b"9" * n + b"}",
    "zeros": lambda n: b'{"created":' + b"0" * n + b"1}",
    "a code of many digits": lambda n: b'{"error":{"code":' + b"1" * min(n, 4300) + b',"message":"m"}}',
    "a message": lambda n: b'{"error":{"code":"1302","message":"' + b"m" * n + b'"}}',
    "bytes that are not UTF-8": lambda n: b'{"id":"' + b"\xff" * n + b'"}',
    "half a character": lambda n: b'{"id":"' + b"\xf0\x9f\x98" * (n // 3) + b'"}',
    "lone surrogates": lambda n: b'{"id":"' + rb"\ud83d" * (n // 6) + b'"}',
    "NUL": lambda n: b'{"id":"' + b"\0" * n + b'"}',
    "escaped NUL": lambda n: b'{"id":"' + rb"\u0000" * (n // 6) + b'"}',
    "byte order marks": lambda n: b"\xef\xbb\xbf" * (n // 3) + b"{}",
    "equal keys": lambda n: b"{" + b'"id":1,' * (n // 7) + b'"id":"x"}',
    "empty keys": lambda n: b"{" + b'"":1,' * (n // 5) + b'"":2}',
    "many keys": lambda n: b"{" + b",".join(b'"k%d":1' % number for number in range(n // 10)) + b"}",
    "a long key": lambda n: b'{"' + b"k" * n + b'":1}',
    "a text": lambda n: b'{"id":"' + b"x" * n + b'"}',
    "a text without end": lambda n: b'{"id":"' + b"x" * n,
    "quotes without end": lambda n: b'"' + rb"\"" * (n // 2),
    "wrong elements": lambda n: b'{"id":"1","choices":[' + b"1," * (n // 2) + b"1]}",
    "empty elements": lambda n: b'{"id":"1","choices":[' + b"{}," * (n // 3) + b"{}]}",
    "empty lists": lambda n: b'{"id":"1","choices":[' + b"[]," * (n // 3) + b"[]]}",
    "blanks": lambda n: b" " * n + b"{}",
    "commas": lambda n: b"[" + b"," * n,
    "backslashes": lambda n: b'["' + b"\\" * n,
    "angles": lambda n: b"<" * (n // 2) + b"<title>" * (n // 14),
    "fences": lambda n: b"```json\n{" * (n // 9),
    "thoughts": lambda n: b"<think>{" * (n // 8),
}


def decoded(body: bytes) -> object:
    """A whole answer."""
    return codec.decode(ChatCompletion, body)


def streamed(body: bytes) -> object:
    """An event of a stream."""
    reader = ChunkReader(CHAT)
    reader.feed(b"data: " + body.replace(b"\n", b" ") + b"\n\n")
    reader.close()
    reader.result()
    return reader.failure


def parsed(body: bytes) -> object:
    """A growing value, which comes in three pieces."""
    parser, text, third = PartialJSON(), body.decode("utf-8", "replace"), len(body) // 3 + 1
    for start in range(0, len(text), third):
        parser.feed(text[start : start + third])
    return parser.complete


READERS: dict[str, tuple[Callable[[bytes], object], int]] = {
    "answer": (decoded, 60),
    "event": (streamed, 60),
    "envelope": (lambda body: faults.of_response(500, {}, body), 40),
    "frame": (lambda body: realtime.error_of(realtime.decode(body)), 40),
    "line": (decode_line, 40),
    "result": (read_line, 40),
    "body": (strict.embedded, 40),
    "growing": (parsed, 60),
    "extracted": (lambda body: extract(body.decode("utf-8", "replace")), 100),
}
"""What reads bytes of strangers, and the bytes of memory that a byte of them may take."""


def outcome(read: Callable[[bytes], object], body: bytes) -> None:
    """Read; an error of ours is an answer too, of bounded length whatever it tells of."""
    try:
        found = read(body)
    except ZhipuError as error:
        found = error
    assert not isinstance(found, ZhipuError) or len(str(found)) < 12_000


@pytest.mark.parametrize("reader", READERS)
def test_nasty_input_ends_in_a_value_or_in_our_error_within_bounded_memory(reader: str) -> None:
    """Twenty kilobytes of anything give a value or an error of ours, and take memory in proportion to the input."""
    read, factor = READERS[reader]
    outcome(read, b'{"id":1}')  # what is made once
    gc.collect()
    for name, body in BODIES.items():
        data = body(20_000)
        tracemalloc.start()
        try:
            outcome(read, data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < factor * max(len(data), 20_000), f"{name}: {peak / len(data):.0f} bytes for each byte"


@pytest.mark.heavy
@pytest.mark.parametrize("reader", READERS)
def test_the_time_of_nasty_input_is_linear(reader: str) -> None:
    """Ten times as much of anything does not take a hundred times as long: it takes under forty times, or no time."""
    read, _ = READERS[reader]
    for name, body in BODIES.items():
        small, large = body(20_000), body(200_000)
        spent: list[float] = []
        for data in (small, large):
            gc.disable()  # what it costs depends on the tests before this one
            try:
                began = time.process_time()
                outcome(read, data)
                spent.append(time.process_time() - began)
            finally:
                gc.enable()
        assert spent[1] < 0.3 + 40 * spent[0], f"{name}: {spent[0]:.3f} s, then {spent[1]:.3f} s"


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["brackets", "closed brackets", "a whole number", "a fraction", "an exponent"])
@pytest.mark.parametrize("reader", READERS)
def test_a_million_brackets_and_digits(reader: str, name: str) -> None:
    """A million levels or digits give a value or an error of ours."""
    outcome(READERS[reader][0], BODIES[name](1_000_000))


NUMBERS = ["1e999999", "-1e999999", "-0", "-0.0", "1e-999999", "NaN", "Infinity", "9" * 20, "-" + "9" * 400, "9" * 4301]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:12])
@pytest.mark.parametrize("field", ["created", "id", "usage", "choices", "model"])
def test_numbers_that_python_or_c_cannot_hold(field: str, number: str) -> None:
    """In any field such a number gives a value, is left out, or makes the answer a DecodeError that says so."""
    body = f'{{"id":"1","{field}":{number}}}'.encode()
    for name in ("answers", "envelopes", "chunks", "frames", "partial"):
        TARGETS[name](b"data: " + body + b"\n\n" if name == "chunks" else body)


INDEXES = [
    "0",
    "2147483648",
    "-1",
    "-9223372036854775809",
    "1" + "0" * 30,
    "1.0",
    "1e3",
    "0.5",
    '"0"',
    '"x"',
    "null",
    "[]",
]


@pytest.mark.parametrize("index", INDEXES)
def test_the_index_of_a_tool_call_may_be_anything(index: str) -> None:
    """Under any index the call is there, with its name and arguments; no list is made as long as the index is high."""
    reader = ChunkReader(CHAT)
    reader.feed(b"data: " + fragment(index.encode()) + b"\n\n")
    assert reader.failure is None
    call = reader.result().tool_calls[0]
    assert (call.id, call.function.name, call.function.arguments) == ("c", "f", "{}")


@pytest.mark.parametrize("depth", [100, 400, 900, 2_000, 20_000])
@pytest.mark.parametrize("member", ["tool_calls", "web_search", "usage", "audio", "unknown"])
def test_a_chunk_of_any_depth(member: str, depth: int) -> None:
    """What the decoder takes can be folded and read again from a deep stack; what is deeper is StreamCorrupted."""
    deep = b"[" * depth + b"]" * depth
    value = b'[{"index":0,"mcp":{"a":' + deep + b"}}]" if member == "tool_calls" else deep
    reader = ChunkReader(CHAT)
    reader.feed(b"data: " + chunk(b'{"content":"x","' + member.encode() + b'":' + value + b"}") + b"\n\n")
    assert reader.failure is None or isinstance(reader.failure, StreamCorrupted)

    def from_below(levels: int) -> object:
        return from_below(levels - 1) if levels else reader.result()

    from_below(300)
    if depth == 400:
        assert reader.failure is None
        assert reader.result().text == "x"


@pytest.mark.parametrize("read", [
    lambda body: codec.decode(dict, b'{"a":%b}' % body),
    lambda body: codec.decode(ChatCompletion, b'{"id":1,"choices":[{"message":{"content":%b}}]}' % body),
    lambda body: faults.of_response(500, {}, b'{"error":%b}' % body),
    lambda body: realtime.error_of(realtime.decode(b'{"type":"error","error":{"message":%b}}' % body)),
    lambda body: decode_line(b'{"custom_id":"a","error":{"code":%b}}' % body),
    lambda body: read_line(b'{"custom_id":1,"response":{"body":%b}}' % body),
    lambda body: strict.embedded(body),
])  # fmt: skip
def test_no_depth_lies_between_what_is_read_and_what_is_refused(read: Callable[[bytes], object]) -> None:
    """At every depth from 1 to 1100, where Python's own limit lies, there is a value or a DecodeError and no third."""
    seen: set[str] = set()
    for depth in range(1, 1100):
        try:
            read(b"[" * depth + b"]" * depth)
            seen.add("value")
        except DecodeError:
            seen.add("DecodeError")
    assert "value" in seen


def test_parts_of_many_levels_are_compared_or_refused() -> None:
    """Pieces of an agent's message with members of any depth join, or the stream is StreamCorrupted."""
    for depth in range(1, 1100):
        part = b'{"type":"t","a":' + b"[" * depth + b"]" * depth + b',"text":"x"}'
        event = (
            b'data: {"id":"1","choices":[{"index":0,"messages":[{"role":"assistant","content":' + part + b"}]}]}\n\n"
        )
        reader = ChunkReader(AGENT)
        reader.feed(event)
        reader.feed(event)
        assert reader.failure is None or isinstance(reader.failure, StreamCorrupted)
        assert depth > 400 or reader.failure is None
        reader.result()


def test_the_names_of_what_does_not_fit_are_bounded() -> None:
    """Of thousands of elements that do not fit, a hundred are named."""
    drops: list[str] = []
    codec.decode(ChatCompletion, b'{"id":"1","choices":[' + b"1," * 5_000 + b"1]}", drops)
    assert len(drops) == 100


def test_an_error_object_that_says_nothing_is_none() -> None:
    """A line of a batch whose error has empty members only holds its answer; one with any other member is an error."""
    line = b'{"custom_id":"a","response":{"status_code":200,"body":{}},"error":{"type":null,"code":"","n":%b}}'
    fine, failed = decode_line(line % b"0"), decode_line(line % b"1")
    assert isinstance(fine, Record)
    assert fine.error is None
    assert isinstance(failed, Record)
    assert failed.error is not None
    assert '"n":1' in failed.error.message


@pytest.mark.parametrize(("text", "length"), [("9" * 5000, None), ("12", 12), ("١٢", 12), ("-1", None), ("1e3", None)])
def test_the_length_of_a_download_may_be_anything(text: str, length: int | None) -> None:
    """A Content-Length is taken when it is a number that a file can have; else the length is not known."""
    source: Any = SimpleNamespace(headers={"content-length": text}, close=lambda: None)
    download = Download(source, b"", Mock(), None, None)
    assert download.length == length


LINES: dict[str, bytes] = {
    "a million lines in an event": b"data: x\n" * 200_000 + b"\n",
    "a line without an end": b"data: " + b"x" * 2_000_000,
    "empty lines": b"\n" * 200_000,
    "mixed line ends": b"data: x\r\ndata: y\rdata: z\n\r\n\n\r" * 20_000,
    "names without values": b"data\n" * 200_000 + b"\n",
    "comments": b":\n" * 300_000,
    "NUL": b"\0\n" * 200_000,
    "byte order marks": b"\xef\xbb\xbf" * 200_000 + b"\n\n",
    "digits": b"retry: " + b"9" * 1_000_000 + b"\n\n",
    "ids": b"id: " + b"x" * 500_000 + b"\n\n",
}


@pytest.mark.parametrize("name", LINES)
def test_streams_of_nasty_lines(name: str) -> None:
    """Both readers take them in pieces of 1 kB and of two bytes, in memory of twenty times the limit of an event, which
    is 64 KiB: what a piece weighs besides its bytes does not add up."""
    data = LINES[name]
    for step, part, most in ((1024, data, 20 << 16), (2, data[:60_000], 20 << 16)):
        tracemalloc.start()
        try:
            decoder, reader = SSEDecoder(1 << 16), ChunkReader(CHAT, limit=1 << 16)
            try:
                for start in range(0, len(part), step):
                    decoder.feed(part[start : start + step])
            except StreamCorrupted as error:
                assert len(error.raw or "") <= 4096  # noqa: PT017
            for start in range(0, len(part), step):
                reader.feed(part[start : start + step])
            reader.close()
            assert reader.failure is not None
            assert tracemalloc.get_traced_memory()[1] < most
        finally:
            tracemalloc.stop()


def test_many_tiny_chunks() -> None:
    """A hundred thousand events that come byte by byte, then in one piece, fold to the same text."""
    event = b"data: " + chunk(b'{"content":"ab"}') + b"\n\n"
    few = ChunkReader(CHAT)
    for place in range(len(data := event * 500)):
        few.feed(data[place : place + 1])
    many = ChunkReader(CHAT)
    assert len(many.feed(event * 100_000)) == 100_000
    assert few.result().text == "ab" * 500
    assert many.result().text == "ab" * 100_000
