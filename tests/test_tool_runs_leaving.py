"""Runs that are left, cancelled or dropped: nothing goes on, nothing stays open, and the conversation stays whole."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.conftest import Serve
from tests.fanning import left_over
from tests.virtual_model import THINKING, VirtualModel, unanswered
from tests.virtual_time import VirtualLoop
from tests.virtual_time import run as run_virtually
from zhipu_async import (
    CallDecoded,
    CallReturned,
    ContentDelta,
    ReasoningDelta,
    ToolCallDelta,
    ToolFailed,
    ToolRun,
    TurnFinished,
)
from zhipu_async.simulator import Delivery, Pace, Reply, Scenario
from zhipu_async.simulator import ToolCall as Call

Ask = Callable[..., dict[str, Any]]
STREAMS = pytest.mark.parametrize("stream", [None, True], ids=["plain", "streamed"])
QUESTION = {"role": "user", "content": "Hello"}


class Tools:
    """Functions that take three seconds and two, and how many of them run."""

    def __init__(self) -> None:
        self.running = self.began = self.cancelled = 0

    async def _work(self, seconds: float) -> str:
        self.began += 1
        self.running += 1
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        return f"worked {seconds:g} s"

    async def slow(self, place: str) -> str:
        """Take three seconds."""
        return await self._work(3)

    async def quick(self) -> str:
        """Take two seconds."""
        return await self._work(2)

    async def approve(self, decoded: CallDecoded) -> bool:
        """Take a second."""
        await asyncio.sleep(1)
        return True


def replies() -> list[Reply]:
    """Two turns with calls, and an answer."""
    calls = [Call("slow", {"place": "Bonn"}, id="call_1"), Call("quick", id="call_2"), Call("fly", id="call_3")]
    return [
        Reply("One moment.", tool_calls=calls, reasoning="Both."),
        Reply("", tool_calls=[Call("quick", id="call_4")]),
        Reply("All done."),
    ]


def started(model: VirtualModel, mine: Tools, stream: bool | None, **changes: Any) -> ToolRun:
    """A run in virtual time."""
    asked = {"model": "glm-4.6", "messages": [QUESTION], "stream": stream, "tool_stream": stream}
    options = {"tools": [mine.slow, mine.quick], "approve": mine.approve, **changes}
    return model.client().chat.completions.run_tools(**asked, **options)


def check_nothing_is_left(model: VirtualModel, tools: Tools, run: ToolRun) -> None:
    """No task, no open answer, no function; and a conversation that the service takes."""
    assert (left_over(), model.open_exchanges, tools.running) == (set(), 0, 0)
    assert unanswered(run.messages) == []
    plain = [msgspec.to_builtins(message) for message in run.messages]
    assert plain[0] == QUESTION
    for asked in model.asked[1:]:
        sent = asked.body["messages"]
        assert plain[: len(sent)] == sent


def contents(run: ToolRun) -> list[str]:
    """What the model was told of its calls."""
    plain = [msgspec.to_builtins(message) for message in run.messages]
    return [message["content"] for message in plain if message["role"] == "tool"]


async def _events(run: ToolRun) -> list[Any]:
    return [event async for event in run]


# ---------------------------------------------------------------- at every point, in virtual time


@STREAMS
def test_cancelled_at_any_time(stream: bool | None) -> None:
    """Whenever the task that waits for a run is cancelled, be it while the model thinks or streams, while a hook is
    asked, while functions run: nothing is left, and each call in the conversation has its answer."""

    async def lasts() -> float:
        model, tools = VirtualModel(replies()), Tools()
        await started(model, tools, stream)
        return asyncio.get_running_loop().time()

    async def cancelled_after(seconds: float) -> None:
        model, tools = VirtualModel(replies()), Tools()
        run = started(model, tools, stream)
        task = asyncio.ensure_future(_events(run))
        await asyncio.sleep(seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.get_running_loop().time() == seconds
        check_nothing_is_left(model, tools, run)
        with pytest.raises(RuntimeError, match="the run has no result: it was left before its end"):
            _ = run.result

    total = run_virtually(lasts())
    assert total >= 3 * THINKING + (1 + 3) + (1 + 2)
    step = 1 / 16  # shorter than anything that takes a while
    for number in range(int(total / step)):
        run_virtually(cancelled_after(number * step))


class SteppingLoop(VirtualLoop):
    """Calls something before one of its steps."""

    step = 0
    at: tuple[int, Callable[[], object]] | None = None

    def _run_once(self) -> None:
        self.step += 1
        if self.at is not None and self.at[0] == self.step:
            self.at[1]()
        super()._run_once()  # type: ignore[misc]


@STREAMS
def test_cancelled_at_any_step_of_the_loop(stream: bool | None) -> None:
    """The same, before each step of the event loop from the first question to the answer."""

    async def cancelled_before(step: int) -> bool:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SteppingLoop)
        model, tools = VirtualModel(replies()), Tools()
        run = started(model, tools, stream)
        task = asyncio.ensure_future(_events(run))
        loop.at = loop.step + step, task.cancel
        await asyncio.wait([task])
        assert task.cancelled() or task.result()
        check_nothing_is_left(model, tools, run)
        return not task.cancelled()

    step = 1
    with asyncio.Runner(loop_factory=SteppingLoop, debug=True) as runner:
        while not runner.run(cancelled_before(step)):
            step += 1
    assert step > (60 if stream else 25)


@STREAMS
@pytest.mark.parametrize("how", ["close", "cancel inside", "raise"])
def test_left_after_any_event(stream: bool | None, how: str) -> None:
    """Whichever event is the last that was read: leaving the ``async with`` by break, by cancelling or by an exception
    cancels what runs and closes what is open."""

    async def left_after(number: int) -> bool:
        model, tools = VirtualModel(replies()), Tools()
        run = started(model, tools, stream)
        count = 0

        async def read() -> None:
            nonlocal count
            async with run:
                async for _ in run:
                    count += 1
                    if count > number:
                        if how == "raise":
                            raise KeyError("mine")
                        if how == "close":
                            return
                        await asyncio.sleep(1000)

        task = asyncio.ensure_future(read())
        if how == "cancel inside":
            await asyncio.sleep(900)
            task.cancel()
        result = (await asyncio.gather(task, return_exceptions=True))[0]
        ended = count <= number
        kind = {"raise": KeyError, "close": type(None), "cancel inside": asyncio.CancelledError}[how]
        assert type(result) is (type(None) if ended else kind)
        check_nothing_is_left(model, tools, run)
        return ended

    number = 0
    while not run_virtually(left_after(number)):
        number += 1
    assert number > (30 if stream else 9)


@STREAMS
def test_cancelled_twice(stream: bool | None) -> None:
    """A second cancellation while the first is under way leaves nothing running for longer than it needs, and the
    conversation whole."""

    async def main() -> None:
        model, tools = VirtualModel(replies()), Tools()

        async def stubborn() -> str:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                await asyncio.sleep(5)
                raise
            return "never"

        run = started(model, tools, stream, tools=[tools.slow, _named("quick", stubborn)], approve=None)
        task = asyncio.ensure_future(_events(run))
        while not tools.running:  # noqa: ASYNC110 the clock is virtual
            await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(10)
        check_nothing_is_left(model, tools, run)
        assert contents(run)[:2] == ["error: the call was cancelled"] * 2

    run_virtually(main())


def _named(name: str, function: Any) -> Any:
    function.__name__ = name
    return function


@STREAMS
def test_what_was_done_is_kept(stream: bool | None) -> None:
    """A call that had returned when the run was left has its result in the conversation, the others were cancelled."""

    async def main() -> None:
        model, tools = VirtualModel(replies()), Tools()
        run = started(model, tools, stream)
        async with run:
            async for event in run:
                if isinstance(event, CallReturned) and event.error is None:
                    break
        assert contents(run) == [
            "error: the call was cancelled",
            "worked 2 s",
            "error: there is no function 'fly'; there are slow, quick",
        ]
        assert (tools.cancelled, len(run.messages)) == (1, 5)
        check_nothing_is_left(model, tools, run)
        assert await _events(run) == []

    run_virtually(main())


@STREAMS
def test_left_when_an_answer_has_come(stream: bool | None) -> None:
    """An answer with calls that nobody began to carry out is in the conversation, its calls answered as cancelled: also
    those that would have been the caller's."""

    async def main() -> None:
        model, tools = VirtualModel(replies()), Tools()
        schema = {"type": "function", "function": {"name": "fly", "description": "-", "parameters": {"type": "object"}}}
        run = started(model, tools, stream, tools=[tools.slow, tools.quick, schema])
        async with run:
            async for event in run:
                if isinstance(event, TurnFinished):
                    break
        assert tools.began == 0
        assert contents(run) == ["error: the call was cancelled"] * 3
        check_nothing_is_left(model, tools, run)

    run_virtually(main())


