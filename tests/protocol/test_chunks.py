"""A stream's bytes to chunks: how it may end, fail, be damaged and be odd (streaming.md sections 1, 2 and 4 to 6)."""

from __future__ import annotations

import json
import logging
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhipu_async import errors
from zhipu_async.protocol.chunks import CHAT, ChunkReader, StreamKind
from zhipu_async.types.chat import ChatCompletion

from .expected import sample
from .feeding import DONE, Reading, at_every_split, by_byte, examples, frame, plain, read, says, splits, stops


def read_alike(stream: bytes) -> Reading:
    """What comes of a stream; the same whole, byte by byte and cut anywhere in two."""
    whole = read(stream)
    assert read(by_byte(stream)) == whole
    for pieces in at_every_split(stream):
        assert read(pieces) == whole
    return whole


# ---------------------------------------------------------------- section 4: the end

HI = says("Hi")
COMPLETE: dict[str, bytes] = {
    "finish reason and [DONE]": HI + stops() + DONE,
    "finish reason and end": HI + stops(),
    "finish reason on a chunk without choices' delta": HI + frame({"choices": [{"finish_reason": "stop"}]}) + DONE,
    "finish reason, then usage alone, then end": HI + stops() + frame({"choices": [], "usage": {"total_tokens": 3}}),
    "[DONE] without a finish reason": HI + DONE,
    "[DONE] alone": DONE,
    "finish reason twice": HI + stops() + stops() + DONE,
    "a finish reason and nothing else": stops(),
    "finish reason sensitive": HI + stops("sensitive") + DONE,
    "finish reason network_error": HI + stops("network_error") + DONE,
    "a finish reason of the future": HI + stops("exhausted_by_philosophy"),
    "the last frame without its blank line": HI + stops()[:-2],
    "the last frame with half its blank line": HI + stops()[:-1],
    "[DONE] without its blank line": HI + DONE[:-2],
    "[DONE] without a space": HI + b"data:[DONE]\n\n",
    "[DONE] with spaces": HI + b"data:   [DONE]  \n\n",
    "[DONE] with spaces, unterminated": HI + b"data:   [DONE]  ",
    "every choice finished": says("a") + frame({"choices": [
        {"index": 0, "finish_reason": "stop"}, {"index": 1, "delta": {"content": "b"}, "finish_reason": "length"},
    ]}),
    "a comment torn behind it": HI + stops() + b": keep-ali",
}  # fmt: skip

TRUNCATED: dict[str, bytes] = {
    "nothing": b"",
    "blank lines": b"\n\n\n",
    "only comments": b": one\n\n: two\n\n",
    "no finish reason": HI,
    "a finish reason that is null": HI + stops(None),
    "a finish reason that is empty": HI + stops(""),
    "one choice unfinished": stops() + frame({"choices": [{"index": 1, "delta": {"content": "b"}}]}),
    "a torn frame": HI + says("you")[:-10],
    "a torn frame after a finish reason": HI + stops() + says("more")[:-10],
    "a torn [DONE] after a finish reason": HI + stops() + b"data: [DO",
    "a torn field after a finish reason": HI + stops() + b"dat",
    "a bare field after a finish reason": HI + stops() + b"data:",
    "JSON on a line that is no data": HI + stops() + b'{"choices": []}',
    "[DONE] on a line that is no data": HI + stops() + b"[DONE]",
}


@pytest.mark.parametrize("stream", COMPLETE.values(), ids=COMPLETE)
def test_complete(stream: bytes) -> None:
    """The stream is complete and its result says so."""
    reading = read_alike(stream)
    assert reading.failure is None
    assert reading.complete


@pytest.mark.parametrize("stream", TRUNCATED.values(), ids=TRUNCATED)
def test_truncated(stream: bytes) -> None:
    """The stream is StreamTruncated, retryable, and its error holds what had arrived, marked as incomplete."""
    reading = read_alike(stream)
    error = reading.error
    assert isinstance(error, errors.StreamTruncated)
    assert error.retryable
    assert not reading.complete
    assert isinstance(error.partial, ChatCompletion)
    assert not error.partial.complete
    assert plain(error.partial) == reading.result
    assert error.partial.text == ("Hi" if HI in stream else "")


