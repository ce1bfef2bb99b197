"""What happened: events to statistics, log and hooks."""

from __future__ import annotations

import gc
import logging
import math
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import Serve
from zhipu_async import errors
from zhipu_async.protocol.chunks import ChunkReader
from zhipu_async.simulator import Frames, Pace, Raw, Refusal, Reply, Scenario, Simulator
from zhipu_async.statistics import SAMPLES_KEPT, ModelStatistics, Percentiles
from zhipu_async.telemetry import (
    AttemptFailed,
    CallBegan,
    CallFailed,
    CallRecord,
    CallSucceeded,
    Event,
    Hook,
    Telemetry,
    Timing,
    is_refusal,
)
from zhipu_async.types.chat import CompletionTokensDetails, PromptTokensDetails, Usage

CHAT, GLM = "POST /chat/completions", "glm-4.6"
USAGE = Usage(
    prompt_tokens=20,
    completion_tokens=91,
    total_tokens=111,
    prompt_tokens_details=PromptTokensDetails(cached_tokens=5),
    completion_tokens_details=CompletionTokensDetails(reasoning_tokens=82),
)
SLOW = errors.RateLimitError("slow", status=429, code="1302")


def succeeded(total: float = 2.0, first_token: float | None = None, **more: Any) -> CallSucceeded:
    """A call that succeeded."""
    model, usage = more.pop("model", GLM), more.pop("usage", None)
    timing = Timing(first_byte=0.5, first_token=first_token, total=total, **more)
    return CallSucceeded(CHAT, model, timing, usage, "stop")


def failed(error: Exception | None, usage: Usage | None = None) -> CallFailed:
    """A call that failed, or was cancelled."""
    return CallFailed(CHAT, GLM, Timing(total=1.0), error, usage)


def attempt_failed(error: Exception, number: int = 1, delay: float | None = 0.25) -> AttemptFailed:
    """An attempt that failed."""
    return AttemptFailed(CHAT, GLM, number, 0.125, error, delay)


def statistics(*events: Event) -> ModelStatistics:
    """What events add up to for one model."""
    telemetry = Telemetry()
    for event in events:
        telemetry.emit(event)
    (found,) = telemetry.statistics().values()
    return found


NOTHING = ModelStatistics(
    calls=0, successes=0, failures=0, cancelled=0, streams=0, attempts=0, refused=0, errors={}, prompt_tokens=0,
    completion_tokens=0, total_tokens=0, cached_tokens=0, reasoning_tokens=0, latency=Percentiles(),
    first_token=Percentiles(),
)  # fmt: skip
TWO = Percentiles(2.0, 2.0, 2.0)
STATISTICS: dict[str, tuple[list[Event], dict[str, Any]]] = {
    "a success": ([succeeded(usage=USAGE)], {
        "calls": 1, "successes": 1, "latency": TWO,
        "prompt_tokens": 20, "completion_tokens": 91, "total_tokens": 111, "cached_tokens": 5, "reasoning_tokens": 82,
    }),
    "a success without usage": ([succeeded()], {"calls": 1, "successes": 1, "latency": TWO}),
    "a success with little usage": ([succeeded(usage=Usage(total_tokens=3))], {
        "calls": 1, "successes": 1, "latency": TWO, "total_tokens": 3,
    }),
    "usage adds up": ([succeeded(usage=USAGE), succeeded(usage=USAGE)], {
        "calls": 2, "successes": 2, "latency": TWO,
        "prompt_tokens": 40, "completion_tokens": 182, "total_tokens": 222, "cached_tokens": 10,
        "reasoning_tokens": 164,
    }),
    "a stream": ([succeeded(first_token=1.0)], {
        "calls": 1, "successes": 1, "streams": 1, "latency": TWO,
        "first_token": Percentiles(1.0, 1.0, 1.0),
    }),
    "a success after two 429s": (
        [attempt_failed(SLOW), attempt_failed(SLOW, 2), succeeded()],
        {"calls": 1, "successes": 1, "refused": 2, "latency": TWO},
    ),
    "a failure": (
        [attempt_failed(errors.ServerError("x", status=500), delay=None), failed(errors.ServerError("x", status=500))],
        {"calls": 1, "failures": 1, "errors": {"ServerError": 1}},
    ),
    "failures by class": (
        [failed(SLOW), failed(SLOW), failed(errors.ConnectError("x")), failed(ValueError("x"))],
        {"calls": 4, "failures": 4, "errors": {"RateLimitError": 2, "ConnectError": 1, "ValueError": 1}},
    ),
    "a failure that cost tokens": ([failed(SLOW, usage=USAGE)], {
        "calls": 1, "failures": 1, "errors": {"RateLimitError": 1},
        "prompt_tokens": 20, "completion_tokens": 91, "total_tokens": 111, "cached_tokens": 5, "reasoning_tokens": 82,
    }),
    "a call that was cancelled": ([failed(None)], {"calls": 1, "cancelled": 1}),
}  # fmt: skip


