"""One client object and several event loops: one after another, in threads, after a fork."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from zhipu_async import AsyncZhipuAI, ClientClosedError, Limits, Stream
from zhipu_async.polling import Poller
from zhipu_async.simulator import Case, Delivery, Pace, Reply, Scenario, Simulator
from zhipu_async.transport.admission import Admission
from zhipu_async.transport.loop_pool import LoopPool
from zhipu_async.transport.pool import SessionPool

Ask = Callable[..., dict[str, Any]]


@contextmanager
def service(scenario: Scenario | None = None) -> Iterator[Simulator]:
    """A simulator on a loop of its own, in a thread."""
    started, ended = threading.Event(), threading.Event()
    box: list[Simulator] = []

    async def run() -> None:
        async with Simulator(scenario) as sim:
            box.append(sim)
            started.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    started.wait()
    try:
        yield box[0]
    finally:
        ended.set()
        thread.join()


@contextmanager
def no_warnings() -> Iterator[None]:
    """Fails when anything warns, also from the destructors of what the block leaves behind."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_three_runs_with_one_client_and_no_close(ask: Ask) -> None:
    """Sessions end with their loop: no warning, nothing left open, although nobody called close()."""

    def run(sim: Simulator) -> None:
        client = AsyncZhipuAI(sim.api_key, base_url=sim.base_url)

        async def use() -> None:
            assert (await client.chat.completions.create(**ask())).text
            stream = await client.chat.completions.create(**ask(stream=True))
            assert (await stream.until_done()).text

        for _ in range(3):
            asyncio.run(use())
        assert client.pool.statistics().in_use == client.pool.statistics().idle == 0

    with service() as sim, no_warnings():
        run(sim)


def test_a_client_keeps_no_loop_that_has_ended(ask: Ask) -> None:
    """Of twenty loops in a row, each with a call and a run, only the last may still be in memory."""
    loops: list[weakref.ref[Any]] = []

    def run(sim: Simulator) -> None:
        client = AsyncZhipuAI(sim.api_key, base_url=sim.base_url)

        async def use() -> None:
            loops.append(weakref.ref(asyncio.get_running_loop()))
            await client.chat.completions.create(**ask())
            assert (await client.fan_out(["Hi"], model="glm-4.6").collect())[0].ok

        for _ in range(20):
            asyncio.run(use())
        gc.collect()
        assert [place for place, loop in enumerate(loops) if loop() is not None] in ([], [19])

    with service() as sim, no_warnings():
        run(sim)


def test_a_stream_left_open_ends_with_its_loop(ask: Ask) -> None:
    """A stream that is still held when its loop ends is closed there; using it afterwards is a clear error."""

    def run(sim: Simulator) -> None:
        client = AsyncZhipuAI(sim.api_key, base_url=sim.base_url)

        async def begin() -> Stream[Any, Any]:
            return await client.chat.completions.create(**ask(stream=True))

        async def go_on(stream: Stream[Any, Any]) -> None:
            async for _ in stream:
                pass

        stream = asyncio.run(begin())
        with pytest.raises(ClientClosedError, match="event loop"):
            asyncio.run(go_on(stream))

    with service(Scenario(pace=Pace(per_chunk=0.05))) as sim, no_warnings():
        run(sim)