def test_raw_of_a_torn_frame() -> None:
    """The error of a torn frame keeps the piece of it, at most 4 KiB."""
    error = read(HI + b'data: {"choices": "' + b"x" * 9000).error
    assert isinstance(error, errors.StreamTruncated)
    assert error.raw is not None
    assert error.raw.startswith('{"choices": "xxx')
    assert len(error.raw) == 4096


def test_done_without_finish_reason_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A [DONE] without a finish reason is a warning in the log, a complete stream otherwise is none."""
    with caplog.at_level(logging.WARNING, "zhipu_async"):
        read(HI + stops() + DONE)
        assert caplog.records == []
        assert read(HI + DONE).result["choices"][0] == {"message": {"role": "assistant", "content": "Hi"}}
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize(
    "behind", [HI, says("x", id="2"), frame({"error": {"code": "500"}}), b"data: {torn", b"\xff\n\n"]
)
def test_nothing_counts_after_done(behind: bytes) -> None:
    """Whatever follows [DONE], in the same piece or later, changes nothing."""
    stream = HI + stops() + DONE
    assert read_alike(stream + behind) == read(stream)


def test_nothing_counts_after_a_failure() -> None:
    """After a failure a reader gives no more chunks and keeps its first failure."""
    reader = ChunkReader(CHAT)
    reader.feed(HI + frame({"error": {"code": "1302", "message": "slow"}}) + HI)
    failure = reader.failure
    assert reader.feed(HI + stops() + DONE) == []
    assert reader.close() == []
    assert reader.failure is failure
    assert reader.result().text == "Hi"
    assert not reader.complete


STARTS: dict[str, tuple[bytes, bool]] = {
    "nothing": (b"", False),
    "a comment": (b": ping\n\n", False),
    "role only": (frame({"choices": [{"delta": {"role": "assistant"}}]}), False),
    "empty texts": (says("", reasoning_content="", reasoning="", tool_calls=[], audio={"id": "a", "data": ""}), False),
    "nulls": (frame({"choices": [{"delta": {"content": None, "tool_calls": None, "audio": None}}]}), False),
    "usage": (frame({"choices": [], "usage": {"total_tokens": 1}}), False),
    "web search": (frame({"choices": [], "web_search": [{"title": "x"}]}), False),
    "null": (frame(None), False),
    "an empty finish reason": (stops(""), False),
    "content": (says("x"), True),
    "white space": (says("\n"), True),
    "reasoning": (says(reasoning_content="x"), True),
    "reasoning by its other name": (says(reasoning="x"), True),
    "a tool call": (says(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": ""}}]), True),
    "audio": (says(audio={"data": "UklGRg=="}), True),
    "a finish reason": (stops(), True),
    "[DONE]": (DONE, True),
}


@pytest.mark.parametrize(("stream", "started"), STARTS.values(), ids=STARTS)
def test_started(stream: bytes, started: bool) -> None:
    """The answer has started with the first non-empty delta, finish reason or [DONE]."""
    reader = ChunkReader(CHAT)
    reader.feed(stream)
    assert reader.started is started
    reader.feed(says("x"))
    assert reader.started


# ---------------------------------------------------------------- section 5: errors inside a stream

RATE = {"error": {"code": "1302", "message": "slow"}}
_LIMITED = (errors.RateLimitError, "1302", "slow")
FAULTS: dict[str, tuple[bytes, type[errors.APIError], str | None, str]] = {
    "as published, with event: error": (
        sample("error_event"), errors.RateLimitError, "1302", "High concurrency usage of this API, ...",
    ),
    "as published, without it": (sample("error_frame"), errors.ContentFilterError, "1301", "..."),
    "as published, of the gateway": (sample("gateway_frame"), errors.ServerError, "500", "..."),
    "an int code": (frame({"error": {"code": 1305, "message": "busy"}}), errors.OverloadedError, "1305", "busy"),
    "no code": (frame({"error": {"message": "broken"}}), errors.ServerError, None, "broken"),
    "an unknown code": (frame({"error": {"code": "9999", "message": "?"}}), errors.ServerError, "9999", "?"),
    "an HTTP status as code": (frame({"error": {"code": 400, "message": "bad"}}), errors.BadRequestError, "400", "bad"),
    "a text": (frame({"error": "all is lost"}), errors.ServerError, "200", "all is lost"),
    "a list": (frame({"error": ["all", "is lost"]}), errors.ServerError, None, "['all', 'is lost']"),
    "with empty choices": (frame({"choices": [], **RATE}), *_LIMITED),
    "with choices null": (frame({"choices": None, **RATE}), *_LIMITED),
    "with no usable choice": (frame({"choices": [None], **RATE}), *_LIMITED),
    "with choices of another kind": (frame({"choices": 5, **RATE}), *_LIMITED),
    "with an id": (frame({"id": "1", "created": 1, **RATE}), *_LIMITED),
    "with what does not fit": (frame({"id": [], **RATE}), *_LIMITED),
    "gateway, a key refused": (
        frame({"code": 1001, "msg": "no key", "success": False}), errors.AuthenticationError, "1001", "no key",
    ),
    "gateway, no such route": (
        frame({"code": 500, "msg": "404 NOT_FOUND", "success": False}), errors.NotFoundError, "500", "404 NOT_FOUND",
    ),
    "invalid UTF-8": (
        b'data: {"error": {"code": "1302", "message": "\xff"}}\n\n', errors.RateLimitError, "1302", "\ufffd",
    ),
}  # fmt: skip


@pytest.mark.parametrize("before", [b"", HI, says(role="assistant") + HI + HI], ids=["first", "second", "later"])
@pytest.mark.parametrize(("stream", "kind", "code", "message"), FAULTS.values(), ids=FAULTS)
def test_error_frame(stream: bytes, kind: type[errors.APIError], code: str | None, message: str, before: bytes) -> None:
    """An error frame ends the stream with the error of its code; the chunks before it are handed out."""
    reading = read_alike(before + stream)
    error = reading.error
    assert type(error) is kind
    assert isinstance(error, errors.APIError)
    assert (error.status, error.code, error.message) == (200, code, message)
    assert len(reading.chunks) == before.count(b"data: ")
    assert not reading.complete


@pytest.mark.parametrize("event", [b"", b"event: error\n", b"event: message\n", b"id: 3\n"])
def test_the_event_name_makes_no_difference(event: bytes) -> None:
    """An error frame is one with any event name or none, and a chunk under the name error is a chunk."""
    assert type(read_alike(event + frame(RATE)).error) is errors.RateLimitError
    assert read_alike(event + HI + stops() + DONE).text == "Hi"


def test_what_an_error_frame_tells() -> None:
    """Its error keeps the request id, content filter, log id, raw body, and whether a repeat makes sense."""
    limited = read(sample("error_event"), {"x-log-id": "L1", "ga-traceid": "T1"}).error
    assert isinstance(limited, errors.RateLimitError)
    assert limited.request_id == "2026012315301053eda1059a6e4f85"
    assert (limited.log_id, limited.trace_id) == ("L1", "T1")
    assert limited.retryable
    assert limited.body is not None
    assert json.loads(limited.body)["error"]["code"] == "1302"
    filtered = read(sample("error_frame")).error
    assert isinstance(filtered, errors.ContentFilterError)
    assert filtered.content_filter == [{"level": 1, "role": "user"}]
    assert not filtered.retryable


@pytest.mark.parametrize(
    "error", [{"code": "1302", "message": "inside an agent's chunk"}, "text", None, {}, ""], ids=repr
)
def test_error_beside_usable_choices(error: Any) -> None:
    """An error beside usable choices (agents) is no failure: the chunk is handed through."""
    stream = frame({"agent_id": "a", "id": "1", "error": error, "choices": [{"delta": {"content": "Hi"}}]}) + stops()
    reading = read_alike(stream)
    assert reading.failure is None
    assert reading.text == "Hi"


@pytest.mark.parametrize("error", [None, {}, "", [], 0, False])
def test_an_empty_error_is_none(error: Any) -> None:
    """A frame whose error is empty is an empty chunk."""
    assert read_alike(HI + frame({"error": error}) + stops()).failure is None


def test_success_is_no_failure() -> None:
    """A frame with success true, or with success false beside usable choices, is a chunk."""
    choices = [{"index": 0, "delta": {"content": "Hi"}}]
    assert read_alike(frame({"success": True}) + HI + stops()).text == "Hi"
    assert read_alike(frame({"success": False, "id": "1", "choices": choices}) + stops()).text == "Hi"


# ---------------------------------------------------------------- section 6: damage


def glued(own: str, front: bytes = b'{"id":"1","created":17698', content: str = "!") -> bytes:
    """A frame that was cut, with one of the response ``own`` on the same line."""
    return b"data: " + front + says(content, id=own)


def test_glued_frame_of_the_same_answer() -> None:
    """A glued frame with the stream's own id counts as one damaged frame, and the stream goes on."""
    reading = read_alike(HI + glued("1") + says("?") + stops() + DONE)
    assert reading.failure is None
    assert reading.text == "Hi!?"
    assert reading.damaged == 1


