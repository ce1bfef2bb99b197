"""Calls in a Ray Data job. The jobs themselves need Ray, and with ``REQUIRE_RAY=1`` its absence is a failure."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from zhipu_async import AsyncZhipuAI, AuthenticationError, Call, ConfigError
from zhipu_async.integrations.folder_journal import FolderJournal
from zhipu_async.integrations.ray import ChatBatches
from zhipu_async.journal import read_journal
from zhipu_async.simulator import DEFAULT_KEY, Case, Pace, Raw, Refusal, Scenario, SeenRequest, Simulator

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),  # Ray warns of its own settings
]

MODEL = "glm-4.6"
UNSAFE = "[unsafe prompt]"


def prompt_of(request: SeenRequest) -> str:
    """The question of a chat request."""
    text: str = request.body["messages"][-1]["content"]
    return text


def files(folder: Path) -> list[Path]:
    """All files below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def asked(sim: Simulator) -> Counter[str]:
    """How often each question has arrived."""
    return Counter(prompt_of(request) for request in sim.requests)


# ---------------------------------------------------------------- one worker, without Ray


class Begin:
    """Makes workers as Ray would, each with a client of one simulator."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self.begun: list[ChatBatches] = []

    def __call__(self, **arguments: Any) -> ChatBatches:
        client = {"base_url": self.sim.base_url, "api_key": self.sim.api_key, **arguments.pop("client", {})}
        if "make_call" not in arguments:
            arguments = {"model": MODEL, **arguments}
        if arguments.get("model", "") is None:
            del arguments["model"]
        self.begun.append(ChatBatches(client=client, **arguments))
        return self.begun[-1]

    async def end(self) -> None:
        """End the workers."""
        for worker in self.begun:
            await asyncio.to_thread(worker.close)


@pytest.fixture
async def begin() -> AsyncIterator[Callable[..., Any]]:
    """``worker = await begin(scenario)(**arguments)``: the simulator is ``begin(...).sim``."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(scenario: Scenario | None = None) -> Begin:
            made = Begin(await stack.enter_async_context(Simulator(scenario)))
            stack.push_async_callback(made.end)
            return made

        yield start


async def test_rows_keep_their_columns_and_get_answers(begin: Callable[..., Any]) -> None:
    """The columns of a batch stay as they are, and beside each prompt stands its answer, in the order of the rows."""
    start = await begin()
    batch = {"prompt": ["one", "two", "three"], "place": [1, 2, 3]}
    answers = await start(system="Be short.")(batch)
    assert batch == {"prompt": ["one", "two", "three"], "place": [1, 2, 3]}
    assert answers["prompt"] == batch["prompt"]
    assert answers["place"] == batch["place"]
    for prompt, answer, response in zip(batch["prompt"], answers["answer"], answers["response"], strict=True):
        assert prompt in answer
        assert json.loads(response)["choices"][0]["message"]["content"] == answer
    assert answers["error"] == [None] * 3
    assert all(tokens > 0 for tokens in answers["tokens"])
    assert all(seconds > 0 for seconds in answers["seconds"])
    assert [request.body["messages"][0]["content"] for request in start.sim.requests] == ["Be short."] * 3


async def test_a_failed_call_is_a_value(begin: Callable[..., Any]) -> None:
    """A refused prompt and a row without text have an error in their row; the others are answered."""
    start = await begin()
    answers = await start()({"prompt": ["one", f"two {UNSAFE}", None, "four"]})
    assert [answer is None for answer in answers["answer"]] == [False, True, True, False]
    assert [answer is None for answer in answers["response"]] == [False, True, True, False]
    errors = [error and json.loads(error) for error in answers["error"]]
    assert errors[0] is errors[3] is None
    assert (errors[1]["type"], errors[1]["code"], errors[1]["again"]) == ("ContentFilterError", "1301", False)
    assert (errors[2]["type"], errors[2]["message"]) == ("ConfigError", "'prompt' must be text, not NoneType")
    assert len(start.sim.requests) == 3


async def test_a_fatal_error_is_raised_and_nothing_more_is_sent(begin: Callable[..., Any]) -> None:
    """A refused key raises, and batches that come after it send nothing."""
    start = await begin()
    worker = start(client={"api_key": "another.key"}, run={"concurrency": 1})
    with pytest.raises(AuthenticationError):
        await worker({"prompt": ["one", "two"]})
    with pytest.raises(AuthenticationError):
        await worker({"prompt": ["three"]})
    assert len(start.sim.requests) == 1


