"""Embeddings, rerank, tokenizer, moderation, web, files, batches, account and fine-tuning (data.md sections 1 to 9)."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, get_args
from urllib.parse import parse_qsl, urlsplit

import jsonschema
import msgspec
import pytest

from tests import contract
from zhipu_async.config import Timeouts
from zhipu_async.protocol.codec import decode, encode, encode_json
from zhipu_async.protocol.endpoint import Call, Endpoint
from zhipu_async.types.account import Quota, QuotaRequest
from zhipu_async.types.base import OPTIONS, Request, Response, Standing, Transfer
from zhipu_async.types.batches import (
    Batch,
    BatchCancelRequest,
    BatchCreateRequest,
    BatchError,
    BatchErrors,
    BatchLine,
    BatchList,
    BatchListRequest,
    BatchOutput,
    BatchRetrieveRequest,
)
from zhipu_async.types.files import (
    FileContentRequest,
    FileDeleted,
    FileDeleteRequest,
    FileList,
    FileListRequest,
    FileObject,
    FileUploadRequest,
)
from zhipu_async.types.finetuning import (
    FineTuningCancelRequest,
    FineTuningCreateRequest,
    FineTuningError,
    FineTuningEventList,
    FineTuningEventsRequest,
    FineTuningJob,
    FineTuningJobList,
    FineTuningListRequest,
    FineTuningRetrieveRequest,
    Hyperparameters,
)
from zhipu_async.types.messages import ImagePart, TextPart, UserMessage, VideoPart
from zhipu_async.types.texts import (
    AudioURLPart,
    EmbeddingRequest,
    EmbeddingResponse,
    ModerationRequest,
    ModerationResponse,
    RerankRequest,
    RerankResponse,
    TokenizerRequest,
    TokenizerResponse,
)
from zhipu_async.types.tools import FunctionDefinition, FunctionTool
from zhipu_async.types.web import (
    ReaderRequest,
    ReaderResponse,
    SearchToolChunk,
    SearchToolEitherRequest,
    SearchToolRequest,
    SearchToolResponse,
    SearchToolStreamRequest,
    WebSearchRequest,
    WebSearchResponse,
)

OWN = [
    kind
    for name in ("texts", "web", "files", "batches", "account", "finetuning")
    for module in [importlib.import_module(f"zhipu_async.types.{name}")]
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__module__ == module.__name__
]


# ---------------------------------------------------------------- answers

FILE: dict[str, Any] = {
    "id": "1725435402_e5bc", "object": "file", "bytes": 1024, "created_at": 1725435402, "filename": "a.jsonl",
    "purpose": "batch", "status": "processed", "status_details": "ok",
}  # fmt: skip
BATCH: dict[str, Any] = {
    "id": "batch_1791490810192076800", "object": "batch", "endpoint": "/v4/chat/completions", "input_file_id": "f1",
    "completion_window": "24h", "status": "failed", "output_file_id": "f2", "error_file_id": "f3", "created_at": 1,
    "in_progress_at": 2, "expires_at": 3, "finalizing_at": 4, "completed_at": 5, "failed_at": 6, "expired_at": 7,
    "cancelling_at": 8, "cancelled_at": 9, "request_counts": {"total": 3, "completed": 2, "failed": 1}, "total": 3,
    "completed": 2, "failed": 1, "metadata": {"customer": "c"},
    "errors": {"object": "list", "data": [{"code": "1214", "line": 2, "message": "bad", "param": "model"}]},
}  # fmt: skip
JOB: dict[str, Any] = {
    "id": "ftjob-1", "request_id": "r", "object": "fine_tuning.job", "model": "chatglm3-6b", "status": "failed",
    "created_at": 1, "finished_at": 2, "fine_tuned_model": "chatglm3-6b-x", "training_file": "f1",
    "validation_file": "f2", "result_files": ["f3"], "trained_tokens": 9,
    "hyperparameters": {"n_epochs": "auto", "batch_size": 8, "learning_rate_multiplier": 0.5},
    "error": {"code": "1", "message": "bad", "param": "training_file"},
}  # fmt: skip
METRICS: dict[str, Any] = {
    "epoch": "0.5", "current_steps": 1, "total_steps": 2, "elapsed_time": "0:01", "remaining_time": "0:02",
    "trained_tokens": 9, "loss": 0.5, "eval_loss": "0.5", "acc": 1, "eval_acc": 0.5, "learning_rate": 0.01,
}  # fmt: skip
CALLS: list[dict[str, Any]] = [
    {
        "id": "call_1", "type": "search_intent", "index": 0,
        "search_intent": [{"index": 0, "query": "q", "intent": "SEARCH_ALL", "keywords": "k"}],
    },
    {
        "id": "call_2", "type": "search_result", "index": 1,
        "search_result": [{"title": "a", "refer": "ref_1"}, {"title": "b", "refer": "ref_2"}],
    },
    {"id": "call_3", "type": "search_result", "index": 2, "search_result": [{"title": "c"}]},
    {"id": "call_4", "type": "search_recommend", "index": 3, "search_recommend": [{"index": 0, "query": "more"}]},
]  # fmt: skip

PAGES: list[tuple[type[msgspec.Struct], str]] = [
    (
        EmbeddingResponse,
        '{"model":"embedding-3","object":"list","data":[{"index":0,"object":"embedding","embedding":[0.01,-0.02]}],'
        '"usage":{"prompt_tokens":5,"completion_tokens":0,"total_tokens":5}}',
    ),
    (
        RerankResponse,
        '{"id":"...","created":1795159800,"request_id":"...","results":[{"index":1,"relevance_score":0.98,'
        '"document":"..."}],"usage":{"prompt_tokens":20,"total_tokens":20}}',
    ),
    (
        TokenizerResponse,
        '{"id":"...","created":1795159800,"request_id":"...","usage":{"prompt_tokens":12,"image_tokens":0,'
        '"video_tokens":0,"total_tokens":12}}',
    ),
    (
        ModerationResponse,
        '{"id":"...","created":1795159800,"request_id":"...","result_list":[{"content_type":"text",'
        '"risk_level":"PASS","risk_type":[]}],"usage":{"moderation_text":{"call_count":1}}}',
    ),
    (
        WebSearchResponse,
        '{"id":"...","created":1795159800,"request_id":"...","search_intent":[{"query":"...","intent":"SEARCH_ALL",'
        '"keywords":"..."}],"search_result":[{"title":"...","content":"...","link":"...","media":"...","icon":"...",'
        '"refer":"ref_1","publish_date":"2026-10-01"}]}',
    ),
    (FileDeleted, '{"id":"...","object":"file","deleted":true}'),
    (
        BatchLine,
        '{"custom_id":"request-1","method":"POST","url":"/v4/chat/completions","body":{"model":"glm-4-plus",'
        '"messages":[{"role":"user","content":"hi"}]}}',
    ),
    (
        BatchOutput,
        '{"response":{"status_code":200,"body":{"created":1715959701,"usage":{"completion_tokens":5,'
        '"prompt_tokens":9,"total_tokens":14},"model":"glm-4","id":"8668357533850320547","choices":[{"finish_reason":'
        '"stop","index":0,"message":{"role":"assistant","content":"..."}}],"request_id":"615-request-1"}},'
        '"custom_id":"request-1","id":"batch_1791490810192076800"}',
    ),
    (Quota, '{"code":200,"msg":"...","success":true,"data":{"limits":[{"type":"TOKENS_LIMIT","percentage":3}]}}'),
]
"""Bodies as the contract's pages show them; the line of a batch was recorded, the quota's limits are invented."""

FULL: list[tuple[type[msgspec.Struct], dict[str, Any]]] = [
    (
        EmbeddingResponse,
        {
            "model": "embedding-3", "object": "list",
            "data": [{"index": 1, "object": "embedding", "embedding": [0.5, -1.0]}],
            "usage": {
                "prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6,
                "prompt_tokens_details": {"cached_tokens": 1}, "completion_tokens_details": {"reasoning_tokens": 1},
            },
        },
    ),
    (
        RerankResponse,
        {
            "id": "i", "request_id": "r", "created": 1, "usage": {"prompt_tokens": 20, "total_tokens": 20},
            "results": [{"index": 1, "relevance_score": 0.98, "document": "d"}],
        },
    ),
    (
        TokenizerResponse,
        {
            "id": "i", "request_id": "r", "created": 1,
            "usage": {"prompt_tokens": 12, "image_tokens": 1, "video_tokens": 2, "total_tokens": 15},
        },
    ),
    (
        ModerationResponse,
        {
            "id": "i", "request_id": "r", "created": 1, "usage": {"moderation_text": {"call_count": 1}},
            "result_list": [{"content_type": "text", "risk_level": "REJECT", "risk_type": ["violence"]}],
        },
    ),
    (
        WebSearchResponse,
        {
            "id": "i", "request_id": "r", "created": 1,
            "search_intent": [{"index": 0, "query": "q", "intent": "SEARCH_NONE", "keywords": "k"}],
            "search_result": [{
                "index": 0, "title": "t", "content": "", "link": "l", "media": "m", "icon": "i", "refer": "ref_1",
                "publish_date": "2026-10-01", "images": ["https://x/a.png"],
            }],
        },
    ),
    (
        ReaderResponse,
        {
            "id": "i", "request_id": "r", "created": 1, "model": "reader",
            "reader_result": {
                "content": "# 标题", "description": "d", "title": "t", "url": "https://x",
                "external": {"stylesheet": {"https://x/a.css": {"type": "text/css"}}},
                "metadata": {"keywords": "k", "viewport": "v", "description": "d", "format-detection": "telephone=no"},
                "images": {"Image 1": "https://x/a.png"}, "links": {"more": "https://x/b"},
                "publishedTime": "2026-10-01",
            },
        },
    ),
    (
        SearchToolResponse,
        {
            "id": "i", "request_id": "r", "created": 1, "model": "web-search-pro",
            "choices": [{"index": 1, "finish_reason": "stop", "message": {"role": "tool", "tool_calls": CALLS}}],
        },
    ),
    (
        SearchToolChunk,
        {
            "id": "i", "created": 1,
            "choices": [{"index": 1, "finish_reason": "stop", "delta": {"role": "tool", "tool_calls": CALLS}}],
        },
    ),
    (FileObject, FILE),
    (FileList, {"object": "list", "data": [FILE], "has_more": True}),
    (FileDeleted, {"id": "f", "object": "file", "deleted": False}),
    (Batch, BATCH),
    (BatchList, {"object": "list", "data": [BATCH], "first_id": "b1", "last_id": "b2", "has_more": False}),
    (BatchOutput, {
        "custom_id": "request-1", "id": "batch_1", "error": {"code": "1301", "message": "m"},
        "response": {"status_code": 400, "body": {"error": {"code": "1301", "message": "m"}}},
    }),
    (Quota, {"code": 200, "msg": "ok", "success": True, "data": {"limits": [{"type": "TOKENS_LIMIT"}]}}),
    (FineTuningJob, JOB),
    (FineTuningJobList, {"object": "list", "data": [JOB], "has_more": True}),
    (FineTuningEventList, {
        "object": "list", "has_more": True,
        "data": [{
            "id": "e1", "object": "fine_tuning.job.event", "type": "metrics", "created_at": 1, "level": "info",
            "message": "step", "data": METRICS,
        }],
    }),
]  # fmt: skip
"""For each kind of answer, one with all fields."""


def without_empty(value: Any) -> Any:
    """``value`` without the nulls and empty lists in its objects: they are what a field begins with."""
    if isinstance(value, dict):
        return {name: without_empty(item) for name, item in value.items() if item not in (None, [])}
    return [without_empty(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("kind", "body"), PAGES, ids=[kind.__name__ for kind, _ in PAGES])
def test_bodies_of_the_pages(kind: type[msgspec.Struct], body: str) -> None:
    """What the contract shows decodes strictly, without a drop, and nothing of it is lost."""
    drops: list[str] = []
    decoded = decode(kind, body.encode(), drops)
    assert msgspec.json.decode(body, type=kind) == decoded
    assert without_empty(msgspec.to_builtins(decoded)) == without_empty(json.loads(body))
    assert drops == []


def structs_in(value: Any) -> Iterator[msgspec.Struct]:
    """``value`` and the structs inside it."""
    if isinstance(value, msgspec.Struct):
        yield value
        for name in value.__struct_fields__:
            yield from structs_in(getattr(value, name))
    elif isinstance(value, list):
        for item in value:
            yield from structs_in(item)


@pytest.mark.parametrize(("kind", "body"), FULL, ids=[kind.__name__ for kind, _ in FULL])
def test_round_trip_with_all_fields(kind: type[msgspec.Struct], body: dict[str, Any]) -> None:
    """An answer with all fields decodes strictly to them and is encoded to the same again."""
    decoded = msgspec.json.decode(json.dumps(body), type=kind)
    assert json.loads(msgspec.json.encode(decoded)) == body
    assert all(body.get(field.encode_name) not in (None, []) for field in msgspec.structs.fields(kind))


def test_every_struct_of_an_answer_is_decoded_here() -> None:
    """The tables have a value for every field of every struct that an answer of these endpoints can hold."""
    seen: dict[type[Any], set[str]] = {}
    for kind, body in FULL:
        for struct in structs_in(msgspec.convert(body, kind)):
            filled = {name for name in struct.__struct_fields__ if getattr(struct, name) not in (None, [])}
            seen.setdefault(type(struct), set()).update(filled)
    answers = [kind for kind in OWN if not kind.__struct_config__.frozen]
    assert len(answers) > 30
    assert {kind: set(kind.__struct_fields__) - seen.get(kind, set()) for kind in answers} == {
        kind: set() for kind in answers
    }


@pytest.mark.parametrize(("kind", "body"), FULL, ids=[kind.__name__ for kind, _ in FULL])
def test_everything_may_be_missing_or_null(kind: type[msgspec.Struct], body: dict[str, Any]) -> None:
    """An answer without a field, and one whose fields are null, are read as the same, and say nothing when encoded."""
    drops: list[str] = []
    empty = decode(kind, b"{}", drops)
    assert decode(kind, json.dumps(dict.fromkeys(body)).encode(), drops) == empty
    assert msgspec.json.encode(empty) == b"{}"
    assert drops == []


@pytest.mark.parametrize(
    ("data", "vectors"),
    [
        ([], []),
        ([{"index": 0, "embedding": [1]}], [[1.0]]),
        ([{"index": 2, "embedding": [3]}, {"index": 0, "embedding": [1]}, {"index": 1, "embedding": [2]}],
         [[1.0], [2.0], [3.0]]),
        ([{"embedding": [1]}, {"embedding": [2]}], [[1.0], [2.0]]),
        ([{"index": 1, "embedding": []}, {"index": 0, "embedding": [1, 2]}], [[1.0, 2.0], []]),
        ([{"index": "1", "embedding": [2]}, {"index": 0.0, "embedding": ["1"]}], [[1.0], [2.0]]),
    ],
)  # fmt: skip
def test_vectors(data: list[dict[str, Any]], vectors: list[list[float]]) -> None:
    """Vectors are in the order of the input, whatever the order of the answer; without an index as they came."""
    answer = decode(EmbeddingResponse, json.dumps({"data": data}).encode())
    before = [item.embedding for item in answer.data]
    assert answer.vectors == vectors
    assert [item.embedding for item in answer.data] == before


@pytest.mark.parametrize(
    ("levels", "passed"),
    [([], False), (["PASS"], True), (["PASS", "PASS"], True), (["PASS", "REVIEW"], False), (["REJECT"], False),
     ([None], False), (["new"], False)],
)  # fmt: skip
def test_moderation_passed(levels: list[str | None], passed: bool) -> None:
    """Content passes when there is a result and every one is PASS."""
    body = {"result_list": [{"risk_level": level} for level in levels]}
    assert decode(ModerationResponse, json.dumps(body).encode()).passed is passed


@pytest.mark.parametrize(
    ("body", "text"),
    [({}, ""), ({"reader_result": None}, ""), ({"reader_result": {}}, ""), ({"reader_result": {"content": "x"}}, "x")],
)
def test_reader_text(body: dict[str, Any], text: str) -> None:
    """The text of a page is its content, "" when there is none."""
    assert decode(ReaderResponse, json.dumps(body).encode()).text == text


def test_what_the_older_search_found() -> None:
    """The steps of a search are gathered by what they found, in order."""
    body = {"choices": [{"message": {"role": "tool", "tool_calls": CALLS}}, {"message": {"tool_calls": None}}, {}]}
    found = decode(SearchToolResponse, json.dumps(body).encode())
    assert [intent.intent for intent in found.search_intent] == ["SEARCH_ALL"]
    assert [page.title for page in found.search_result] == ["a", "b", "c"]
    assert [further.query for further in found.search_recommend] == ["more"]
    empty = SearchToolResponse()
    assert (empty.search_intent, empty.search_result, empty.search_recommend) == ([], [], [])


@pytest.mark.parametrize(
    ("body", "limits"),
    [({}, []), ({"data": None}, []), ({"data": {"limits": None}}, []), ({"data": {"limits": [{"a": 1}]}}, [{"a": 1}])],
)
def test_quota_limits(body: dict[str, Any], limits: list[dict[str, Any]]) -> None:
    """The limits are told as the service tells them, [] when it tells none."""
    assert decode(Quota, json.dumps(body).encode()).limits == limits


# ---------------------------------------------------------------- batches and fine-tuning jobs


@pytest.mark.parametrize(
    ("body", "counts"),
    [
        ({}, (None, None, None)),
        ({"request_counts": {"total": 3, "completed": 2, "failed": 1}}, (3, 2, 1)),
        ({"request_counts": {"total": 3}, "total": 9, "completed": 9}, (3, None, None)),
        ({"request_counts": 3, "completed": 2, "failed": 1}, (3, 2, 1)),
        ({"request_counts": 3, "total": 4, "completed": 2, "failed": 1}, (4, 2, 1)),
        ({"request_counts": 0, "total": 0, "completed": 0, "failed": 0}, (0, 0, 0)),
        ({"request_counts": None, "total": 4, "completed": 2, "failed": 1}, (4, 2, 1)),
        ({"request_counts": "3", "completed": 2.0}, (3, 2, None)),
        ({"request_counts": {"total": "3", "completed": 2.0, "failed": None}}, (3, 2, None)),
    ],
)  # fmt: skip
def test_batch_counts(body: dict[str, Any], counts: tuple[int | None, ...]) -> None:
    """The counts are read from both forms that the contract knows, also with numbers in other forms."""
    drops: list[str] = []
    batch = decode(Batch, json.dumps(body).encode(), drops)
    assert (batch.counts.total, batch.counts.completed, batch.counts.failed) == counts
    assert drops == []


OUTCOMES: list[tuple[Standing, str, tuple[str | None, str]]] = [
    *((Batch(status=status), "running", (None, "")) for status in (
        None, "", "validating", "in_progress", "finalizing", "cancelling", "new", "FAILED",
    )),
    (Batch(status="completed"), "done", (None, "")),
    (Batch(status="completed", errors=BatchErrors(data=[BatchError(code="1")])), "done", (None, "")),
    *((Batch(status=status), "failed", (None, status)) for status in ("failed", "expired", "cancelled")),
    (Batch(status="failed", errors=BatchErrors()), "failed", (None, "failed")),
    (Batch(status="failed", errors=BatchErrors(data=[BatchError(code="1214")])), "failed", ("1214", "failed")),
    (
        Batch(status="failed", errors=BatchErrors(data=[
            BatchError(code="1214", line=2, message="bad"), BatchError(code="1", message="worse"),
        ])),
        "failed", ("1214", "bad"),
    ),
    *((FineTuningJob(status=status), "running", (None, "")) for status in (
        None, "validating_files", "queued", "running", "new",
    )),
    (FineTuningJob(status="succeeded"), "done", (None, "")),
    (FineTuningJob(status="cancelled"), "failed", (None, "cancelled")),
    (FineTuningJob(status="failed", error=FineTuningError(code="1", message="bad")), "failed", ("1", "bad")),
    (FineTuningJob(status="running", error=FineTuningError(code="1", message="bad")), "running", (None, "")),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "state", "failure"), OUTCOMES)
def test_outcomes(answer: Standing, state: str, failure: tuple[str | None, str]) -> None:
    """Each status is running, done or failed, unknown ones run on; only failed work has a failure."""
    assert (answer.state, answer.failure) == (state, failure)


@pytest.mark.parametrize(
    ("line", "ok"),
    [
        ('{"response":{"status_code":200,"body":{}}}', True),
        ('{"response":{"status_code":200,"body":{}},"error":null}', True),
        ('{"response":{"status_code":200,"body":{}},"error":{}}', True),
        ('{"response":{"status_code":200.0,"body":null}}', True),
        ('{"response":{"status_code":400,"body":{"error":{"code":"1301","message":"m"}}}}', False),
        ('{"response":{"status_code":200,"body":{}},"error":{"code":"1"}}', False),
        ('{"response":null,"error":"time-out"}', False),
        ('{"response":{"body":{}}}', False),
        ("{}", False),
    ],
)
def test_ok_lines(line: str, ok: bool) -> None:
    """A line is good when the service answered 200 and told no error."""
    assert decode(BatchOutput, line.encode()).ok is ok


@pytest.mark.parametrize("body", [None, "busy", ["x"], {"error": {"code": "1"}}])
def test_bodies_of_lines(body: Any) -> None:
    """The body of a line's answer is what stood there, whatever it is."""
    line = decode(BatchOutput, json.dumps({"id": 5, "response": {"status_code": 500, "body": body}}).encode())
    assert line.response is not None
    assert (line.id, line.response.body) == ("5", body)


