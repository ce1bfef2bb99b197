"""The relay by itself, in virtual time: silences, endings, what is closed, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import pytest

from tests.integrations.web_servers import payloads
from tests.virtual_time import run
from zhipu_async.errors import ConfigError, ConnectError, OverloadedError
from zhipu_async.integrations.web import KEEP_ALIVE, Problem, Relay, Relayed, problem_of


class Tab:
    """A browser that takes what it is given, at once or after ``slow`` seconds, and leaves after ``stays``."""

    def __init__(
        self,
        *,
        stays: float = 1e6,
        slow: float = 0.0,
        slow_end: float = 0.0,
        breaks: bool = False,
        fault: Exception | None = None,
    ) -> None:
        self.began: float | None = None
        self.writes: list[tuple[float, bytes]] = []
        self.ended = self.aborted = False
        self.refused: Problem | None = None
        self.left = False
        self._stays, self._slow, self._slow_end, self._breaks = stays, slow, slow_end, breaks
        self._inside = 0
        self._fault = fault

    @property
    def body(self) -> bytes:
        """All that was written."""
        return b"".join(data for _, data in self.writes)

    async def begin(self) -> None:
        """Note when the head was sent."""
        assert self.began is None
        assert self.refused is None
        if self._fault is not None:
            raise self._fault
        await asyncio.sleep(self._slow)
        self.began = asyncio.get_running_loop().time()

    async def write(self, data: bytes) -> None:
        """Take a frame; never two at a time."""
        self._inside += 1
        assert (self._inside, self.ended, self.began is None) == (1, False, False)
        if self._breaks:
            raise ConnectionResetError("gone")
        await asyncio.sleep(self._slow)
        self._inside -= 1
        self.writes.append((asyncio.get_running_loop().time(), data))

    async def end(self) -> None:
        """Note that the answer is complete."""
        self.ended = True
        await asyncio.sleep(self._slow_end)

    def abort(self) -> None:
        """Note that the connection was cut."""
        self.aborted = True

    async def refuse(self, problem: Problem) -> None:
        """Note what was told in place of a stream."""
        assert self.began is None
        self.refused = problem

    async def gone(self) -> None:
        """Return when the visitor has had enough."""
        await asyncio.sleep(self._stays)
        self.left = True


class Upstream:
    """An async iterable of items; a number is a silence of so many seconds, an exception is raised."""

    def __init__(self, *items: str | float | BaseException) -> None:
        self._items = iter(items)
        self.closed = 0
        self.result = "as far as it came"

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        for item in self._items:
            if isinstance(item, BaseException):
                raise item
            if isinstance(item, str):
                return item
            await asyncio.sleep(item)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Count the closings."""
        self.closed += 1


def relay(source: Any, tab: Tab, **options: Any) -> Relayed:
    """Relay in virtual time; the end that was told is the end that is given."""
    ends: list[Relayed] = []

    async def on_end(relayed: Relayed) -> None:
        await asyncio.sleep(1)
        ends.append(relayed)

    async def answer() -> Relayed:
        given = await Relay(source, on_end=on_end, **options).answer(tab)
        assert ends == [given]
        assert len(asyncio.all_tasks()) == 1
        return given

    return run(answer())


def test_comments_break_silences() -> None:
    """A comment comes after every `keep_alive` seconds without a frame, the first with the head of the answer."""
    tab = Tab()
    upstream = Upstream(25.0, "a", 5.0, "b", 14.0, "c", 16.0)
    assert relay(upstream, tab, keep_alive=10).ended == "done"
    comments = [when for when, data in tab.writes if data == KEEP_ALIVE]
    assert comments == [10.0, 20.0, 40.0, 54.0]
    assert tab.began == 10.0
    assert [when for when, data in tab.writes if data != KEEP_ALIVE] == [25.0, 30.0, 44.0, 60.0]
    assert (tab.ended, upstream.closed) == (True, 1)