@pytest.mark.parametrize(("events", "expected"), STATISTICS.values(), ids=STATISTICS)
def test_statistics(events: list[Event], expected: dict[str, Any]) -> None:
    """Events add up to calls, refusals, errors by class, tokens and percentiles."""
    assert statistics(*events) == msgspec.structs.replace(NOTHING, **expected)


def test_attempts_count_as_they_are_sent() -> None:
    """A refusal is a share of the attempts that were made till then, whatever their calls are at."""
    telemetry = Telemetry()
    record = CallRecord(telemetry, CHAT, GLM)
    for attempts in (1, 2):
        record.attempt()
        record.sent()
        assert telemetry.statistics()[GLM].attempts == attempts
    record.succeed()
    assert telemetry.statistics()[GLM] == msgspec.structs.replace(
        NOTHING, calls=1, successes=1, attempts=2, latency=telemetry.statistics()[GLM].latency
    )


def test_an_answer_that_the_model_broke_off_is_a_failure() -> None:
    """The finish reason network_error: a failed call, whose tokens count (chat.md section 5)."""
    events: list[Event] = []
    telemetry = Telemetry([events.append])
    CallRecord(telemetry, CHAT, GLM).succeed(USAGE, "network_error")
    (event,) = events
    assert isinstance(event, CallFailed)
    assert isinstance(event.error, errors.StreamFailed)
    assert "network_error" in str(event.error)
    found = telemetry.statistics()[GLM]
    assert (found.failures, found.successes, found.total_tokens) == (1, 0, 111)


def test_statistics_by_model() -> None:
    """Each model has statistics of its own, and calls without a model have theirs."""
    telemetry = Telemetry()
    assert telemetry.statistics() == {}
    for model in (GLM, None, "glm-5", GLM):
        telemetry.emit(succeeded(model=model))
    assert {model: found.calls for model, found in telemetry.statistics().items()} == {GLM: 2, None: 1, "glm-5": 1}


def test_statistics_are_snapshots() -> None:
    """What was given out does not change with later events."""
    telemetry = Telemetry()
    telemetry.emit(failed(SLOW))
    before = telemetry.statistics()[GLM]
    telemetry.emit(failed(SLOW))
    assert before.errors == {"RateLimitError": 1}
    assert telemetry.statistics()[GLM].errors == {"RateLimitError": 2}


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (SLOW, True),
        (errors.RateLimitError("x", status=200, code="1302"), True),
        (errors.OverloadedError("x", status=429, code="1305"), True),
        (errors.AccountError("x", status=429, code="1113"), True),
        (errors.QuotaError("x", status=429, code="1308"), True),
        (errors.ServerError("x", status=500), False),
        (errors.BadRequestError("x", status=400), False),
        (errors.ConnectError("x"), False),
        (ValueError("x"), False),
    ],
)
def test_refusals(error: Exception, refused: bool) -> None:
    """A refusal is any HTTP 429, or what inside a 200 stream would have been one."""
    assert is_refusal(error) is refused


def test_percentiles() -> None:
    """Percentiles are nearest-rank: of 1 to 100 they are 50, 90 and 99, of one sample it, of none None."""
    assert Percentiles.of(map(float, range(100, 0, -1))) == Percentiles(50.0, 90.0, 99.0)
    assert Percentiles.of([3.0]) == Percentiles(3.0, 3.0, 3.0)
    assert Percentiles.of([1.0, 2.0]) == Percentiles(1.0, 2.0, 2.0)
    assert Percentiles.of([]) == Percentiles(None, None, None)


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_percentiles_are_samples(samples: list[float]) -> None:
    """At least the share of samples that a percentile names is at most as large, and it is the least such sample."""
    found = Percentiles.of(samples)
    for value, rank in ((found.p50, 50), (found.p90, 90), (found.p99, 99)):
        assert value in samples
        needed = math.ceil(len(samples) * rank / 100)
        assert sum(sample <= value for sample in samples) >= needed
        assert sum(sample < value for sample in samples) < needed