def test_damage_is_counted() -> None:
    """Each damaged frame counts once."""
    assert read_alike(HI + glued("1") + says("x") + glued("1") + stops()).damaged == 2


def test_glued_without_any_id() -> None:
    """Where no frame has an id, a glued one belongs to nobody: StreamCorrupted."""
    nobody = frame({"choices": [{"delta": {"content": "!"}}]})
    assert isinstance(read_alike(nobody + b'data: {"cr' + nobody).error, errors.StreamCorrupted)


def test_glued_before_the_first_word() -> None:
    """The stream's id is known from its first frame on, also when that says nothing."""
    assert read_alike(says(role="assistant") + glued("1") + stops()).text == "!"


def test_three_glued_frames() -> None:
    """Of several frames on one line the last is taken."""
    reading = read_alike(HI + b'data: {"id":"1data: {"id":"1"' + says("!") + stops() + DONE)
    assert (reading.text, reading.damaged, reading.complete) == ("Hi!", 1, True)


CORRUPTED: dict[str, bytes] = {
    "a glued frame of another answer": glued("2"),
    "a glued frame without id": b'data: {"id":"1","cr' + frame({"choices": [{"delta": {"content": "!"}}]}),
    "a glued frame that is torn itself": b'data: {"id":"1","crdata: {"id":"1","choices":[{"delta"\n\n',
    "a glued [DONE]": b'data: {"id":"1","crdata: [DONE]\n\n',
    "a doubled start of a line": b"data: " + says("!"),
    "no JSON": b"data: upstream went away\n\n",
    "half an object": b'data: {"id":"1"\n\n',
    "two objects": b'data: {"id":"1"}{"id":"1"}\n\n',
    "a text": b'data: "data: {}"\n\n',
    "a number": b"data: 42\n\n",
    "a list": b"data: [1]\n\n",
    "true": b"data: true\n\n",
    "nesting without end": b"data: " + b"[" * 100_000 + b"\n\n",
    "a number without end": b'data: {"created":' + b"9" * 100_000 + b"}\n\n",
}