def test_input_line() -> None:
    """A line to be answered is written with its method, also when that is not given."""
    line = BatchLine(custom_id="request-1", url="/v4/embeddings", body={"model": "embedding-3", "input": "x"})
    assert json.loads(encode_json(line)) == {
        "custom_id": "request-1", "method": "POST", "url": "/v4/embeddings",
        "body": {"model": "embedding-3", "input": "x"},
    }  # fmt: skip
    assert b"\n" not in encode_json(line)


# ---------------------------------------------------------------- pages

LISTS: list[tuple[type[Any], Request]] = [
    (FileList, FileListRequest(purpose="batch", limit=2)),
    (BatchList, BatchListRequest(limit=2)),
    (FineTuningJobList, FineTuningListRequest(limit=2)),
    (FineTuningEventList, FineTuningEventsRequest("ftjob-1", limit=2)),
]


def page_of(kind: type[Any], ids: list[str | None], **more: Any) -> Any:
    """A page with elements of these ids."""
    return msgspec.convert({"object": "list", "data": [{"id": id} for id in ids], **more}, kind)


FOLLOWING: list[tuple[list[str | None], dict[str, Any], str | None, str | None]] = [
    (["a", "b"], {"has_more": True}, None, "b"),
    (["a", "b"], {"has_more": True}, "0", "b"),
    (["a", "b"], {"has_more": False}, None, None),
    (["a", "b"], {"has_more": None}, None, None),
    (["a", "b"], {}, None, None),
    ([], {"has_more": True}, None, None),
    ([], {"has_more": True}, "b", None),
    (["a", "b"], {"has_more": True}, "b", None),
    (["a", None], {"has_more": True}, None, None),
    (["a", ""], {"has_more": True}, None, None),
]
"""The ids of a page, what else it says, the ``after`` of its request, and that of the next, None for the end."""