def test_the_newest_samples_count() -> None:
    """Percentiles are over the newest 1,024 calls."""
    events = [succeeded(total=1.0)] * 500 + [succeeded(total=5.0)] * SAMPLES_KEPT
    assert statistics(*events).latency == Percentiles(5.0, 5.0, 5.0)
    assert statistics(*events).calls == 500 + SAMPLES_KEPT


def test_statistics_since_a_snapshot() -> None:
    """What came after a snapshot is counted by itself: numbers, errors, and the samples of the percentiles."""
    telemetry = Telemetry()
    for event in (succeeded(total=9.0, first_token=8.0, usage=USAGE), failed(SLOW), attempt_failed(SLOW)):
        telemetry.emit(event)
    before = telemetry.statistics()
    assert telemetry.statistics(before)[GLM] == NOTHING
    for event in (succeeded(first_token=1.0, usage=USAGE), succeeded(), failed(errors.ConnectError("x"))):
        telemetry.emit(event)
    telemetry.emit(succeeded(model="glm-5"))
    since = telemetry.statistics(before)
    assert since[GLM] == msgspec.structs.replace(
        NOTHING, calls=3, successes=2, failures=1, streams=1, errors={"ConnectError": 1},
        prompt_tokens=20, completion_tokens=91, total_tokens=111, cached_tokens=5, reasoning_tokens=82,
        latency=TWO, first_token=Percentiles(1.0, 1.0, 1.0),
    )  # fmt: skip
    assert since["glm-5"].calls == 1
    assert telemetry.statistics()[GLM].calls == 5


def test_statistics_while_calls_go_on_elsewhere() -> None:
    """Calls that end in another thread while statistics are made do not disturb them."""
    telemetry = Telemetry()

    class Number(int):
        def __gt__(self, other: int) -> bool:  # in the middle of the work
            telemetry.emit(succeeded(first_token=1.0))
            telemetry.emit(succeeded(model="glm-of-a-moment-ago"))
            return super().__gt__(other)

    telemetry.emit(succeeded(first_token=1.0))
    tally = telemetry._tallies[GLM]
    for samples in (tally.latency, tally.first_token):
        samples.append((Number(1), 2.0))
    assert telemetry.statistics()[GLM].latency == TWO
    assert telemetry.statistics()["glm-of-a-moment-ago"].calls >= 2


@given(st.lists(st.floats(0.0, 100.0), max_size=30), st.lists(st.floats(0.0, 100.0), max_size=30))
def test_percentiles_since_a_snapshot_are_those_of_the_later_samples(first: list[float], later: list[float]) -> None:
    """The samples before a snapshot have no part in what came since."""
    telemetry = Telemetry()
    telemetry.emit(failed(None))
    for total in first:
        telemetry.emit(succeeded(total=total))
    before = telemetry.statistics()
    for total in later:
        telemetry.emit(succeeded(total=total))
    found = telemetry.statistics(before)[GLM]
    assert (found.calls, found.latency) == (len(later), Percentiles.of(later))


# ---------------------------------------------------------------- hooks and log


def test_hooks_get_every_event_in_order() -> None:
    """Each hook gets each event, hooks in their order, after the statistics have it."""
    seen: list[tuple[str, Event, int]] = []

    def hook(name: str) -> Hook:
        return lambda event: seen.append((name, event, telemetry.statistics()[GLM].calls))

    telemetry = Telemetry([hook("a"), hook("b")])
    events: list[Event] = [attempt_failed(SLOW), succeeded()]
    for event in events:
        telemetry.emit(event)
    assert seen == [("a", events[0], 0), ("b", events[0], 0), ("a", events[1], 1), ("b", events[1], 1)]


def test_a_hook_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """A hook that raises is logged with its traceback, and neither the caller nor the next hook notices."""
    seen: list[Event] = []

    def broken(event: Event) -> None:
        raise RuntimeError("hook trouble")

    event = succeeded()
    with caplog.at_level(logging.ERROR, "zhipu_async"):
        Telemetry([broken, seen.append]).emit(event)
    assert seen == [event]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "hook trouble" in caplog.text


