"""The calls of one answer: decoded, approved, carried out side by side, and answered whatever happens. Virtual time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from tests.fanning import left_over
from tests.virtual_time import run
from zhipu_async import CallDecoded, CallReturned, ToolCall, ToolCallInvalid, ToolFailed, tool
from zhipu_async.tool_calls import CallOptions, TurnCalls, told
from zhipu_async.tools import AnyTool, InvalidArguments, Toolbox
from zhipu_async.types.tools import FunctionCall


def now() -> float:
    """Virtual seconds."""
    return asyncio.get_running_loop().time()


class Diary:
    """Tools that take a while, and what happened to them when."""

    def __init__(self) -> None:
        self.lines: list[tuple[float, str]] = []
        self.running = self.most = 0

    async def work(self, name: str, seconds: float = 1.0) -> str:
        """Work for some seconds."""
        self.lines.append((now(), f"{name} began"))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.lines.append((now(), f"{name} cancelled"))
            raise
        finally:
            self.running -= 1
        self.lines.append((now(), f"{name} ended"))
        return name.upper()


def call(name: str, arguments: str = "{}", id: str | None = None) -> ToolCall:
    """A call as a model makes it."""
    return ToolCall(id=id or f"id of {name} {arguments}", function=FunctionCall(name, arguments))


def work(name: str, seconds: float = 1.0) -> ToolCall:
    """A call of the diary's function."""
    return call("work", f'{{"name": "{name}", "seconds": {seconds}}}', id=name)


def turn(tools: Sequence[AnyTool], calls: Sequence[ToolCall], *, cut_off: bool = False, **changes: Any) -> TurnCalls:
    """The calls of an answer, with the options of a run."""
    options: dict[str, Any] = {"parallel": 8, "timeout": 60.0, "on_error": "tell", "max_invalid": 3, "approve": None}
    last = calls[-1] if cut_off else None
    return TurnCalls(Toolbox(tools), CallOptions(**{**options, **changes}), calls, 0, last)


async def events(calls: TurnCalls) -> list[tuple[float, str]]:
    """What is told, and when."""
    told: list[tuple[float, str]] = []
    async for event in calls.carry_out():
        text = "called" if isinstance(event, CallDecoded) else event.content
        told.append((now(), f"{event.call.id}: {text}"))
    assert left_over() == set()
    return told


def answers(calls: TurnCalls) -> list[str]:
    """What the model is told, in the order of the calls."""
    assert [answer.call for answer in calls.answers] == list(calls._calls)  # pyright: ignore[reportPrivateUsage]
    return [answer.content for answer in calls.answers]


# ---------------------------------------------------------------- side by side


def test_calls_of_a_turn_overlap() -> None:
    """Three calls of three, one and two seconds take three in all: each is told of when it returns, and the model in
    the order of its calls."""

    async def main() -> None:
        diary = Diary()
        calls = turn([diary.work], [work("a", 3), work("b", 1), work("c", 2)])
        assert await events(calls) == [
            (0, "a: called"),
            (0, "b: called"),
            (0, "c: called"),
            (1, "b: B"),
            (2, "c: C"),
            (3, "a: A"),
        ]
        assert answers(calls) == ["A", "B", "C"]
        assert [answer.seconds for answer in calls.answers] == [3, 1, 2]
        assert diary.most == 3

    run(main())


@pytest.mark.parametrize(("parallel", "seconds"), [(1, 6), (2, 3), (3, 2), (4, 2), (5, 2), (6, 1), (100, 1)])
def test_the_parallel_limit(parallel: int, seconds: float) -> None:
    """No more than so many run at a time, first come, first served."""

    async def main() -> None:
        diary = Diary()
        await events(turn([diary.work], [work(str(number)) for number in range(6)], parallel=parallel))
        assert (diary.most, now()) == (min(parallel, 6), seconds)
        assert [line for _, line in diary.lines if "began" in line] == [f"{number} began" for number in range(6)]

    run(main())


def test_calls_that_need_each_other() -> None:
    """Functions that wait for one another meet, as they run at the same time, in threads too."""
    met = threading.Barrier(2)

    def meet(number: int) -> int:
        met.wait(10)
        return number

    async def main() -> None:
        calls = turn([meet], [call("meet", '{"number": 1}'), call("meet", '{"number": 2}')])
        async for _ in calls.carry_out():
            pass
        assert answers(calls) == ["1", "2"]

    asyncio.run(main())


