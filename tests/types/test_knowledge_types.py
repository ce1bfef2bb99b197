"""Knowledge bases, agents, assistants and applications: documented fields, envelopes, pages (data.md 10 to 12)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tests.contract import document
from zhipu_async.protocol.codec import decode
from zhipu_async.types import agents, application_invoke, applications, knowledge, knowledge_agent, knowledge_documents
from zhipu_async.types import assistant as assistants
from zhipu_async.types import retrieval as retrievals
from zhipu_async.types.base import OPTIONS, Request
from zhipu_async.types.envelope import Envelope, page_after

ROOT = "/llm-application/open"
REQUESTS: dict[tuple[str, str], type[Request]] = {
    ("post", f"{ROOT}/knowledge"): knowledge.KnowledgeCreateRequest,
    ("get", f"{ROOT}/knowledge"): knowledge.KnowledgeListRequest,
    ("get", f"{ROOT}/knowledge/{{id}}"): knowledge.KnowledgeDetailRequest,
    ("put", f"{ROOT}/knowledge/{{id}}"): knowledge.KnowledgeEditRequest,
    ("delete", f"{ROOT}/knowledge/{{id}}"): knowledge.KnowledgeDeleteRequest,
    ("get", f"{ROOT}/knowledge/capacity"): knowledge.KnowledgeCapacityRequest,
    ("post", f"{ROOT}/knowledge/retrieve"): retrievals.KnowledgeRetrieveRequest,
    ("post", "/zrag/retrieval/retrieve"): retrievals.MultimodalRetrieveRequest,
    ("post", "/zrag/agent/chat"): knowledge_agent.KnowledgeAgentRequest,
    ("get", f"{ROOT}/document"): knowledge_documents.DocumentListRequest,
    ("post", f"{ROOT}/document/upload_document/{{id}}"): knowledge_documents.DocumentUploadRequest,
    ("post", f"{ROOT}/document/upload_url"): knowledge_documents.DocumentUploadURLRequest,
    ("get", f"{ROOT}/document/{{id}}"): knowledge_documents.DocumentDetailRequest,
    ("delete", f"{ROOT}/document/{{id}}"): knowledge_documents.DocumentDeleteRequest,
    ("post", f"{ROOT}/document/slice/image_list/{{id}}"): knowledge_documents.DocumentImagesRequest,
    ("post", f"{ROOT}/document/embedding/{{id}}"): knowledge_documents.DocumentEmbedRequest,
    ("get", f"{ROOT}/v2/application/{{app_id}}/variables"): applications.ApplicationVariablesRequest,
    ("post", f"{ROOT}/v2/application/file_upload"): applications.ApplicationUploadRequest,
    ("post", f"{ROOT}/v2/application/file_stat"): applications.ApplicationFileStatRequest,
    ("post", f"{ROOT}/v2/application/{{app_id}}/conversation"): applications.ApplicationConversationRequest,
    ("post", f"{ROOT}/v3/application/invoke"): application_invoke.ApplicationRequest,
    ("post", f"{ROOT}/v2/application/slice_info"): applications.ApplicationSlicesRequest,
    (
        "get",
        f"{ROOT}/history_session_record/{{app_id}}/{{conversation_id}}",
    ): applications.ApplicationSuggestionsRequest,
    ("post", "/v1/agents"): agents.AgentRequest,
    ("post", "/v1/agents/async-result"): agents.AgentAsyncResultRequest,
    ("post", "/v1/agents/conversation"): agents.AgentConversationRequest,
    ("post", "/paas/v4/assistant"): assistants.AssistantRequest,
    ("post", "/paas/v4/assistant/list"): assistants.AssistantListRequest,
    ("post", "/paas/v4/assistant/conversation/list"): assistants.ConversationListRequest,
}
ANSWERS: dict[tuple[str, str], type[msgspec.Struct]] = {
    ("post", f"{ROOT}/knowledge"): knowledge.KnowledgeCreateResponse,
    ("get", f"{ROOT}/knowledge"): knowledge.KnowledgeListResponse,
    ("get", f"{ROOT}/knowledge/{{id}}"): knowledge.KnowledgeDetailResponse,
    ("put", f"{ROOT}/knowledge/{{id}}"): knowledge.KnowledgeEditResponse,
    ("delete", f"{ROOT}/knowledge/{{id}}"): knowledge.KnowledgeDeleteResponse,
    ("get", f"{ROOT}/knowledge/capacity"): knowledge.KnowledgeCapacityResponse,
    ("post", f"{ROOT}/knowledge/retrieve"): retrievals.KnowledgeRetrieveResponse,
    ("post", "/zrag/retrieval/retrieve"): retrievals.MultimodalRetrieveResponse,
    ("post", "/zrag/agent/chat"): knowledge_agent.AgentStreamEvent,
    ("get", f"{ROOT}/document"): knowledge_documents.DocumentListResponse,
    ("post", f"{ROOT}/document/upload_document/{{id}}"): knowledge_documents.DocumentUploadResponse,
    ("post", f"{ROOT}/document/upload_url"): knowledge_documents.DocumentUploadResponse,
    ("get", f"{ROOT}/document/{{id}}"): knowledge_documents.DocumentDetailResponse,
    ("delete", f"{ROOT}/document/{{id}}"): knowledge_documents.DocumentDeleteResponse,
    ("post", f"{ROOT}/document/slice/image_list/{{id}}"): knowledge_documents.DocumentImagesResponse,
    ("post", f"{ROOT}/document/embedding/{{id}}"): knowledge_documents.DocumentEmbedResponse,
    ("get", f"{ROOT}/v2/application/{{app_id}}/variables"): applications.ApplicationVariables,
    ("post", f"{ROOT}/v2/application/file_upload"): applications.ApplicationUpload,
    ("post", f"{ROOT}/v2/application/file_stat"): applications.ApplicationFileStat,
    ("post", f"{ROOT}/v2/application/{{app_id}}/conversation"): applications.ApplicationConversation,
    ("post", f"{ROOT}/v3/application/invoke"): application_invoke.ApplicationResponse,
    ("post", f"{ROOT}/v2/application/slice_info"): applications.ApplicationSlices,
    ("get", f"{ROOT}/history_session_record/{{app_id}}/{{conversation_id}}"): applications.ApplicationSuggestions,
    ("post", "/v1/agents"): agents.AgentResponse,
    ("post", "/v1/agents/async-result"): agents.AgentResponse,
    ("post", "/v1/agents/conversation"): agents.AgentConversation,
    ("post", "/paas/v4/assistant"): assistants.AssistantCompletion,
    ("post", "/paas/v4/assistant/list"): assistants.AssistantList,
    ("post", "/paas/v4/assistant/conversation/list"): assistants.ConversationList,
}
BEYOND: dict[type[Request], set[str]] = {
    agents.AgentRequest: {"conversation_id", "request_id", "user_id", "sensitive_word_check"},
    agents.AgentAsyncResultRequest: {"conversation_id", "custom_variables"},
    assistants.AssistantListRequest: {"request_id", "user_id"},
    assistants.ConversationListRequest: {"request_id", "user_id"},
}
"""Fields that data.md or the official SDK has and the document has not."""


def speaking(endpoint: tuple[str, str], name: str) -> str:
    """The field of a path parameter: the document calls them all ``id``."""
    if name != "id":
        return name
    return "document_id" if "/document/" in endpoint[1] and "upload" not in endpoint[1] else "knowledge_id"


def operation(endpoint: tuple[str, str]) -> dict[str, Any]:
    """What the vendor's document says of an endpoint; the test is skipped where there is no document."""
    found = document()
    if found is None:
        pytest.skip("openapi.json is not there")
    described: dict[str, Any] = found["paths"][endpoint[1]][endpoint[0]]
    return described


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without a reference at its top."""
    while "$ref" in schema:
        schema = (document() or {})["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def sample(schema: dict[str, Any], depth: int = 0) -> Any:
    """A value of a schema with every property, of the first of several forms that is an object."""
    schema = resolved(schema)
    if depth > 12:
        return None
    for word in ("oneOf", "anyOf", "allOf"):
        if word in schema:
            forms = [resolved(form) for form in schema[word]]
            return sample(next((form for form in forms if "properties" in form), forms[0]), depth + 1)
    if "properties" in schema:
        return {name: sample(member, depth + 1) for name, member in schema["properties"].items()}
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "array":
        return [sample(schema.get("items", {}), depth + 1)]
    return {"object": {"k": "v"}, "integer": 7, "number": 0.5, "boolean": True}.get(str(kind), "文")


@pytest.mark.parametrize("endpoint", ANSWERS, ids=" ".join)
def test_answers_keep_every_documented_property(endpoint: tuple[str, str]) -> None:
    """What the document describes is decoded strictly, and encodes to itself."""
    (content,) = [kind for kind in operation(endpoint)["responses"]["200"]["content"].values()
                  if "properties" in resolved(kind["schema"])]  # fmt: skip
    told = sample(content["schema"])
    kind = ANSWERS[endpoint]
    value = msgspec.json.decode(json.dumps(told), type=kind)
    assert json.loads(msgspec.json.encode(value)) == told
    assert decode(kind, json.dumps(nulled(told)).encode()) == kind()


def nulled(told: dict[str, Any]) -> dict[str, Any]:
    """The same with null in the place of every value."""
    return dict.fromkeys(told)


@pytest.mark.parametrize("endpoint", REQUESTS, ids=" ".join)
def test_requests_have_every_documented_field(endpoint: tuple[str, str]) -> None:
    """Body, query, path and header of the document are the fields of the request, and what it requires is required."""
    described = operation(endpoint)
    names: dict[str, bool] = {}
    for content in described.get("requestBody", {}).get("content", {}).values():
        schema = resolved(content["schema"])
        names |= {name: name in schema.get("required", ()) for name in schema["properties"]}
    headers: dict[str, str] = {name: field for field, name in REQUESTS[endpoint].header_fields.items()}
    for parameter in described.get("parameters", ()):
        name: str = parameter["name"]
        names[headers.get(name) or speaking(endpoint, name)] = bool(parameter.get("required"))
    fields = {field.encode_name: field for field in msgspec.structs.fields(REQUESTS[endpoint])}
    own = {name for name in fields if name not in OPTIONS}
    assert own == set(names) | BEYOND.get(REQUESTS[endpoint], set())
    made_up = {"assistant_id_list"}  # sent as [] where it is left out
    left_out = {"/v1/agents/async-result": {"async_id"}, "/paas/v4/assistant": {"model"}}  # by the official SDK
    needed = {name for name, required in names.items() if required} - made_up - left_out.get(endpoint[1], set())
    if endpoint[1] == "/v1/agents/conversation":
        needed = {"agent_id", "conversation_id"}  # the document requires nothing: it would answer nothing
    assert {name for name in own if fields[name].required} == needed


ENVELOPED = [kind for kind in dict.fromkeys(ANSWERS.values()) if issubclass(kind, Envelope)]
ENVELOPE = {"code": 200, "message": "ok", "timestamp": 1795159800000}


def answer(kind: type[Any], data: Any) -> Any:
    """A decoded answer with this data."""
    return decode(kind, json.dumps(ENVELOPE | {"data": data}).encode())


@pytest.mark.parametrize("kind", ENVELOPED)
def test_properties_of_nothing(kind: type[Any]) -> None:
    """Without data there is nothing: conveniences are None or empty, and no page follows."""
    found = decode(kind, json.dumps(ENVELOPE).encode())
    assert (found.code, found.message, found.timestamp) == (200, "ok", 1795159800000)
    for name in ("id", "name", "total", "used"):
        assert getattr(found, name, None) is None
    for name in ("items", "refused"):
        assert getattr(found, name, []) == []


def test_direct_properties() -> None:
    """What users look for in ``data`` stands on the answer itself."""
    assert answer(knowledge.KnowledgeCreateResponse, {"id": "k"}).id == "k"
    detail = answer(knowledge.KnowledgeDetailResponse, {"id": "k", "name": "n"})
    assert (detail.id, detail.name) == ("k", "n")
    assert answer(knowledge_documents.DocumentDetailResponse, {"id": "d"}).id == "d"
    room = answer(knowledge.KnowledgeCapacityResponse, {"used": {"length": 1}, "total": {"length": 9}})
    assert (room.used.length, room.total.length) == (1, 9)
    found = answer(retrievals.KnowledgeRetrieveResponse, [{"text": "t", "metadata": {"_id": "s"}}])
    assert [(piece.text, piece.metadata.id) for piece in found.items] == [("t", "s")]
    assert answer(retrievals.MultimodalRetrieveResponse, {"contents": [{"text": "t"}]}).items[0].text == "t"
    assert answer(knowledge_documents.DocumentImagesResponse, {"images": [{"text": "t"}]}).items[0].text == "t"
    assert answer(applications.ApplicationConversation, {"conversation_id": "c"}).id == "c"
    assert answer(applications.ApplicationSuggestions, {"problems": ["p"]}).items == ["p"]
    assert answer(applications.ApplicationVariables, [{"id": "v"}]).items[0].id == "v"
    assert answer(applications.ApplicationFileStat, [{"file_id": "f", "code": 1}]).items[0].file_id == "f"
    assert answer(applications.ApplicationSlices, {"document_slices": [{"images": []}]}).items[0].images == []


def test_uploads_say_what_was_refused() -> None:
    """Documents that were taken and those that were not are told apart."""
    upload = answer(
        knowledge_documents.DocumentUploadResponse,
        {"successInfos": [{"documentId": "d", "fileName": "a.pdf"}],
         "failedInfos": [{"url": "x.com", "failReason": "no"}]},
    )  # fmt: skip
    assert upload.id == "d"
    assert [(item.document_id, item.file_name) for item in upload.items] == [("d", "a.pdf")]
    assert [(item.url, item.fail_reason) for item in upload.refused] == [("x.com", "no")]
    files = answer(
        applications.ApplicationUpload, {"success_info": [{"file_id": "f"}], "fail_info": [{"fail_reason": "no"}]}
    )
    assert (files.items[0].file_id, files.refused[0].fail_reason) == ("f", "no")


# ---------------------------------------------------------------- pages


@pytest.mark.parametrize("kinds", [
    (knowledge.KnowledgeListRequest, knowledge.KnowledgeListResponse),
    (knowledge_documents.DocumentListRequest, knowledge_documents.DocumentListResponse),
])  # fmt: skip
@pytest.mark.parametrize("most", [1, 3, 10, 100])
@pytest.mark.parametrize("size", [None, 1, 4, 50])
@pytest.mark.parametrize("count", [0, 1, 4, 9, 10, 11, 40])
@pytest.mark.parametrize("told", [True, False], ids=["with a total", "without"])
def test_pages(kinds: tuple[Any, Any], most: int, size: int | None, count: int, told: bool) -> None:
    """All elements come once, in order, also from a service that gives fewer of them than were asked for."""
    kind, response = kinds
    asked: Any = kind(size=size, **({"knowledge_id": "k", "word": "w"} if "word" in kind.__struct_fields__ else {}))
    if not told and most < (size or 10):
        return  # without a total a short page cannot be told from the last one
    found: list[str] = []
    numbers: list[int] = []
    while asked is not None:
        numbers.append(asked.page or 1)
        step = min(size or 10, most)
        ids = [str(number) for number in range(count)][(numbers[-1] - 1) * step : numbers[-1] * step]
        page = answer(response, {"list": [{"id": id} for id in ids]} | ({"total": count} if told else {}))
        found += [item.id for item in page.items]
        following = page.following(asked)
        assert following is None or msgspec.structs.replace(following, page=asked.page) == asked
        asked = following
    assert found == [str(number) for number in range(count)]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize(
    ("page", "items", "total", "size", "following"),
    [
        (None, [1, 2], 5, 2, 2), (2, [1, 2], 5, 2, 3), (3, [1], 5, 2, 4), (4, [], 5, 2, None), (1, [1, 2], 2, 2, None),
        (None, [], 5, 2, None), (None, [1], None, 2, None), (None, [1, 2], None, 2, 2), (0, [1, 2], 5, 2, 2),
        (9, [1], 5, 2, None),
    ],
)  # fmt: skip
def test_page_after(page: int | None, items: list[int], total: int | None, size: int, following: int | None) -> None:
    """The next page's number, None when a page is empty or the pages hold the total."""
    assert page_after(page, items, total, size) == following


