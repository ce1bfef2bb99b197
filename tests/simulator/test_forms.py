"""Bodies of type multipart/form-data."""

from __future__ import annotations

import asyncio
import hashlib
import sys
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zhipu_async.simulator import DEFAULT_KEY, SERVICE, HangUp, Json, Pace, Scenario, SeenRequest, application
from zhipu_async.simulator.folder import BLOCK

from .asking import Asker, simulated
from .uploading import form, polled, upload

pytestmark = pytest.mark.heavy  # seconds of what no version of Python changes

FILES = "/files"
APPLICATION = sys.modules["zhipu_async.simulator.application"]


def folder_of(seen: SeenRequest) -> Path:
    """The folder that the first upload of a request is in."""
    return seen.uploads[0].path.parent


async def files_in(folder: Path) -> list[Path]:
    """The files in a folder."""
    return sorted(await asyncio.to_thread(lambda: [*folder.iterdir()]))


async def many_blocks(count: int, block: bytes = b"\x00" * 65_536) -> AsyncIterator[bytes]:
    """A body of so many blocks."""
    for _ in range(count):
        yield block


async def test_texts_and_files_are_seen(ask: Asker) -> None:
    """A form's texts and files are there by name, repeated texts as a list, and `raw` is empty."""
    data = form(b"{}\n", "数据 1.jsonl", purpose="batch", model="GLM-ASR", stream="true")
    data.add_field("hotwords", "智谱")
    data.add_field("hotwords", "")
    data.add_field("hotwords", "GLM")
    data.add_field("extra", b"\x00\xff", filename="b.bin")
    await ask.request("POST", FILES, data=data)
    (seen,) = ask.sim.requests
    assert (seen.raw, seen.body) == (b"", None)
    assert seen.form == {"purpose": "batch", "model": "GLM-ASR", "stream": "true", "hotwords": ["智谱", "", "GLM"]}
    assert (seen.model, seen.stream, seen.get("purpose"), seen.get("none", 1)) == ("glm-asr", True, "batch", 1)
    file, extra = seen.uploads
    assert (file.name, file.filename, file.content_type) == ("file", "数据 1.jsonl", "application/octet-stream")
    assert (file.size, file.sha256, file.read()) == (3, hashlib.sha256(b"{}\n").hexdigest(), b"{}\n")
    assert (extra.filename, extra.size) == ("b.bin", 2)
    with extra.open() as opened:
        assert opened.read() == b"\x00\xff"
    assert seen.upload("extra") is extra
    assert seen.upload("none") is None


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
async def test_every_size_arrives(ask: Asker, size: int) -> None:
    """A file arrives whole, whatever its size is to that of a block."""
    content = bytes(range(256)) * (size // 256 + 1)
    await upload(ask, content[:size])
    (file,) = ask.sim.requests[0].uploads
    assert (file.size, file.sha256) == (size, hashlib.sha256(content[:size]).hexdigest())
    assert file.read() == content[:size]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contents=st.lists(st.binary(max_size=300) | st.sampled_from([b"\r\n", b"--", b"\r\n--x"]), min_size=1))
async def test_any_bytes_arrive(contents: list[bytes]) -> None:
    """Files of any bytes arrive in their order, those that look like a border too."""
    data = aiohttp.FormData()
    for place, content in enumerate(contents):
        data.add_field(f"file{place}", content, filename="a")
    async with simulated() as ask:
        await ask.request("POST", FILES, data=data)
        assert [file.read() for file in ask.sim.requests[0].uploads] == contents


async def test_a_large_upload_is_not_in_memory() -> None:
    """Two hundred megabytes pass through a few megabytes of memory."""
    async with simulated() as ask:
        await upload(ask, many_blocks(1))
        tracemalloc.start()
        try:
            answered = await upload(ask, many_blocks(3200), "a.pdf", "user_data")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert answered.json["bytes"] == 3200 * 65_536
        assert peak < 8_000_000


async def test_the_loop_goes_on_during_an_upload() -> None:
    """While a file comes in slowly, other requests are answered."""
    async with simulated(Scenario(pace=Pace(per_upload_block=0.05))) as ask:
        slow = asyncio.create_task(upload(ask, b"x" * 400_000))
        await ask.sim.wait_until(lambda: ask.sim.in_flight == 1)
        assert (await ask.hello()).status == 200
        assert not slow.done()
        assert (await slow).status == 200


@pytest.mark.parametrize("record", [True, False])
async def test_an_upload_that_breaks_off_leaves_nothing(record: bool) -> None:
    """When the client goes away in the middle of a form, the files that were complete are removed too."""

    async def stalling() -> AsyncIterator[bytes]:
        yield b"x" * 600_000
        await asyncio.sleep(60)

    async with simulated(record=record) as ask:
        await upload(ask)
        folder = ask.sim._service._stage.folder._path
        before = await files_in(folder)
        data = form(b"y" * 10, purpose="batch")
        data.add_field("second", stalling(), filename="b.jsonl")
        task = asyncio.create_task(ask.request("POST", FILES, data=data))
        await polled(lambda: files_in(folder), lambda files: sum(path.stat().st_size for path in files) >= BLOCK)
        task.cancel()
        await ask.sim.wait_until(lambda: ask.sim.in_flight == 0)
        assert await files_in(folder) == before
        if record:
            assert ask.sim.requests[1].closed_by_peer
            assert ask.sim.requests[1].uploads == ()