async def test_any_endpoint_can_be_called(begin: Callable[..., Any]) -> None:
    """``make_call`` makes the calls of a row, ``read`` what stands in the column of answers."""
    start = await begin()
    worker = start(make_call=embed, read=vector, prefix="glm_")
    answers = await worker({"text": ["one", "two"], "answer": ["kept", "kept"]})
    assert answers["answer"] == ["kept", "kept"]
    assert [len(numbers) for numbers in answers["glm_answer"]] == [256, 256]
    assert [request.body["input"] for request in start.sim.requests] == ["one", "two"]


def embed(row: dict[str, Any]) -> Call[Any]:
    """The call that embeds the text of a row."""
    return AsyncZhipuAI.embeddings.create.call(model="embedding-3", input=row["text"], dimensions=256)


def vector(answer: Any) -> list[float]:
    """The vector of an answer."""
    numbers: list[float] = answer.data[0].embedding
    return numbers


async def test_a_row_of_which_no_call_can_be_made_has_an_error(begin: Callable[..., Any]) -> None:
    """What make_call refuses with an error of this library is the row's; any other exception goes through."""

    def make(row: dict[str, Any]) -> Call[Any]:
        if row["text"] == "":
            raise ConfigError("nothing to embed")
        return embed(row)

    start = await begin()
    answers = await start(make_call=make)({"text": ["one", ""]})
    assert answers["error"][0] is None
    assert json.loads(answers["error"][1])["message"] == "nothing to embed"
    with pytest.raises(KeyError):
        await start(make_call=make)({"other": ["one"]})


async def test_half_a_character_does_not_end_the_job(begin: Callable[..., Any]) -> None:
    """A lone surrogate in an answer becomes a question mark: Arrow would refuse the text."""
    body = b'{"id":"1","choices":[{"index":0,"finish_reason":"stop","message":{"content":"a \\ud83d b"}}]}'
    start = await begin(Scenario(replies=[Raw(body)]))
    answers = await start()({"prompt": ["one"]})
    assert answers["answer"] == ["a ? b"]
    assert json.loads(answers["response"][0])["choices"][0]["message"]["content"] == "a ? b"


WRONG: list[tuple[dict[str, Any], dict[str, list[Any]], str]] = [
    ({}, {"text": ["one"]}, "no column prompt, only text"),
    ({}, {"prompt": ["one"], "tokens": [1]}, "has tokens already"),
    ({"run": {"journal": "a.jsonl"}}, {"prompt": ["one"]}, "not journal"),
    ({"make_call": embed, "temperature": 1}, {"text": ["one"]}, "brings its own parameters: temperature"),
    ({"id_column": "id"}, {"prompt": ["one"]}, "no column id"),
    ({"model": None}, {"prompt": ["one"]}, "model="),
]


@pytest.mark.parametrize(("arguments", "batch", "told"), WRONG)
async def test_wrong_use_is_told_before_anything_is_sent(
    begin: Callable[..., Any], arguments: dict[str, Any], batch: dict[str, list[Any]], told: str
) -> None:
    """Missing and doubled columns, and options that do not fit, are a ConfigError."""
    start = await begin()
    with pytest.raises(ConfigError, match=told):
        await start(**arguments)(batch)
    assert start.sim.requests == []


async def test_an_unknown_parameter_is_a_type_error(begin: Callable[..., Any]) -> None:
    """A parameter that chat does not have raises before anything is sent."""
    start = await begin()
    with pytest.raises(TypeError, match="temprature"):
        await start(temprature=1)({"prompt": ["one"]})
    with pytest.raises(ConfigError, match="batch_format"):
        await start()([{"prompt": "one"}])
    assert start.sim.requests == []


# ---------------------------------------------------------------- the folder of journals


async def test_what_a_worker_has_finished_no_other_sends(begin: Callable[..., Any], tmp_path: Path) -> None:
    """A second worker on the same folder answers finished rows from the first one's file, and sends only the rest."""
    start = await begin()
    first = await start(checkpoint_dir=tmp_path, id_column="id")({"prompt": ["one", "two"], "id": [1, 2]})
    second = await start(checkpoint_dir=tmp_path, id_column="id")({"prompt": ["two", "three"], "id": [2, 3]})
    assert asked(start.sim) == {"one": 1, "two": 1, "three": 1}
    assert second["answer"][0] == first["answer"][1]
    assert second["response"][0] == first["response"][1]
    assert second["tokens"][0] == first["tokens"][1]
    await start.end()
    found = {entry.id for path in files(tmp_path) for entry in read_journal(path)}
    assert found == {"1", "2", "3"}