def test_a_call_begins_when_its_event_was_taken() -> None:
    """Who reads events decides: a call that was announced is carried out when the next event is asked for."""

    async def main() -> None:
        diary = Diary()
        carrying = turn([diary.work], [work("a"), work("b")]).carry_out()
        assert isinstance(await anext(carrying), CallDecoded)
        await asyncio.sleep(5)
        assert diary.lines == []
        assert isinstance(await anext(carrying), CallDecoded)
        await asyncio.sleep(5)
        assert diary.lines == [(5, "a began"), (6, "a ended")]
        await carrying.aclose()
        assert diary.lines == [(5, "a began"), (6, "a ended")]

    run(main())


# ---------------------------------------------------------------- what goes wrong


class Quiet(Exception):
    """Has no text."""


class Broken(Exception):
    """Cannot even be told of."""

    def __str__(self) -> str:
        raise ValueError("no text")


async def _own_task_is_cancelled() -> None:
    task = asyncio.ensure_future(asyncio.sleep(9))
    task.cancel()
    await task


async def fails(how: str) -> Any:
    """Fail in a way."""
    match how:
        case "raises":
            raise ValueError("no such city: Atlantis")
        case "quietly":
            raise Quiet
        case "brokenly":
            raise Broken
        case "group":
            raise ExceptionGroup("two of them", [ValueError(1), OSError(2)])
        case "surrogate":
            raise ValueError("file \ud800")
        case "times out itself":
            raise TimeoutError("the database is slow")
        case "late":
            await asyncio.sleep(100)
        case "late, but only a little":
            await asyncio.sleep(59.9)
        case "unserialisable":
            return object()
        case "cancelled":
            raise asyncio.CancelledError("from within")
        case "its own task cancelled":
            await _own_task_is_cancelled()
    return "fine"


FAILURES: dict[str, tuple[str, type[Exception] | None]] = {
    "raises": ("error: ValueError: no such city: Atlantis", ValueError),
    "quietly": ("error: Quiet", Quiet),
    "brokenly": ("error: Broken", Broken),
    "group": ("error: ExceptionGroup: two of them (2 sub-exceptions)", ExceptionGroup),
    "surrogate": ("error: ValueError: file ?", ValueError),
    "times out itself": ("error: TimeoutError: the database is slow", TimeoutError),
    "late": ("error: TimeoutError: there was no result within 60 s", TimeoutError),
    "late, but only a little": ("fine", None),
    "unserialisable": ("error: TypeError: the result cannot be written as JSON: it holds a object", TypeError),
    "cancelled": ("error: RuntimeError: the function was cancelled from within", RuntimeError),
    "its own task cancelled": ("error: RuntimeError: the function was cancelled from within", RuntimeError),
}


@pytest.mark.parametrize(("how", "content", "kind"), [(how, *told) for how, told in FAILURES.items()], ids=FAILURES)
def test_a_failure_is_told(how: str, content: str, kind: type[Exception] | None) -> None:
    """The model is told type and text of what a function raised, or that it took too long; other calls go on."""

    async def main() -> None:
        diary = Diary()
        calls = turn([fails, diary.work], [call("fails", f'{{"how": "{how}"}}'), work("b", 2)])
        await events(calls)
        assert answers(calls) == [content, "B"]
        failure = calls.answers[0].error
        assert type(failure) is (kind or type(None))
        assert calls.answers[0].value == (None if kind else "fine")

    run(main())


@pytest.mark.parametrize("how", [how for how, (_, kind) in FAILURES.items() if kind is not None])
def test_a_failure_stops_the_run(how: str) -> None:
    """With on_error="raise" it is ToolFailed, caused by what the function raised; other calls are cancelled, and the
    conversation tells the truth of all."""

    async def main() -> None:
        diary = Diary()
        arguments, patient = f'{{"how": "{how}"}}', tool(timeout=500)(diary.work)
        calls = turn([fails, patient], [work("a", 200), call("fails", arguments), work("c", 0)], on_error="raise")
        content, kind = FAILURES[how]
        with pytest.raises(ToolFailed) as caught:
            await events(calls)
        assert str(caught.value) == content.replace("error: ", "fails: ")
        assert type(caught.value.__cause__) is kind
        assert (caught.value.tool, caught.value.arguments) == ("fails", arguments)
        assert answers(calls) == ["error: the call was cancelled", content, "C"]
        assert (now(), "a cancelled") in diary.lines
        assert left_over() == set()

    run(main())


def test_time_outs() -> None:
    """A tool's own time-out comes before that of the run; None is no limit; time spent waiting for a place or for leave
    does not count."""

    async def main() -> None:
        diary = Diary()
        own = tool(name="own", timeout=2)(diary.work)
        calls = turn([own], [call("own", '{"name": "a", "seconds": 3}')], timeout=60.0)
        await events(calls)
        assert answers(calls) == ["error: TimeoutError: there was no result within 2 s"]
        assert now() == 2
        calls = turn([diary.work], [work("b", 1e6)], timeout=None)
        await events(calls)
        assert answers(calls) == ["B"]
        calls = turn([diary.work], [work(str(number), 3) for number in range(4)], timeout=4.0, parallel=1)
        await events(calls)
        assert answers(calls) == ["0", "1", "2", "3"]

    run(main())