@pytest.mark.parametrize(("ids", "more", "after", "following"), FOLLOWING)
@pytest.mark.parametrize(("kind", "request_"), LISTS, ids=[kind.__name__ for kind, _ in LISTS])
def test_following(
    kind: type[Any], request_: Request, ids: list[str | None], more: dict[str, Any], after: str | None,
    following: str | None,
) -> None:  # fmt: skip
    """The next page begins after the last id; there is none at the end, without an id, and where it would not move."""
    asked = msgspec.structs.replace(request_, after=after)
    page = page_of(kind, ids, **more)
    assert [item.id for item in page.items] == ids
    expected = None if following is None else msgspec.structs.replace(request_, after=following)
    assert page.following(asked) == expected
    assert asked == msgspec.structs.replace(request_, after=after)


@pytest.mark.parametrize(
    ("ids", "last_id", "after"),
    [(["a"], "z", "z"), (["a"], None, "a"), (["a"], "", "a"), ([], "z", None), ([None], "z", "z")],
)
def test_last_id_of_batches(ids: list[str | None], last_id: str | None, after: str | None) -> None:
    """Batches go on after ``last_id``, or after the last batch where the page does not say it."""
    following = page_of(BatchList, ids, last_id=last_id, has_more=True).following(BatchListRequest())
    assert (following.after if following else None) == after


