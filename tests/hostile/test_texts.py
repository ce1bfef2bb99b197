"""Words of the peer that go further than the answer: into errors, logs, waits and paths."""

from __future__ import annotations

import asyncio
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.peer import MESSAGES, UNSEEN, WAYS, Attack, files_in, hostile_peer, is_whole, outcome, outcomes
from tests.hostile.test_heads import answer
from tests.servers import COMPLETION, Conversation, byte_server
from tests.virtual_time import run
from zhipu_async import (
    APIError,
    AsyncZhipuAI,
    CreationUnknown,
    RateLimitError,
    RetryPolicy,
    TaskFailed,
    VideoTask,
    ZhipuError,
    polling,
)
from zhipu_async.batching.service import PAGES, BatchService
from zhipu_async.protocol.retry import Progress, wait_before_retry
from zhipu_async.types.batches import Batch, BatchList

pytestmark = pytest.mark.heavy

EVIL = "\\u001b[2J\\u001b]0;evil\\u0007\\r\\u202e\\ud800\\u0000"
REFUSAL = answer(
    b"X-Log-Id: \xff\x1b[2J",
    b"GA-TraceId: " + b"t" * 8000,
    status=b"HTTP/1.1 400 No",
    body=('{"error":{"code":"%s","message":"%s"},"request_id":"%s"}' % ((EVIL * 400,) * 3)).encode(),
)


async def test_the_text_of_an_error_is_bounded_and_can_be_printed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Message, code and ids of a refusal: cut, without control characters; in ``str``, in logs, and after pickling."""
    caplog.set_level(logging.DEBUG, "zhipu_async")
    found = await outcomes(Attack(REFUSAL), tmp_path)
    for error in found.values():
        assert isinstance(error, APIError)
        texts = (str(error), str(pickle.loads(pickle.dumps(error))), error.message, error.code, error.request_id)
        for text in (*texts, error.log_id or ""):
            assert text is not None
            assert not UNSEEN.search(text)
            assert len(text) < 20_000
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("zhipu_async")]
    assert ours
    assert not any(UNSEEN.search(text) for text in ours)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("-5", 0.0), ("nan", None), ("inf", None), ("1e300", 1e300), ("-inf", 0.0), ("9" * 400, None), ("5, 6", None),
     ("Fri, 31 Dec 9999 23:59:59 GMT", None), ("soon", None), ("", None), ("Fri, 99 Foo -1 99:99:99", None)],
)  # fmt: skip
async def test_what_retry_after_may_say(value: str, seconds: float | None, tmp_path: Path) -> None:
    """What is no number is passed over; one above ``retry_after_limit`` is never slept on, but told."""
    data = answer(f"Retry-After: {value}".encode(), status=b"HTTP/1.1 429 No", body=b"{}")
    found = await outcomes(Attack(data), tmp_path, "whole", "stream", "download", "session")
    for error in found.values():
        assert isinstance(error, RateLimitError)
        assert error.retry_after == seconds


@pytest.mark.parametrize("seconds", [61.0, 1e300])
def test_a_run_does_not_sleep_for_ever(seconds: float) -> None:
    """A patient call asks again after ``retry_after_limit`` at the latest; it keeps a shorter wait."""
    policy = RetryPolicy(base=0.0, cap=0.0)
    for after, slept in ((seconds, 60.0), (3.0, 3.0)):
        error = RateLimitError("slow", status=429, retryable=True, retry_after=after)
        progress = Progress(attempt=1, patient=True, refusals=1)
        assert wait_before_retry(error, policy, progress, creates=False, jitter=0.5) == slept


@pytest.mark.parametrize(
    "location",
    ["/elsewhere", "file:///etc/passwd", "javascript:1", "data:,x", "ftp://127.0.0.1/", "//[::", "\x1b[2J",
     "/a%0d%0aX-Evil: 1", "/" + "a" * 60_000, "http://u:w@127.0.0.1/", "ws://127.0.0.1/", "\t//evil.example/", "?",
     "x/"],
    ids=lambda text: repr(text[:20]),
)  # fmt: skip
@pytest.mark.parametrize("status", [b"302", b"307", b"399"])
async def test_redirects_end(location: str, status: bytes, tmp_path: Path) -> None:
    """A loop, another scheme, rubbish: an error after at most four requests, with no header that came from it."""
    redirect = answer(b"Location: " + location.encode(), status=b"HTTP/1.1 %s Go" % status, body=b"")
    async with hostile_peer(Attack(redirect)) as (client, peer):
        for name in ("whole", "request", "elsewhere"):
            before = peer.struck
            error = await outcome(WAYS[name], client, tmp_path)
            assert isinstance(error, ZhipuError)
            assert peer.struck - before <= 4
        assert b"x-evil" not in b"".join(peer.server.requests).lower().replace(b"%0d%0ax-evil", b"")
        await is_whole(client, peer)


async def test_cookies_and_file_names_of_a_peer_go_nowhere(tmp_path: Path) -> None:
    """No cookie is sent back; a download is saved under the caller's path, whatever name the answer gives it."""
    name = b"Content-Disposition: attachment; filename=\"../../evil\"; filename*=UTF-8''%2e%2e%2fevil"
    cookies = [b"Set-Cookie: c%d=%s" % (number, b"v" * 100) for number in range(200)]
    async with hostile_peer(Attack(answer(name, *cookies))) as (client, peer):
        folder = tmp_path / "inner"
        folder.mkdir()
        for _ in range(3):
            for way in ("whole", "to_file", "session", "elsewhere"):
                await outcome(WAYS[way], client, folder)
        assert b"cookie" not in b"".join(peer.server.requests).lower()
        assert files_in(tmp_path) == ["inner/saved"]