def test_a_thread_that_hangs() -> None:
    """A function in a thread that does not return in time is told of like any other, and left behind."""
    release = threading.Event()

    def hang() -> str:
        release.wait(30)
        return "late"

    async def main() -> None:
        calls = turn([hang], [call("hang")], timeout=0.05)
        async for _ in calls.carry_out():
            pass
        assert answers(calls) == ["error: TimeoutError: there was no result within 0.05 s"]
        release.set()

    asyncio.run(main())


def test_a_function_that_will_not_be_cancelled() -> None:
    """It is waited for: nothing is left running when a run has ended."""

    async def stubborn() -> str:
        """Clean up for ten seconds."""
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(10)
        return "cleaned up"

    async def main() -> None:
        calls = turn([stubborn], [call("stubborn")])
        carrying = calls.carry_out()
        await anext(carrying)
        task = asyncio.ensure_future(anext(carrying))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert now() == 11
        assert left_over() == set()
        assert answers(calls) == ["cleaned up"]

    run(main())


# ---------------------------------------------------------------- calls that cannot be carried out


INVALID: dict[str, tuple[ToolCall, str]] = {
    "unknown": (call("fly"), "error: there is no function 'fly'; there are work"),
    "no name": (call(""), "error: there is no function ''; there are work"),
    "broken JSON": (call("work", '{"name": '), "error: the arguments are no JSON: Input data was truncated"),
    "no arguments": (call("work", ""), "error: Object missing required field `name`"),
    "wrong type": (call("work", '{"name": 1}'), "error: Expected `str`, got `int` - at `$.name`"),
}


@pytest.mark.parametrize(("wrong", "content"), INVALID.values(), ids=INVALID)
def test_an_invalid_call_is_told(wrong: ToolCall, content: str) -> None:
    """The model is told what is wrong with its call, at once; the other calls are carried out."""

    async def main() -> None:
        calls = turn([Diary().work], [work("a"), wrong, work("b")])
        told = await events(calls)
        assert told[1] == (0, f"{wrong.id}: {content}")
        assert answers(calls) == ["A", content, "B"]
        assert isinstance(calls.answers[1].error, InvalidArguments)
        assert calls.invalid == 1

    run(main())


def test_unknown_functions_without_any() -> None:
    """A model that calls where there is nothing to call is told so."""

    async def main() -> None:
        calls = turn([], [call("fly")])
        await events(calls)
        assert answers(calls) == ["error: there is no function 'fly'; there is none"]

    run(main())


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_too_many_invalid_calls(allowed: int) -> None:
    """One more than is allowed is ToolCallInvalid; what runs is cancelled, and each call has its answer."""

    async def main() -> None:
        wrong = [call("fly", f'{{"to": {number}}}') for number in range(4)]
        calls = turn([Diary().work], [work("a"), *wrong], max_invalid=allowed)
        with pytest.raises(ToolCallInvalid) as caught:
            await events(calls)
        times = "1 call that" if allowed == 0 else f"{allowed + 1} calls that"
        assert str(caught.value) == (
            f"the model made {times} cannot be carried out, the last of 'fly': "
            "there is no function 'fly'; there are work"
        )
        assert (caught.value.tool, caught.value.arguments) == ("fly", f'{{"to": {allowed}}}')
        told, cancelled = "error: there is no function 'fly'; there are work", "error: the call was cancelled"
        assert answers(calls) == [cancelled, *[told] * (allowed + 1), *[cancelled] * (3 - allowed)]
        assert left_over() == set()

    run(main())


def test_a_call_that_was_cut_off() -> None:
    """The last call of an answer that reached its limit of tokens is told why it is broken, and one that came without
    any arguments is not carried out; a whole one is."""

    async def main() -> None:
        diary = Diary()
        cut = "the answer was cut off at the limit of tokens before this call was whole"
        for arguments, content in (
            ('{"name": "b', f"error: the arguments are no JSON: Input data was truncated; {cut}"),
            ("", f"error: {cut}"),
            ('{"name": "b"}', "B"),
        ):
            calls = turn([diary.work], [work("a"), call("work", arguments)], cut_off=True)
            await events(calls)
            assert answers(calls) == ["A", content]

    run(main())


# ---------------------------------------------------------------- approval


def asked(answer: Any, after: float = 0.0) -> Callable[[CallDecoded], Awaitable[Any]]:
    """An async hook that answers after some seconds."""

    async def approve(decoded: CallDecoded) -> Any:
        await asyncio.sleep(after)
        return answer

    return approve