def all_pages(kind: type[Any], request: Request, service: Mapping[str | None, Any]) -> list[list[str | None]]:
    """The ids of each page of a service that answers by ``after``; its default answers what it does not know."""
    pages: list[list[str | None]] = []
    asked: Request | None = request
    while asked is not None:
        assert len(pages) < 10, "it asks for ever"
        page = service.get(getattr(asked, "after", None), service["else"])
        pages.append([item.id for item in page.items])
        asked = page.following(asked)
    return pages


@pytest.mark.parametrize(("kind", "request_"), LISTS, ids=[kind.__name__ for kind, _ in LISTS])
def test_lists_end(kind: type[Any], request_: Request) -> None:
    """Three pages are walked through once; a service that repeats its page for ever is asked for it only once more."""
    end = page_of(kind, [], has_more=False)
    service = {
        None: page_of(kind, ["a", "b"], has_more=True),
        "b": page_of(kind, ["c", "d"], has_more=True),
        "d": page_of(kind, ["e"], has_more=False),
        "else": end,
    }
    assert all_pages(kind, request_, service) == [["a", "b"], ["c", "d"], ["e"]]
    assert all_pages(kind, request_, {"else": page_of(kind, ["a", "b"], has_more=True)}) == [["a", "b"]] * 2
    assert all_pages(kind, request_, {"else": page_of(kind, [], has_more=True)}) == [[]]