# ---------------------------------------------------------------- requests


def test_ids_are_positional() -> None:
    """Where an id is what a call is about, it needs no name."""
    assert knowledge.KnowledgeDeleteRequest("k").knowledge_id == "k"
    assert knowledge.KnowledgeEditRequest("k", name="n").name == "n"
    assert knowledge_documents.DocumentUploadRequest("k", b"x", parse_image=True).files == b"x"
    assert knowledge_documents.DocumentEmbedRequest("d", callback_url="u").document_id == "d"
    assert applications.ApplicationSuggestionsRequest("a", "c").conversation_id == "c"


def test_sessions_travel_as_a_header() -> None:
    """The session of a knowledge agent is a header, and its answer always a stream."""
    request = knowledge_agent.KnowledgeAgentRequest(messages=[], retrieval={"know_ids": ["k"]}, session_id="s")
    assert request.header_fields == {"session_id": "X-Session-Id"}
    assert request.stream is True
    assert "stream" not in request.__struct_fields__
    assert b"stream" not in msgspec.json.encode(request)


@pytest.mark.parametrize(("given", "sent"), [({}, False), ({"stream": None}, False), ({"stream": True}, True)])
@pytest.mark.parametrize("kind", [
    application_invoke.ApplicationRequest, application_invoke.ApplicationEitherRequest,
    assistants.AssistantRequest, assistants.AssistantEitherRequest,
])  # fmt: skip
def test_stream_is_always_sent(kind: Any, given: dict[str, Any], sent: bool) -> None:
    """Where the service streams unless told not to, a call that does not ask for a stream says so."""
    fields = {name: "x" for name in ("app_id", "assistant_id", "model") if name in kind.__struct_fields__}
    if "Either" in kind.__name__:
        given = {"stream": None} | given
    body = json.loads(msgspec.json.encode(kind(messages=[], **fields, **given)))
    assert body["stream"] is sent


@pytest.mark.parametrize(("given", "sent"), [((), []), ((None,), []), ((["a"],), ["a"])])
def test_assistant_list_is_always_sent(given: Any, sent: list[str]) -> None:
    """The list of assistants is required by the service, and all are meant by an empty one."""
    assert json.loads(msgspec.json.encode(assistants.AssistantListRequest(*given))) == {"assistant_id_list": sent}