@pytest.mark.parametrize("bad", CORRUPTED.values(), ids=CORRUPTED)
def test_corrupted(bad: bytes) -> None:
    """What is no frame is StreamCorrupted, with the raw line (at most 4 KiB) and the partial result."""
    stream = HI + bad + stops() + DONE
    reading = read(stream)
    for pieces in [by_byte(stream), [HI, bad, DONE]] if len(stream) < 1000 else [[HI, bad, DONE]]:
        assert read(pieces) == reading
    error = reading.error
    assert isinstance(error, errors.StreamCorrupted)
    assert error.raw == bad.removeprefix(b"data: ").decode().strip()[:4096]
    assert error.partial.text == "Hi"
    assert len(reading.chunks) == 1


def test_published_glued_frame() -> None:
    """The published glued frame, which had another id, is StreamCorrupted; as a first frame too."""
    own = says("Hi", id="2026013106191232432b9b23af4670")
    for stream in (own + sample("glued"), sample("glued") + b"\n"):
        error = read_alike(stream + stops()).error
        assert isinstance(error, errors.StreamCorrupted)
        assert error.raw is not None
        assert error.raw.startswith('{"id":"2026013106191232432b9b23af4670"')


def test_damage_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Each damaged frame is a warning in the log, without the frame's text."""
    with caplog.at_level(logging.WARNING, "zhipu_async"):
        read(HI + glued("1", content="secret") + stops() + DONE)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "secret" not in caplog.text