# ---------------------------------------------------------------- requests


class Sent(NamedTuple):
    """A request with all its fields, its endpoint, and what is to be sent: a JSON body or a query."""

    request: Request
    method: str
    path: str
    url: str
    content: dict[str, Any]
    schema: str | None = None


MESSAGES = [{"role": "user", "content": "hi"}]
IDS: dict[str, Any] = {"request_id": "request-1", "user_id": "user-1"}
CHECK = {"type": "ALL", "status": "DISABLE"}
BEYOND: dict[str, Any] = {"user": "u", "sensitive_word_check": CHECK}
"""Fields that only the official SDK has."""
SEARCHED: dict[str, Any] = {
    "model": "web-search-pro", "messages": MESSAGES, "scope": "s", "location": "北京", "recent_days": 7,
    "request_id": "request-1",
}  # fmt: skip
JOB_PATH = "/fine_tuning/jobs/{fine_tuning_job_id}"

REQUESTS: list[Sent] = [
    Sent(
        EmbeddingRequest(
            model="embedding-3", input=("a", "b"), dimensions=256, encoding_format="float", **BEYOND, **IDS
        ),
        "POST", "/embeddings", "/embeddings",
        {"model": "embedding-3", "input": ["a", "b"], "dimensions": 256, "encoding_format": "float"} | BEYOND | IDS,
        "EmbeddingCreateRequest",
    ),
    Sent(
        RerankRequest(
            model="rerank", query="q", documents=["a"], top_n=0, return_documents=False, return_raw_scores=True, **IDS
        ),
        "POST", "/rerank", "/rerank",
        {"model": "rerank", "query": "q", "documents": ["a"], "top_n": 0, "return_documents": False,
         "return_raw_scores": True} | IDS,
        "RerankRequest",
    ),
    Sent(
        TokenizerRequest(
            model="glm-4.6", messages=[UserMessage("hi")], **IDS,
            tools=[FunctionTool(function=FunctionDefinition(name="f", description="d", parameters={"type": "object"}))],
        ),
        "POST", "/tokenizer", "/tokenizer",
        {"model": "glm-4.6", "messages": MESSAGES,
         "tools": [{"type": "function", "function": {
             "name": "f", "description": "d", "parameters": {"type": "object"}}}]} | IDS,
        "TokenizerRequest",
    ),
    Sent(
        ModerationRequest(model="moderation", input=[
            TextPart("x"), ImagePart.from_url("https://x/a.png"), VideoPart.from_url("https://x/a.mp4"),
            AudioURLPart.from_url("https://x/a.mp3"), {"type": "text", "text": "y"},
        ]),
        "POST", "/moderations", "/moderations",
        {"model": "moderation", "input": [
            {"type": "text", "text": "x"},
            {"type": "image_url", "image_url": {"url": "https://x/a.png"}},
            {"type": "video_url", "video_url": {"url": "https://x/a.mp4"}},
            {"type": "audio_url", "audio_url": {"url": "https://x/a.mp3"}},
            {"type": "text", "text": "y"},
        ]},
        "ModerationRequest",
    ),
    Sent(
        WebSearchRequest(
            search_query="q", search_engine="search_std", search_intent=False, count=10, search_domain_filter="x.cn",
            search_recency_filter="noLimit", content_size="high", include_image=True, location="x",
            sensitive_word_check=CHECK, **IDS,
        ),
        "POST", "/web_search", "/web_search",
        {"search_query": "q", "search_engine": "search_std", "search_intent": False, "count": 10,
         "search_domain_filter": "x.cn", "search_recency_filter": "noLimit", "content_size": "high",
         "include_image": True, "location": "x", "sensitive_word_check": CHECK} | IDS,
        "WebSearchRequest",
    ),
    Sent(
        ReaderRequest(
            url="https://x", timeout=20, no_cache=False, return_format="text", retain_images=False, no_gfm=True,
            keep_img_data_url=True, with_images_summary=True, with_links_summary=True, **IDS,
        ),
        "POST", "/reader", "/reader",
        {"url": "https://x", "timeout": 20, "no_cache": False, "return_format": "text", "retain_images": False,
         "no_gfm": True, "keep_img_data_url": True, "with_images_summary": True, "with_links_summary": True} | IDS,
        "ReaderRequest",
    ),
    Sent(SearchToolRequest(stream=False, **SEARCHED), "POST", "/tools", "/tools", SEARCHED | {"stream": False}),
    Sent(SearchToolStreamRequest(stream=True, **SEARCHED), "POST", "/tools", "/tools", SEARCHED | {"stream": True}),
    Sent(SearchToolEitherRequest(stream=True, **SEARCHED), "POST", "/tools", "/tools", SEARCHED | {"stream": True}),
    Sent(
        FileListRequest(purpose="batch", after="a b", limit=100, order="created_at"),
        "GET", "/files", "/files", {"purpose": "batch", "after": "a b", "limit": "100", "order": "created_at"},
    ),
    Sent(FileDeleteRequest("a/b"), "DELETE", "/files/{file_id}", "/files/a%2Fb", {}),
    Sent(FileContentRequest("文"), "GET", "/files/{file_id}/content", "/files/%E6%96%87/content", {}),
    Sent(
        BatchCreateRequest(
            input_file_id="f", endpoint="/v4/chat/completions", auto_delete_input_file=False, metadata={"a": "b"},
            completion_window="24h",
        ),
        "POST", "/batches", "/batches",
        {"input_file_id": "f", "endpoint": "/v4/chat/completions", "auto_delete_input_file": False,
         "metadata": {"a": "b"}, "completion_window": "24h"},
        "BatchCreateRequest",
    ),
    Sent(BatchRetrieveRequest("batch_1"), "GET", "/batches/{batch_id}", "/batches/batch_1", {}),
    Sent(BatchListRequest(after="b", limit=20), "GET", "/batches", "/batches", {"after": "b", "limit": "20"}),
    Sent(BatchCancelRequest("batch_1"), "POST", "/batches/{batch_id}/cancel", "/batches/batch_1/cancel", {}),
    Sent(QuotaRequest(), "GET", "/monitor/usage/quota/limit", "/monitor/usage/quota/limit", {}),
    Sent(
        FineTuningCreateRequest(
            model="chatglm3-6b", training_file="f1", validation_file="f2", suffix="x", request_id="r",
            hyperparameters=Hyperparameters(n_epochs="auto", batch_size=8, learning_rate_multiplier=0.5),
        ),
        "POST", "/fine_tuning/jobs", "/fine_tuning/jobs",
        {"model": "chatglm3-6b", "training_file": "f1", "validation_file": "f2", "suffix": "x", "request_id": "r",
         "hyperparameters": {"n_epochs": "auto", "batch_size": 8, "learning_rate_multiplier": 0.5}},
    ),
    Sent(FineTuningListRequest(after="j", limit=5), "GET", "/fine_tuning/jobs", "/fine_tuning/jobs",
         {"after": "j", "limit": "5"}),
    Sent(FineTuningRetrieveRequest("j"), "GET", JOB_PATH, "/fine_tuning/jobs/j", {}),
    Sent(FineTuningCancelRequest("j"), "POST", JOB_PATH + "/cancel", "/fine_tuning/jobs/j/cancel", {}),
    Sent(FineTuningEventsRequest("j", after="e", limit=5), "GET", JOB_PATH + "/events",
         "/fine_tuning/jobs/j/events", {"after": "e", "limit": "5"}),
]  # fmt: skip


