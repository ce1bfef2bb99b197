"""Runs through the vendor's batches: every item has one outcome, and nothing is paid twice."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.batch_vendor import Line, Vendor, echo, refusal
from tests.conftest import Serve
from zhipu_async import AsyncZhipuAI
from zhipu_async.batching import BatchRun, files, rounds, service
from zhipu_async.errors import (
    AccountError,
    BadRequestError,
    ConfigError,
    ConnectionLost,
    ContentFilterError,
    CreationUnknown,
    DecodeError,
    JournalError,
    NotFoundError,
    PermissionDeniedError,
    QuotaError,
    RateLimitError,
    ServerError,
    TaskFailed,
    TaskTimeout,
    ZhipuError,
)
from zhipu_async.journal import Journal
from zhipu_async.outcomes import Outcome, RunProgress
from zhipu_async.polling import KINDS
from zhipu_async.protocol import batch_lines
from zhipu_async.resources import Completions, Embeddings, Images, Rerank
from zhipu_async.simulator import Scenario, Simulator
from zhipu_async.types.batches import Batch, BatchCounts, BatchError, BatchList

PROMPTS = {f"question-{number}": f"What is {number}?" for number in range(12)}


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture(autouse=True)
def _short_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "LOOKS", (0.0, None))
    monkeypatch.setattr(service, "PATIENCE", (0.0, 0.0))
    quick = KINDS[Batch]
    monkeypatch.setitem(KINDS, Batch, type(quick)(0.01, 0.02, quick.ask))


def kill() -> None:
    """The process ends here."""
    raise Killed


def ask(content: str = "Hello", model: str = "glm-4.6", **more: Any) -> Any:
    """A chat call."""
    return Completions.create.call(model=model, messages=[{"role": "user", "content": content}], **more)


async def within(seconds: float, run: BatchRun[Any]) -> None:
    """Take the outcomes of a run, and leave it by TimeoutError."""
    async with run, asyncio.timeout(seconds):
        await run.collect()


def texts(outcomes: list[Outcome[Any]]) -> dict[str, str]:
    """What was answered, by id."""
    return {outcome.id: outcome.unwrap().text for outcome in outcomes}


def journal_lines(path: Path) -> Counter[str]:
    """How many lines each id has in a journal."""
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    return Counter(line["custom_id"] for line in lines if "custom_id" in line)


def on_simulator(client: AsyncZhipuAI, source: Any, **options: Any) -> BatchRun[Any]:
    """A run as the client makes it."""
    parameters = options.pop("parameters", {"model": "glm-4.6"})
    sender = client._sender
    return BatchRun(
        source, parameters, send=sender.send, fetch=sender.fetch, wait=client.wait, base_url=client.base_url, **options
    )


def asked(sim: Simulator, method: str, path: str) -> int:
    """How many requests there were."""
    return sum(request.method == method and request.path.endswith(path) for request in sim.requests)


# ---------------------------------------------------------------- results and their calls


async def test_results_are_joined_by_id() -> None:
    """Results come in another order than the calls, and each goes to its own."""
    vendor = Vendor()
    outcomes = await vendor.run(PROMPTS).collect()
    assert [outcome.index for outcome in outcomes] == list(range(12))
    assert texts(outcomes) == {name: f"echo {text}" for name, text in PROMPTS.items()}
    assert {outcome.attempts for outcome in outcomes} == {1}
    assert vendor.uploads[0][3] == {
        "custom_id": "question-3",
        "method": "POST",
        "url": "/v4/chat/completions",
        "body": {"model": "glm-4.6", "messages": [{"role": "user", "content": "What is 3?"}]},
    }
    (batch,) = vendor.batches.values()
    assert batch.endpoint == "/v4/chat/completions"
    tag = (batch.metadata or {})["zhipu_async"]
    assert tag.endswith(" 1/1")
    assert len(tag.split()[0]) == 32


async def test_a_run_of_the_simulator(serve: Serve) -> None:
    """Against the simulator the outcomes of a batch are those of direct calls, and one failed line is one error."""
    client, sim = await serve(Scenario(batch_seconds=0.02))
    prompts = [*PROMPTS.values(), "[unsafe prompt]"]
    async with on_simulator(client, prompts) as run:
        outcomes = await run.collect()
    assert [outcome.id for outcome in outcomes] == [str(number) for number in range(13)]
    for outcome, prompt in zip(outcomes[:12], prompts, strict=False):
        direct = await client.chat.completions.create(model="glm-4.6", messages=[{"role": "user", "content": prompt}])
        assert outcome.unwrap().text == direct.text
    error = outcomes[12].error
    assert isinstance(error, ContentFilterError)
    assert (error.status, error.code, error.method) == (400, "1301", "POST")
    assert error.url == f"{client.base_url}/chat/completions"
    assert [batch.status for batch in run.batches] == ["completed"]
    assert asked(sim, "POST", "/batches") == 1


@pytest.mark.parametrize(
    ("identity", "taken"),
    [("abcdef", True), ("a" * 64, True), ("q-1", False), ("a" * 65, False), ("with\nline", False), (" padded ", False)],
)
async def test_ids_that_the_service_does_not_take(identity: str, taken: bool) -> None:
    """An id that is too short or long, or not printable, travels as its hash and comes back as it was."""
    vendor = Vendor()
    (outcome,) = await vendor.run({identity: "Hello"}).collect()
    assert outcome.id == identity
    sent = vendor.uploads[0][0]["custom_id"]
    assert (sent == identity) is taken
    assert 6 <= len(sent) <= 64
    assert sent.isprintable()


@given(st.text())
def test_an_id_always_has_the_same_line(identity: str) -> None:
    """The id of a line is one that the service takes, and the same each time."""
    named = batch_lines.custom_id(identity)
    assert named == batch_lines.custom_id(identity) == batch_lines.custom_id(named)
    assert 6 <= len(named) <= 64
    assert named.isprintable()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), lambda inner: st.lists(inner), max_leaves=5
)


@given(
    st.text(),
    st.floats(0, 1) | st.none(),
    st.dictionaries(st.sampled_from(["temperature", "new_field", "top_p"]), _JSON, max_size=2) | st.none(),
)
def test_a_call_is_made_again_of_its_line(
    content: str, temperature: float | None, extra: dict[str, Any] | None
) -> None:
    """The call of an outcome is encoded as the call of the input was, whatever parameters it has."""
    call = ask(content, temperature=temperature, extra_body=extra)
    _, body = batch_lines.encoded(call)
    again = batch_lines.call_of(call.endpoint, type(call.arguments), body)
    assert json.loads(batch_lines.encoded(again)[1]) == json.loads(body)
    assert again.endpoint is call.endpoint


async def test_the_call_of_an_outcome() -> None:
    """An outcome brings a call that sends what the item's did, extra fields included."""
    vendor = Vendor()
    source = [ask("one", temperature=0.5, extra_body={"new": None}), ask("two")]
    outcomes = await vendor.run(source, parameters={}).collect()
    assert [batch_lines.encoded(outcome.call) for outcome in outcomes] == [batch_lines.encoded(call) for call in source]