def test_a_failure_cancels_the_others() -> None:
    """An exception that stops the run cancels the functions beside it before it is raised."""

    async def fails() -> None:
        """Fail after a second."""
        await asyncio.sleep(1)
        raise ValueError("no")

    async def main() -> None:
        model, tools = VirtualModel(replies()), Tools()
        functions = [tools.slow, _named("quick", fails)]
        run = started(model, tools, None, tools=functions, approve=None, on_error="raise")
        with pytest.raises(ToolFailed, match="quick: ValueError: no"):
            await run
        assert tools.cancelled == 1
        assert contents(run)[:2] == ["error: the call was cancelled", "error: ValueError: no"]
        check_nothing_is_left(model, tools, run)

    run_virtually(main())


def test_two_tasks_cannot_read_one_run() -> None:
    """The second is told; the first reads on."""

    async def main() -> None:
        model, tools = VirtualModel(replies()), Tools()
        run = started(model, tools, True)
        first = asyncio.ensure_future(run)
        await asyncio.sleep(0.5)
        with pytest.raises(RuntimeError, match="already running"):
            await anext(run)
        assert (await first).text == "All done."
        check_nothing_is_left(model, tools, run)

    run_virtually(main())


# ---------------------------------------------------------------- on real connections


SLOWLY = Pace(per_chunk=0.05)