def sent(request: Request, method: str, path: str) -> tuple[str, dict[str, Any]]:
    """The path and the query or JSON body that a request becomes."""
    made = encode(
        Call(Endpoint(method, path, dict[str, Any]), request), "https://x.cn", headers={}, query={}, timeout=None,
        default=Timeouts(),
    )  # fmt: skip
    url = urlsplit(made.url)
    assert made.body is None or isinstance(made.body, bytes)
    return url.path, json.loads(made.body) if made.body is not None else dict(parse_qsl(url.query))


def request_name(case: Sent) -> str:
    """How a request is named in the reports."""
    return type(case.request).__name__


@pytest.mark.parametrize("case", REQUESTS, ids=request_name)
def test_requests_with_all_fields(case: Sent) -> None:
    """A request sends each of its fields once, in the path, the query or the body, and nothing else."""
    assert sent(case.request, case.method, case.path) == (case.url, case.content)
    own = {name for name in case.request.__struct_fields__ if name not in OPTIONS or name in case.content}
    assert own == {*case.content, *(name for name in own if f"{{{name}}}" in case.path)}


def test_every_request_is_sent_here() -> None:
    """The table has a case for each request of these endpoints, but for uploads (a form) and files of other hosts."""
    kinds = {kind for kind in OWN if issubclass(kind, Request) and not kind.__name__.endswith("Parameters")}
    elsewhere = {kind.__name__ for kind in kinds - {type(case.request) for case in REQUESTS}}
    assert elsewhere - {"FetchRequest"} == {"FileUploadRequest"}