async def test_strange_lines() -> None:
    """Lines without a known id, twice the same, and what is no JSON are counted and logged; every call has its one
    outcome."""

    def answer(line: Line, times: int) -> bytes:
        good = json.dumps(echo(line)).encode()
        stranger = json.dumps(echo({**line, "custom_id": "a stranger"})).encode()
        return b"\r\n".join([good, good, b"", b"no JSON", stranger, b'{"custom_id": 7}', b"[]"])

    run = Vendor(answer).run(PROMPTS)
    assert texts(await run.collect()) == {name: f"echo {text}" for name, text in PROMPTS.items()}
    assert run.strays == 12 * 5


@pytest.mark.parametrize("turned", [False, True])
async def test_an_answer_counts_more_than_an_error(turned: bool) -> None:
    """Of two lines of one call the answer is its outcome, in whichever order they come: it is paid for."""

    def answer(line: Line, times: int) -> bytes:
        both = [json.dumps(refusal(line, "1302")).encode(), json.dumps(echo(line)).encode()]
        return b"\n".join(reversed(both) if turned else both)

    vendor = Vendor(answer)
    run = vendor.run(PROMPTS)
    assert texts(await run.collect()) == {name: f"echo {text}" for name, text in PROMPTS.items()}
    assert (vendor.creations(), run.strays) == (1, 12)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"response": {"status_code": 400, "body": {"error": {"code": "1210", "message": "no"}}}}, BadRequestError),
        ({"response": {"status_code": 200, "body": {"error": {"code": "1301", "message": "no"}}}}, ContentFilterError),
        ({"response": None, "error": {"code": "1210", "message": "no"}}, BadRequestError),
        ({"error": {"code": "1113", "message": "no"}}, AccountError),
        ({"error": "it went wrong"}, ServerError),
        ({"response": {"status_code": 418, "body": "a teapot"}}, BadRequestError),
        ({"response": {"status_code": "400", "body": {"error": {"code": 1210, "message": "no"}}}}, BadRequestError),
        ({"response": {"status_code": 200, "body": [7]}}, DecodeError),
    ],
)
async def test_errors_of_lines(said: dict[str, Any], kind: type[Exception]) -> None:
    """A line's error is the one that the client would raise for such an answer, however the file says it."""
    vendor = Vendor(lambda line, times: json.dumps({"custom_id": line["custom_id"], **said}).encode())
    (outcome,) = await vendor.run(["Hello"]).collect()
    assert type(outcome.error) is kind
    assert vendor.creations() == 1


# ---------------------------------------------------------------- shards


async def test_files_of_limited_lines() -> None:
    """A file has at most so many lines, and every line is in one file."""
    vendor = Vendor()
    assert len(await vendor.run(PROMPTS, most_lines=5).collect()) == 12
    assert sorted(vendor.lines()) == [2, 5, 5]
    assert Counter(line["custom_id"] for lines in vendor.uploads for line in lines) == Counter(list(PROMPTS))


async def test_files_of_limited_bytes() -> None:
    """A file is never larger than the limit, and full as far as whole lines go."""
    vendor = Vendor()
    await vendor.run(PROMPTS, most_bytes=500).collect()
    assert sum(vendor.lines()) == 12
    assert max(vendor.sizes) <= 500
    longest = max(len(json.dumps(line)) for lines in vendor.uploads for line in lines) + 1
    assert sum(size + longest <= 500 for size in vendor.sizes) <= 1


@pytest.mark.heavy
async def test_the_service_limit_of_embeddings() -> None:
    """Embeddings have files of their own, with fewer lines than others, by the service's limits."""
    body = {"object": "list", "data": [{"index": 0, "object": "embedding", "embedding": [0.5]}]}
    vendor = Vendor(
        lambda line, times: {"custom_id": line["custom_id"], "response": {"status_code": 200, "body": body}}
    )
    source = [Embeddings.create.call(model="embedding-3", input=str(number)) for number in range(10_001)]
    outcomes = await vendor.run(source, parameters={}).collect()
    assert sorted(vendor.lines()) == [1, 10_000]
    assert {outcome.unwrap().data[0].embedding[0] for outcome in outcomes} == {0.5}


async def test_several_models_and_endpoints() -> None:
    """Each file is of one model and one endpoint; creating endpoints are taken too."""

    def answer(line: Line, times: int) -> Line:
        if line["url"] == "/v4/chat/completions":
            return echo(line)
        body = {"created": 1, "data": [{"url": "https://example.com/a.png"}]}
        return {"custom_id": line["custom_id"], "response": {"status_code": 200, "body": body}}

    vendor = Vendor(answer)
    source = [
        ask("one", "glm-4.6"),
        Images.generate.call(model="cogview-4", prompt="a cat"),
        ask("two", "glm-4-flash"),
        ask("three", "glm-4.6"),
        ask("four", "glm-4.6", extra_body={"model": "glm-4-flash"}),
    ]
    outcomes = await vendor.run(source, parameters={}).collect()
    found = [{(line["url"], line["body"]["model"]) for line in lines} for lines in vendor.uploads]
    assert sorted(map(list, found)) == [
        [("/v4/chat/completions", "glm-4-flash")],
        [("/v4/chat/completions", "glm-4.6")],
        [("/v4/images/generations", "cogview-4")],
    ]
    assert {batch.endpoint for batch in vendor.batches.values()} == {"/v4/chat/completions", "/v4/images/generations"}
    assert outcomes[1].unwrap().data[0].url == "https://example.com/a.png"
    assert all(outcome.ok for outcome in outcomes)