def test_without_comments_the_head_waits_for_the_first_frame() -> None:
    """With `keep_alive=None` nothing is sent before there is something to say."""
    tab = Tab()
    relay(Upstream(3600.0, "a"), tab, keep_alive=None)
    assert tab.began == 3600.0
    assert payloads(tab.body) == [(None, {"text": "a"}), (None, "[DONE]")]


def test_an_error_after_a_comment_is_a_frame() -> None:
    """Once the head is out an error is `event: error`, also where it comes before the first frame."""
    tab = Tab()
    relayed = relay(Upstream(25.0, OverloadedError("x", retry_after=3)), tab, keep_alive=10)
    assert (relayed.ended, type(relayed.error), tab.refused) == ("failed", OverloadedError, None)
    ((name, told),) = payloads(tab.body)
    assert (name, told["error"]["type"], told["error"]["retry_after"]) == ("error", "overloaded", 3)
    assert tab.ended


def test_comments_and_frames_take_turns() -> None:
    """A frame that comes while a comment is being sent waits for it: nothing is written into the middle of another."""
    tab = Tab(slow=5.0)
    assert relay(Upstream(11.0, "a"), tab, keep_alive=10).ended == "done"
    assert (tab.began, [when for when, _ in tab.writes]) == (15.0, [20.0, 25.0, 30.0])
    assert tab.body.startswith(KEEP_ALIVE)


ENDINGS: dict[str, tuple[Callable[[], Upstream], dict[str, Any], str, list[str]]] = {
    "whole": (lambda: Upstream("a", "b"), {}, "done", ["a", "b"]),
    "empty": (Upstream, {}, "done", []),
    "left in a silence": (lambda: Upstream("a", 60.0, "b"), {"stays": 5}, "left", ["a"]),
    "left before the first frame": (lambda: Upstream(60.0, "b"), {"stays": 5}, "left", []),
    "left while much was to be sent": (lambda: Upstream(*"ab"), {"stays": 10, "slow": 4}, "left", ["a"]),
    "took nothing": (lambda: Upstream(*"ab"), {"slow": 61}, "left", []),
    "was slow": (lambda: Upstream(*"ab"), {"slow": 29}, "done", ["a", "b"]),
    "broken connection": (lambda: Upstream("a", "b"), {"breaks": True}, "left", []),
    "failed": (lambda: Upstream("a", ConnectError("x")), {}, "failed", ["a"]),
}


@pytest.mark.parametrize("case", ENDINGS)
def test_endings(case: str) -> None:
    """However it ends the source is closed once, the end is told once, and only a whole answer has [DONE]."""
    make, tab_options, ended, texts = ENDINGS[case]
    upstream, tab = make(), Tab(**tab_options)
    relayed = relay(upstream, tab, keep_alive=None)
    assert (relayed.ended, relayed.source, upstream.closed) == (ended, upstream, 1)
    assert relayed.result == "as far as it came"
    frames = payloads(tab.body)
    assert [data["text"] for _, data in frames if "text" in data] == texts
    assert ((None, "[DONE]") in frames, tab.ended) == (ended == "done", ended in ("done", "failed"))
    assert relayed.events == len(frames)


CUTS: list[tuple[dict[str, Any], dict[str, Any], str, bool]] = [
    ({}, {}, "done", False),
    ({"slow": 29}, {}, "done", False),
    ({"stays": 10, "slow": 4}, {}, "left", False),
    ({"slow": 61}, {}, "left", True),
    ({"slow": 61}, {"stall": None}, "done", False),
    ({"slow": 11}, {"stall": 10, "keep_alive": 5}, "left", True),
    ({"slow_end": 61}, {}, "done", True),
]


@pytest.mark.parametrize(("tab_options", "options", "ended", "cut"), CUTS)
def test_the_connection_of_a_browser_that_takes_nothing_is_cut(
    tab_options: dict[str, Any], options: dict[str, Any], ended: str, cut: bool
) -> None:
    """After `stall` seconds, over a frame, a comment or the end, nothing is left to wait until the browser reads."""
    tab = Tab(**tab_options)
    relayed = relay(Upstream(6.0, *"ab"), tab, **{"keep_alive": None, **options})
    assert (relayed.ended, tab.aborted) == (ended, cut)