async def test_a_worker_knows_its_own_lines(begin: Callable[..., Any], tmp_path: Path) -> None:
    """A batch that Ray gives to the same worker again is not sent again."""
    start = await begin()
    worker = start(checkpoint_dir=tmp_path, id_column="id")
    batch = {"prompt": ["one", "two"], "id": ["a", "b"]}
    assert (await worker(batch))["answer"] == (await worker(batch))["answer"]
    assert len(start.sim.requests) == 2


async def test_batches_at_the_same_time_share_a_file(begin: Callable[..., Any], tmp_path: Path) -> None:
    """Four batches at once are answered by one worker with one file, and each row is sent once."""
    start = await begin(Scenario(pace=Pace(first_token=0.02)))
    worker = start(checkpoint_dir=tmp_path, id_column="id")
    ids = [[f"{batch}-{row}" for row in range(5)] for batch in range(4)]
    answers = await asyncio.gather(*(worker({"prompt": ids[batch], "id": ids[batch]}) for batch in range(4)))
    assert all(set(answer["error"]) == {None} for answer in answers)
    assert asked(start.sim) == {identity: 1 for batch in ids for identity in batch}
    assert len(files(tmp_path)) == 1


async def test_rows_without_ids_are_known_by_their_requests(begin: Callable[..., Any], tmp_path: Path) -> None:
    """Without an id column identical rows are sent once, in one batch and in later ones."""
    start = await begin()
    first = await start(checkpoint_dir=tmp_path)({"prompt": ["one", "one", "two"]})
    second = await start(checkpoint_dir=tmp_path)({"prompt": ["two", "one"]})
    assert asked(start.sim) == {"one": 1, "two": 1}
    assert second["answer"] == [first["answer"][2], first["answer"][0]]


async def test_failures_that_may_pass_are_sent_again(begin: Callable[..., Any], tmp_path: Path) -> None:
    """A row that failed for a passing reason is sent by the next worker; one that the service refuses is not."""
    once = Case(lambda request: prompt_of(request) == "one", [Refusal("1234")])
    start = await begin(Scenario(cases=[once]))
    batch = {"prompt": ["one", f"two {UNSAFE}"], "id": [1, 2]}
    arguments = {"checkpoint_dir": tmp_path, "id_column": "id", "run": {"max_retries": 0}}
    first, second = [await start(**arguments)(batch) for _ in range(2)]
    assert [error is None for error in first["error"]] == [False, False]
    assert [error is None for error in second["error"]] == [True, False]
    assert first["error"][1] == second["error"][1]
    assert asked(start.sim) == {"one": 2, f"two {UNSAFE}": 1}


async def test_a_creation_that_a_lost_worker_had_begun_is_not_repeated(
    begin: Callable[..., Any], tmp_path: Path
) -> None:
    """A call that creates something and has no end in a lost worker's file is an error that says so, not a request."""
    start = await begin()
    batch = {"text": ["a lighthouse"], "id": [1]}
    await start(make_call=film, checkpoint_dir=tmp_path, id_column="id")(batch)
    await start.end()
    (path,) = files(tmp_path)
    begun, *_ = path.read_text().splitlines(keepends=True)
    assert '"begun":true' in begun
    path.write_text(begun)
    answers = await start(make_call=film, checkpoint_dir=tmp_path, id_column="id")(
        {"text": ["a lighthouse"], "id": [1]}
    )
    assert json.loads(answers["error"][0])["type"] == "ConnectionLost"
    assert len(start.sim.requests) == 1


def film(row: dict[str, Any]) -> Call[Any]:
    """The call that begins a film."""
    return AsyncZhipuAI.videos.generations.call(model="cogvideox-3", prompt=row["text"])


async def test_an_id_stands_for_one_request(begin: Callable[..., Any], tmp_path: Path) -> None:
    """The id of another worker's row with another prompt is a ConfigError, and nothing is sent."""
    start = await begin()
    await start(checkpoint_dir=tmp_path, id_column="id")({"prompt": ["one"], "id": [1]})
    with pytest.raises(ConfigError, match="'1' as the id of another request"):
        await start(checkpoint_dir=tmp_path, id_column="id")({"prompt": ["two"], "id": [1]})
    with pytest.raises(ConfigError, match="a row has no 'id'"):
        await start(checkpoint_dir=tmp_path, id_column="id")({"prompt": ["two"], "id": [None]})
    assert len(start.sim.requests) == 1