async def test_two_ids_with_one_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids whose lines would have one id go into two files, one after the other."""
    monkeypatch.setattr(files, "custom_id", lambda identity: "the-same")
    vendor = Vendor()
    assert texts(await vendor.run({"a": "one", "b": "two"}).collect()) == {"a": "echo one", "b": "echo two"}
    assert vendor.lines() == [1, 1]


# ---------------------------------------------------------------- what cannot be sent


@pytest.mark.parametrize(
    "call",
    [
        Rerank.create.call(model="rerank", query="a", documents=["b"]),
        ask(timeout=5),
        ask(extra_headers={"X-Test": "1"}),
        ask(extra_query={"a": "1"}),
        ask(extra_body={"stream": True}),
        ask("\ud800"),
        Completions.create.call(model="glm-4.6", messages=[], temperature=float("nan")),
    ],
)
async def test_calls_that_a_batch_does_not_take(call: Any) -> None:
    """As the first item such a call ends the run before anything is sent; later it is an error of its own."""
    vendor = Vendor()
    with pytest.raises(ConfigError):
        await vendor.run([call, ask()], parameters={}).collect()
    assert not vendor.calls
    first, second = await vendor.run([ask(), call], parameters={}).collect()
    assert first.ok
    assert isinstance(second.error, ConfigError)
    assert second.attempts == 0
    assert second.call is call
    assert vendor.lines() == [1]


async def test_an_id_that_comes_twice() -> None:
    """The second call with an id has an error; the first one is answered."""
    vendor = Vendor()
    outcomes = await vendor.run([("question-1", "one"), ("question-1", "two")]).collect()
    assert outcomes[0].unwrap().text == "echo one"
    assert isinstance(outcomes[1].error, ConfigError)


async def test_a_call_larger_than_a_file() -> None:
    """A call that no file can hold is an error outcome; the others are sent."""
    vendor = Vendor()
    outcomes = await vendor.run(["a", "b" * 500, "c"], most_bytes=400).collect()
    assert [outcome.ok for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1].error, ConfigError)


async def test_an_input_that_raises() -> None:
    """What the input raises ends the run before anything is sent."""

    async def prompts() -> AsyncIterator[str]:
        yield "one"
        raise LookupError("gone")

    vendor = Vendor()
    with pytest.raises(LookupError):
        await vendor.run(prompts()).collect()
    assert not vendor.calls


@pytest.mark.parametrize(
    "options",
    [
        {"rounds": -1},
        {"rounds": 101},
        {"most_lines": 0},
        {"timeout": -1},
        {"metadata": {"zhipu_async": "x"}},
        {"metadata": {"a" * 65: "x"}},
        {"metadata": {"a": "x" * 513}},
        {"metadata": dict.fromkeys(map(str, range(15)), "")},
    ],
)
async def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    """Options out of their bounds are refused when the run is made."""
    with pytest.raises(ConfigError):
        Vendor().run(PROMPTS, **options)


async def test_an_empty_input() -> None:
    """A run of nothing has no outcome and sends nothing."""
    vendor = Vendor()
    assert await vendor.run([]).collect() == []
    assert not vendor.calls


# ---------------------------------------------------------------- sent again


async def test_only_what_failed_is_sent_again() -> None:
    """Lines that failed in passing are sent again, alone; other failures and good lines are not."""

    def answer(line: Line, times: int) -> Line | None:
        number = int(line["custom_id"].partition("-")[2])
        if number == 0:
            return refusal(line, "1301", 400)
        if number in (1, 2) and times == 1:
            return refusal(line, "1302") if number == 1 else refusal(line, "500", 500)
        return None if number == 3 and times < 3 else echo(line)

    vendor = Vendor(answer)
    outcomes = await vendor.run(PROMPTS).collect()
    assert vendor.lines() == [12, 3, 1]
    assert {outcome.id for outcome in outcomes if not outcome.ok} == {"question-0"}
    assert [outcome.attempts for outcome in outcomes[:5]] == [1, 2, 2, 3, 1]
    tags = [(batch.metadata or {})["zhipu_async"].split()[1] for batch in vendor.batches.values()]
    assert tags == ["1/1", "2/1", "3/1"]


@pytest.mark.parametrize("again", [0, 1, 2])
async def test_the_number_of_rounds(again: int) -> None:
    """A line that fails each time is sent ``rounds`` times more, then its error is its outcome."""
    vendor = Vendor(lambda line, times: refusal(line, "1302"))
    (outcome,) = await vendor.run(["Hello"], rounds=again).collect()
    assert vendor.lines() == [1] * (again + 1)
    assert isinstance(outcome.error, RateLimitError)
    assert outcome.error.code == "1302"


async def test_a_creating_call_is_sent_again_only_with_proof() -> None:
    """A call that creates something goes again after a refusal for load, and not after a failure of the server."""

    def answer(line: Line, times: int) -> Line:
        if line["body"]["prompt"] == "busy" and times > 1:
            body = {"created": 1, "data": [{"url": "https://example.com/a.png"}]}
            return {"custom_id": line["custom_id"], "response": {"status_code": 200, "body": body}}
        return refusal(line, "1302") if line["body"]["prompt"] == "busy" else refusal(line, "500", 500)

    vendor = Vendor(answer)
    source = [Images.generate.call(model="cogview-4", prompt=prompt) for prompt in ("busy", "broken")]
    busy, broken = await vendor.run(source, parameters={}).collect()
    assert busy.ok
    assert isinstance(broken.error, ServerError)
    assert vendor.lines() == [2, 1]


async def test_an_expired_batch(serve: Serve) -> None:
    """Of batches that expire half-way, the answered half is kept and only the rest is sent again, to the last round."""
    client, sim = await serve(Scenario(batch_seconds=0.02, batch_end="expired"))
    uploaded: list[int] = []
    async with on_simulator(client, PROMPTS, rounds=2) as run:
        outcomes = await run.collect()
    for request in sim.requests:
        for upload in request.uploads:
            uploaded.append(upload.size)
    lost = [outcome for outcome in outcomes if not outcome.ok]
    assert len(outcomes) == 12
    assert 0 < len(lost) < 6
    assert all(isinstance(outcome.error, TaskFailed) and outcome.attempts == 3 for outcome in lost)
    assert {batch.status for batch in run.batches} == {"expired"}
    assert asked(sim, "POST", "/batches") == 3
    assert uploaded == sorted(uploaded, reverse=True)
    assert len(set(uploaded)) == 3


async def test_a_failed_batch(serve: Serve) -> None:
    """A batch that fails as a whole, by a code that passes, is sent again; in the end its reason is every outcome."""
    client, sim = await serve(Scenario(batch_seconds=0.02, batch_end="failed"))
    outcomes = await on_simulator(client, PROMPTS, rounds=1).collect()
    assert len(outcomes) == 12
    for outcome in outcomes:
        assert isinstance(outcome.error, TaskFailed)
        assert outcome.error.code == "1230"
    assert asked(sim, "POST", "/batches") == 2
    assert asked(sim, "GET", "/content") == 0


async def test_a_batch_that_fails_for_good() -> None:
    """A batch refused as a whole by a code that does not pass is not sent again."""
    vendor = Vendor(fault=lambda lines, number: [BatchError(code="too_many_lines", message="too many")])
    outcomes = await vendor.run(PROMPTS).collect()
    assert vendor.creations() == 1
    assert {type(outcome.error) for outcome in outcomes} == {TaskFailed}
    assert all("too many" in str(outcome.error) for outcome in outcomes)


@pytest.mark.parametrize(
    ("code", "kind"),
    [("1113", AccountError), ("1220", PermissionDeniedError), ("1308", QuotaError), ("1320", QuotaError)],
)
async def test_a_batch_that_the_account_may_not_have(tmp_path: Path, code: str, kind: type[ZhipuError]) -> None:
    """A batch that fails as a whole for its account ends the run, as a call would; a resumed run sends it again."""
    path = tmp_path / "journal.jsonl"
    vendor = Vendor(fault=lambda lines, number: [BatchError(code=code, message="no")] if number == 1 else [])
    with pytest.raises(kind, match="batch_1 is failed: no"):
        await vendor.run(PROMPTS, journal=Journal(path)).collect()
    assert vendor.creations() == 1
    outcomes = await finish(vendor, path)
    assert texts(outcomes) == {name: f"echo {text}" for name, text in PROMPTS.items()}
    assert vendor.creations() == 2


async def test_a_batch_that_fails_without_a_code() -> None:
    """It is sent again: nothing says that it would fail once more."""
    vendor = Vendor(fault=lambda lines, number: [BatchError(message="try later")] if number == 1 else [])
    assert all(outcome.ok for outcome in await vendor.run(PROMPTS).collect())
    assert vendor.creations() == 2


async def test_lines_that_are_refused() -> None:
    """A batch that is refused for some of its lines: these have the errors, the others go on without counting it."""
    bad = {"question-4": BatchError(code="1214", line=5, message="bad content", param="body")}

    def fault(lines: list[Line], number: int) -> list[BatchError]:
        return [bad[line["custom_id"]] for line in lines if line["custom_id"] in bad]

    vendor = Vendor(fault=fault)
    outcomes = await vendor.run(PROMPTS, rounds=0).collect()
    assert vendor.lines() == [12, 11]
    assert [outcome.id for outcome in outcomes if not outcome.ok] == ["question-4"]
    error = outcomes[4].error
    assert isinstance(error, BadRequestError)
    assert (error.code, error.message) == ("1214", "bad content (body)")
    assert {outcome.attempts for outcome in outcomes} == {1}


async def test_creating_calls_whose_upload_failed() -> None:
    """Calls that create something go again when not even their file arrived."""
    body = {"created": 1, "data": [{"url": "https://example.com/a.png"}]}
    vendor = Vendor(
        lambda line, times: {"custom_id": line["custom_id"], "response": {"status_code": 200, "body": body}}
    )

    def lose() -> None:
        if vendor.calls["POST /files"] == 1:
            raise ServerError("no", status=500, retryable=True)

    vendor.before["POST /files"] = lose
    (outcome,) = await vendor.run([Images.generate.call(model="cogview-4", prompt="a cat")], parameters={}).collect()
    assert outcome.ok
    assert vendor.creations() == 1


async def test_a_batch_that_cannot_be_begun() -> None:
    """An upload that is refused is the error of its calls; the other shards are not touched by it."""
    vendor = Vendor()

    def refuse() -> None:
        if vendor.calls["POST /files"] == 2:
            raise BadRequestError("no", status=400, code="1214")

    vendor.before["POST /files"] = refuse
    outcomes = await vendor.run(PROMPTS, most_lines=6).collect()
    assert sum(isinstance(outcome.error, BadRequestError) for outcome in outcomes) == 6
    assert sum(outcome.ok for outcome in outcomes) == 6


@pytest.mark.parametrize("created", [True, False])
async def test_a_creation_without_an_answer(created: bool) -> None:
    """After a lost connection the batch is looked for: it is used where it is there, and else created again."""
    vendor = Vendor()

    def lose() -> None:
        if vendor.creations() == 1:
            raise ConnectionLost("gone")

    (vendor.after if created else vendor.before)["POST /batches"] = lose
    outcomes = await vendor.run(PROMPTS).collect()
    assert all(outcome.ok for outcome in outcomes)
    assert vendor.creations() == (1 if created else 2)
    assert set(vendor.times.values()) == {1}


async def test_a_creation_of_which_nothing_can_be_learnt() -> None:
    """Where not even the list can be had, the run ends rather than pay twice."""
    vendor = Vendor()

    def lose() -> None:
        raise ConnectionLost("gone")

    vendor.after["POST /batches"] = vendor.before["GET /batches"] = lose
    with pytest.raises(CreationUnknown):
        await vendor.run(PROMPTS).collect()
    assert vendor.creations() == 1


async def test_results_are_fetched_with_patience() -> None:
    """A download that fails in passing is tried again: the results are paid for."""
    vendor = Vendor()

    def lose() -> None:
        if vendor.calls["GET /files/{file_id}/content"] < 3:
            raise ConnectionLost("gone")

    vendor.before["GET /files/{file_id}/content"] = lose
    outcomes = await vendor.run(PROMPTS).collect()
    assert all(outcome.ok for outcome in outcomes)
    assert vendor.creations() == 1


LISTS: dict[str, tuple[Callable[[list[Batch], str | None], BatchList], bool]] = {
    "full pages, and no word of more": (
        lambda batches, after: BatchList(data=_from(batches, after)[:100]),
        True,
    ),
    "more, and no word of where": (lambda batches, after: BatchList(data=[], has_more=True), False),
    "the same full page over and over": (lambda batches, after: BatchList(data=batches[:100]), False),
    "a circle": (
        lambda batches, after: BatchList(data=[], last_id="b" if after == "a" else "a", has_more=True),
        False,
    ),
}


def _from(batches: list[Batch], after: str | None) -> list[Batch]:
    return batches[[batch.id for batch in batches].index(after) + 1 if after else 0 :]


@pytest.mark.parametrize("case", LISTS)
async def test_a_batch_is_missing_only_where_the_list_ends(case: str) -> None:
    """A lost creation is repeated only where the whole list was read; where it has no end, the run ends."""
    answer, whole = LISTS[case]
    vendor = Vendor()
    old = [Batch(id=f"old-{number}", input_file_id=f"of-{number}", status="completed") for number in range(100)]
    carry_out = vendor._carry_out

    def listing(name: str, given: Any) -> Any:
        if name != "GET /batches":
            return carry_out(name, given)
        return answer([*old, *vendor.batches.values()], given.after)

    def lose() -> None:
        raise ConnectionLost("gone")

    vendor._carry_out = listing  # type: ignore[method-assign]
    vendor.after["POST /batches"] = lose
    if whole:
        assert all(outcome.ok for outcome in await vendor.run(PROMPTS).collect())
    else:
        with pytest.raises(CreationUnknown):
            await vendor.run(PROMPTS).collect()
    assert vendor.creations() == len(vendor.batches) == 1


UNKNOWN = [NotFoundError("no such thing", status=404), BadRequestError("no such thing", status=400, code="1214")]


@pytest.mark.parametrize("error", UNKNOWN, ids=["404", "1214"])
@pytest.mark.parametrize("asked_for", ["batch", "file"])
async def test_what_is_unknown_in_passing(asked_for: str, error: ZhipuError) -> None:
    """A batch or a file of results that the service does not know once is asked for again, and not paid for again."""
    vendor = Vendor()
    answers = Failing(vendor, 2, error)
    if asked_for == "batch":
        vendor.wait = answers.wait  # type: ignore[method-assign]
    else:
        vendor.before["GET /files/{file_id}/content"] = answers.next
    assert all(outcome.ok for outcome in await vendor.run(PROMPTS).collect())
    assert vendor.creations() == 1


@pytest.mark.parametrize("error", UNKNOWN, ids=["404", "1214"])
@pytest.mark.parametrize("listed", [True, False])
async def test_a_batch_that_is_gone(tmp_path: Path, error: ZhipuError, listed: bool) -> None:
    """A batch that stays unknown is sent anew where the list does not have it either; else the run ends, and the
    batch can be collected later."""
    path = tmp_path / "journal.jsonl"
    vendor = Vendor()
    before_download(vendor)
    with pytest.raises(Killed):
        await vendor.run(PROMPTS, journal=Journal(path)).collect()
    vendor.before.clear()
    answers = Failing(vendor, 3, error)
    vendor.wait = answers.wait  # type: ignore[method-assign]
    if not listed:
        vendor.before["GET /batches"] = vendor.batches.clear
        assert all(outcome.ok for outcome in await finish(vendor, path))
        assert vendor.creations() == 2
        return
    with pytest.raises(type(error)):
        await finish(vendor, path)
    assert all(outcome.ok for outcome in await finish(vendor, path))
    assert vendor.creations() == 1


class Failing:
    """Lets the first ``times`` requests fail."""

    def __init__(self, vendor: Vendor, times: int, error: ZhipuError) -> None:
        self._wait = vendor.wait
        self._left = times
        self._error = error

    def next(self) -> None:
        """A request."""
        self._left -= 1
        if self._left >= 0:
            raise self._error

    async def wait(self, task: Batch, /, **options: Any) -> Batch:
        """As of the vendor."""
        self.next()
        return await self._wait(task, **options)


@pytest.mark.parametrize("status", ["completed", "expired", "cancelled"])
@pytest.mark.parametrize("times", [1, 9])
async def test_a_file_that_is_named_late(tmp_path: Path, status: str, times: int) -> None:
    """A batch with answers and without a file of them is asked for again, then the run ends; nothing is sent again."""
    path = tmp_path / "journal.jsonl"
    vendor = Vendor(ends=lambda number: status)
    wait, left = vendor.wait, [times]

    async def late(task: Batch, /, **options: Any) -> Batch:
        try:
            batch = await wait(task, timeout=None, progress=None)
        except TaskFailed as error:
            batch = error.answer  # type: ignore[assignment]
        if left[0]:
            left[0] -= 1
            counts = BatchCounts(total=12, completed=12, failed=0)
            return Batch(id=batch.id, status=status, request_counts=counts)
        return batch

    vendor.wait = late  # type: ignore[assignment]
    if times > 3:
        with pytest.raises(DecodeError, match="names no file"):
            await vendor.run(PROMPTS, journal=Journal(path)).collect()
        left[0] = 0
    assert all(outcome.ok for outcome in await vendor.run(PROMPTS, journal=Journal(path, resume=True)).collect())
    assert vendor.creations() == 1


@pytest.mark.parametrize(
    ("counts", "error_file", "lacks"),
    [
        ((12, 12, 0), None, True),
        ((12, 7, 5), "errors", True),
        ((12, 12, 12), "errors", False),
        ((12, 0, 12), "errors", False),
        ((12, 0, 12), None, False),
        ((None, 3, None), None, True),
        ((None, None, None), None, False),
    ],
)
def test_a_batch_without_a_file_of_answers(
    counts: tuple[int | None, int | None, int | None], error_file: str | None, lacks: bool
) -> None:
    """It lacks one where it counts answers beside the errors that have a file."""
    total, completed, failed = counts
    told = BatchCounts(total=total, completed=completed, failed=failed)
    for status in ("completed", "expired", "cancelled"):
        batch = Batch(id="b", status=status, error_file_id=error_file, request_counts=told)
        assert service._lacks_file(batch) is lacks
    for status in ("failed", "in_progress", "finalizing"):
        assert not service._lacks_file(Batch(id="b", status=status, error_file_id=error_file, request_counts=told))


async def test_an_empty_account_ends_the_run() -> None:
    """What is finished is given out first, then the refusal of the account is raised; the batches are named."""
    gate = asyncio.Event()
    vendor = Vendor(gate=gate)

    def refuse() -> None:
        if vendor.creations() == 3:
            raise AccountError("empty", status=429, code="1113")

    vendor.before["POST /batches"] = refuse
    with pytest.raises(AccountError) as caught:
        await vendor.run(PROMPTS, most_lines=4).collect()
    assert "batch_1, batch_2" in "".join(caught.value.__notes__)
    assert vendor.cancelled == []


# ---------------------------------------------------------------- leaving, cancelling, progress


async def test_leaving_early(caplog: pytest.LogCaptureFixture) -> None:
    """Leaving a run cancels no batch and leaves no file open; the log and the error name the batches that go on."""
    vendor = Vendor(gate=asyncio.Event())
    closed: list[bool] = []

    class Watched(files.Spool):
        def close(self) -> None:
            super().close()
            closed.append(self._file.closed)

    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr("zhipu_async.batching.run.Spool", Watched)
        run = vendor.run(PROMPTS, most_lines=6)
        with pytest.raises(TimeoutError) as caught:
            await within(0.2, run)
    assert closed == [True]
    assert "batch_1, batch_2" in caplog.text
    assert "batch_1, batch_2" in "".join(caught.value.__notes__)
    assert vendor.cancelled == []
    await run.cancel()
    assert sorted(vendor.cancelled) == ["batch_1", "batch_2"]


async def test_breaking_off_without_a_block() -> None:
    """Breaking off a plain ``async for`` ends the run's own task."""
    vendor = Vendor()
    run = vendor.run(PROMPTS, most_lines=1)
    async for _ in run:
        break
    assert run._task is not None
    await asyncio.wait({run._task}, timeout=5)
    assert run._task.done()