@pytest.mark.parametrize("cut", [b"\xe4\xbd", b"\xff", b"\xed\xa0\xbd", b"\xc0\xaf"])
def test_bad_utf8(cut: bytes) -> None:
    """A frame of bad UTF-8 is read with U+FFFD in its place, and counted."""
    stream = HI + says("\x00").replace(b"\\u0000", b"<" + cut + b">") + stops() + DONE
    reading = read_alike(stream)
    assert reading.failure is None
    assert reading.damaged == 1
    assert reading.text is not None
    assert reading.text.replace("\ufffd", "") == "Hi<>"
    assert "\ufffd" in reading.text


def test_event_over_the_limit() -> None:
    """An event over the limit is StreamCorrupted, after the chunks before it, at every split."""
    stream = HI + says("x" * 100) + stops()
    for pieces in [[stream], by_byte(stream), *at_every_split(stream)]:
        reading = read(pieces, limit=100)
        assert isinstance(reading.error, errors.StreamCorrupted)
        assert reading.error.partial.text == "Hi"
        assert len(reading.chunks) == 1


# ---------------------------------------------------------------- odd frames

EMPTY = [
    {"choices": []},
    {"choices": None},
    {},
    {"id": "1"},
    {"object": "keep-alive"},
    {"usage": None},
    {"type": "ping"},
]


@pytest.mark.parametrize("members", [None, [], "", 0, False, *EMPTY], ids=repr)
def test_frames_that_say_nothing(members: Any) -> None:
    """Frames that are null, empty or carry neither choices nor an error pass as empty chunks, anywhere, uncounted."""
    odd = frame(members)
    reading = read_alike(odd + HI + odd + stops() + odd + DONE)
    assert (reading.text, reading.damaged, reading.complete) == ("Hi", 0, True)
    assert len(reading.chunks) == 5
    assert not any(chunk.get("choices") for chunk in reading.chunks[::2])


@pytest.mark.parametrize(
    "line", [b"data:\n\n", b"data\n\n", b": hi\n\n", b'event: ping\ndata: {"type":"ping"}\n\n', b"\n\n"]
)
def test_events_that_are_no_frames(line: bytes) -> None:
    """Comments, empty data and pings are no chunks, anywhere."""
    reading = read_alike(line + HI + line + stops() + line + DONE)
    assert reading == read(HI + stops() + DONE)


def choice(delta: Any = None, **more: Any) -> dict[str, Any]:
    """A chunk with one choice."""
    return {"id": "1", "choices": [{"index": 0, **({} if delta is None else {"delta": delta}), **more}]}