async def test_other_files_of_the_folder_are_passed_over(tmp_path: Path) -> None:
    """Files that are no journals and torn last lines do no harm, and a file without lines is removed."""
    (tmp_path / "rows.jsonl").write_text('{"prompt": "one"}\n')
    (tmp_path / "torn.jsonl").write_text('{"custom_id":"a","resp')
    (tmp_path / "notes.txt").write_text("hello")
    journal = FolderJournal(tmp_path)
    await journal.open()
    assert journal.recall("a", "0" * 32) is None
    await journal.close()
    assert {path.name for path in files(tmp_path)} == {"rows.jsonl", "torn.jsonl", "notes.txt"}


async def test_the_journal_of_a_run_counts_too(begin: Callable[..., Any], tmp_path: Path) -> None:
    """The journal of a fan_out in the folder saves its calls."""
    start = await begin()
    async with AsyncZhipuAI(start.sim.api_key, base_url=start.sim.base_url) as client:
        run = client.fan_out({"a": "one"}, model=MODEL, journal=tmp_path / "earlier.jsonl")
        (outcome,) = await run.collect()
    answers = await start(checkpoint_dir=tmp_path, id_column="id")({"prompt": ["one"], "id": ["a"]})
    assert answers["answer"] == [outcome.unwrap().text]
    assert len(start.sim.requests) == 1


# ---------------------------------------------------------------- jobs of Ray


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A local Ray of two CPUs, whose processes have the key in their environment; gives the module ``ray``."""
    if find_spec("ray") is None:
        if os.environ.get("REQUIRE_RAY") == "1":
            pytest.fail("Ray is required (REQUIRE_RAY=1) and is not there: pip install 'zhipu-async[ray]'")
        pytest.skip("Ray is not installed: pip install 'zhipu-async[ray]'")
    folder = tempfile.mkdtemp(prefix="ray")  # short: sockets are in it
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
            patch.delenv(name, raising=False)
            patch.delenv(name.lower(), raising=False)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("ZHIPU_API_KEY", DEFAULT_KEY)
        import ray
        import ray.data

        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=80 * 1024 * 1024,
            _node_ip_address="127.0.0.1",
            _temp_dir=folder,
        )
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        try:
            yield ray
        finally:
            ray.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


Job = Callable[..., Any]


@pytest.fixture
def job(cluster: Any) -> Job:
    """``rows = await job(sim, rows, **arguments)``: the rows, answered by two workers, in batches of ten."""

    async def run(sim: Simulator, rows: list[dict[str, Any]], *, batch: int = 10, **arguments: Any) -> Any:
        if "make_call" not in arguments:
            arguments = {"model": MODEL, **arguments}
        arguments["client"] = {"base_url": sim.base_url, **arguments.get("client", {})}
        dataset = cluster.data.from_items(rows, override_num_blocks=max(1, len(rows) // batch)).map_batches(
            ChatBatches,
            fn_constructor_kwargs=arguments,
            compute=cluster.data.ActorPoolStrategy(size=2),
            batch_size=batch,
            batch_format="pyarrow",
            num_cpus=0.1,
        )
        async with asyncio.timeout(120):
            return await asyncio.to_thread(dataset.take_all)

    return run


def questions(count: int) -> list[dict[str, Any]]:
    """So many rows with a question each."""
    return [{"id": number, "prompt": f"question {number}"} for number in range(count)]


class Signed:
    """Makes the calls of rows, and leaves the number of its process in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, row: dict[str, Any]) -> Call[Any]:
        (self.folder / str(os.getpid())).touch()
        return AsyncZhipuAI.chat.completions.create.call(
            model=MODEL, messages=[{"role": "user", "content": row["prompt"]}]
        )

    @property
    def processes(self) -> list[int]:
        """The processes that made calls."""
        return sorted(int(path.name) for path in self.folder.iterdir())


async def test_two_workers_answer_each_row_once(job: Job, tmp_path: Path) -> None:
    """Each of 60 rows is sent once, both workers take part, and each answer stands beside its question."""
    signed = Signed(tmp_path)
    async with Simulator(Scenario(pace=Pace(first_token=0.2))) as sim:
        rows = await job(sim, questions(60), make_call=signed)
        assert asked(sim) == {row["prompt"]: 1 for row in questions(60)}
    assert sorted(row["id"] for row in rows) == list(range(60))
    assert all(row["prompt"] in row["answer"] and row["error"] is None and row["tokens"] > 0 for row in rows)
    assert len(signed.processes) == 2