async def test_a_batch_that_takes_too_long(serve: Serve) -> None:
    """A batch that is not done in time ends the run with TaskTimeout, which names it; it is not cancelled."""
    client, sim = await serve(Scenario(batch_seconds=60))
    with pytest.raises(TaskTimeout) as caught:
        await on_simulator(client, PROMPTS, timeout=0.05).collect()
    assert str(caught.value.task_id) in "".join(caught.value.__notes__)
    assert asked(sim, "POST", "/cancel") == 0


async def test_no_file_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a run that ends nor one that is left has a file in the folder for temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    await Vendor().run(PROMPTS, most_lines=3).collect()
    run = Vendor(gate=asyncio.Event()).run(PROMPTS, most_lines=3)
    with pytest.raises(TimeoutError):
        await within(0.1, run)
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240


async def test_cancelling() -> None:
    """Cancelled batches end early: what they answered is kept, the rest fails and is not sent again."""
    gate = asyncio.Event()
    vendor = Vendor(lambda line, times: echo(line) if line["custom_id"] < "question-3" else None, gate=gate)
    run = vendor.run(PROMPTS, most_lines=6)

    def cancel(progress: RunProgress) -> None:
        if progress.concurrency == 2 and progress.in_flight == 12 and not tasks:
            tasks.append(asyncio.get_running_loop().create_task(run.cancel()))

    tasks: list[asyncio.Task[None]] = []
    run._hook = cancel
    outcomes = await run.collect()
    await asyncio.gather(*tasks)
    assert sorted(vendor.cancelled) == ["batch_1", "batch_2"]
    assert vendor.creations() == 2
    assert {outcome.id for outcome in outcomes if outcome.ok} == {name for name in PROMPTS if name < "question-3"}
    assert {type(outcome.error) for outcome in outcomes if not outcome.ok} == {TaskFailed}
    assert len(outcomes) == 12


