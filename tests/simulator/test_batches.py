"""Batches, held against data.md section 9."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from zhipu_async.simulator import Scenario

from .asking import HELLO, Answered, Asker, simulated
from .uploading import polled, upload

pytestmark = pytest.mark.heavy  # seconds of what no version of Python changes

CHAT = "/v4/chat/completions"
QUICK = Scenario(batch_seconds=0)


def line(name: str, text: str = "Hello", url: str = CHAT, method: str = "POST", **fields: Any) -> dict[str, Any]:
    """A line of an input file."""
    body = HELLO | {"messages": [{"role": "user", "content": text}]} | fields
    return {"custom_id": name, "method": method, "url": url, "body": body}


async def sent(ask: Asker, *lines: Any) -> str:
    """The id of an input file with these lines."""
    text = "".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in lines)
    identity: str = (await upload(ask, text.encode())).json["id"]
    return identity


async def create(ask: Asker, *lines: Any, **fields: Any) -> Answered:
    """Create a batch of these lines."""
    body = {"input_file_id": await sent(ask, *lines), "endpoint": CHAT, "completion_window": "24h"} | fields
    return await ask.post(body, "/batches")


async def retrieve(ask: Asker, identity: str) -> dict[str, Any]:
    """A batch as it stands."""
    batch: dict[str, Any] = (await ask.request("GET", f"/batches/{identity}")).json
    return batch


async def ended(ask: Asker, identity: str) -> dict[str, Any]:
    """A batch at its end."""
    final = {"failed", "completed", "expired", "cancelled"}
    return await polled(lambda: retrieve(ask, identity), lambda batch: batch["status"] in final)


async def results(ask: Asker, identity: str | None) -> list[dict[str, Any]]:
    """The lines of a file of results."""
    answered = await ask.request("GET", f"/files/{identity}/content")
    assert answered.status == 200
    return [json.loads(text) for text in answered.body.splitlines()]


async def test_a_batch() -> None:
    """A batch answers each of its lines, and says when it did what."""
    async with simulated(clock=lambda: 1791490810.5) as ask:
        answered = await create(ask, *(line(f"request-{place}", f"number {place}") for place in range(10)))
        created = answered.json
        times = {name: None for name in created if name.endswith("_at")}
        assert created == {
            "id": created["id"],
            "object": "batch",
            "endpoint": CHAT,
            "input_file_id": created["input_file_id"],
            "completion_window": "24h",
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "errors": None,
            "metadata": {},
        } | times | {"created_at": 1791490810, "expires_at": 1791490810 + 86400}
        assert len(times) == 9
        assert created["id"].removeprefix("batch_").isdecimal()
        batch = await ended(ask, created["id"])
        assert batch["status"] == "completed"
        assert batch["request_counts"] == {"total": 10, "completed": 10, "failed": 0}
        assert {name for name, at in batch.items() if at == 1791490810} == {
            "created_at", "in_progress_at", "finalizing_at", "completed_at",
        }  # fmt: skip
        assert batch["error_file_id"] is None
        output = await results(ask, batch["output_file_id"])
        assert sorted(each["custom_id"] for each in output) == sorted(f"request-{place}" for place in range(10))
        for each in output:
            assert each.keys() == {"response", "custom_id", "id"}
            assert each["id"] == created["id"]
            assert each["response"]["status_code"] == 200
            body = each["response"]["body"]
            number = each["custom_id"].removeprefix("request-")
            assert f"number {number}" in body["choices"][0]["message"]["content"]
            assert body["request_id"].endswith(each["custom_id"])
            assert body["usage"]["total_tokens"] > 0


async def test_the_order_is_shuffled_the_same_way() -> None:
    """The order of the results is not that of the lines, and the same in every run."""
    orders: list[list[str]] = []
    for _ in range(2):
        async with simulated(QUICK) as ask:
            batch = await ended(ask, (await create(ask, *(line(f"line-{place:02}") for place in range(40)))).json["id"])
            orders.append([each["custom_id"] for each in await results(ask, batch["output_file_id"])])
    assert orders[0] == orders[1]
    assert orders[0] != sorted(orders[0])


async def test_lines_that_fail() -> None:
    """Lines that are refused stand in the error file with their status and envelope, the others in the output."""
    lines = [line("good-1"), line("unsafe", "[unsafe prompt]"), line("hot", temperature=7), line("stream", stream=True)]
    async with simulated(QUICK) as ask:
        batch = await ended(ask, (await create(ask, *lines)).json["id"])
        assert batch["status"] == "completed"
        assert batch["request_counts"] == {"total": 4, "completed": 1, "failed": 3}
        (good,) = await results(ask, batch["output_file_id"])
        assert good["custom_id"] == "good-1"
        failed = {each["custom_id"]: each["response"] for each in await results(ask, batch["error_file_id"])}
        assert {name: response["body"]["error"]["code"] for name, response in failed.items()} == {
            "unsafe": "1301",
            "hot": "1214",
            "stream": "1214",
        }
        assert {response["status_code"] for response in failed.values()} == {400}


async def test_only_failures() -> None:
    """Where every line fails there is no output file."""
    async with simulated(QUICK) as ask:
        batch = await ended(ask, (await create(ask, line("only", model="none"))).json["id"])
        assert batch["output_file_id"] is None
        (failed,) = await results(ask, batch["error_file_id"])
        assert failed["response"]["body"]["error"]["code"] == "1211"


async def test_the_statuses_in_their_order() -> None:
    """A batch is validating, in progress, finalizing and completed, and its counts grow."""
    async with simulated(Scenario(batch_seconds=0.4)) as ask:
        started = time.monotonic()
        identity = (await create(ask, *(line(f"line-{place}") for place in range(16)))).json["id"]
        statuses: list[str] = []
        counts: list[int] = []
        while not statuses or statuses[-1] != "completed":
            batch = await retrieve(ask, identity)
            if batch["status"] not in statuses[-1:]:
                statuses.append(batch["status"])
            counts.append(batch["request_counts"]["completed"])
            await asyncio.sleep(0.01)
        assert statuses == ["validating", "in_progress", "finalizing", "completed"]
        assert counts == sorted(counts)
        assert len(set(counts)) > 3
        assert 0.3 < time.monotonic() - started < 2


@pytest.mark.parametrize("delete", [None, True, False])
async def test_the_input_file_goes_unless_it_is_to_stay(delete: bool | None) -> None:
    """The input file is deleted at the end, by default."""
    async with simulated(QUICK) as ask:
        fields = {} if delete is None else {"auto_delete_input_file": delete}
        created = (await create(ask, line("only"), **fields)).json
        await ended(ask, created["id"])
        content = await ask.request("GET", f"/files/{created['input_file_id']}/content")
        assert content.status == (200 if delete is False else 404)


@pytest.mark.parametrize(
    ("lines", "code", "place", "param"),
    [
        ([], "empty_file", None, None),
        (["", " "], "empty_file", None, None),
        (["{"], "invalid_line", 1, None),
        ([line("one"), "[]"], "invalid_line", 2, None),
        ([line("one"), {"custom_id": "two"}], "invalid_line", 2, None),
        ([line("one"), line("two"), line("one")], "duplicate_custom_id", 3, "custom_id"),
        ([line("")], "duplicate_custom_id", 1, "custom_id"),
        ([line("one", method="GET")], "invalid_method", 1, "method"),
        ([line("one"), line("two", url="/v4/embeddings")], "mismatched_endpoint", 2, "url"),
        ([line("one"), line("two", model="glm-4.5")], "mismatched_model", 2, "body.model"),
    ],
)
async def test_faulty_files(lines: list[Any], code: str, place: int | None, param: str | None) -> None:
    """A file with a faulty line makes a batch that fails, and says where and why."""
    async with simulated(QUICK) as ask:
        created = await create(ask, *lines) if lines else await create(ask, "")
        batch = await ended(ask, created.json["id"])
        assert batch["status"] == "failed"
        assert batch["failed_at"]
        assert batch["output_file_id"] is None
        (fault,) = batch["errors"]["data"]
        assert (batch["errors"]["object"], fault["code"], fault["line"], fault["param"]) == ("list", code, place, param)
        assert fault["message"]


async def test_many_faults_are_cut_short() -> None:
    """Of many faults the first are listed."""
    async with simulated(QUICK) as ask:
        batch = await ended(ask, (await create(ask, *["{"] * 100)).json["id"])
        assert [fault["line"] for fault in batch["errors"]["data"]] == list(range(1, 21))


async def test_an_input_file_that_is_deleted() -> None:
    """A batch whose input file is deleted before it is read fails."""
    async with simulated(Scenario(batch_seconds=0.4)) as ask:
        created = (await create(ask, line("only"))).json
        await ask.request("DELETE", f"/files/{created['input_file_id']}")
        batch = await ended(ask, created["id"])
        assert (batch["status"], batch["errors"]["data"][0]["code"]) == ("failed", "missing_file")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"input_file_id": None}, "1214"),
        ({"input_file_id": "none"}, "1214"),
        ({"endpoint": "/v1/chat/completions"}, "1210"),
        ({"metadata": {str(place): "x" for place in range(17)}}, "1214"),
        ({"metadata": {"k" * 65: "x"}}, "1214"),
        ({"metadata": {"k": "x" * 513}}, "1214"),
        ({"metadata": {"k": 1}}, "1214"),
        ({"auto_delete_input_file": "yes"}, "1214"),
    ],
)
async def test_refused_batches(ask: Asker, fields: dict[str, Any], code: str) -> None:
    """An unknown file or endpoint, and fields with illegal values, are refused."""
    answered = await create(ask, line("only"), **fields)
    assert (answered.status, answered.code) == (400, code)
    assert (await ask.request("GET", "/batches")).json["data"] == []


async def test_required_fields(ask: Asker) -> None:
    """File and endpoint are required, and the file is one for batches."""
    for body in ({"endpoint": CHAT}, {"input_file_id": "x"}, {}):
        assert (await ask.post(body, "/batches")).code == "1213"
    other = (await upload(ask, b"x", "a", "agent")).json["id"]
    assert (await ask.post({"input_file_id": other, "endpoint": CHAT}, "/batches")).code == "1214"


async def test_metadata_comes_back() -> None:
    """The metadata of a batch are kept."""
    async with simulated(QUICK) as ask:
        created = (await create(ask, line("only"), metadata={"k": "v"})).json
        assert created["metadata"] == {"k": "v"}
        assert (await ended(ask, created["id"]))["metadata"] == {"k": "v"}


async def test_a_batch_is_cancelled() -> None:
    """A cancelled batch is cancelling, then cancelled, with the results it has; then it cannot be cancelled again."""
    async with simulated(Scenario(batch_seconds=0.8)) as ask:
        identity = (await create(ask, *(line(f"line-{place}") for place in range(80)))).json["id"]
        await polled(lambda: retrieve(ask, identity), lambda batch: batch["request_counts"]["completed"])
        for _ in range(2):
            cancelling = (await ask.request("POST", f"/batches/{identity}/cancel")).json
            assert (cancelling["status"], cancelling["cancelled_at"]) == ("cancelling", None)
        batch = await ended(ask, identity)
        assert batch["status"] == "cancelled"
        assert batch["cancelling_at"]
        assert batch["cancelled_at"]
        assert 0 < batch["request_counts"]["completed"] < 80
        assert len(await results(ask, batch["output_file_id"])) == batch["request_counts"]["completed"]
        again = await ask.post({}, f"/batches/{identity}/cancel")
        assert (again.status, again.code) == (400, "1214")


async def test_a_batch_is_cancelled_before_it_begins() -> None:
    """A batch that is cancelled while it is validated has no results."""
    async with simulated(Scenario(batch_seconds=0.2)) as ask:
        identity = (await create(ask, line("only"))).json["id"]
        await ask.post({}, f"/batches/{identity}/cancel")
        batch = await ended(ask, identity)
        assert (batch["status"], batch["output_file_id"], batch["in_progress_at"]) == ("cancelled", None, None)


async def test_batches_that_expire() -> None:
    """A batch that expires has the results of half of its lines."""
    async with simulated(Scenario(batch_seconds=0, batch_end="expired")) as ask:
        batch = await ended(ask, (await create(ask, *(line(f"line-{place}") for place in range(16)))).json["id"])
        assert (batch["status"], batch["request_counts"]) == ("expired", {"total": 16, "completed": 8, "failed": 0})
        assert batch["expired_at"]
        assert len(await results(ask, batch["output_file_id"])) == 8


async def test_batches_that_fail() -> None:
    """A scenario can let batches fail whose lines are in order."""
    async with simulated(Scenario(batch_seconds=0, batch_end="failed")) as ask:
        batch = await ended(ask, (await create(ask, line("only"))).json["id"])
        assert batch["status"] == "failed"
        assert batch["errors"]["data"][0]["line"] is None


async def test_pages() -> None:
    """Pages follow each other by `after`, the newest batch first, with their first and last id."""
    async with simulated(QUICK) as ask:
        empty = (await ask.request("GET", "/batches")).json
        assert empty == {"object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None}
        ids = [(await create(ask, line("only"))).json["id"] for _ in range(5)][::-1]
        for identity in ids:
            await ended(ask, identity)
        first = (await ask.request("GET", "/batches?limit=3")).json
        assert [batch["id"] for batch in first["data"]] == ids[:3]
        assert (first["first_id"], first["last_id"], first["has_more"]) == (ids[0], ids[2], True)
        second = (await ask.request("GET", f"/batches?limit=3&after={ids[2]}")).json
        assert [batch["id"] for batch in second["data"]] == ids[3:]
        assert second["has_more"] is False
        assert (await ask.request("GET", "/batches?limit=101")).code == "1214"


async def test_unknown_batches(ask: Asker) -> None:
    """An id that nothing has is answered with HTTP 404."""
    for method, path in (("GET", "/batches/batch_1"), ("POST", "/batches/batch_1/cancel")):
        answered = await ask.request(method, path)
        assert (answered.status, answered.code) == (404, "404")


async def test_a_large_batch_leaves_the_loop_to_others() -> None:
    """Two thousand lines are answered while other requests are too."""
    async with simulated(QUICK) as ask:
        identity = (await create(ask, *(line(f"line-{place}") for place in range(2000)))).json["id"]
        longest = 0.0
        while (await retrieve(ask, identity))["status"] != "completed":
            started = time.monotonic()
            await ask.hello()
            longest = max(longest, time.monotonic() - started)
        batch = await ended(ask, identity)
        assert longest < 1
        output = await results(ask, batch["output_file_id"])
        assert len({each["custom_id"] for each in output}) == 2000


async def test_leaving_ends_batches() -> None:
    """A batch that runs ends with the simulator, and is forgotten."""
    async with simulated(Scenario(batch_seconds=60)) as ask:
        identity = (await create(ask, line("only"))).json["id"]
        running = asyncio.all_tasks()
    assert all(task.done() for task in running - {asyncio.current_task()})
    async with ask.sim, simulated() as other:
        again = Asker(ask.sim, other.session)
        assert (await again.request("GET", f"/batches/{identity}")).status == 404


async def test_unchecked_batches() -> None:
    """Without checks lines are answered that would be refused; a file is needed all the same."""
    async with simulated(Scenario(checks=False, batch_seconds=0)) as ask:
        assert (await ask.post({}, "/batches")).code == "1214"
        created = (await create(ask, line("only", model="none"))).json
        assert (await ended(ask, created["id"]))["request_counts"]["completed"] == 1
        created = (await create(ask, line("only", url="/v4/none"), endpoint="/v4/none")).json
        batch = await ended(ask, created["id"])
        assert (await results(ask, batch["error_file_id"]))[0]["response"]["body"]["error"]["code"] == "1222"