ODD: dict[str, tuple[Any, Any]] = {
    "numbers as floats": (
        {"created": 5.0, "usage": {"total_tokens": 3.0}, "choices": [{"index": 0.0, "delta": {"content": "Hi"}}]},
        {"created": 5, "usage": {"total_tokens": 3}, "choices": [{"delta": {"content": "Hi"}}]},
    ),
    "ids as ints": ({"id": 8635243129834723621, "choices": []}, {"id": "8635243129834723621"}),
    "numbers as text": ({"created": "1760762344", "choices": []}, {"created": 1760762344}),
    "delta null": ({"choices": [{"delta": None}]}, {"choices": [{"delta": {}}]}),
    "no delta": ({"choices": [{"index": 0}]}, {"choices": [{"delta": {}}]}),
    "content as parts": (
        choice({"content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]}),
        {"id": "1", "choices": [{"delta": {"content": "Hi"}}]},
    ),
    "arguments as an object": (
        choice({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": {"a": ["北", 1, None]}}}]}),
        {"id": "1", "choices": [{"delta": {"tool_calls": [
            {"index": 0, "function": {"name": "f", "arguments": '{"a":["北",1,null]}'}},
        ]}}]},
    ),
    "arguments null": (
        choice({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": None}}]}),
        {"id": "1", "choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"name": "f"}}]}}]},
    ),
    "function null": (
        choice({"tool_calls": [{"index": 0, "function": None}]}),
        {"id": "1", "choices": [{"delta": {"tool_calls": [{"index": 0, "function": {}}]}}]},
    ),
    "a null choice and a null call": (
        {"choices": [None, {"index": 0, "delta": {"content": "Hi", "tool_calls": [None]}}]},
        {"choices": [{"delta": {"content": "Hi", "tool_calls": []}}]},
    ),
    "a lone surrogate": (choice({"content": "\ud83d"}), {"id": "1", "choices": [{"delta": {"content": "\ud83d"}}]}),
    "unknown fields": (
        {**choice({"content": "Hi", "mood": "good"}), "weather": {"sun": True}},
        {"id": "1", "choices": [{"delta": {"content": "Hi"}}]},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("members", "expected"), ODD.values(), ids=ODD)
def test_odd_but_meant(members: Any, expected: Any) -> None:
    """Numbers, ids, nulls and objects in unusual form are read as what they mean, and do not count as damage."""
    reading = read_alike(f"data: {json.dumps(members)}\n\n".encode())
    assert reading.chunks == [expected]
    assert reading.damaged == 0


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({**choice({"content": "Hi"}), "usage": "none"}, choice({"content": "Hi"})),
        ({**choice({"content": "Hi"}), "created": 1.5}, choice({"content": "Hi"})),
        ({**choice({"content": "Hi"}), "web_search": {"title": "x"}}, choice({"content": "Hi"})),
        (choice({"content": "Hi", "tool_calls": [7]}), choice({"content": "Hi", "tool_calls": []})),
        (choice({"content": "Hi", "tool_calls": "none"}), choice({"content": "Hi"})),
    ],
)
def test_unfit_optional_fields(members: Any, expected: Any) -> None:
    """Optional fields that cannot be read are left out and the frame is counted as damaged."""
    del expected["choices"][0]["index"]
    reading = read_alike(frame(members))
    assert reading.chunks == [expected]
    assert reading.damaged == 1


TEXTS = [
    "data: ",
    "data: {",
    "\n\ndata: [DONE]\n\n",
    "[DONE]",
    "a\u2028b\u2029c\u0085d",
    "\x0b\x0c\x1c\x1e",
    "\r\n\r",
    '"\\',
    "\ufeff",
]


@pytest.mark.parametrize("text", TEXTS)
def test_text_that_looks_like_a_protocol(text: str) -> None:
    """Text may hold what the framing is made of, escaped or not: only lines that begin with data: count."""
    stream = says(text) + says(reasoning_content=text) + stops() + DONE
    reading = read_alike(stream)
    assert reading.complete
    assert reading.text == text
    assert reading.result["choices"][0]["message"]["reasoning_content"] == text


@examples(150)
@given(st.lists(st.text(st.characters()), max_size=5), st.data())
def test_any_text(texts: list[str], data: st.DataObject) -> None:
    """Any texts, surrogates among them, escaped or raw, cut anywhere, come back and are folded to their whole."""
    ascii_only = data.draw(st.booleans())
    stream = b"".join(
        f"data: {json.dumps({'choices': [{'delta': {'content': text}}]}, ensure_ascii=ascii_only)}\n\n".encode(
            "utf-8", "replace"
        )
        for text in texts
    )
    if not ascii_only:
        texts = [text.encode("utf-8", "replace").decode() for text in texts]
    reading = read(data.draw(splits(stream + stops() + DONE)))
    assert [chunk["choices"][0]["delta"]["content"] for chunk in reading.chunks[:-1]] == texts
    whole = "".join(texts).encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    assert reading.text == (whole if texts else None)


ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
EVENTS = st.sampled_from([says("a"), says("b"), b": keep-alive\n\n", b"\n\n", b"event: ping\ndata: {}\n\n", DONE])


@examples(500)
@given(st.lists(st.tuples(EVENTS, ENDS), max_size=6), st.data())
def test_line_ends_that_change(events: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    """Each event has line ends of its own, as from a proxy that adds comments: no cut changes what comes of them."""
    stream = b"".join(event.replace(b"\n", end) for event, end in events) + stops() + DONE
    assert read(data.draw(splits(stream))) == read(by_byte(stream))


def test_a_comment_with_other_line_ends() -> None:
    """What is kept of an event when line ends change is part of it, also where all that follows ends as before."""
    kept = says("B")
    pieces = (says("A"), b": keep-alive\r\n\r\n" + kept[:30], kept[30:], says("C"), stops() + DONE)
    assert read(pieces).text == "ABC"


def test_a_character_cut_in_two() -> None:
    """The chunks keep the halves of a character that came in two deltas; the folded text has it whole."""
    halves = [b'data: {"choices":[{"delta":{"content":"' + half + b'"}}]}\n\n' for half in (b"a\\ud83d", b"\\ude00b")]
    reading = read_alike(b"".join(halves) + stops())
    assert [chunk["choices"][0]["delta"]["content"] for chunk in reading.chunks[:2]] == ["a\ud83d", "\ude00b"]
    assert reading.text == "a\U0001f600b"
    assert reading.damaged == 0


@pytest.mark.parametrize("piece", [2**21, 65536, 1000])
def test_a_frame_of_two_megabytes(piece: int) -> None:
    """A frame of 2 MB on one line is read, in pieces of any size."""
    text = "base64+/" * (256 * 1024)
    stream = says(audio={"id": "a", "data": text}) + stops() + DONE
    reader = ChunkReader(CHAT)
    for start in range(0, len(stream), piece):
        reader.feed(stream[start : start + piece])
    assert reader.complete
    audio = reader.result().choices[0].message.audio
    assert audio is not None
    assert audio.data == text


def test_numbers_that_only_one_reader_takes() -> None:
    """A number of 5,000 digits in a field that nobody reads is no damage."""
    reading = read_alike(b'data: {"id":"1","big":' + b"9" * 5000 + b',"choices":[]}\n\n' + HI + stops())
    assert (reading.text, reading.damaged, reading.failure) == ("Hi", 0, None)


class Step(msgspec.Struct):
    """A chunk of another endpoint, with a field that must be there."""

    number: int
    id: str | None = None


class Steps:
    """Folds steps into their sum."""

    def __init__(self) -> None:
        self.total = 0

    def add(self, chunk: Step) -> None:
        self.total += chunk.number

    @property
    def finished(self) -> bool:
        return self.total >= 10

    def result(self, *, complete: bool) -> int:
        return self.total


STEPS: StreamKind[Step, int] = StreamKind(Step, Steps, lambda step: step.number > 0, lambda step: step.number >= 10)


def test_streams_of_another_kind() -> None:
    """A reader takes any kind of stream: its chunks, its way of folding, its notion of a start and an end."""
    reader = ChunkReader(STEPS)
    assert reader.feed(frame({"number": 0})) == [Step(0)]
    assert not reader.started
    assert reader.feed(frame({"number": "3"}) + frame({"number": 7.0})) == [Step(3), Step(7)]
    assert reader.started
    assert reader.close() == []
    assert (reader.complete, reader.result()) == (True, 10)


@pytest.mark.parametrize("members", [{}, {"number": None}, {"number": "x"}, None, []])
def test_chunks_without_what_they_need(members: Any) -> None:
    """A frame without a field that its kind needs is StreamCorrupted, an error frame its error."""
    reader = ChunkReader(STEPS)
    assert reader.feed(frame({"number": 1}) + frame(members)) == [Step(1)]
    assert isinstance(reader.failure, errors.StreamCorrupted)
    assert reader.failure.partial == 1
    reader = ChunkReader(STEPS)
    reader.feed(frame(RATE))
    assert isinstance(reader.failure, errors.RateLimitError)


# ---------------------------------------------------------------- two answers in one stream

NOT_COUNTED: dict[str, bytes] = {
    "role only": says(id="2", role="assistant"),
    "empty content": says("", id="2", reasoning_content="", tool_calls=[]),
    "null content": says(id="2", content=None, role="assistant"),
    "empty choices": frame({"id": "2", "choices": []}),
    "no choices": frame({"id": "2"}),
    "usage only": frame({"id": "2", "choices": [], "usage": {"total_tokens": 5}}),
    "keep-alive": frame({"id": "keep-alive", "object": "keep-alive"}),
    "a finish reason alone": frame({"id": "2", "choices": [{"delta": {}, "finish_reason": "stop"}]}),
    "content without id": says("", id=None) + says("", id=""),
    "content with the id null": frame({"id": None, "choices": [{"delta": {"content": ""}}]}),
}
RESTARTS: dict[str, bytes] = {
    "content": says("x", id="2"),
    "reasoning": says(id="2", reasoning_content="x"),
    "reasoning by its other name": says(id="2", reasoning="x"),
    "a tool call": says(id="2", tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}]),
    "audio": says(id="2", audio={"id": "a", "data": "UklGRg=="}),
    "an int id": says("x", id=2),
}


@pytest.mark.parametrize("other", NOT_COUNTED.values(), ids=NOT_COUNTED)
def test_frames_that_are_no_restart(other: bytes) -> None:
    """Frames that say nothing may come under another id, before, between and behind."""
    reading = read_alike(other + HI + other + says("!") + stops() + other + DONE)
    assert reading.failure is None
    assert reading.text == "Hi!"


@pytest.mark.parametrize("middle", [b"", NOT_COUNTED["role only"], says("", id=None)], ids=["at once", "role", "no id"])
@pytest.mark.parametrize("other", RESTARTS.values(), ids=RESTARTS)
def test_restart(other: bytes, middle: bytes) -> None:
    """Something said under a second id is StreamRestarted; nothing of the second answer is in the partial result."""
    reading = read_alike(HI + middle + other + stops() + DONE)
    error = reading.error
    assert isinstance(error, errors.StreamRestarted)
    assert error.partial.text == "Hi"
    assert error.partial.reasoning == ""
    assert error.partial.tool_calls == []
    assert len(reading.chunks) == 1 + bool(middle)


def test_content_without_id_is_no_restart() -> None:
    """Frames without id belong to the answer around them, and the ids before and after are compared."""
    assert read_alike(HI + says("!", id=None) + says("?", id="") + says(".") + stops()).text == "Hi!?."
    assert read_alike(says("a", id=None) + says("b") + stops()).text == "ab"
    assert isinstance(read_alike(HI + says("!", id=None) + says("x", id="2")).error, errors.StreamRestarted)


def test_glued_frame_is_compared_with_the_answer() -> None:
    """The id that a glued frame must have is that of the answer, not that of an opening keep-alive."""
    opening = frame({"id": "keep-alive", "choices": []})
    assert read_alike(opening + HI + glued("1") + stops()).text == "Hi!"
    assert isinstance(read_alike(opening + HI + glued("keep-alive") + stops()).error, errors.StreamCorrupted)


# ---------------------------------------------------------------- choices


def test_choices_are_kept_apart() -> None:
    """Text, calls and finish reasons are folded per choice index, whatever order they come in."""

    def two(first: str, second: str, **more: Any) -> bytes:
        return frame({"id": "1", "choices": [
            {"index": 1, "delta": {"content": second}, **more}, {"index": 0, "delta": {"content": first}, **more},
        ]})  # fmt: skip

    reading = read_alike(two("a", "A") + two("b", "B") + two("", "", finish_reason="stop"))
    assert reading.complete
    assert reading.result["choices"] == [
        {"finish_reason": "stop", "message": {"role": "assistant", "content": "ab"}},
        {"index": 1, "finish_reason": "stop", "message": {"role": "assistant", "content": "AB"}},
    ]


def test_snapshot_before_the_end() -> None:
    """The result before the end is a snapshot with complete False; after the end complete is True."""
    reader = ChunkReader(CHAT)
    snapshots = []
    for piece in (HI, says("!"), stops(), DONE):
        reader.feed(piece)
        snapshots.append(reader.result())
    assert [(snapshot.text, snapshot.complete) for snapshot in snapshots] == [
        ("Hi", False), ("Hi!", False), ("Hi!", False), ("Hi!", True),
    ]  # fmt: skip
    assert len({id(snapshot) for snapshot in snapshots}) == 4