async def test_leaving_removes_everything() -> None:
    """With the simulator its temporary folder goes; entered again, it takes uploads again and knows no old file."""
    async with simulated() as ask:
        identity = (await upload(ask)).json["id"]
        folder = folder_of(ask.sim.requests[0])
        assert folder.is_dir()
    assert not folder.exists()
    async with ask.sim, aiohttp.ClientSession() as session:
        again = Asker(ask.sim, session)
        assert (await again.request("GET", f"/files/{identity}/content")).status == 404
        assert (await upload(again)).status == 200
        assert folder_of(ask.sim.requests[-1]) != folder
    assert not folder_of(ask.sim.requests[-1]).exists()


async def test_unrecorded_uploads_go_with_their_request() -> None:
    """With `record=False` the disk has only the files that the service keeps."""
    async with simulated(record=False) as ask:
        await upload(ask)
        await upload(ask, purpose="unknown")
        assert len(await files_in(ask.sim._service._stage.folder._path)) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form",
        b"--b\r\n\r\n",
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc',
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nabc\r\n--',
        b"--b\r\n" + b"x" * 100_000,
        b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--\r\n",
    ],
)
async def test_broken_forms_are_refused(ask: Asker, body: bytes) -> None:
    """What is no form is refused with 1210, and the simulator goes on."""
    headers = {"Content-Type": "Multipart/form-data; boundary=b"}
    answered = await ask.request("POST", FILES, data=body, headers=headers)
    assert (answered.status, answered.code) in ((400, "1210"), (400, "1213"))
    assert (await ask.hello()).status == 200


async def test_a_form_without_a_boundary_is_refused(ask: Asker) -> None:
    """A content type that does not say where parts end is refused."""
    answered = await ask.request("POST", FILES, data=b"--b--", headers={"Content-Type": "multipart/form-data"})
    assert (answered.status, answered.code) == (400, "1210")


@pytest.mark.parametrize(("limit", "data"), [("UPLOAD_LIMIT", form(b"x" * 1000)), ("BODY_LIMIT", form(a="x" * 1000))])
async def test_too_much_is_refused(ask: Asker, monkeypatch: pytest.MonkeyPatch, limit: str, data: object) -> None:
    """Files and texts over their limit are answered with HTTP 413, and no file remains."""
    monkeypatch.setattr(APPLICATION, limit, 999)
    assert (await ask.request("POST", FILES, data=data)).status == 413
    folder = ask.sim._service._stage.folder
    assert folder._remove is None or await files_in(folder._path) == []


async def test_limits_are_for_all_parts_together(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that fit one by one are too large together."""
    monkeypatch.setattr(APPLICATION, "UPLOAD_LIMIT", 999)
    data = form(b"x" * 500)
    data.add_field("second", b"x" * 500, filename="b")
    assert (await ask.request("POST", FILES, data=data)).status == 413


async def test_an_upload_can_be_cut_off() -> None:
    """A script can hang up when so many bytes of the body have been read, and the next request is answered."""
    hang_up = HangUp(reset=True, before_reading=True, after_bytes=300_000)
    async with simulated(Scenario(replies=[hang_up])) as ask:
        with pytest.raises(aiohttp.ClientError):
            await upload(ask, many_blocks(1000))
        assert ask.sim.requests[0].uploads == ()
        assert (await upload(ask)).status == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "GET", "PATCH"])
@pytest.mark.parametrize("data", [None, b"", b'{"a":1}', form()])
async def test_bodies_of_every_method(method: str, data: object) -> None:
    """A body, a form or no body may come with any method; a method without a row is an unknown path."""
    async with simulated(Scenario(replies=[Json({"a": 1})], checks=False)) as ask:
        answered = await ask.request(method, "/own", data=data)
        assert answered.json == {"a": 1}
        seen = ask.sim.requests[0]
        assert seen.method == method
        assert seen.body == ({"a": 1} if isinstance(data, bytes) and data else None)
        assert len(seen.uploads) == isinstance(data, aiohttp.FormData)
        assert (await ask.request(method, "/batches/1/cancel", data=b"")).json["msg"] == "404 NOT_FOUND"


async def test_application_removes_its_files() -> None:
    """The application removes its files when it is cleaned up, and after an upload that broke off."""
    app = application()
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        headers = {"Authorization": f"Bearer {DEFAULT_KEY}"}
        url = f"http://{host}:{port}/api/paas/v4/files"
        data = form(purpose="batch")
        async with aiohttp.ClientSession() as session, session.post(url, data=data, headers=headers) as response:
            assert response.status == 200
        folder = folder_of(app[SERVICE].requests[0])
        _, writer = await asyncio.open_connection(host, port)
        writer.write(
            b"POST /api/paas/v4/files HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc'
        )
        await polled(lambda: files_in(folder), lambda files: len(files) == 2)
        writer.close()
        await polled(lambda: files_in(folder), lambda files: len(files) == 1)
    finally:
        await runner.cleanup()
    assert not folder.exists()