async def test_cancelling_goes_on_after_a_failure() -> None:
    """Each batch is cancelled as far as the service does it; then the first error is raised."""
    vendor = Vendor(gate=asyncio.Event())

    def lose() -> None:
        if vendor.calls["POST /batches/{batch_id}/cancel"] == 1:
            raise ConnectionLost("gone")

    vendor.before["POST /batches/{batch_id}/cancel"] = lose
    run = vendor.run(PROMPTS, most_lines=4)
    task = asyncio.create_task(run.collect())
    while len(vendor.waited) < 3:  # noqa: ASYNC110
        await asyncio.sleep(0)
    with pytest.raises(ConnectionLost):
        await run.cancel()
    assert sorted(vendor.cancelled) == ["batch_2", "batch_3"]
    assert len(await task) == 12


async def test_what_was_collected_before_an_error() -> None:
    """collect() that ends with an error keeps the outcomes that it took: iterating gives them, then the error; it names
    the batches whose results were not given out."""
    vendor = Vendor()
    fetch = vendor.fetch

    async def refuse(call: Any, consume: Any, /) -> Any:
        if call.arguments.file_id == "batch_1-output":
            return await fetch(call, consume)
        while run.progress.done < 6 or run._ready:  # noqa: ASYNC110
            await asyncio.sleep(0)
        raise AccountError("empty", status=429, code="1113")

    vendor.fetch = refuse  # type: ignore[method-assign]
    run = vendor.run(PROMPTS, most_lines=6)
    with pytest.raises(AccountError) as caught:
        await run.collect()
    note = "".join(caught.value.__notes__)  # which may have the first one too, whose file is not closed yet
    assert "batch_2" in note.partition("their results were not all given out: ")[2]
    given_out: list[Outcome[Any]] = []

    async def take() -> None:
        async for outcome in run:
            given_out.append(outcome)

    with pytest.raises(AccountError):
        await take()
    assert len(given_out) == 6
    assert all(outcome.ok for outcome in given_out)