@pytest.mark.parametrize("case", REQUESTS, ids=request_name)
def test_unset_fields_are_never_sent(case: Sent) -> None:
    """A request with only what it must have sends only that."""
    needed = {field.name for field in msgspec.structs.fields(case.request) if field.required}
    least = type(case.request)(**{name: getattr(case.request, name) for name in needed})
    _, content = sent(least, case.method, case.path)
    assert content == {name: value for name, value in case.content.items() if name in needed}


def test_upload() -> None:
    """An upload is a transfer with a file, a purpose, and what belongs to the purpose."""
    request = FileUploadRequest(file=b"{}", purpose="batch")
    assert isinstance(request, Transfer)
    fields = {name: value for name, value in msgspec.structs.asdict(request).items() if value is not None}
    assert fields == {"file": b"{}", "purpose": "batch"}
    assert FileUploadRequest(file=("a.txt", b""), purpose="retrieval", knowledge_id="k", sentence_size=200).file
    with pytest.raises(TypeError, match="purpose"):
        FileUploadRequest(file=b"{}")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (FileDeleteRequest, "file_id"),
        (FileContentRequest, "file_id"),
        (BatchRetrieveRequest, "batch_id"),
        (BatchCancelRequest, "batch_id"),
        (FineTuningRetrieveRequest, "fine_tuning_job_id"),
        (FineTuningCancelRequest, "fine_tuning_job_id"),
        (FineTuningEventsRequest, "fine_tuning_job_id"),
    ],
)
def test_positional_ids(kind: type[Request], field: str) -> None:
    """An id that goes into the path is the first argument, with or without its name, and must be given."""
    make: Any = kind
    assert make("x") == make(**{field: "x"})
    assert getattr(make("x"), field) == "x"
    assert make("x", timeout=5.0).timeout == 5.0
    with pytest.raises(TypeError):
        make()


