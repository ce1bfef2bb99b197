"""Runs with a journal: what is resumed, what is never sent twice, and a disk that is full."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Serve
from tests.fanning import Gate, Pulls, Service, broken, call, calls, drawing, fan, refused_key, take_all, texts
from tests.virtual_time import VirtualLoop
from zhipu_async import AsyncZhipuAI
from zhipu_async.errors import BadRequestError, ConfigError, ConnectionLost, RateLimitError, ZhipuError
from zhipu_async.journal import Journal, read_journal
from zhipu_async.simulator import Pace, Scenario

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Threadless(VirtualLoop):
    """Does the work of threads at once: a clock that jumps must not overtake them."""

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """A future that is done."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run ``coroutine`` to its end in virtual time."""
    with asyncio.Runner(loop_factory=Threadless, debug=True) as runner:
        return runner.run(coroutine)


def lines(path: Path) -> list[dict[str, Any]]:
    """What stands in the file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def written(path: Path, *, resume: bool = False) -> Journal:
    """A journal that waits for no disk."""
    return Journal(path, resume=resume, fsync=None)


async def take(
    service: Service, source: Any, path: Path, *, resume: bool = False, **options: Any
) -> tuple[list[Any], BaseException | None]:
    """A whole run with a journal."""
    return await take_all(fan(service, source, journal=written(path, resume=resume), **options))


# ------------------------------------------------------------ going on


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("ordered", [True, False])
async def test_a_resumed_run_sends_only_what_is_missing(tmp_path: Path, named: bool, ordered: bool) -> None:
    """What is in the file comes from there, flagged, with its value; all items have their outcome."""
    path = tmp_path / "journal.jsonl"
    source: Any = calls(20)
    source = {f"q-{index}": one for index, one in enumerate(source)} if named else source
    first, second = Service(seconds=0.0), Service(seconds=0.0)
    fanned = fan(first, source, journal=written(path), ordered=ordered, concurrency=3)
    async with fanned:
        begun = [await anext(fanned) for _ in range(7)]
    done = {line["custom_id"] for line in lines(path)}
    assert {outcome.id for outcome in begun} <= done
    outcomes, error = await take(second, source, path, resume=True, ordered=ordered)
    assert error is None
    assert sorted(outcome.index for outcome in outcomes) == list(range(20))
    assert {outcome.id for outcome in outcomes if outcome.replayed} == done
    assert not set(first.answered) & set(second.sent)
    assert len(second.sent) == 20 - len(done)
    assert {line["custom_id"] for line in lines(path)} == {outcome.id for outcome in outcomes}
    assert all(outcome.value.model == texts([outcome])[0] for outcome in outcomes if outcome.replayed)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    which=st.lists(st.integers(0, 5), min_size=1, max_size=25),
    failing=st.sets(st.integers(0, 5)),
    stops=st.lists(st.integers(0, 12), max_size=3),
    named=st.booleans(),
    dedupe=st.booleans(),
    ordered=st.booleans(),
    creates=st.booleans(),
    drain=st.booleans(),
    gated=st.booleans(),
)
def test_runs_that_are_left_and_resumed_add_up_to_one(
    tmp_path: Path,
    which: list[int],
    failing: set[int],
    stops: list[int],
    named: bool,
    dedupe: bool,
    ordered: bool,
    creates: bool,
    drain: bool,
    gated: bool,
) -> None:
    """However often it is left: in the end each item has its outcome, and nothing that was answered was sent again."""
    path = tmp_path / "journal.jsonl"
    path.unlink(missing_ok=True)
    wrong = BadRequestError("wrong", status=400, code="1214")
    source: Any = [drawing(str(index)) if creates else call(str(index)) for index in which]
    source = [(f"id-{place}", one) for place, one in enumerate(source)] if named else source
    service = Service(
        seconds=lambda text: 1.0 + int(text) % 2,
        fails={str(index): wrong for index in failing},
        window=Gate(3) if gated else None,
    )
    options: dict[str, Any] = {} if gated else {"concurrency": 3}
    options |= {"ordered": ordered, "dedupe": dedupe, "leaving": "drain" if drain else "stop"}

    async def left(number: int, resume: bool) -> None:
        fanned = fan(service, source, journal=written(path, resume=resume), **options)
        async with fanned:
            for _ in range(number):
                if await anext(fanned, None) is None:
                    break

    async def main() -> list[Any]:
        for number in stops:
            await left(number, resume=path.exists())
        outcomes, error = await take(service, source, path, resume=path.exists(), **options)
        assert error is None
        return outcomes

    outcomes = run(main())
    assert sorted(outcome.index for outcome in outcomes) == list(range(len(which)))
    lost = {outcome.index for outcome in outcomes if isinstance(outcome.error, ConnectionLost)}
    assert not lost or (creates and not drain)
    for outcome in outcomes:
        if outcome.index not in lost and not dedupe:
            assert outcome.ok == (which[outcome.index] not in failing)
    ended = service.answered + (service.cancelled if creates else [])
    once = 1 if dedupe else None
    for index in set(which):
        times = ended.count(str(index))
        assert times == 1 if once else times == which.count(index) or lost
    assert {line["custom_id"] for line in lines(path)} == {outcome.id for outcome in outcomes}


async def test_a_failure_that_may_pass_is_sent_again_and_another_is_not(tmp_path: Path) -> None:
    """The outcome of a refused call is asked for anew, that of a wrong one comes from the file."""
    path = tmp_path / "journal.jsonl"
    fails = {"0": broken(), "1": BadRequestError("wrong", status=400, code="1214")}
    fails["0"].retryable = True
    await take(Service(seconds=0.0, fails=fails), calls(3), path)
    service = Service(seconds=0.0)
    outcomes, _ = await take(service, calls(3), path, resume=True, ordered=True)
    assert service.sent == ["0"]
    assert [(outcome.ok, outcome.replayed) for outcome in outcomes] == [(True, False), (False, True), (True, True)]
    assert isinstance(outcomes[1].error, BadRequestError)


async def test_the_journal_of_another_run_is_refused(tmp_path: Path) -> None:
    """ConfigError before anything is sent, and the file is as it was."""
    path = tmp_path / "journal.jsonl"
    await take(Service(seconds=0.0), calls(3), path)
    before = path.read_bytes()
    service = Service(seconds=0.0)
    for source in ([call("a"), call("b")], {"0": call("x")}):
        outcomes, error = await take(service, source, path, resume=True)
        assert outcomes == []
        assert isinstance(error, ConfigError)
        assert "another run" in str(error)
    assert (service.sent, path.read_bytes()) == ([], before)


async def test_a_file_that_is_not_empty_is_refused_without_resume(tmp_path: Path) -> None:
    """ConfigError when the run begins, whether by ``async with`` or by iterating, and again when it is tried again."""
    path = tmp_path / "journal.jsonl"
    await take(Service(seconds=0.0), calls(3), path)
    service = Service(seconds=0.0)
    fanned = fan(service, calls(3), journal=written(path))
    for _ in range(2):
        outcomes, error = await take_all(fanned)
        assert (outcomes, type(error)) == ([], ConfigError)
    with pytest.raises(ConfigError, match="resume=True"):
        await fanned.collect()
    assert service.sent == []


async def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    """The second is refused while the first is under way, and not after it."""
    path = tmp_path / "journal.jsonl"
    first = fan(Service(seconds=0.0), Pulls().plain(), journal=written(path), window=3)
    async with first:
        await anext(first)
        _, error = await take(Service(), calls(3), path, resume=True)
        assert isinstance(error, ConfigError)
        assert "another run" in str(error)
    _, error = await take(Service(seconds=0.0), calls(3), path, resume=True)
    assert error is None


# ------------------------------------------------------------ identical calls


async def test_identical_calls_are_sent_once_over_all_runs(tmp_path: Path) -> None:
    """With dedupe a resumed run takes the answer from the file for copies that have no line yet."""
    path = tmp_path / "journal.jsonl"
    same = {f"id-{index}": call("a") for index in range(6)}
    first = Service(seconds=0.0)
    await take(first, dict(list(same.items())[:2]), path, dedupe=True)
    second = Service(seconds=0.0)
    outcomes, error = await take(second, same, path, dedupe=True, resume=True)
    assert error is None
    assert (first.sent, second.sent) == (["a"], [])
    assert all(outcome.ok and outcome.replayed for outcome in outcomes)
    assert [line["custom_id"] for line in lines(path)] == list(same)
    assert {json.dumps(line["response"]["body"]) for line in lines(path)} == {'{"model": "a"}'}


async def test_identical_calls_without_ids_have_lines_of_their_own(tmp_path: Path) -> None:
    """Their ids are the hash, and the hash with a number; a resumed run finds each again."""
    path = tmp_path / "journal.jsonl"
    outcomes, _ = await take(Service(seconds=0.0), [call("a")] * 3, path, ordered=True)
    first = outcomes[0].id
    assert [outcome.id for outcome in outcomes] == [first, f"{first}-2", f"{first}-3"]
    service = Service(seconds=0.0)
    outcomes, _ = await take(service, [call("a")] * 4, path, resume=True, ordered=True)
    assert [outcome.replayed for outcome in outcomes] == [True, True, True, False]
    assert service.sent == ["a"]


# ------------------------------------------------------------ calls that create something


async def interrupted(service: Service, path: Path, seconds: float, **options: Any) -> None:
    """A run of five drawings that is left after so many seconds."""
    async with fan(service, [drawing(str(index)) for index in range(5)], journal=written(path), **options):
        await asyncio.sleep(seconds)


@pytest.mark.parametrize("how", ["leave", "stop", "fatal"])
def test_what_was_never_on_the_wire_is_sent_by_the_next_run(tmp_path: Path, how: str) -> None:
    """Calls that waited for their turn or slept after a refusal do not count as carried out, however the run ended."""
    path = tmp_path / "journal.jsonl"
    fatal: dict[str, ZhipuError] = {"1": refused_key()} if how == "fatal" else {}
    first = Service(seconds=lambda text: 2.0, window=Gate(2), rests={"0": 3600.0}, fails=fatal)
    second = Service(seconds=1.0)

    async def main() -> list[Any]:
        source = [drawing(str(index)) for index in range(5)]
        fanned = fan(first, source, journal=written(path))
        async with fanned:
            if how == "stop":
                asyncio.get_running_loop().call_later(1.0, fanned.stop)
            if how != "leave":
                await take_all(fanned)
            else:
                await asyncio.sleep(1.0)
        return (await take(second, source, path, resume=True))[0]

    outcomes = run(main())
    assert sorted(first.sent) == ["0", "1", "2"]
    ambiguous = {"1", "2"} if how == "leave" else set[str]()
    assert set(texts([one for one in outcomes if isinstance(one.error, ConnectionLost)])) == ambiguous
    again = {"leave": "034", "stop": "034", "fatal": "0134"}[how]
    assert sorted(second.sent) == list(again)
    assert len(outcomes) == 5


def test_what_was_on_the_wire_when_the_run_was_left_is_not_sent_again(tmp_path: Path) -> None:
    """It may have been carried out: its outcome says so, in every later run."""
    path = tmp_path / "journal.jsonl"
    services = [Service(seconds=5.0) for _ in range(3)]

    async def main() -> list[list[Any]]:
        source = [drawing(str(index)) for index in range(5)]
        await interrupted(services[0], path, 1.0, concurrency=3)
        return [(await take(service, source, path, resume=True, ordered=True))[0] for service in services[1:]]

    second, third = run(main())
    assert sorted(services[0].cancelled) == ["0", "1", "2"]
    assert [services[1].sent, services[2].sent] == [["3", "4"], []]
    for outcomes in (second, third):
        assert [type(outcome.error) for outcome in outcomes] == [ConnectionLost] * 3 + [type(None)] * 2
        assert "may have been carried out" in str(outcomes[0].error)


def test_drain_writes_what_was_on_the_wire(tmp_path: Path) -> None:
    """Leaving finishes and journals it, so that the next run sends only the rest."""
    path = tmp_path / "journal.jsonl"
    first, second = Service(seconds=5.0), Service(seconds=5.0)

    async def main() -> list[Any]:
        await interrupted(first, path, 1.0, concurrency=3, leaving="drain")
        return (await take(second, [drawing(str(index)) for index in range(5)], path, resume=True))[0]

    outcomes = run(main())
    assert (sorted(first.answered), second.sent) == (["0", "1", "2"], ["3", "4"])
    assert all(outcome.ok for outcome in outcomes)


def test_calls_that_create_nothing_have_no_line_before_they_are_sent(tmp_path: Path) -> None:
    """Only the others do, and a finished one has both."""
    path = tmp_path / "journal.jsonl"
    run(take(Service(), [call("a"), drawing("b")], path, concurrency=1))
    assert [(line.get("begun", False), "response" in line) for line in lines(path)] == [
        (False, True),
        (True, False),
        (False, True),
    ]


# ------------------------------------------------------------ errors


async def test_an_error_that_ends_the_run_tells_of_the_journal(tmp_path: Path) -> None:
    """Its note names the file and how to go on; what was finished is in it."""
    path = tmp_path / "journal.jsonl"
    _, error = await take(Service(seconds=0.0, fails={"3": refused_key()}), calls(9), path, concurrency=1)
    assert error is not None
    assert error.__notes__ == [
        f"the run was stopped by this error after 3 outcomes; they stay in {path}: go on with resume=True"
    ]
    assert len(lines(path)) == 3


async def test_a_call_that_cannot_be_written_is_an_outcome_with_a_line(tmp_path: Path) -> None:
    """It fails alone, also as the first of the run, and a resumed run says the same."""
    path = tmp_path / "journal.jsonl"
    wrong = AsyncZhipuAI.embeddings.create.call(model="embedding-3", input="x", extra_body={"number": float("nan")})
    for resume in (False, True):
        service = Service(seconds=0.0)
        outcomes, error = await take(service, {"a": wrong, "b": call("b")}, path, resume=resume, ordered=True)
        assert error is None
        assert [type(outcome.error) for outcome in outcomes] == [ConfigError, type(None)]
        assert service.sent == ([] if resume else ["b"])
    assert {entry.id: entry.ok for entry in read_journal(path)} == {"a": False, "b": True}


class FullDisk(Journal):
    """A journal whose disk is full after so many lines."""

    room = 3

    def record(self, record: Any) -> None:
        if self.room <= 0:
            raise OSError(28, "No space left on device")
        self.room -= 1
        super().record(record)


@pytest.mark.parametrize("ordered", [True, False])
def test_a_full_disk_ends_the_run_and_loses_no_outcome(tmp_path: Path, ordered: bool) -> None:
    """Every answer that came in is given, nothing more is sent, and the error of the disk is raised."""
    service, pulls = Service(), Pulls()

    async def main() -> tuple[list[Any], BaseException | None]:
        journal = FullDisk(tmp_path / "journal.jsonl", fsync=None)
        return await take_all(fan(service, pulls.plain(), journal=journal, concurrency=2, ordered=ordered))

    outcomes, error = run(main())
    assert isinstance(error, OSError)
    assert sorted(texts(outcomes)) == sorted(service.sent)
    assert len(outcomes) == 5
    assert len(lines(tmp_path / "journal.jsonl")) == 3


def test_what_cannot_be_noted_is_not_sent(tmp_path: Path) -> None:
    """A call that creates something and whose beginning cannot be written down stays unsent."""

    class Unwritable(Journal):
        def begin(self, id: str, hash: str) -> None:
            raise OSError(28, "No space left on device")

    service = Service()

    async def main() -> tuple[list[Any], BaseException | None]:
        journal = Unwritable(tmp_path / "journal.jsonl", fsync=None)
        return await take_all(fan(service, [call("a"), drawing("b")], journal=journal))

    outcomes, error = run(main())
    assert isinstance(error, OSError)
    assert service.sent == ["a"]
    assert texts(outcomes) == ["a"]


# ------------------------------------------------------------ with the client


async def test_a_run_of_the_client_is_resumed_from_its_file(serve: Serve, tmp_path: Path) -> None:
    """Chat, embedding and speech come from the file as they were, and nothing is sent again."""
    path = tmp_path / "journal.jsonl"
    client, sim = await serve(Scenario(pace=Pace(first_token=0.005)))
    source: dict[str, Any] = {
        "chat": AsyncZhipuAI.chat.completions.create.call(
            model="glm-4.6", messages=[{"role": "user", "content": "Hi"}]
        ),
        "embedding": call("x"),
        "speech": AsyncZhipuAI.audio.speech.call(model="glm-tts", input="Hi", voice="tongtong"),
        "wrong": AsyncZhipuAI.embeddings.create.call(model="no-such-model", input="x"),
    }
    first: list[Any] = await client.fan_out(source, journal=path).collect()
    asked = len(sim.requests)
    second: list[Any] = await client.fan_out(source, journal=path, resume=True).collect()
    assert len(sim.requests) == asked == 4
    assert [outcome.replayed for outcome in second] == [True] * 4
    assert [outcome.ok for outcome in first] == [outcome.ok for outcome in second] == [True, True, True, False]
    assert first[0].value.text == second[0].value.text
    assert first[1].value.data == second[1].value.data
    assert first[2].value.content == second[2].value.content
    assert type(first[3].error) is type(second[3].error)
    assert first[3].error.message == second[3].error.message


async def test_a_refusal_that_outlasts_its_call_is_asked_again_by_the_next_run(serve: Serve, tmp_path: Path) -> None:
    """A call that met only refusals is not done: the resumed run has its answer."""
    path = tmp_path / "journal.jsonl"
    refusal = RateLimitError("slow down", status=429, code="1302", retryable=True)
    await take(Service(seconds=0.0, fails={"0": refusal}), [call("0")], path)
    client, sim = await serve()
    outcomes = await client.fan_out([call("0")], journal=path, resume=True).collect()
    assert outcomes[0].ok
    assert not outcomes[0].replayed
    assert len(sim.requests) == 1


async def test_an_id_of_two_requests_under_way_is_refused(tmp_path: Path) -> None:
    """The second is not sent although the first has no line yet, the first is kept, and the journal can be resumed."""
    path, service = tmp_path / "journal.jsonl", Service(seconds=0.01)
    outcomes, error = await take(service, [("x", call("0")), ("x", call("1"))], path)
    assert texts(outcomes) == service.sent == ["0"]
    assert isinstance(error, ConfigError)
    assert "two calls have one id" in str(error)
    outcomes, error = await take(service, [("x", call("0"))], path, resume=True)
    assert error is None
    assert outcomes[0].replayed


async def test_a_call_that_is_there_twice_under_one_id_is_carried_out_twice(tmp_path: Path) -> None:
    """The same request under the same id is no mistake that can be seen: both have their outcome."""
    service = Service(seconds=0.01)
    outcomes, error = await take(service, [("x", call("0"))] * 2, tmp_path / "journal.jsonl")
    assert error is None
    assert texts(outcomes) == service.sent == ["0", "0"]


async def test_the_loop_goes_round_between_two_calls_that_are_read_from_the_file(tmp_path: Path) -> None:
    """A long journal does not hold up what else the loop does: it has a turn for each call, at least."""
    path, service = tmp_path / "journal.jsonl", Service(seconds=0.0)
    await take(service, calls(100), path)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    turning = asyncio.create_task(turn())
    outcomes, error = await take(service, calls(100), path, resume=True)
    turning.cancel()
    assert error is None
    assert sum(outcome.replayed for outcome in outcomes) == 100 <= turns