class _Truth:
    """True, in a way."""

    def __bool__(self) -> bool:
        return True


NOT_ALLOWED = "error: the user did not allow this call"
APPROVALS: dict[str, tuple[Any, str]] = {
    "yes": (lambda decoded: True, "A"),
    "no": (lambda decoded: False, NOT_ALLOWED),
    "a reason": (lambda decoded: "not on Sundays", "error: not on Sundays"),
    "an empty reason": (lambda decoded: "", NOT_ALLOWED),
    "nothing": (lambda decoded: None, NOT_ALLOWED),
    "a number": (lambda decoded: 1, NOT_ALLOWED),
    "something true": (lambda decoded: _Truth(), NOT_ALLOWED),
    "yes, later": (asked(True, 1000), "A"),
    "no, later": (asked(False, 1000), NOT_ALLOWED),
    "a reason, later": (asked("not today", 1000), "error: not today"),
    "by what was asked": (lambda decoded: decoded.arguments["name"] == "a" and decoded.call.id == "a", "A"),
}


@pytest.mark.parametrize(("approve", "content"), APPROVALS.values(), ids=APPROVALS)
def test_approval(approve: Any, content: str) -> None:
    """True alone lets a call go on; a text is the reason that the model is told. A hook may take its time, and with
    on_error="raise" a refusal is no failure."""

    async def main() -> None:
        diary = Diary()
        for on_error in ("tell", "raise"):
            calls = turn([diary.work], [work("a")], approve=approve, timeout=5.0, on_error=on_error)
            await events(calls)
            assert answers(calls) == [content]
            refused = content.startswith("error: ")
            assert type(calls.answers[0].error) is (PermissionError if refused else type(None))
            assert bool(diary.lines) != refused

    run(main())


def test_approval_holds_one_call_alone() -> None:
    """The hook is asked for all calls of a turn at once, holds no place of those that run, and is not asked for calls
    that cannot be carried out."""

    async def main() -> None:
        diary = Diary()
        heard: list[tuple[float, str]] = []

        async def approve(decoded: CallDecoded) -> bool:
            heard.append((now(), decoded.arguments["name"]))
            await asyncio.sleep(10 if decoded.arguments["name"] == "a" else 0)
            return True

        calls = turn([diary.work], [work("a"), call("fly"), work("b"), work("c")], approve=approve, parallel=1)
        told = await events(calls)
        assert heard == [(0, "a"), (0, "b"), (0, "c")]
        assert [line for line in told if "called" not in line[1] and "fly" not in line[1]] == [
            (1, "b: B"),
            (2, "c: C"),
            (11, "a: A"),
        ]

    run(main())


def test_a_hook_that_raises_ends_the_run() -> None:
    """What it raises is raised; a call of which it was cancelled is not allowed."""

    async def cancels(decoded: CallDecoded) -> bool:
        raise asyncio.CancelledError

    def raises(decoded: CallDecoded) -> bool:
        if decoded.call.id == "b":
            raise KeyError("no terminal")
        return True

    async def main() -> None:
        diary = Diary()
        calls = turn([diary.work], [work("a", 5), work("b")], approve=raises)
        with pytest.raises(KeyError, match="no terminal"):
            await events(calls)
        assert answers(calls) == ["error: the call was cancelled"] * 2
        assert diary.running == 0
        calls = turn([diary.work], [work("a")], approve=cancels)
        await events(calls)
        assert answers(calls) == ["error: the approval of this call was cancelled"]

    run(main())


# ---------------------------------------------------------------- leaving


def test_leaving_early_keeps_what_was_done() -> None:
    """Calls that are done have their results, also those that nobody heard of yet; the others were cancelled."""

    async def main() -> None:
        diary = Diary()
        calls = turn([diary.work], [work("a", 1), work("b", 1), work("c", 9), call("fly")])
        carrying = calls.carry_out()
        heard: list[Any] = []
        async for event in carrying:
            heard.append(event)
            if isinstance(event, CallReturned) and event.error is None:
                break
        await carrying.aclose()
        assert [event.call.id for event in heard] == ["a", "b", "c", "id of fly {}", "a"]
        assert answers(calls) == [
            "A",
            "B",
            "error: the call was cancelled",
            "error: there is no function 'fly'; there are work",
        ]
        assert (now(), diary.running, left_over()) == (1, 0, set())

    run(main())


def test_what_is_told_of_an_error() -> None:
    """Type and text, the type alone without a text; always text that can be sent."""
    assert told(ValueError("a\nb")) == "ValueError: a\nb"
    assert told(KeyError("k")) == "KeyError: 'k'"
    assert told(Broken()) == "Broken"
    assert told(OSError("\udcff")).encode() == b"OSError: ?"