def at_text(event: Any) -> bool:
    """While the model streams."""
    return isinstance(event, (ContentDelta, ReasoningDelta))


def at_arguments(event: Any) -> bool:
    """While a call streams."""
    return isinstance(event, ToolCallDelta)


def at_call(event: Any) -> bool:
    """When functions are about to run."""
    return isinstance(event, CallDecoded)


def at_result(event: Any) -> bool:
    """While other functions run."""
    return isinstance(event, CallReturned)


POINTS = [at_text, at_arguments, at_call, at_result]


def asking(ask: Ask, tools: Tools) -> dict[str, Any]:
    """The arguments of a streamed run."""
    return ask(tools=[tools.slow, tools.quick], stream=True, tool_stream=True)


@pytest.mark.parametrize("point", POINTS)
async def test_break_inside_async_with(serve: Serve, ask: Ask, point: Callable[[Any], bool]) -> None:
    """Leaving closes the stream and waits for functions to be cancelled."""
    client, sim = await serve(Scenario(replies=replies(), pace=SLOWLY))
    tools = Tools()
    run = client.chat.completions.run_tools(**asking(ask, tools))
    async with run:
        async for event in run:
            if point(event):
                break
    assert (client.pool.statistics().in_use, tools.running) == (0, 0)
    if point in (at_text, at_arguments):
        await sim.wait_until(lambda: sim.connections.open == 0)
    assert unanswered(run.messages) == []