def test_the_readers_own_time_limit() -> None:
    """A reader's ``timeout`` goes into the body and is no clock of the call; other requests' is a clock and stays."""
    default = Timeouts()
    for request, content, changed in (
        (ReaderRequest(url="https://x", timeout=7), {"url": "https://x", "timeout": 7}, False),
        (ReaderRequest(url="https://x", timeout=7, extra_body={"a": None}),
         {"url": "https://x", "timeout": 7, "a": None}, False),
        (ReaderRequest(url="https://x"), {"url": "https://x"}, False),
        (ModerationRequest(model="moderation", input="x", timeout=7), {"model": "moderation", "input": "x"}, True),
    ):  # fmt: skip
        call = Call(Endpoint("POST", "/x", dict[str, Any]), request)
        made = encode(call, "https://x.cn", headers={}, query={}, timeout=None, default=default)
        assert isinstance(made.body, bytes)
        assert json.loads(made.body) == content
        plain = Timeouts.of(None, stream=False, default=default)
        assert (made.timeouts != plain) is changed


# ---------------------------------------------------------------- the vendor's document


def document() -> dict[str, Any]:
    """The vendor's schema document; the test is skipped where it is not at hand."""
    loaded = contract.document()
    if loaded is None:
        pytest.skip("openapi.json is not at hand")
    return loaded


@pytest.mark.parametrize("case", [case for case in REQUESTS if case.schema], ids=request_name)
def test_requests_are_valid(case: Sent) -> None:
    """What is sent validates against the vendor's schema, and every property of that is a field."""
    schema = {**document(), "$ref": f"#/components/schemas/{case.schema}"}
    errors = [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(case.content)]
    assert errors == []
    properties = set(document()["components"]["schemas"][case.schema]["properties"])
    assert properties <= {field.encode_name for field in msgspec.structs.fields(case.request)}


@pytest.mark.parametrize(("kind", "path"), [(FileListRequest, "/files"), (BatchListRequest, "/batches")])
def test_query_parameters(kind: type[Request], path: str) -> None:
    """The requests of lists have the vendor's query parameters, and the required ones must be given."""
    parameters = document()["paths"][f"/paas/v4{path}"]["get"]["parameters"]
    fields = {field.encode_name: field.required for field in msgspec.structs.fields(kind)}
    assert {entry["name"]: bool(entry.get("required")) for entry in parameters}.items() <= fields.items()


ANSWERS: list[tuple[type[Any], str]] = [
    (EmbeddingResponse, "EmbeddingResponse"),
    (RerankResponse, "RerankResponse"),
    (TokenizerResponse, "TokenizerResponse"),
    (ModerationResponse, "ModerationResponse"),
    (WebSearchResponse, "WebSearchResponse"),
    (ReaderResponse, "ReaderResponse"),
    (FileObject, "FileObject"),
    (FileList, "FileListResponse"),
    (FileDeleted, "FileDeletedResponse"),
    (Batch, "Batch"),
    (BatchList, "BatchListResponse"),
]


def missing(kind: Any, schema: dict[str, Any], place: str) -> list[str]:
    """The properties of a schema that a struct has no field for, at any depth."""
    while "$ref" in schema:
        schema = document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "allOf" in schema:
        return [name for part in schema["allOf"] for name in missing(kind, part, place)]
    if schema.get("type") == "array":
        return missing(kind, schema["items"], place)
    struct = struct_of(kind)
    if struct is None or "properties" not in schema:
        return []
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(struct)}
    return [
        lost
        for name, inner in schema["properties"].items()
        for lost in (missing(fields[name], inner, f"{place}.{name}") if name in fields else [f"{place}.{name}"])
    ]


def struct_of(annotation: Any) -> type[msgspec.Struct] | None:
    """The struct inside an annotation, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return annotation
    return next((found for inner in get_args(annotation) if (found := struct_of(inner))), None)


@pytest.mark.parametrize(("kind", "schema"), ANSWERS, ids=[kind.__name__ for kind, _ in ANSWERS])
def test_every_documented_property_is_a_field(kind: type[Response], schema: str) -> None:
    """Nothing that the vendor documents of an answer lacks a field."""
    assert missing(kind, {"$ref": f"#/components/schemas/{schema}"}, schema) == []