async def test_failed_rows_do_not_end_the_job(job: Job) -> None:
    """Of 40 rows each fourth is refused: those have an error, the others an answer."""
    rows = questions(40)
    for row in rows[::4]:
        row["prompt"] += UNSAFE
    async with Simulator() as sim:
        answered = {row["id"]: row for row in await job(sim, rows)}
    assert [identity for identity, row in sorted(answered.items()) if row["error"] is not None] == list(range(0, 40, 4))
    assert all((row["answer"] is None) == (row["error"] is not None) for row in answered.values())
    assert json.loads(answered[0]["error"])["code"] == "1301"


async def test_a_wrong_key_ends_the_job(job: Job) -> None:
    """A refused key ends the job with an error that names it, after a few of 400 rows, without repeats."""
    async with Simulator(Scenario(pace=Pace(first_token=0.05))) as sim:
        with pytest.raises(Exception, match="AuthenticationError") as caught:
            await job(sim, questions(400), client={"api_key": "another.key"})
        assert "UserCodeException" in type(caught.value).__name__
        sent = -1
        while sent != len(sim.requests):  # the other workers are ended, but not at once
            sent = len(sim.requests)
            await asyncio.sleep(1)
        assert 1 <= sent <= 100


async def test_a_job_that_is_run_again_sends_nothing(job: Job, tmp_path: Path) -> None:
    """The same job on the same folder gives the same answers without a request."""
    async with Simulator() as sim:
        first = await job(sim, questions(40), checkpoint_dir=tmp_path, id_column="id")
        again = await job(sim, questions(40), checkpoint_dir=tmp_path, id_column="id")
        assert len(sim.requests) == 40
    assert {row["id"]: row["response"] for row in again} == {row["id"]: row["response"] for row in first}


async def test_a_lost_worker_costs_only_what_was_in_flight(job: Job, tmp_path: Path) -> None:
    """A worker killed in the middle is begun again by Ray: each row is answered, and sent twice only if on the wire."""
    signed, folder = Signed(tmp_path / "processes"), tmp_path / "answers"
    signed.folder.mkdir()
    async with Simulator(Scenario(pace=Pace(first_token=0.1), concurrency_limit=8)) as sim:
        running = asyncio.create_task(
            job(sim, questions(300), batch=50, make_call=signed, checkpoint_dir=folder, id_column="id")
        )
        answered = lambda: sum(request.status == 200 for request in sim.requests)  # noqa: E731
        await sim.wait_until(lambda: answered() >= 60 and len(signed.processes) == 2, timeout=60)
        os.kill(signed.processes[0], signal.SIGKILL)
        on_the_wire = sim.in_flight
        rows = await running
        twice = {prompt for prompt, count in answered_by(sim).items() if count > 1}
    assert sorted(row["id"] for row in rows) == list(range(300))
    assert all(row["error"] is None and row["prompt"] in row["answer"] for row in rows)
    assert len(signed.processes) == 3
    assert len(twice) <= on_the_wire <= 8


def answered_by(sim: Simulator) -> Counter[str]:
    """How often each question has arrived and was not refused for load."""
    return Counter(prompt_of(request) for request in sim.requests if request.status in (None, 200))


async def test_workers_share_the_limit_of_the_account(job: Job) -> None:
    """Two workers below a limit of 8 answer 800 rows; once they have found it, at most 5 % of requests are refused."""
    async with Simulator(Scenario(pace=Pace(first_token=0.05), concurrency_limit=8)) as sim:
        rows = await job(sim, questions(800), batch=100)
        statuses = [request.status for request in sim.requests]
    assert all(row["error"] is None for row in rows)
    assert Counter(statuses)[200] == 800
    later = statuses[len(statuses) // 2 :]
    assert Counter(later)[429] <= 0.05 * len(later)


async def test_the_key_of_the_environment_stands_in_no_file_of_ray(job: Job, cluster: Any) -> None:
    """Nothing that Ray has written holds the key that its processes got from their environment."""
    async with Simulator() as sim:
        assert len(await job(sim, questions(20))) == 20
    session = Path(cluster._private.worker._global_node.get_session_dir_path())
    assert any(path.suffix == ".log" for path in files(session))
    assert [path.name for path in files(session) if DEFAULT_KEY.encode() in path.read_bytes()] == []
