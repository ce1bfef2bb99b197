"""Files, downloads, the file parser, and what anybody may fetch."""

from __future__ import annotations

import asyncio
import hashlib
import io
import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from zhipu_async.simulator import Delivery, Download, Later, Raw, Reply, Scenario, Simulator
from zhipu_async.simulator.folder import BLOCK

from .asking import Answered, Asker, simulated
from .uploading import form, polled, upload

pytestmark = pytest.mark.heavy  # seconds of what no version of Python changes

LARGE = b"".join(bytes([place]) * BLOCK for place in range(5)) + b"end"
SPARSE = 200 * 1024 * 1024


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file of five blocks and a bit."""
    path = tmp_path / "large.bin"
    path.write_bytes(LARGE)
    return path


async def parse(ask: Asker, content: bytes, filename: str, tool: str = "lite", **texts: str) -> Answered:
    """Create a task of the parser."""
    return await ask.request("POST", "/files/parser/create", data=form(content, filename, tool_type=tool, **texts))


async def parsed(ask: Asker, identity: str, kind: str = "text") -> dict[str, Any]:
    """The result of a task, when it is there."""
    url = f"/files/parser/result/{identity}/{kind}"
    answered = await polled(lambda: ask.request("GET", url), lambda got: got.json["status"] != "processing")
    result: dict[str, Any] = answered.json
    return result


async def test_a_file_lives(ask: Asker) -> None:
    """A file is uploaded, listed, fetched and deleted, and is gone then."""
    created = (await upload(ask, b'{"a":1}\n', "in.jsonl")).json
    identity = created["id"]
    assert created == {
        "id": identity,
        "object": "file",
        "bytes": 8,
        "created_at": pytest.approx(time.time(), abs=5),
        "filename": "in.jsonl",
        "purpose": "batch",
    }
    assert identity.startswith(f"{created['created_at']}_")
    assert (await ask.request("GET", "/files?purpose=batch")).json == {
        "object": "list",
        "data": [created],
        "has_more": False,
    }
    content = await ask.request("GET", f"/files/{identity}/content")
    assert (content.body, content.headers["content-type"]) == (b'{"a":1}\n', "application/octet-stream")
    assert content.headers["content-length"] == "8"
    deleted = await ask.request("DELETE", f"/files/{identity}")
    assert deleted.json == {"id": identity, "object": "file", "deleted": True}
    assert (await ask.request("GET", "/files?purpose=batch")).json["data"] == []
    assert not ask.sim.requests[0].uploads[0].path.exists()
    for method, path in (("GET", f"/files/{identity}/content"), ("DELETE", f"/files/{identity}")):
        gone = await ask.request(method, path)
        assert (gone.status, gone.code) == (404, "404")


@pytest.mark.parametrize(
    ("texts", "filename", "content", "refused"),
    [
        ({}, "a.jsonl", b"x", (400, "1213")),
        ({"purpose": "unknown"}, "a.jsonl", b"x", (400, "1214")),
        ({"purpose": "batch"}, "a.jsonl", b"", (400, "1214")),
        ({"purpose": "batch"}, "a.txt", b"x", (400, "1214")),
        ({"purpose": "user_data"}, "a.exe", b"x", (400, "1214")),
        ({"purpose": "voice-clone-input"}, "a.mp3", b"x" * (10 * 1024 * 1024 + 1), (435, "1214")),
    ],
)
async def test_refused_uploads(
    ask: Asker, texts: dict[str, str], filename: str, content: bytes, refused: tuple[int, str]
) -> None:
    """Uploads with a missing or wrong field, an empty or too large file, or a wrong ending are refused."""
    answered = await ask.request("POST", "/files", data=form(io.BytesIO(content), filename, **texts))
    assert (answered.status, answered.code) == refused
    assert (await ask.request("GET", "/files?purpose=batch")).json["data"] == []


@pytest.mark.parametrize("data", [None, b"", b"{}", aiohttp.FormData({"purpose": "batch"})])
async def test_an_upload_needs_a_file(ask: Asker, data: Any) -> None:
    """A request without a file is refused with 1213, whatever else it has."""
    answered = await ask.request("POST", "/files", data=data)
    assert (answered.status, answered.code) == (400, "1213")


@pytest.mark.parametrize(
    ("purpose", "filename"),
    [("voice-clone-input", "A.WAV"), ("user_data", "a.pdf"), ("agent", "a"), ("retrieval", "a")],
)
async def test_purposes(ask: Asker, purpose: str, filename: str) -> None:
    """Every purpose takes its files; only those of batches are handed out again."""
    created = (await upload(ask, b"x", filename, purpose)).json
    assert created["purpose"] == purpose
    assert (await ask.request("GET", f"/files?purpose={purpose}")).json["data"] == [created]
    assert (await ask.request("GET", "/files?purpose=batch")).json["data"] == []
    assert (await ask.request("GET", f"/files/{created['id']}/content")).code == "1214"


async def test_the_number_of_files_is_limited(ask: Asker) -> None:
    """One file more than a purpose allows is refused, and welcome after another is deleted."""
    ids = [(await upload(ask, purpose="code-interpreter")).json["id"] for _ in range(100)]
    assert (await upload(ask, purpose="code-interpreter")).code == "1214"
    await ask.request("DELETE", f"/files/{ids[0]}")
    assert (await upload(ask, purpose="code-interpreter")).status == 200


@pytest.mark.parametrize(("limit", "sizes"), [("", [20, 5]), ("1", [1] * 25), ("10", [10, 10, 5]), ("25", [25])])
async def test_pages(ask: Asker, limit: str, sizes: list[int]) -> None:
    """Pages follow each other by `after`, the newest file first, and the last one says that it is."""
    ids = [(await upload(ask)).json["id"] for _ in range(25)]
    await upload(ask, purpose="agent")
    query = {"purpose": "batch", "order": "created_at"} | ({"limit": limit} if limit else {})
    got: list[list[str]] = []
    more = True
    while more:
        page = (await ask.request("GET", "/files", params=query)).json
        got.append([file["id"] for file in page["data"]])
        query["after"], more = got[-1][-1], page["has_more"]
    assert [len(page) for page in got] == sizes
    assert [identity for page in got for identity in page] == ids[::-1]
    assert (await ask.request("GET", "/files", params=query)).json["data"] == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "1213"),
        ("purpose=x", "1214"),
        *((f"purpose=batch&limit={limit}", "1214") for limit in ("0", "101", "-1", "x", "")),
        ("purpose=batch&order=id", "1214"),
    ],
)
async def test_refused_lists(ask: Asker, query: str, code: str) -> None:
    """A list needs a purpose and takes 1 to 100 files a page in one order."""
    answered = await ask.request("GET", f"/files?{query}")
    assert (answered.status, answered.code) == (400, code)


async def test_unchecked_requests_get_an_answer() -> None:
    """Without checks every upload with a file is taken, lists need nothing, and every file is handed out."""
    async with simulated(Scenario(checks=False)) as ask:
        created = (await upload(ask, b"", "a.exe", "odd")).json
        assert (created["purpose"], created["bytes"]) == ("odd", 0)
        assert (await ask.request("GET", "/files?limit=x")).json["data"] == [created]
        assert (await ask.request("GET", f"/files/{created['id']}/content")).body == b""
        assert (await ask.request("POST", "/files")).code == "1213"


async def test_a_key_is_needed(ask: Asker) -> None:
    """Files are for who has a key."""
    assert (await ask.request("GET", "/files/1/content", headers={"Authorization": ""})).code == "1001"
    assert (await ask.request("POST", "/files", data=form(), headers={"Authorization": "Bearer x"})).code == "401"


@pytest.mark.parametrize("encoding", ["identity", "gzip, deflate"])
@pytest.mark.parametrize(
    "delivery", [None, Delivery(pause=0.001), Delivery(cuts_at=[1, BLOCK, 9**9]), Delivery(lingers=0.01)]
)
async def test_a_download_is_the_file(large: Path, encoding: str, delivery: Delivery | None) -> None:
    """A file arrives as it is, with its length, however it travels."""
    answer = Download(large, content_type="video/mp4", headers={"X-Own": "1"}, delivery=delivery)
    async with simulated(Scenario(replies=[answer])) as ask:
        answered = await ask.request("GET", "/own", headers={"Accept-Encoding": encoding})
        assert answered.body == LARGE
        assert answered.headers["content-length"] == str(len(LARGE))
        assert (answered.headers["content-type"], answered.headers["x-own"]) == ("video/mp4", "1")
        assert "content-encoding" not in answered.headers
        assert (await ask.hello()).status == 200
        assert ask.sim.connections.opened == 1


@pytest.mark.parametrize(("encoding", "encoded"), [("identity", None), ("gzip", "gzip")])
async def test_compression_is_only_for_who_takes_it(large: Path, encoding: str, encoded: str | None) -> None:
    """A compressed delivery is compressed unless the request says `identity`; the bytes are the same."""
    answers = [Download(large, delivery=Delivery(gzip=True)), Raw(b"x" * 99, delivery=Delivery(gzip=True))]
    async with simulated(Scenario(replies=answers)) as ask:
        for content in (LARGE, b"x" * 99):
            answered = await ask.request("GET", "/own", headers={"Accept-Encoding": encoding})
            assert answered.headers.get("content-encoding") == encoded
            assert answered.body == content
            assert (int(answered.headers["content-length"]) < len(content)) is (encoded is not None)


@pytest.mark.parametrize(
    ("fault", "size"),
    [
        ({"stops_at": 0}, 0),
        ({"stops_at": 10}, 10),
        ({"stops_at": BLOCK}, BLOCK),
        ({"stops_at": BLOCK + 1}, BLOCK + 1),
        ({"stops_after": 2}, 2 * BLOCK),
        ({"stops_after": 1, "cuts_at": [7]}, 7),
        ({"stops_at": 9, "cuts_at": [7, 8]}, 9),
    ],
)
async def test_a_download_breaks_off(large: Path, fault: dict[str, Any], size: int) -> None:
    """A file ends where its delivery says, and the connection with it."""
    answer = Download(large, delivery=Delivery(then="close", **fault))
    async with simulated(Scenario(replies=[answer])) as ask:
        got, broken = b"", False
        headers = {"Authorization": f"Bearer {ask.sim.api_key}"}
        async with ask.session.get(f"{ask.sim.base_url}/own", headers=headers) as response:
            assert response.headers["content-length"] == str(len(LARGE))
            try:
                async for data in response.content.iter_any():
                    got += data
            except aiohttp.ClientPayloadError:
                broken = True
        assert broken
        assert got == LARGE[:size]
        await ask.sim.wait_until(lambda: ask.sim.connections.open == 0)


async def test_a_download_falls_silent(large: Path) -> None:
    """A file may stop coming; the simulator sees when the client leaves."""
    answer = Download(large, delivery=Delivery(stops_at=10, then="hang", body_after=0.01))
    async with simulated(Scenario(replies=[answer])) as ask:
        headers = {"Authorization": f"Bearer {ask.sim.api_key}"}
        async with ask.session.get(f"{ask.sim.base_url}/own", headers=headers) as response:
            assert len(await response.content.readexactly(10)) == 10
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await response.content.readany()
            response.close()
        await ask.sim.wait_until(lambda: ask.sim.requests[0].closed_by_peer)


async def test_a_large_download_is_not_in_memory(tmp_path: Path) -> None:
    """Two hundred megabytes go out through a few megabytes of memory, and leave the loop to others."""
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(SPARSE)
    async with simulated(Scenario(replies=[Reply("warm"), Download(path)])) as ask:
        await ask.hello()
        headers = {"Authorization": f"Bearer {ask.sim.api_key}"}
        size = 0
        tracemalloc.start()
        try:
            async with ask.session.get(f"{ask.sim.base_url}/own", headers=headers) as response:
                async for data in response.content.iter_any():
                    if not size:
                        assert (await ask.hello()).status == 200
                    size += len(data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert size == SPARSE
        assert peak < 8_000_000


async def test_a_file_that_vanishes(large: Path) -> None:
    """Where the file is deleted on its way, the connection breaks."""
    answer = Download(large, delivery=Delivery(pause=0.05))
    async with simulated(Scenario(replies=[answer])) as ask:
        headers = {"Authorization": f"Bearer {ask.sim.api_key}"}
        async with ask.session.get(f"{ask.sim.base_url}/own", headers=headers) as response:
            await asyncio.to_thread(large.unlink)
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()


async def test_an_answer_may_come_later() -> None:
    """An answer that is made when it is asked for travels as it says itself."""
    ready = asyncio.Event()

    async def make() -> Reply:
        await ready.wait()
        return Reply("now")

    async with simulated(Scenario(replies=[Later(make)])) as ask:
        task = asyncio.create_task(ask.hello())
        await ask.sim.wait_until(lambda: ask.sim.in_flight == 1)
        ready.set()
        assert (await task).message["content"] == "now"


@pytest.mark.parametrize("name", ["a.png", "图 1.png", "../a b?.png", "100%.png"])
async def test_public_contents(name: str) -> None:
    """What is published has a URL at the simulator, which everybody may fetch, and its own media type."""
    async with simulated() as ask:
        await ask.hello()
        public = ask.sim._service._stage.public
        seen = ask.sim.requests[0]
        urls = [public.publish(seen, content, "image/png", name) for content in (b"\x89PNG", b"second")]
        assert all(url.startswith(f"{ask.sim.origin}/generated/") for url in urls)
        for url, content in zip(urls, (b"\x89PNG", b"second"), strict=True):
            async with ask.session.get(url) as response:
                assert (response.status, response.content_type) == (200, "image/png")
                assert await response.read() == content
        async with ask.session.get(f"{ask.sim.origin}/generated/none.png") as response:
            assert (await response.json())["msg"] == "404 NOT_FOUND"


@pytest.mark.parametrize("kind", ["TXT", "MD", "CSV", "HTML"])
@pytest.mark.parametrize("given", [True, False])
async def test_texts_are_parsed(ask: Asker, kind: str, given: bool) -> None:
    """A text comes back as it is; its type is the one said, else the ending of its name."""
    text = "标题\na,b\r\n"
    name = "file" if given else f"file.{kind.lower()}"
    created = await parse(ask, text.encode(), name, "prime", **({"file_type": kind} if given else {}))
    identity = created.json["task_id"]
    assert created.json == {"success": True, "message": created.json["message"], "task_id": identity}
    result = await parsed(ask, identity)
    assert result["status"] == "succeeded"
    assert (result["content"], result["task_id"], result["parsing_result_url"]) == (text, identity, None)


async def test_other_files_are_described(ask: Asker) -> None:
    """Of a file that is no text there is a line with its name, size and digest, the same every time."""
    digest = hashlib.sha256(b"%PDF").hexdigest()
    for _ in range(2):
        created = await parse(ask, b"%PDF", "a.pdf", "expert", file_type="PDF")
        result = await parsed(ask, created.json["task_id"])
        assert result["content"] == f"a.pdf: PDF, 4 bytes, sha256 {digest}"


async def test_results_as_a_link(ask: Asker) -> None:
    """The link leads to an archive with the text, the same link each time."""
    identity = (await parse(ask, b"# text", "a.md")).json["task_id"]
    result = await parsed(ask, identity, "download_link")
    assert result["content"] is None
    assert (await parsed(ask, identity, "download_link")) == result
    async with ask.session.get(result["parsing_result_url"]) as response:
        archive = zipfile.ZipFile(io.BytesIO(await response.read()))
    assert archive.read("result.md") == b"# text"
    assert (await parsed(ask, identity))["content"] == "# text"


@pytest.mark.parametrize("record", [True, False])
async def test_a_task_takes_its_time(record: bool) -> None:
    """A task is `processing` as long as the scenario says, with or without a record of requests."""
    async with simulated(Scenario(task_seconds=0.1), record=record) as ask:
        started = time.monotonic()
        identity = (await parse(ask, b"x", "a.txt")).json["task_id"]
        first = (await ask.request("GET", f"/files/parser/result/{identity}/text")).json
        assert (first["status"], first["content"], first["task_id"]) == ("processing", None, identity)
        assert (await parsed(ask, identity))["content"] == "x"
        assert time.monotonic() - started >= 0.1


@pytest.mark.parametrize(("name", "tool"), [("a.exe", "prime"), ("a", "lite"), ("a.txt", "expert"), ("a.html", "lite")])
async def test_unknown_types_fail(ask: Asker, name: str, tool: str) -> None:
    """A file that the tool does not take is a task that fails, with HTTP 200."""
    result = await parsed(ask, (await parse(ask, b"x", name, tool)).json["task_id"])
    assert (result["status"], result["content"], result["parsing_result_url"]) == ("failed", None, None)
    assert result["message"]


async def test_parsing_at_once(ask: Asker) -> None:
    """The synchronous call has text and link in its answer, or says that it failed."""
    data = form(b"text", "a.txt", tool_type="prime-sync")
    result = (await ask.request("POST", "/files/parser/sync", data=data)).json
    assert (result["status"], result["content"]) == ("succeeded", "text")
    async with ask.session.get(result["parsing_result_url"]) as response:
        assert response.status == 200
    data = form(b"text", "a.exe", tool_type="prime-sync")
    assert (await ask.request("POST", "/files/parser/sync", data=data)).json["status"] == "failed"


@pytest.mark.parametrize(
    ("path", "texts", "content", "code"),
    [
        ("create", {}, b"x", "1213"),
        ("create", {"tool_type": "prime-sync"}, b"x", "1214"),
        ("sync", {"tool_type": "lite"}, b"x", "1214"),
        ("create", {"tool_type": "lite"}, b"", "1214"),
    ],
)
async def test_refused_parsing(ask: Asker, path: str, texts: dict[str, str], content: bytes, code: str) -> None:
    """A missing or wrong tool and an empty file are refused."""
    answered = await ask.request("POST", f"/files/parser/{path}", data=form(content, "a.txt", **texts))
    assert (answered.status, answered.code) == (400, code)


async def test_parsing_needs_a_file(ask: Asker) -> None:
    """A request without a file is refused with 1213, checked or not."""
    for path, tool in (("create", "lite"), ("sync", "prime-sync")):
        data = aiohttp.FormData({"tool_type": tool, "x": "y"})
        assert (await ask.request("POST", f"/files/parser/{path}", data=data)).code == "1213"
    async with simulated(Scenario(checks=False)) as unchecked:
        assert (await unchecked.request("POST", "/files/parser/create")).code == "1213"
        assert (await unchecked.request("POST", "/files/parser/sync")).code == "1213"


async def test_a_file_too_large_for_its_tool(ask: Asker) -> None:
    """A file that is too large is no success, with HTTP 200."""
    answered = await parse(ask, io.BytesIO(b"x" * (10 * 1024 * 1024 + 1)), "a.csv", "prime")  # type: ignore[arg-type]
    assert (answered.status, answered.json["success"], answered.json["task_id"]) == (200, False, None)
    assert "10 MB" in answered.json["message"]


async def test_results_of_unknown_tasks(ask: Asker) -> None:
    """A task that does not exist is told in an envelope with HTTP 200; an unknown form of results is refused."""
    answered = await ask.request("GET", "/files/parser/result/none/text")
    assert (answered.status, answered.json["success"], answered.json["code"]) == (200, False, 404)
    assert (await ask.request("GET", "/files/parser/result/none/xml")).code == "1214"


async def test_uploads_are_repeatable() -> None:
    """Two simulators with one seed and one time give their files the same ids."""
    ids: list[str] = []
    for _ in range(2):
        async with Simulator(Scenario(seed=3), clock=lambda: 1791490810.5) as sim, aiohttp.ClientSession() as session:
            ids.append((await upload(Asker(sim, session))).json["id"])
    assert ids[0] == ids[1]
    assert ids[0].startswith("1791490810_")
