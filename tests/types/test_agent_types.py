"""Agents, assistants and applications: what they said in any of their forms, and how their work stands (data.md 11)."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import msgspec
import pytest

from tests.contract import document
from zhipu_async.protocol.codec import decode
from zhipu_async.types import agents, application_invoke, assistant
from zhipu_async.types.base import Standing, State

SPEC = {
    "id": "i", "agent_id": "a", "conversation_id": "c", "async_id": "n", "status": "success",
    "choices": [{"index": 0, "finish_reason": "stop", "messages": [
        {"role": "assistant", "content": {"type": "text", "text": "hi"}}]}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "total_calls": 4},
    "error": {"code": "1", "message": "m"},
}  # fmt: skip


def agent(**members: Any) -> agents.AgentResponse:
    """A decoded answer of an agent."""
    return decode(agents.AgentResponse, json.dumps(members).encode())


def test_agent_round_trip() -> None:
    """The contract's answer is kept whole, first index aside, which is the default."""
    expected = json.loads(json.dumps(SPEC))
    del expected["choices"][0]["index"]
    assert json.loads(msgspec.json.encode(agent(**SPEC))) == expected


FILE = {"type": "file_url", "file_url": "https://f", "tag_cn": "文", "tag_en": "text"}
IMAGE = {"type": "image_url", "image_url": "https://i"}
ODD = {"type": "object", "object": {"tool_name": "f", "position": [1]}}
FORMS: list[tuple[dict[str, Any], str, list[str]]] = [
    ({"messages": [{"role": "assistant", "content": "hi"}]}, "hi", []),
    ({"messages": [{"content": {"type": "text", "text": "hi"}}]}, "hi", []),
    ({"messages": [{"content": "a"}, {"content": "b"}]}, "ab", []),
    ({"messages": [{"content": [{"type": "text", "text": "a"}, FILE, {"type": "text", "text": "b"}, IMAGE]}]}, "ab",
     ["https://f", "https://i"]),
    ({"message": {"role": "assistant", "content": "hi"}}, "hi", []),
    ({"message": {"content": FILE}}, "", ["https://f"]),
    ({"message": [{"content": [IMAGE]}, {"content": "x"}]}, "x", ["https://i"]),
    ({"delta": {"content": "hi"}}, "hi", []),
    ({"delta": [{"content": "hi"}]}, "hi", []),
    ({"messages": [{"content": ["a", "b"]}]}, "ab", []),
    ({"messages": [{"content": [ODD, 5, None, {"text": 5}]}]}, "", []),
    ({"messages": [{"content": None}]}, "", []),
    ({"messages": [{"content": [{"type": "audio_url", "audio_url": "s"}, {"type": "video_url", "video_url": "v"}]}]},
     "", ["s", "v"]),
    ({"messages": [], "message": {"content": "hi"}}, "hi", []),
    ({}, "", []),
]  # fmt: skip


@pytest.mark.parametrize(("choice", "text", "urls"), FORMS)
def test_forms_of_content(choice: dict[str, Any], text: str, urls: list[str]) -> None:
    """Text and addresses are found in every form of a choice, and the raw content loses nothing."""
    found = agent(choices=[choice])
    assert (found.text, found.urls) == (text, urls)
    assert json.loads(msgspec.json.encode(found)).get("choices") == [without_null(choice)]
    conversation = decode(agents.AgentConversation, json.dumps({"choices": [choice]}).encode())
    assert (conversation.text, conversation.urls) == (text, urls)


def without_null(choice: dict[str, Any]) -> dict[str, Any]:
    """The same without a content that is null, which is what a message without content is."""
    return choice | {"messages": [{}]} if choice.get("messages") == [{"content": None}] else choice


def test_parts_are_typed() -> None:
    """Parts of a content have the documented fields; others are in the raw content."""
    (said,) = agent(choices=[{"messages": [{"content": [FILE, ODD, "x"]}]}]).choices[0].answers
    assert said.parts == [
        agents.AgentContent(type="file_url", file_url="https://f", tag_cn="文", tag_en="text"),
        agents.AgentContent(type="object"),
        agents.AgentContent(type="text", text="x"),
    ]
    assert isinstance(said.content, list)
    assert said.content[1] == ODD


def test_no_choices() -> None:
    """Without choices there is no text, address or finish reason."""
    for nothing in (agent(), agent(choices=None), agent(choices=[])):
        assert (nothing.text, nothing.urls, nothing.finish_reason) == ("", [], None)
    assert agent(**SPEC).finish_reason == "stop"