@pytest.mark.parametrize("point", POINTS)
async def test_break_without_async_with(serve: Serve, ask: Ask, point: Callable[[Any], bool]) -> None:
    """A run that no name holds is closed without the garbage collector when the loop over it is left."""
    client, sim = await serve(Scenario(replies=replies(), pace=SLOWLY))
    tools = Tools()
    gc.collect()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            async for event in client.chat.completions.run_tools(**asking(ask, tools)):
                if point(event):
                    break
            del event
            for _ in range(20):
                await asyncio.sleep(0)
        assert (client.pool.statistics().in_use, tools.running) == (0, 0)
        assert not [task for task in left_over() if "TurnCalls" in repr(task)]
        if point in (at_text, at_arguments):
            await sim.wait_until(lambda: sim.connections.open == 0)
    finally:
        gc.enable()


@pytest.mark.parametrize("point", POINTS)
async def test_an_exception_in_the_loop(serve: Serve, ask: Ask, point: Callable[[Any], bool]) -> None:
    """What the consumer raises is raised; the run is closed by the ``async with`` around."""
    client, _ = await serve(Scenario(replies=replies(), pace=SLOWLY))
    tools = Tools()
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        async with client.chat.completions.run_tools(**asking(ask, tools)) as run:
            async for event in run:
                if point(event):
                    raise ZeroDivisionError
    assert (client.pool.statistics().in_use, tools.running) == (0, 0)


@STREAMS
async def test_cancelled_while_the_model_thinks(serve: Serve, ask: Ask, stream: bool | None) -> None:
    """The connection is closed before anything has come."""
    silent = Reply("never", delivery=Delivery(head_after=30))
    client, sim = await serve(Scenario(replies=[silent]))
    run = client.chat.completions.run_tools(**ask(tools=[Tools().quick], stream=stream))
    task = asyncio.ensure_future(run)
    await sim.wait_until(lambda: sim.in_flight == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await sim.wait_until(lambda: sim.connections.open == 0)
    assert client.pool.statistics().in_use == 0
    assert run.messages == [QUESTION]


@STREAMS
async def test_no_connection_is_held_while_functions_run(serve: Serve, ask: Ask, stream: bool | None) -> None:
    """The answer is at its end when its calls are carried out."""
    in_use: list[int] = []

    def look() -> str:
        """Look at the pool."""
        in_use.append(client.pool.statistics().in_use)
        return "looked"

    client, sim = await serve(Scenario(replies=[Reply("", tool_calls=[Call("look")]), Reply("Done.")]))
    result = await client.chat.completions.run_tools(**ask(tools=[look], stream=stream))
    assert (result.text, in_use) == ("Done.", [0])
    assert sim.connections.opened == 1


_LEFT = """
import asyncio, threading
from zhipu_async import AsyncZhipuAI
from zhipu_async.simulator import Reply, Scenario, Simulator, ToolCall

AsyncZhipuAI.chat.completions.run_tools  # imported before the loop begins: -X dev tells of its slow steps

def hang() -> str:
    threading.Event().wait()

async def main():
    calls = Reply("", tool_calls=[ToolCall("hang")])
    async with Simulator(Scenario(replies=[calls, Reply("done")])) as sim:
        async with AsyncZhipuAI(sim.api_key, base_url=sim.base_url) as client:
            run = client.chat.completions.run_tools(
                model="glm-4.6", messages=[{"role": "user", "content": "?"}], tools=[hang], tool_timeout=0.1
            )
            print((await run).text, run.messages[2].content)

asyncio.run(main())
"""


def test_a_program_with_a_function_that_hangs_ends() -> None:
    """The model is told, answers, and the program ends beside the thread."""
    run = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", _LEFT],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (run.stdout, run.stderr, run.returncode) == (
        "done error: TimeoutError: there was no result within 0.1 s\n",
        "",
        0,
    )