def test_the_source_waits_for_the_browser() -> None:
    """The next item is asked for only when the browser has taken the one before, the first with the head."""
    tab, asked = Tab(slow=2.0), []

    async def items() -> AsyncIterator[str]:
        for item in "abc":
            asked.append(asyncio.get_running_loop().time())
            yield item

    relay(items(), tab, keep_alive=None)
    assert asked == [0.0, 4.0, 6.0]


def test_an_awaitable_is_opened_by_the_relay() -> None:
    """A call that is still to be made is awaited under the browser's eyes, and cancelled when it leaves."""
    opened = []

    async def call(seconds: float) -> Upstream:
        await asyncio.sleep(seconds)
        opened.append(Upstream("a"))
        return opened[-1]

    assert relay(call(3), Tab(stays=5)).source is opened[0]
    relayed = relay(call(7), Tab(stays=5))
    assert (relayed.ended, relayed.source, relayed.result, len(opened)) == ("left", None, None, 1)


async def test_a_call_that_gives_no_stream_is_explained() -> None:
    """A call without `stream=True` is an error that says so, and what it gave is kept."""

    async def call() -> Any:
        return 5

    ends: list[Relayed] = []
    tab = Tab()
    relayed = await Relay(call(), on_end=ends.append).answer(tab)
    assert ends == [relayed]
    assert "stream=True" in str(relayed.error)
    assert relayed.source == 5
    assert tab.refused == problem_of(ConfigError())


def test_a_foreign_error_is_raised() -> None:
    """The framework sees exceptions of the application: before the first frame untold, later also as a frame."""
    for items in ((LookupError("private"),), ("a", LookupError("private"))):
        tab = Tab()
        with pytest.raises(LookupError, match="private"):
            relay(Upstream(*items), tab)
        assert tab.refused is None
        assert [name for name, _ in payloads(tab.body)] == ([None, "error"] if len(items) == 2 else [])
        assert b"private" not in tab.body


def test_no_comment_follows_the_end() -> None:
    """While a browser takes a frame slowly comments are not due, and none comes after the last frame."""
    tab = Tab(slow=25.0)
    assert relay(Upstream("a"), tab, keep_alive=10).ended == "done"
    assert [when for when, _ in tab.writes] == [50.0, 75.0]
    assert payloads(tab.body) == [(None, {"text": "a"}), (None, "[DONE]")]
    assert KEEP_ALIVE not in tab.body


def test_an_error_during_the_first_comment_is_a_frame() -> None:
    """An error that comes while the head is being sent waits for it, and is the frame after it."""
    tab = Tab(slow=5.0)
    assert relay(Upstream(12.0, ConnectError("x")), tab, keep_alive=10).ended == "failed"
    assert (tab.began, tab.refused) == (15.0, None)
    assert [name for name, _ in payloads(tab.body)] == ["error"]


def test_a_head_that_cannot_be_sent_is_the_frameworks() -> None:
    """What a framework's own hooks raise when the answer begins is raised as it is, and no frame is tried."""
    tab = Tab(fault=LookupError("hook"))
    with pytest.raises(LookupError, match="hook"):
        relay(Upstream("a"), tab)
    assert (tab.writes, tab.refused) == ([], None)


def test_a_source_that_is_cancelled_from_elsewhere_has_failed() -> None:
    """A cancellation that is not the relay's own does not pass for an empty answer."""
    tab = Tab()
    with pytest.raises(RuntimeError, match="was cancelled"):
        relay(Upstream(asyncio.CancelledError()), tab)
    assert (tab.began, tab.refused) == (None, None)


def test_the_caller_says_what_the_browser_is_told() -> None:
    """`problem` takes the place of the table."""
    tab = Tab()
    own = Problem(418, "teapot", "I am a teapot.")
    relay(Upstream(ConnectError("x")), tab, problem=lambda error: own)
    assert tab.refused == own