CHOICES = [{"messages": [{"content": "hi"}]}]
ERROR = {"code": 1234, "message": "m"}
STATES: list[tuple[dict[str, Any], State, tuple[str | None, str]]] = [
    ({"status": "pending"}, "running", (None, "")),
    ({"status": "success"}, "done", (None, "")),
    ({"status": "failed"}, "failed", (None, "")),
    ({"status": "failed", "error": ERROR}, "failed", ("1234", "m")),
    ({"status": "failed", "error": ERROR, "choices": CHOICES}, "failed", ("1234", "m")),
    ({"status": "thinking", "choices": CHOICES}, "running", (None, "")),
    ({"status": "success", "error": {}}, "done", (None, "")),
    ({"choices": CHOICES}, "done", (None, "")),
    ({"choices": CHOICES, "error": {}}, "done", (None, "")),
    ({"choices": CHOICES, "error": None}, "done", (None, "")),
    ({"choices": CHOICES, "error": ERROR}, "failed", ("1234", "m")),
    ({"async_id": "n"}, "running", (None, "")),
    ({}, "running", (None, "")),
]


@pytest.mark.parametrize(("members", "state", "failure"), STATES)
def test_outcome_of_an_agent(members: dict[str, Any], state: State, failure: tuple[str | None, str]) -> None:
    """Where the work stands is said by the status, without one by an error or an answer."""
    outcome: Standing = agent(**members)
    assert (outcome.state, outcome.failure) == (state, failure)


@pytest.mark.parametrize(("members", "state", "failure"), STATES)
def test_outcome_of_an_assistant(members: dict[str, Any], state: State, failure: tuple[str | None, str]) -> None:
    """The same for assistants, whose words for it are others."""
    words = {"success": "completed", "pending": "in_progress"}
    told = {"last_error" if name == "error" else name: value for name, value in members.items()}
    if "status" in told:
        told["status"] = words.get(told["status"], told["status"])
    if "choices" in told:
        told["choices"] = [{"delta": {"content": "hi"}}]
    outcome: Standing = decode(assistant.AssistantCompletion, json.dumps(told).encode())
    assert (outcome.state, outcome.failure) == (state, failure)


APPLICATIONS: list[tuple[list[Any], State, tuple[str | None, str]]] = [
    ([], "running", (None, "")),
    ([{"messages": {}}], "running", (None, "")),
    ([{"finish_reason": "stop"}], "done", (None, "")),
    ([{"finish_reason": "stop", "error_msg": {"code": 0, "msg": ""}}], "done", (None, "")),
    ([{"finish_reason": "error"}], "failed", (None, "")),
    ([{"finish_reason": "error", "error_msg": {"code": 500, "msg": "m"}}], "failed", ("500", "m")),
    ([{"finish_reason": "stop"}, {"finish_reason": "error", "error_msg": {"msg": "m"}}], "failed", (None, "m")),
]


@pytest.mark.parametrize(("choices", "state", "failure"), APPLICATIONS)
def test_outcome_of_an_application(choices: list[Any], state: State, failure: tuple[str | None, str]) -> None:
    """An application says by its finish reason how its work stands."""
    outcome: Standing = decode(application_invoke.ApplicationResponse, json.dumps({"choices": choices}).encode())
    assert (outcome.state, outcome.failure) == (state, failure)


def test_snapshots_run_on() -> None:
    """A snapshot of a stream without a status is not done."""
    for found in (agent(choices=CHOICES), assistant.AssistantCompletion(choices=[assistant.AssistantChoice()])):
        assert found.complete
        vars(found)["complete"] = False
        assert (found.complete, found.state) == (False, "running")


def test_assistant_text() -> None:
    """The text stands in ``delta``, also of whole answers, or in ``message``."""
    said = {"content": "hi"}
    for choice in ({"delta": said}, {"message": said}, {"delta": {}, "message": said}):
        found = decode(assistant.AssistantCompletion, json.dumps({"choices": [choice]}).encode())
        assert (found.text, found.tool_calls, found.finish_reason) == ("hi", [], None)
    assert assistant.AssistantCompletion().text == ""
    tools = [{"type": "function", "function": {"name": "f"}}]
    told = {"choices": [{"delta": {"tool_calls": tools}, "finish_reason": "stop"}]}
    found = decode(assistant.AssistantCompletion, json.dumps(told).encode())
    assert (found.text, found.tool_calls, found.finish_reason) == ("", tools, "stop")


def test_application_text_and_usage() -> None:
    """The text of an application stands in ``messages``; tokens of its steps are added up."""
    told = {
        "choices": [{"messages": {"content": {"msg": "hi", "coverUrl": "u"}}, "finish_reason": "stop"}],
        "usage": [
            {"nodeName": "n", "inputTokenCount": 1, "outputTokenCount": 2, "totalTokenCount": 3},
            {"inputTokenCount": 5},
        ],
    }
    found = decode(application_invoke.ApplicationResponse, json.dumps(told).encode())
    assert (found.text, found.finish_reason) == ("hi", "stop")
    assert json.loads(msgspec.json.encode(found)) == told
    assert found.usage is not None
    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.usage.total_tokens) == (6, 2, 3)
    nothing = application_invoke.ApplicationResponse()
    assert (nothing.text, nothing.usage, nothing.finish_reason) == ("", None, None)