def test_two_loops_in_two_threads_at_once(ask: Ask) -> None:
    """Each thread's loop has connections of its own; a hundred calls from each."""

    def run(sim: Simulator) -> None:
        client = AsyncZhipuAI(sim.api_key, base_url=sim.base_url)
        texts: list[str] = []

        async def use() -> None:
            for reply in await asyncio.gather(*(client.chat.completions.create(**ask()) for _ in range(100))):
                texts.append(reply.text)

        threads = [threading.Thread(target=asyncio.run, args=(use(),)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(texts) == 200

    with service() as sim, no_warnings():
        run(sim)


def test_a_stream_dropped_in_another_thread_is_closed_on_its_own_loop(ask: Ask) -> None:
    """The last reference may go away anywhere; the connection is closed where it lives."""

    async def main() -> None:
        async with (
            Simulator(Scenario(pace=Pace(per_chunk=0.02))) as sim,
            AsyncZhipuAI(sim.api_key, base_url=sim.base_url) as client,
        ):
            box = [await client.chat.completions.create(**ask(stream=True))]
            await asyncio.to_thread(box.clear)
            await sim.wait_until(lambda: sim.connections.open == 0, timeout=2)
            assert sim.connections.open == 0
            assert client.pool.statistics().in_use == 0

    with no_warnings():
        asyncio.run(main())


def test_a_client_dropped_in_another_thread_is_closed_on_its_own_loop(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its transports are not touched from outside; the loop closes them in its next round."""
    closed_in: list[int] = []
    abandon = LoopPool.abandon

    def watched(pool: LoopPool) -> None:
        closed_in.append(threading.get_ident())
        abandon(pool)

    def forget(clients: list[AsyncZhipuAI]) -> None:
        clients.clear()
        gc.collect()

    async def main() -> None:
        async with Simulator() as sim:
            clients = [AsyncZhipuAI(sim.api_key, base_url=sim.base_url)]
            await clients[0].chat.completions.create(**ask())
            monkeypatch.setattr(LoopPool, "abandon", watched)
            with pytest.warns(ResourceWarning, match="unclosed AsyncZhipuAI"):
                await asyncio.to_thread(forget, clients)
            await sim.wait_until(lambda: sim.connections.open == 0, timeout=10)
            assert closed_in == [threading.get_ident()]

    asyncio.run(main())


def test_close_reaches_the_calls_of_another_loop(ask: Ask) -> None:
    """A call that is under way on another thread's loop fails there, and its connections are closed."""
    scenario = Scenario(replies=[Reply("Hi"), Reply("slow", delivery=Delivery(head_after=30))])

    async def main() -> None:
        async with Simulator(scenario) as sim:
            client = AsyncZhipuAI(sim.api_key, base_url=sim.base_url)
            await client.chat.completions.create(**ask())
            call = asyncio.create_task(client.chat.completions.create(**ask()))
            await sim.wait_until(lambda: len(sim.requests) == 2, timeout=10)
            await asyncio.to_thread(asyncio.run, client.close())
            with pytest.raises(ClientClosedError):
                await asyncio.wait_for(call, 10)
            await sim.wait_until(lambda: sim.connections.open == 0, timeout=10)

    with no_warnings():
        asyncio.run(main())


@pytest.mark.parametrize("moment", ["before its generators", "before itself", "after itself"])
def test_close_while_another_loop_is_ending(ask: Ask, moment: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whichever of the two comes first closes the connections: no task and no coroutine is left over."""

    def close(client: AsyncZhipuAI, loop: asyncio.AbstractEventLoop, now: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "is_running", lambda: True)  # as another thread saw it a moment ago
            if now == moment:
                asyncio.run(client.close())

    async def use(client: AsyncZhipuAI) -> None:
        await client.chat.completions.create(**ask())

    def run(sim: Simulator) -> None:
        client = AsyncZhipuAI(sim.api_key, base_url=sim.base_url)
        loop = asyncio.new_event_loop()
        loop.run_until_complete(use(client))
        close(client, loop, "before its generators")
        loop.run_until_complete(loop.shutdown_asyncgens())
        close(client, loop, "before itself")
        loop.close()
        close(client, loop, "after itself")

    with service() as sim, no_warnings():
        run(sim)
    assert caplog.messages == []


def test_loops_of_many_threads_begin_and_end_at_once() -> None:
    """Each finds its own pool while others come and go, and while somebody looks at the statistics."""
    pool = SessionPool(Limits())
    ended = threading.Event()
    failures: list[BaseException] = []

    async def use() -> None:
        assert await pool._here() is await pool._here()

    def noted(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    def begin_and_end() -> None:
        for _ in range(30):
            asyncio.run(use())

    def look() -> None:
        while not ended.is_set():
            pool.statistics()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        watcher = threading.Thread(target=noted, args=(look,))
        users = [threading.Thread(target=noted, args=(begin_and_end,)) for _ in range(8)]
        for thread in [watcher, *users]:
            thread.start()
        for thread in users:
            thread.join()
        ended.set()
        watcher.join()
    finally:
        sys.setswitchinterval(interval)
    assert failures == []
    asyncio.run(pool.close())


class LittleLoop:
    """What queues and gates ask of a loop: there can be many in little time."""

    closed = False

    def is_closed(self) -> bool:
        return self.closed

    def time(self) -> float:
        return 0.0


def test_loops_of_many_threads_find_their_queues_and_gates() -> None:
    """What bounds the calls of a loop is made while other loops begin and end."""
    admission, poller = Admission(Limits()), Poller(cast(Any, None), 20.0)
    failures: list[BaseException] = []

    def use(loop: Any) -> None:
        asyncio._set_running_loop(loop)
        try:
            assert admission.queue(loop, "account", "m") is admission.queue(loop, "account", "m")
            assert poller._gate() is poller._gate()
        finally:
            asyncio._set_running_loop(None)

    def begin_and_end() -> None:
        try:
            loops = [LittleLoop() for _ in range(100)]  # what is many takes long to look through
            for loop in loops:
                use(loop)
            for loop in loops:
                loop.closed = True
        except BaseException as error:
            failures.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=begin_and_end) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert failures == []


FORKING = """
import asyncio, gc, os, sys, threading
from zhipu_async import AsyncZhipuAI

ASK = dict(model="glm-4.6", messages=[{"role": "user", "content": "Hello"}])
client = AsyncZhipuAI(sys.argv[1], base_url=sys.argv[2], max_retries=0)
streams = []
under_way, forked = threading.Event(), threading.Event()

async def ask(**more):
    return (await client.chat.completions.create(**ASK, **more)).text

def in_child():
    global client
    streams.clear()
    gc.collect()
    print("child", [asyncio.run(ask()) for _ in range(2)], flush=True)
    del client
    gc.collect()

def in_child_thread():
    thread = threading.Thread(target=in_child)  # a thread without the running loop that was inherited
    thread.start()
    thread.join()
    os._exit(0)

async def parent():
    await ask()
    if sys.argv[3] == "while idle":
        if os.fork() == 0:
            in_child_thread()
        await asyncio.to_thread(os.wait)
        print("parent", await asyncio.wait_for(ask(), 5), flush=True)
        await client.close()
        return
    slow = asyncio.create_task(ask(temperature=0.5))
    streams.append(await client.chat.completions.create(**ASK, stream=True))
    if sys.argv[3] == "inside the loop":
        if os.fork() == 0:
            in_child_thread()
    else:
        under_way.set()
        await asyncio.to_thread(forked.wait)
    await asyncio.to_thread(os.wait)
    print("parent", await slow, (await streams.pop().until_done()).text, await ask(), flush=True)
    await client.close()

if sys.argv[3] != "beside the loop":
    asyncio.run(parent())
else:
    loop = threading.Thread(target=asyncio.run, args=(parent(),))
    loop.start()
    under_way.wait()
    if os.fork() == 0:
        in_child()
        sys.exit(0)  # with the interpreter's whole clean-up
    forked.set()
    loop.join()
"""


@pytest.mark.parametrize("elsewhere", ["after its loop", "in another thread", "on another loop", "dropped in a thread"])
def test_what_came_with_the_first_chunk_is_taken_anywhere(ask: Ask, elsewhere: str) -> None:
    """The rest of an answer that came whole may be looked at, or let go of, where its loop does not run.

    The call has succeeded, nothing warns, and the client makes the next call.
    """
    succeeded: list[object] = []

    def look(streams: list[Any]) -> None:
        assert streams[0]._unread
        if elsewhere != "dropped in a thread":
            assert (streams[0].result.text, streams[0].result.complete) == ("Hello", True)
        streams.clear()

    async def close(streams: list[Any]) -> None:
        stream = streams.pop()
        await stream.close()
        assert stream.result.text == "Hello"

    async def main(sim: Simulator) -> list[Any]:
        hooks = [lambda event: succeeded.append(type(event).__name__)]
        async with AsyncZhipuAI(sim.api_key, base_url=sim.base_url, hooks=hooks) as client:
            streams: list[Any] = [await client.chat.completions.create(**ask(stream=True))]
            if elsewhere == "on another loop":
                await asyncio.to_thread(asyncio.run, close(streams))
            elif elsewhere != "after its loop":
                await asyncio.to_thread(look, streams)
            await asyncio.sleep(0)  # what another thread asks of the loop
            if not streams:
                assert client.pool.statistics().in_use == 0
            assert (await client.chat.completions.create(**ask())).text == "Hello"
        return streams

    scenario = Scenario(replies=[Reply("Hello", pieces=list("Hello"), times=None)])
    with service(scenario) as sim, no_warnings():
        streams = asyncio.run(main(sim))
        if streams:
            look(streams)
    assert succeeded == ["CallSucceeded"] * 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("place", ["inside the loop", "beside the loop", "while idle"])
def test_a_forked_child_works_and_leaves_the_parents_requests_alone(place: str) -> None:
    """The fork happens while a call and a stream of the parent are in flight: all calls of both processes succeed."""
    slow = Case(lambda request: request.get("temperature") == 0.5, [Reply("slow", delivery=Delivery(head_after=1))])
    stream = Case(lambda request: request.stream, [Reply("abcdef", pieces=list("abcdef"))])
    scenario = Scenario(cases=[slow, stream], replies=[Reply("ok", times=None)], pace=Pace(per_chunk=0.2))
    with service(scenario) as sim:
        done = subprocess.run(
            [
                sys.executable,
                "-W",
                "error",
                "-W",
                "ignore::DeprecationWarning",
                "-c",
                FORKING,
                sim.api_key,
                sim.base_url,
                place,
            ],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    answers = "parent ok" if place == "while idle" else "parent slow abcdef ok"
    assert sorted(done.stdout.splitlines()) == ["child ['ok', 'ok']", answers], done.stderr
    assert done.stderr == ""