def test_failed_attempts_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A failed attempt is an info record with endpoint, model, error and the sleep that follows; a success is none."""
    with caplog.at_level(logging.INFO, "zhipu_async"):
        Telemetry().emit(attempt_failed(SLOW))
        Telemetry().emit(attempt_failed(SLOW, delay=None))
        Telemetry().emit(succeeded())
    first, second = (record.getMessage() for record in caplog.records)
    assert (
        first
        == "POST /chat/completions glm-4.6: attempt 1 failed after 0.125 s: RateLimitError('slow'), next in 0.25 s"
    )
    assert second.endswith("RateLimitError('slow')")


def test_logging_is_silent_by_default() -> None:
    """Without a configuration of logging nothing is printed: the logger has a handler that does nothing."""
    handlers = logging.getLogger("zhipu_async").handlers
    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)


@pytest.mark.parametrize("event", [attempt_failed(SLOW), succeeded(usage=USAGE), failed(SLOW), failed(None)])
def test_events_are_frozen_values(event: Event) -> None:
    """Events cannot be changed, and pickle."""
    with pytest.raises(AttributeError):
        event.endpoint = "x"  # type: ignore[misc]
    again = pickle.loads(pickle.dumps(event))
    assert (again.endpoint, again.model) == (CHAT, GLM)
    assert type(again) is type(event)


# ---------------------------------------------------------------- one call


def test_record_of_a_call() -> None:
    """A record takes the times of one call in order, counts its attempts, and forgets those of a failed attempt."""
    seen: list[Event] = []
    record = CallRecord(Telemetry([seen.append]), CHAT, GLM)
    assert record.timing.first_byte is None
    record.attempt()
    record.first_byte()
    record.first_token()
    record.attempt_failed(SLOW, 0.125, 0.25)
    record.attempt()
    assert (record.timing.first_byte, record.timing.first_token) == (None, None)
    record.first_byte()
    record.first_token()
    timing = record.succeed(USAGE, "stop")
    assert timing.attempts == 2
    assert timing.first_byte is not None
    assert timing.first_token is not None
    assert timing.total is not None
    assert 0 <= timing.first_byte <= timing.first_token <= timing.total
    assert seen == [AttemptFailed(CHAT, GLM, 1, 0.125, SLOW, 0.25), CallSucceeded(CHAT, GLM, timing, USAGE, "stop")]


@pytest.mark.parametrize("first", ["succeed", "fail", "cancel"])
@pytest.mark.parametrize("second", ["succeed", "fail", "cancel"])
def test_a_call_ends_once(first: str, second: str) -> None:
    """Whatever is reported after a call's end changes nothing."""
    telemetry = Telemetry()
    record = CallRecord(telemetry, CHAT, GLM)
    for end in (first, second):
        if end == "succeed":
            record.succeed()
        else:
            record.fail(SLOW if end == "fail" else None)
    found = telemetry.statistics()[GLM]
    assert found.calls == 1
    assert {"succeed": found.successes, "fail": found.failures, "cancel": found.cancelled}[first] == 1


# ---------------------------------------------------------------- observers


class Following:
    """An observer of all calls, and what it saw; ``trouble`` names the method that raises."""

    def __init__(self, trouble: str = "", headers: dict[str, str] | None = None) -> None:
        self.trouble = trouble
        self.asked = headers or {}
        self.seen: list[Any] = []

    def _notes(self, method: str, *what: Any) -> None:
        self.seen.append((method, *what))
        if method == self.trouble:
            raise RuntimeError("observer trouble")

    def begin(self, call: CallBegan) -> Following:
        """Follow every call."""
        self._notes("begin", call.endpoint, call.model)
        return self

    @property
    def headers(self) -> dict[str, str]:
        """As they were given."""
        self._notes("headers")
        return self.asked

    def arrived(self, chunks: int) -> None:
        """Chunks came."""
        self._notes("arrived", chunks)

    def happened(self, event: Event, answer: Any) -> None:
        """Something happened."""
        self._notes("happened", type(event), answer)


BEGAN = CallBegan(CHAT, GLM, "http://127.0.0.1/chat/completions")