def test_pages_of_conversations() -> None:
    """Pages follow while the service says that there are more and gives some."""
    asked = assistant.ConversationListRequest("a", page_size=2)
    for page, more, items, following in (
        (None, True, [{"id": "1"}], 2), (2, True, [{"id": "1"}], 3), (None, True, [], None),
        (None, False, [{"id": "1"}], None), (None, None, [{"id": "1"}], None),
    ):  # fmt: skip
        told = {"code": 200, "data": {"conversation_list": items, "has_more": more}}
        found = decode(assistant.ConversationList, json.dumps(told).encode())
        assert [item.id for item in found.items] == [item["id"] for item in items]
        request = msgspec.structs.replace(asked, page=page)
        expected = None if following is None else msgspec.structs.replace(asked, page=following)
        assert found.following(request) == expected
    assert assistant.ConversationList().following(asked) is None
    assert assistant.ConversationList().items == []


REQUESTS: list[tuple[str, Any, dict[str, Any]]] = [
    (
        "/v1/agents",
        agents.AgentRequest(
            agent_id="general_translation",
            messages=[
                agents.AgentMessage(content=[agents.AgentPart(type="text", text="文")]),
                agents.AgentMessage(content=agents.AgentPart(type="file_id", file_id="f")),
                agents.AgentMessage(content="x", role="system"),
                {"role": "user", "content": "y"},
            ],
            custom_variables=agents.TranslationVariables(
                source_lang="zh-CN",
                target_lang="en",
                strategy="cot",
                strategy_config=agents.TranslationConfig(cot=agents.TranslationReasons(reason_lang="to")),
            ),
        ),
        {
            "agent_id": "general_translation",
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "文"}]},
                {"role": "user", "content": {"type": "file_id", "file_id": "f"}},
                {"role": "system", "content": "x"},
                {"role": "user", "content": "y"},
            ],
            "custom_variables": {
                "source_lang": "zh-CN", "target_lang": "en", "strategy": "cot",
                "strategy_config": {"cot": {"reason_lang": "to"}},
            },
        },
    ),
    (
        "/v1/agents/conversation",
        agents.AgentConversationRequest(
            agent_id="slides_glm_agent",
            conversation_id="c",
            custom_variables=agents.SlidesVariables(
                include_pdf=True, pages=[agents.SlidePage(position=1, width=33.8, height=19)]
            ),
        ),
        {
            "agent_id": "slides_glm_agent", "conversation_id": "c",
            "custom_variables": {"include_pdf": True, "pages": [{"position": 1, "width": 33.8, "height": 19}]},
        },
    ),
    (
        "/v1/agents/async-result",
        agents.AgentAsyncResultRequest(agent_id="a", async_id="n"),
        {"agent_id": "a", "async_id": "n"},
    ),
    (
        "/paas/v4/assistant",
        assistant.AssistantRequest(
            assistant_id="65940acff94777010aa6b796",
            model="glm-4-assistant",
            messages=[{"role": "user", "content": "hi"}],
            attachments=[assistant.AssistantAttachment("f")],
            extra_parameters=assistant.AssistantExtra(
                translate=assistant.TranslationLanguages(source="zh", target="en")
            ),
        ),
        {
            "assistant_id": "65940acff94777010aa6b796", "model": "glm-4-assistant",
            "messages": [{"role": "user", "content": "hi"}], "attachments": [{"file_id": "f"}],
            "extra_parameters": {"translate": {"from": "zh", "to": "en"}}, "stream": False,
        },
    ),
    (
        "/llm-application/open/v3/application/invoke",
        application_invoke.ApplicationStreamRequest(
            app_id="a",
            messages=[
                application_invoke.ApplicationMessage(
                    content=[application_invoke.ApplicationInput(type="input", value="hi", key="k")], role="user"
                )
            ],
            stream=True,
        ),
        {
            "app_id": "a", "stream": True,
            "messages": [{"role": "user", "content": [{"type": "input", "value": "hi", "key": "k"}]}],
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("path", "request_", "body"), REQUESTS, ids=[path for path, *_ in REQUESTS])
def test_requests(path: str, request_: Any, body: dict[str, Any]) -> None:
    """Typed requests become the documented body, which the vendor's document accepts."""
    sent = json.loads(msgspec.json.encode(request_))
    assert sent == body
    described = document()
    if described is None:
        pytest.skip("openapi.json is not there")
    schema = described["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    validator: Any = jsonschema.Draft202012Validator({**described, **schema})
    # The document's oneOf lists a form of which another is a special case: fitting both is no objection.
    messages = [error.message for error in validator.iter_errors(sent)]
    assert [message for message in messages if "valid under each of" not in message] == []