@pytest.mark.parametrize("identity", ["../../files", "a/b?c#d", "..", "%2e%2e/x", "\\u0000", "x y", "\\ud800", ""])
async def test_ids_of_a_peer_stay_one_segment_of_a_path(identity: str) -> None:
    """An id that an answer gave is percent-encoded where it is asked after, or refused before anything is sent."""
    body = f'{{"id":"{identity}","task_status":"PROCESSING"}}'.encode()
    async with hostile_peer(Attack(answer(body=body))) as (client, peer):
        task = await client.videos.generations(model="cogvideox-3", prompt="a cat")
        try:
            await client.videos.retrieve_videos_result(task.id)
        except ZhipuError:
            assert peer.struck == 1
        else:
            path = peer.server.requests[-1].split(b" ")[1]
            assert path.startswith(b"/api/paas/v4/async-result/")
            assert path.count(b"/") == 5
            assert b"?" not in path
            assert b"#" not in path


def test_a_list_without_end_is_no_proof_that_a_batch_was_not_created() -> None:
    """The search for a batch whose creation was not answered reads 1000 pages at most, then says it is unknown."""
    asked = 0

    async def endless(call: Any) -> Any:
        nonlocal asked
        asked += 1
        return BatchList(data=[Batch(id=f"b-{asked}", input_file_id="other")], has_more=True)

    nothing: Any = None
    service = BatchService(endless, nothing, nothing, None, nothing)
    with pytest.raises(CreationUnknown, match="no end"):
        run(service.look_for("mine", "tag"))
    assert asked == PAGES


@pytest.mark.parametrize("last", ["SUCCESS", "FAIL"])
async def test_a_task_whose_answers_flip_ends_at_its_first_end(last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nonsense, errors and states that nobody knows mean: ask again; the first end is the end."""
    states = [b'{"task_status":"PROCESSING"}', b'{"task_status":"\\u001b"}', b"{}", b'{"task_status":null}']
    asked = 0

    async def handler(talk: Conversation) -> None:
        nonlocal asked
        while await talk.request():
            if asked % 2:
                await talk.answer(b"busy", status="503 No")
            else:
                done = f'{{"task_status":"{last}","video_result":[]}}'.encode()
                await talk.answer(states.pop(0) if states else done)
            asked += 1

    kind = polling.KINDS[VideoTask]
    monkeypatch.setitem(polling.KINDS, VideoTask, polling.Kind(0.001, 0.002, kind.ask))
    async with byte_server(handler) as server, AsyncZhipuAI("k.s", base_url=server.url, max_retries=0) as client:
        async with asyncio.timeout(20):
            try:
                result = await client.wait(VideoTask(id="t", task_status="PROCESSING"))
                assert last == "SUCCESS"
                assert result.task_status == "SUCCESS"
            except TaskFailed:
                assert last == "FAIL"
        assert asked == 9
        assert client.pool.statistics().in_use == 0


async def test_a_refused_handshake_leaves_no_connection_behind(tmp_path: Path) -> None:
    """A call after it, above all one that creates something, begins on a connection that carried nothing yet."""
    refusal = answer(status=b"HTTP/1.1 401 No", body=b"{}")
    async with hostile_peer(Attack(refusal, closes=False)) as (client, peer):
        await outcome(WAYS["session"], client, tmp_path)
        await outcome(WAYS["creation"], client, tmp_path)
        assert peer.struck == peer.server.opened == 2


async def test_the_answer_is_still_taken(tmp_path: Path) -> None:
    """The support of these tests is sound: an answer that is one is taken in each way of asking for it."""
    found = await outcomes(Attack(answer(body=COMPLETION)), tmp_path, "whole", "raw", "request", "download", "to_file")
    assert [result for result in found.values() if isinstance(result, Exception)] == []
    assert MESSAGES == [{"role": "user", "content": "Hello"}]