async def test_progress() -> None:
    """Progress counts outcomes, failures, tokens and repeats; what the hook raises does not end the run."""
    seen: list[RunProgress] = []

    def hook(progress: RunProgress) -> None:
        seen.append(progress)
        raise RuntimeError("mine")

    vendor = Vendor(lambda line, times: refusal(line, "1302") if line["custom_id"] == "question-0" else echo(line))
    run = vendor.run(PROMPTS, progress=hook, rounds=1)
    await run.collect()
    last = seen[-1]
    assert (last.total, last.done, last.failed, last.replayed, last.tokens) == (12, 12, 1, 0, 33)
    assert (last.in_flight, last.concurrency, last.refused) == (0, 0, 1)
    assert max(progress.in_flight for progress in seen) == 12
    assert run.progress.done == 12


async def test_a_slow_consumer(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more outcomes wait for the consumer than the window holds."""
    monkeypatch.setattr("zhipu_async.batching.run.WINDOW", 3)
    run = Vendor().run(PROMPTS)
    waiting: list[int] = []
    async with run:
        async for _ in run:
            await asyncio.sleep(0.01)
            waiting.append(len(run._ready))
    assert len(waiting) == 12
    assert max(waiting) == 3


# ---------------------------------------------------------------- the journal


async def finish(vendor: Vendor, path: Path, *, source: Any = PROMPTS, **options: Any) -> list[Outcome[Any]]:
    """Resume a run and see it to its end."""
    return await vendor.run(source, journal=Journal(path, resume=True), **options).collect()


async def test_a_journaled_run(tmp_path: Path) -> None:
    """Every id has one line in the journal, in the vendor's form; a resumed run sends nothing and gives all."""
    path = tmp_path / "journal.jsonl"
    vendor = Vendor(lambda line, times: refusal(line, "1301", 400) if line["custom_id"] == "question-1" else echo(line))
    first = await vendor.run(PROMPTS, journal=Journal(path)).collect()
    assert journal_lines(path) == Counter(list(PROMPTS))
    second = await finish(vendor, path)
    assert vendor.creations() == 1
    assert all(outcome.replayed for outcome in second)
    assert [outcome.ok for outcome in second] == [outcome.ok for outcome in first]
    assert [outcome.unwrap().text for outcome in second if outcome.ok] == [
        outcome.unwrap().text for outcome in first if outcome.ok
    ]
    assert type(second[1].error) is ContentFilterError


def before_upload(vendor: Vendor) -> None:
    vendor.before["POST /files"] = kill


def before_creation(vendor: Vendor) -> None:
    vendor.before["POST /batches"] = kill


def after_creation(vendor: Vendor) -> None:
    vendor.after["POST /batches"] = kill


def before_download(vendor: Vendor) -> None:
    vendor.before["GET /files/{file_id}/content"] = kill


@pytest.mark.parametrize(
    ("crash", "creations"),
    [(before_upload, 1), (before_creation, 2), (after_creation, 1), (before_download, 1)],
)
async def test_resuming_after_a_crash(tmp_path: Path, crash: Callable[[Vendor], None], creations: int) -> None:
    """Wherever a run ends, the resumed one pays nothing twice and gives every outcome."""
    path = tmp_path / "journal.jsonl"
    vendor = Vendor()
    crash(vendor)
    with pytest.raises(Killed):
        await vendor.run(PROMPTS, journal=Journal(path)).collect()
    vendor.before.clear()
    vendor.after.clear()
    outcomes = await finish(vendor, path)
    assert texts(outcomes) == {name: f"echo {text}" for name, text in PROMPTS.items()}
    assert set(vendor.times.values()) == {1}
    assert vendor.creations() == creations
    assert len(vendor.batches) == 1
    assert journal_lines(path) == Counter(list(PROMPTS))


async def test_resuming_a_half_collected_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends amid the lines of its results takes the other ones from the same batch."""
    path = tmp_path / "journal.jsonl"
    vendor = Vendor()
    with monkeypatch.context() as patch:
        patch.setattr(rounds.Rounds, "_settle", _killed_after(5, rounds.Rounds._settle))
        with pytest.raises(Killed):
            await vendor.run(PROMPTS, journal=Journal(path)).collect()
    assert sum(journal_lines(path).values()) == 5
    outcomes = await finish(vendor, path)
    assert sum(outcome.replayed for outcome in outcomes) == 5
    assert texts(outcomes) == {name: f"echo {text}" for name, text in PROMPTS.items()}
    assert vendor.creations() == 1
    assert journal_lines(path) == Counter(list(PROMPTS))


def _killed_after(number: int, settle: Any) -> Any:
    left = [number]

    async def settled(self: Any, *given: Any, **named: Any) -> None:
        if not left[0]:
            raise Killed
        left[0] -= 1
        await settle(self, *given, **named)

    return settled


async def test_resuming_with_failures(tmp_path: Path) -> None:
    """What expired in the batch of the earlier run is sent by the resumed one, in a round of a new number."""
    path = tmp_path / "journal.jsonl"
    vendor = Vendor(
        lambda line, times: None if line["custom_id"] > "question-5" and times == 1 else echo(line),
        ends=lambda number: "expired" if number == 1 else "completed",
    )
    before_download(vendor)
    with pytest.raises(Killed):
        await vendor.run(PROMPTS, journal=Journal(path)).collect()
    vendor.before.clear()
    outcomes = await finish(vendor, path)
    assert texts(outcomes) == {name: f"echo {text}" for name, text in PROMPTS.items()}
    unanswered = sum(name > "question-5" for name in PROMPTS)
    assert vendor.lines() == [12, unanswered]
    tags = [(batch.metadata or {})["zhipu_async"].split()[1] for batch in vendor.batches.values()]
    assert tags == ["1/1", "2/1"]


async def test_what_had_no_time_is_sent_by_a_resumed_run(tmp_path: Path) -> None:
    """A call whose last round expired is an error in this run, and is sent again when it is resumed."""
    path = tmp_path / "journal.jsonl"
    vendor = Vendor(
        lambda line, times: None if line["custom_id"] == "question-2" and times == 1 else echo(line),
        ends=lambda number: "expired" if number == 1 else "completed",
    )
    outcomes = await vendor.run(PROMPTS, journal=Journal(path), rounds=0).collect()
    assert isinstance(outcomes[2].error, TaskFailed)
    outcomes = await finish(vendor, path, rounds=0)
    assert all(outcome.ok for outcome in outcomes)
    assert vendor.lines() == [12, 1]


async def test_calls_without_ids(tmp_path: Path) -> None:
    """Without ids of the caller's, calls are known by their hashes: a resumed run finds the batch's results for them,
    identical calls included."""
    path = tmp_path / "journal.jsonl"
    prompts = ["one", "two", "one", "one"]
    vendor = Vendor()
    before_download(vendor)
    with pytest.raises(Killed):
        await vendor.run(prompts, journal=Journal(path)).collect()
    vendor.before.clear()
    outcomes = await finish(vendor, path, source=prompts)
    assert [outcome.unwrap().text for outcome in outcomes] == [f"echo {prompt}" for prompt in prompts]
    assert outcomes[3].id == f"{outcomes[0].id}-3"
    assert vendor.creations() == 1


async def test_resuming_with_the_simulator(serve: Serve, tmp_path: Path) -> None:
    """Against the simulator: a run that is left while its batches are worked off is resumed without a new batch."""
    client, sim = await serve(Scenario(batch_seconds=0.3))
    path = tmp_path / "journal.jsonl"
    async with on_simulator(client, PROMPTS, journal=Journal(path), most_lines=5) as run:
        async for _ in run:
            break
    assert asked(sim, "POST", "/batches") >= 2
    outcomes = await on_simulator(client, PROMPTS, journal=Journal(path, resume=True), most_lines=5).collect()
    assert [outcome.id for outcome in outcomes] == list(PROMPTS)
    assert all(outcome.ok for outcome in outcomes)
    assert asked(sim, "POST", "/batches") == 3
    assert journal_lines(path) == Counter(list(PROMPTS))


@pytest.mark.parametrize("silent", ["nobody", "service", "journal"])
async def test_resuming_with_another_input(tmp_path: Path, silent: str) -> None:
    """Where a batch is not collected yet, a changed input is refused: answers to other questions must not be joined.
    The journal says what the input was, and the service says it of batches in journals of earlier versions."""
    path = tmp_path / "journal.jsonl"
    vendor = Vendor()
    before_download(vendor)
    with pytest.raises(Killed):
        await vendor.run(PROMPTS, journal=Journal(path)).collect()
    vendor.before.clear()
    if silent == "service":
        vendor.batches["batch_1"].metadata = None
    elif silent == "journal":
        path.write_bytes(re.sub(rb',"input":"[^"]*"', b"", path.read_bytes()))
        assert b'"input"' not in path.read_bytes()
    with pytest.raises(ConfigError, match="batch_1 belongs to an earlier run"):
        await finish(vendor, path, source={**PROMPTS, "question-4": "What is it?"})
    other_order = {"question-0": PROMPTS["question-0"], **dict(reversed(PROMPTS.items()))}
    assert all(outcome.ok for outcome in await finish(vendor, path, source=other_order))
    assert len(await finish(vendor, path, source={**PROMPTS, "question-12": "And this?"})) == 13
    assert vendor.lines() == [12, 1]


async def test_a_journal_of_a_fan_out(serve: Serve, tmp_path: Path) -> None:
    """What a fan-out has finished is not sent in a batch: both know a call by the same id and hash."""
    client, sim = await serve(Scenario(batch_seconds=0.02))
    path = tmp_path / "journal.jsonl"
    half = list(PROMPTS.values())[:6]
    await client.fan_out(half, model="glm-4.6", journal=Journal(path)).collect()
    outcomes = await on_simulator(client, PROMPTS.values(), journal=Journal(path, resume=True)).collect()
    assert [outcome.replayed for outcome in outcomes] == [True] * 6 + [False] * 6
    assert all(outcome.ok for outcome in outcomes)
    assert asked(sim, "POST", "/batches") == 1
    again = await client.fan_out(PROMPTS.values(), model="glm-4.6", journal=path, resume=True).collect()
    assert all(outcome.replayed for outcome in again)


async def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that the journal cannot take is given out, then the run ends; the rest can be collected later."""
    path = tmp_path / "journal.jsonl"
    vendor = Vendor()
    journal = Journal(path)

    def full(record: Any) -> None:
        raise JournalError("no space")

    monkeypatch.setattr(journal, "record", full)
    given_out: list[Outcome[Any]] = []

    async def take() -> None:
        async for outcome in vendor.run(PROMPTS, journal=journal):
            given_out.append(outcome)

    with pytest.raises(JournalError):
        await take()
    assert len(given_out) == 1
    assert all(outcome.ok for outcome in await finish(vendor, path))
    assert vendor.creations() == 1


@pytest.mark.heavy
@pytest.mark.parametrize("size", [10, 400])
async def test_memory_of_many_calls(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 200,000 calls the ids stay in memory, and next to nothing of their bodies, whatever their size; nor of the
    files that are made of them."""
    asyncio.get_running_loop().set_debug(False)
    number = 200_000
    call = ask("x" * size)
    model, body = batch_lines.encoded(call)
    tracemalloc.start()
    try:
        spool = files.Spool()
        for index in range(number):
            await spool.add(index, f"question-{index}", call, model, body, 0.0)
        await spool.flush()
        shards = spool.shards(None, None)
        assert [len(shard.places) for shard in shards] == [50_000] * 4
        for shard in shards:
            with spool.write(shard) as file:
                assert file.seek(0, 2) > 50_000 * size
        peak = tracemalloc.get_traced_memory()[1]
        spool.close()
    finally:
        tracemalloc.stop()
    assert peak < 250 * number


async def test_the_journal_is_the_vendors_form(tmp_path: Path) -> None:
    """A line of the journal is a line of a batch's output file, with the answer exactly as it came."""
    path = tmp_path / "journal.jsonl"
    body = b'{"id":"1","choices":[{"index":0,"finish_reason":"stop","message":{"content":"1.50"}}],"more":1.50}'
    await (
        Vendor(
            lambda line, times: (
                b'{"custom_id":"0","response":{"status_code":200,"body":%b}}'.replace(
                    b'"0"', msgspec.json.encode(line["custom_id"])
                )
                % body
            )
        )
        .run({"question-1": "Hello"}, journal=Journal(path))
        .collect()
    )
    assert body in path.read_bytes()
