"""Answers of HTTP 200 that say that the work failed: reported in the struct, or raised (errors.md section 2)."""

from __future__ import annotations

import json
from functools import reduce
from typing import Any, NamedTuple

import pytest

from tests.arguments import least
from tests.conftest import SHORT_SLEEPS
from tests.recording import Reply, recording
from zhipu_async import APIError, AsyncZhipuAI, TaskFailed, ZhipuError
from zhipu_async.catalogue import rows

ERROR = {"code": "1301", "message": "unsafe content"}


class Failure(NamedTuple):
    """A body that says so, and what becomes of it."""

    name: str
    body: dict[str, Any]
    becomes: type[ZhipuError] | None
    """None: a struct with the state ``failed``."""
    code: str | None
    reason: str

    def __str__(self) -> str:
        return f"{self.name} {' '.join(self.body)}"


TASK = "chat.async_completions.retrieve"
OCR, PARSE, PARSED, PARSE_NOW = "ocr.handwriting", "file_parser.create", "file_parser.result", "file_parser.create_sync"
AGENT, AGENT_RESULT = "agents.invoke", "agents.async_result"
TUNED = "fine_tuning.jobs.retrieve"
BATCH = {"id": "b", "status": "failed", "errors": {"data": [{"code": "1214", "message": "line 3"}]}}
HALF = [{"index": 0, "finish_reason": "stop", "messages": [{"role": "assistant", "content": "half"}]}]

FAILURES = [
    # asynchronous chat, images and videos (async_tasks.md section 2): where the reason stands is not documented
    Failure(TASK, {"id": "t", "task_status": "FAIL", "error": ERROR}, None, "1301", "unsafe content"),
    Failure(TASK, {"id": "t", "task_status": "FAIL", "error": "broken"}, None, None, "broken"),
    Failure(TASK, {"id": "t", "task_status": "FAIL", "message": "no capacity"}, None, None, "no capacity"),
    Failure(TASK, {"task_status": "FAIL"}, None, None, ""),
    # handwriting and file parser: status or success
    Failure(OCR, {"task_id": "t", "status": "failed", "message": "no picture"}, TaskFailed, None, "no picture"),
    Failure(OCR, {"success": False, "message": "no picture"}, TaskFailed, None, "no picture"),
    Failure(PARSE, {"success": False, "message": "too large", "task_id": None}, TaskFailed, None, "too large"),
    Failure(PARSED, {"task_id": "t", "status": "failed", "message": "torn"}, None, None, "torn"),
    Failure(PARSED, {"success": False, "message": "torn"}, None, None, "torn"),
    Failure(PARSE_NOW, {"task_id": "t", "status": "failed", "message": "torn"}, TaskFailed, None, "torn"),
    Failure(PARSE_NOW, {"success": False, "message": "torn"}, TaskFailed, None, "torn"),
    # agents: an error alone is the call's, one beside an answer is the work's
    Failure(AGENT, {"id": "a", "status": "failed", "error": ERROR}, APIError, "1301", "unsafe content"),
    Failure(AGENT, {"status": "failed", "choices": HALF, "error": ERROR}, TaskFailed, "1301", "unsafe content"),
    Failure(AGENT, {"id": "a", "status": "failed"}, TaskFailed, None, ""),
    Failure(AGENT_RESULT, {"id": "a", "status": "failed", "error": ERROR}, None, "1301", "unsafe content"),
    Failure(AGENT_RESULT, {"id": "a", "status": "failed"}, None, None, ""),
    # assistants and applications
    Failure("assistant.conversation", {"id": "a", "status": "failed", "last_error": ERROR}, TaskFailed, "1301",
            "unsafe content"),
    Failure("applications.invoke",
            {"choices": [{"index": 0, "finish_reason": "error", "error_msg": {"code": 7, "msg": "node broke"}}]},
            TaskFailed, "7", "node broke"),
    # batches and fine-tuning
    *(
        Failure(name, BATCH, None, "1214", "line 3")
        for name in ("batches.create", "batches.retrieve", "batches.cancel")
    ),
    Failure(TUNED, {"id": "j", "status": "failed", "error": ERROR}, None, "1301", "unsafe content"),
]  # fmt: skip
REPORTING = {row.name: row for row in rows() if row.method.endpoint.failed}


async def asked(name: str, reply: Reply) -> Any:
    """What a call with the least arguments gives for this answer."""
    row = next(row for row in rows() if row.name == name)
    async with (
        recording(reply) as server,
        AsyncZhipuAI(api_key="key", base_url=server.url, retry=SHORT_SLEEPS) as client,
    ):
        try:
            return await reduce(getattr, name.split("."), client)(**least(row))  # type: ignore[operator]
        finally:
            assert len(server.seen) == 1


@pytest.mark.parametrize("failure", FAILURES, ids=str)
async def test_failed_work(failure: Failure) -> None:
    """Work that failed is reported where a task is asked after and raised where it was to be done, with its reason."""
    reply = Reply(json.dumps(failure.body).encode())
    if failure.becomes is None:
        answer = await asked(failure.name, reply)
        assert (answer.state, answer.failure) == ("failed", (failure.code, failure.reason))
        return
    with pytest.raises(failure.becomes) as caught:
        await asked(failure.name, reply)
    error = caught.value
    assert isinstance(error, (TaskFailed, APIError))
    assert error.code == failure.code
    assert (error.message if isinstance(error, APIError) else error.reason or "") == failure.reason
    if isinstance(error, TaskFailed):
        assert error.answer.state == "failed"  # type: ignore[attr-defined]
        assert error.task_id == failure.body.get("task_id", failure.body.get("id"))


def test_all_that_report_are_looked_at() -> None:
    """Every endpoint that is declared to report or raise failed work has a case, but for those that share a struct."""
    shared = {"fine_tuning.jobs.create", "fine_tuning.jobs.cancel"}
    assert {failure.name for failure in FAILURES} == set(REPORTING) - shared


@pytest.mark.parametrize("name", REPORTING)
@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "1214", "message": "no such id"}},
        {"success": False, "code": 1214, "msg": "no such id"},
        {"id": "x", "request_id": "r", "error": {"code": 1214, "message": "no such id"}},
    ],
    ids=["error", "gateway", "error with an id"],
)
async def test_a_failed_call_is_no_failed_work(name: str, body: dict[str, Any]) -> None:
    """An error envelope of HTTP 200 that says nothing of a task is raised as an error of the call."""
    with pytest.raises(APIError) as caught:
        await asked(name, Reply(json.dumps(body).encode()))
    assert (caught.value.code, caught.value.message) == ("1214", "no such id")