@pytest.mark.parametrize("ending", ["succeed", "fail", "cancel"])
def test_an_observer_follows_a_call_to_its_end(ending: str) -> None:
    """It is told of the beginning, chunks, failed attempts and the end with what came, and of nothing after it."""
    observer = Following(headers={"traceparent": "00-1-2-03"})
    record = CallRecord(Telemetry([observer]), CHAT, GLM)
    assert record.observe(BEGAN) == {"traceparent": "00-1-2-03"}
    record.partial = lambda: "what came"
    record.arrived(2)
    record.attempt_failed(SLOW, 0.1, None)
    for _ in range(2):
        if ending == "succeed":
            record.succeed()
        else:
            record.fail(SLOW if ending == "fail" else None)
    record.arrived(1)
    assert observer.seen == [
        ("begin", CHAT, GLM),
        ("headers",),
        ("arrived", 2),
        ("happened", AttemptFailed, None),
        ("happened", CallSucceeded if ending == "succeed" else CallFailed, "what came"),
    ]
    assert record.partial is None


@pytest.mark.parametrize("trouble", ["begin", "headers", "arrived", "happened"])
def test_an_observer_that_raises(trouble: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged with its traceback, and neither the call nor the next observer notices."""
    broken, sound = Following(trouble), Following()
    record = CallRecord(Telemetry([broken, sound]), CHAT, GLM)
    with caplog.at_level(logging.ERROR, "zhipu_async"):
        record.observe(BEGAN)
        record.arrived(1)
        record.succeed(answer="all")
    assert [method for method, *_ in sound.seen] == ["begin", "headers", "arrived", "happened"]
    assert sound.seen[-1] == ("happened", CallSucceeded, "all")
    assert [method for method, *_ in broken.seen][1:] == (
        [] if trouble == "begin" else ["headers", "arrived", "happened"]
    )
    assert [line.levelname for line in caplog.records] == ["ERROR"]
    assert "observer trouble" in caplog.text


def test_an_observer_may_decline() -> None:
    """A call that an observer gives None for is not followed, and events still reach an observer that is callable."""

    class Both:
        def __init__(self) -> None:
            self.events: list[Event] = []

        def __call__(self, event: Event) -> None:
            self.events.append(event)

        def begin(self, call: CallBegan) -> None:
            return None

    both = Both()
    record = CallRecord(Telemetry([both]), CHAT, GLM)
    assert record.observe(BEGAN) == {}
    record.succeed()
    assert [type(event) for event in both.events] == [CallSucceeded]


async def _asynchronous(event: Event) -> None: ...


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (7, "7 is no hook: give a function of one event, or an observer"),
        (Following, "Following'> is no hook"),
        (_asynchronous, "is async: give a plain function"),
    ],
    ids=["number", "class", "async"],
)
def test_what_is_no_hook(given: Any, text: str) -> None:
    """What could never be told of anything is refused at once: no function, a class, an async function."""
    with pytest.raises(errors.ConfigError, match=text):
        Telemetry([given])


async def test_a_client_tells_observers_of_each_call(serve: Serve, ask: Callable[..., dict[str, Any]]) -> None:
    """An observer sees arguments, attempts, chunks and answers of calls of each kind, and its headers travel."""
    observer = Following(headers={"X-Trace": "t1", "X-Mine": "theirs"})
    begun: list[CallBegan] = []
    observer.begin = lambda call: begun.append(call) or observer  # type: ignore[method-assign, func-returns-value]
    client, sim = await serve(
        Scenario(replies=[Refusal("1302"), Reply("Hi"), Reply("Well, well"), Reply("raw")]), hooks=[observer]
    )
    whole = await client.chat.completions.create(**ask(temperature=0.5, extra_headers={"x-mine": "mine"}))
    stream = await client.chat.completions.create(**ask(stream=True))
    chunks = [chunk async for chunk in stream]
    await client.chat.completions.with_raw_response.create(**ask())
    await client.request("GET", "/models", query={"key": "QuerySecret"})
    speech = await client.audio.speech(model="glm-tts", input="Hello", voice="tongtong")
    assert speech
    ends = [(event, answer) for method, *(event, answer) in (it for it in observer.seen if it[0] == "happened")]
    assert [event for event, _ in ends] == [AttemptFailed, *[CallSucceeded] * 5]
    assert ends[1][1] is whole
    assert ends[2][1] == stream.result
    assert sum(count for method, *(count,) in (it for it in observer.seen if it[0] == "arrived")) == len(chunks)
    assert [(call.endpoint, call.model, call.stream) for call in begun] == [
        (CHAT, GLM, False),
        (CHAT, GLM, True),
        (CHAT, GLM, False),
        ("GET /models", None, False),
        ("POST /audio/speech", "glm-tts", False),
    ]
    assert begun[0].arguments.temperature == 0.5
    assert begun[0].url == f"{sim.base_url}/chat/completions"
    assert "QuerySecret" not in repr(begun)
    assert [request.headers["x-trace"] for request in sim.requests] == ["t1"] * 6
    assert [request.headers["x-mine"] for request in sim.requests] == ["mine", "mine", *["theirs"] * 4]


async def test_headers_of_an_observer_that_cannot_be_sent(serve: Serve, ask: Callable[..., dict[str, Any]]) -> None:
    """A header with a line end is a ConfigError before anything is sent, and the call that had begun ends with it."""
    observer = Following(headers={"X-Trace": "a\r\nb"})
    client, sim = await serve(hooks=[observer])
    with pytest.raises(errors.ConfigError, match="X-Trace"):
        await client.chat.completions.create(**ask())
    assert observer.seen[-1] == ("happened", CallFailed, None)
    assert sim.requests == []


async def test_a_stream_that_is_dropped_is_freed_at_once(serve: Serve, ask: Callable[..., dict[str, Any]]) -> None:
    """An observed stream has no need of the garbage collector either, and its observer gets what had arrived."""
    observer = Following()
    scenario = Scenario(replies=[Reply("one two three four")], pace=Pace(per_chunk=0.05))
    client, _ = await serve(scenario, hooks=[observer])
    stream = await client.chat.completions.create(**ask(stream=True))
    await anext(stream)
    gone = weakref.ref(stream)
    gc.disable()
    try:
        del stream
        assert gone() is None
    finally:
        gc.enable()
    method, event, answer = observer.seen[-1]
    assert (method, event) == ("happened", CallFailed)
    assert answer.complete is False
    assert "one two three four".startswith(answer.text)


class Declining:
    """Follows no call."""

    def begin(self, call: CallBegan) -> None:
        """None for nothing."""


@pytest.mark.parametrize("hook", [lambda event: None, Declining()], ids=["a function", "an observer that declines"])
async def test_what_nobody_follows_is_not_collected(
    hook: Any, serve: Serve, ask: Callable[..., dict[str, Any]]
) -> None:
    """A stream that no observer follows is read by the plain reader, and no record holds on to what arrives."""
    client, _ = await serve(Scenario(replies=[Reply("Hi")]), hooks=[hook])
    stream = await client.chat.completions.create(**ask(stream=True))
    assert type(stream._reader) is ChunkReader
    assert stream._record.partial is None
    await stream.until_done()


async def test_other_hosts_do_not_get_the_headers_of_observers(serve: Serve) -> None:
    """A file that is fetched by its address, without the key, is observed, and asked for as it was."""
    observer = Following(headers={"X-Trace": "t1"})
    client, _ = await serve(hooks=[observer])
    async with Simulator(Scenario(replies=[Raw(b"the file", content_type="video/mp4")], checks=False)) as elsewhere:
        file = await client.download(f"{elsewhere.origin}/film.mp4")
    assert file.content == b"the file"
    assert [request.headers.get("x-trace") for request in elsewhere.requests] == [None]
    assert observer.seen[-1] == ("happened", CallSucceeded, None)


async def test_the_last_chunk_without_its_blank_line_is_told(serve: Serve, ask: Callable[..., dict[str, Any]]) -> None:
    """A chunk that only the end of the stream completes is told to observers like the others."""
    observer = Following()
    frames = [{"id": "1", "choices": [{"index": 0, "delta": {"content": text}}]} for text in "ab"]
    end = b'data: {"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
    client, _ = await serve(Scenario(replies=[Frames([*frames, end])]), hooks=[observer])
    stream = await client.chat.completions.create(**ask(stream=True))
    assert len([chunk async for chunk in stream]) == 3
    assert sum(what[0] for method, *what in observer.seen if method == "arrived") == 3