@pytest.mark.parametrize("times", [1, 2])
def test_a_cancelled_relay_tells_its_end(times: int) -> None:
    """A server that stops cancels the handler, maybe twice: the source is closed and the end is told nevertheless."""
    ends: list[Relayed] = []
    upstream = Upstream("a", 60.0)

    async def stop() -> None:
        answering = asyncio.create_task(Relay(upstream, on_end=ends.append).answer(Tab()))
        await asyncio.sleep(1)
        for _ in range(times):
            answering.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await answering
        assert len(asyncio.all_tasks()) == 1

    run(stop())
    assert [relayed.ended for relayed in ends] == ["cancelled"]
    assert ends[0].result == "as far as it came"


@pytest.mark.parametrize("fault", [None, LookupError("no database")])
def test_a_scope_that_cancels_again_and_again(fault: Exception | None, caplog: pytest.LogCaptureFixture) -> None:
    """Inside of a cancelled scope of anyio nothing can be awaited: an async on_end comes to its end all the same, and
    its failure is logged."""
    stored: list[Relayed] = []
    upstream = Upstream(*"abc")

    async def store(relayed: Relayed) -> None:
        await asyncio.sleep(1)
        stored.append(relayed)
        if fault is not None:
            raise fault

    async def visit() -> None:
        with anyio.move_on_after(5):
            await Relay(upstream, on_end=store).answer(Tab(slow=4))
        await asyncio.sleep(2)
        assert len(asyncio.all_tasks()) == 1

    run(visit())
    assert [relayed.ended for relayed in stored] == ["cancelled"]
    assert upstream.closed == 1
    assert ("no database" in caplog.text) is (fault is not None)


def test_a_generator_is_closed_by_the_task_that_read_it() -> None:
    """Scopes inside of a generator may be left only where they were entered: also when it waits for a slow browser."""
    tasks: list[object] = []

    async def items() -> AsyncIterator[str]:
        tasks.append(asyncio.current_task())
        try:
            yield "a"
            yield "b"
        finally:
            tasks.append(asyncio.current_task())

    assert relay(items(), Tab(stays=10, slow=4)).ended == "left"
    assert len(tasks) == 2
    assert tasks[0] is tasks[1]


def test_a_failure_to_close_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What goes wrong in closing the source does not change how the relay ended."""

    class Stuck(Upstream):
        async def aclose(self) -> None:
            raise LookupError("stuck")

    assert relay(Stuck("a"), Tab()).ended == "done"
    assert "closing Stuck after it was relayed failed" in caplog.text


async def test_a_call_that_is_not_wanted_is_never_made() -> None:
    """Closing a relay that was not begun leaves no call and no task, and no warning of one that was never awaited."""
    made = []

    async def call() -> Upstream:
        made.append(1)
        return Upstream()

    relay = Relay(call())
    await relay.close()
    task = asyncio.create_task(call())
    relay = Relay(task)
    await relay.close()
    await asyncio.wait([task])
    assert task.cancelled()
    assert made == []


async def test_an_answer_is_sent_once() -> None:
    """A second request cannot have the answer of the first."""
    relay = Relay(Upstream("a"))
    await relay.answer(Tab())
    with pytest.raises(ConfigError, match="was sent already"):
        await relay.answer(Tab())


WRONG: dict[str, Callable[[], Awaitable[object] | object]] = {
    "no iterable": lambda: Relay("text"),  # type: ignore[arg-type]
    "a plain list": lambda: Relay([1]),  # type: ignore[arg-type]
    "seconds below 0": lambda: Relay(Upstream(), keep_alive=-1),
    "no seconds": lambda: Relay(Upstream(), stall=0),
    "no such option": lambda: Relay(Upstream(), onend=print),  # type: ignore[call-arg]
    "an end that nobody can be told of": lambda: Relay(Upstream(), on_end="print"),  # type: ignore[arg-type]
    "no problem": lambda: Relay(Upstream(), problem=None),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", WRONG)
async def test_wrong_use_is_refused_at_once(case: str) -> None:
    """ConfigError comes from making the relay, before anything is asked."""
    with pytest.raises(ConfigError):
        WRONG[case]()
