"""Agents, assistants, applications and the account, held against data.md sections 11 and 12 and openapi.json."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from zhipu_async.simulator import Scenario

from .asking import Answered, Asker, simulated
from .documented import objections, unfilled
from .multipart import form

AGENTS = "/api/v1/agents"
INVOKE = "/api/llm-application/open/v3/application/invoke"
APPLICATIONS = "/api/llm-application/open/v2/application"
CHATGLM = "65940acff94777010aa6b796"
ASSISTANT = {
    "assistant_id": CHATGLM,
    "model": "glm-4-assistant",
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
    "stream": False,
}


def agent(name: str = "general_translation", text: Any = "Hello world", **fields: Any) -> dict[str, Any]:
    """The body of a request to an agent."""
    return {"agent_id": name, "messages": [{"role": "user", "content": text}]} | fields


def invoke(text: str = "Hello", **fields: Any) -> dict[str, Any]:
    """The body of a question to an application."""
    message = {"role": "user", "content": [{"type": "input", "value": text}]}
    return {"app_id": "app-1", "messages": [message], "stream": False, **fields}


async def work(ask: Asker, begun: Answered) -> dict[str, Any]:
    """The end of an agent's work."""
    body = {name: begun.json[name] for name in ("agent_id", "async_id")}
    for _ in range(100):
        result: dict[str, Any] = (await ask.post(body, f"{AGENTS}/async-result")).json
        if result["status"] != "pending":
            return result
        await asyncio.sleep(0.01)
    raise TimeoutError


def texts(chunks: list[dict[str, Any]], key: str) -> str:
    """The text in the pieces of an agent's stream, which are messages or lists of one message."""
    pieces: list[Any] = [choice[key] for chunk in chunks for choice in chunk["choices"] if key in choice]
    return "".join((piece[0] if key == "message" else piece)["content"]["text"] for piece in pieces)


@pytest.mark.parametrize(
    ("content", "target", "said"),
    [
        ("Hello world", None, "[zh-CN] 你好 世界"),
        ({"type": "text", "text": "谢谢"}, "en", "[en] thank you"),
        ([{"type": "text", "text": "x"}, {"type": "text", "text": "Goodbye"}], "zh-TW", "[zh-TW] x 再见"),
        ("Hello", "fr", "[fr] Hello"),
    ],
)
async def test_a_translation(ask: Asker, content: Any, target: str | None, said: str) -> None:
    """Known words come in the other language, with its name before them, from each form of content; streams alike."""
    variables = {"target_lang": target} if target else {}
    body = agent(text=content, custom_variables=variables)
    answer = (await ask.post(body, AGENTS)).json
    *pieces, last = (await ask.post(body | {"stream": True}, AGENTS)).chunks
    assert answer["choices"][0]["messages"][0]["content"] == {"type": "text", "text": said}
    assert texts(pieces, "delta") == said
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"] == answer["usage"]


async def test_slides_stream_in_the_other_form(ask: Asker) -> None:
    """The slides' agent has `message` in its chunks, a list, where the others have `delta`."""
    chunks = (await ask.post(agent("slides_glm_agent", "Cats", stream=True), AGENTS)).chunks
    assert texts(chunks, "message") == "Slides about: Cats"
    assert texts(chunks, "delta") == ""


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("body", "code"), [(agent("nobody"), "1211"), (agent(text="so bad"), "1301")])
async def test_agents_that_fail(stream: bool, body: dict[str, Any], code: str) -> None:
    """An agent that is not there, and one that is asked for something unsafe, fail under HTTP 200."""
    async with simulated(Scenario(unsafe_prompt="so bad")) as ask:
        answer = await ask.post(body | {"stream": stream}, AGENTS)
    said = answer.chunks[0] if stream else answer.json
    assert (answer.status, said["status"], said["error"]["code"]) == (200, "failed", code)


async def test_work_goes_on(ask: Asker) -> None:
    """Work that is begun is pending, then has a film that can be fetched without a key."""
    async with simulated(Scenario(task_seconds=0.2)) as slow:
        begun = await slow.post(agent("vidu_template_agent", custom_variables={"template": "bodyshake"}), AGENTS)
        body = {name: begun.json[name] for name in ("agent_id", "async_id")}
        assert (await slow.post(body, f"{AGENTS}/async-result")).json["status"] == "pending"
    done = await work(ask, await ask.post(agent("vidu_template_agent"), AGENTS))
    content = done["choices"][0]["messages"][0]["content"][0]
    async with ask.session.get(content["video_url"]) as response:
        assert b"ftyp" in await response.read()
    assert begun.json["status"] == "pending"


async def test_work_that_fails() -> None:
    """Work fails with what the scenario says about tasks."""
    failure = {"error": {"code": "1234", "message": "Network error"}}
    async with simulated(Scenario(task_failure=failure)) as ask:
        done = await work(ask, await ask.post(agent("cartoon_generator_agent"), AGENTS))
    assert done["status"] == "failed"
    assert done["error"] == failure["error"]


async def test_slides(ask: Asker) -> None:
    """A conversation about slides has pictures of its pages, and a PDF on demand; another one has an error."""
    begun = (await ask.post(agent("slides_glm_agent", "Cats"), AGENTS)).json
    body = {name: begun[name] for name in ("agent_id", "conversation_id")}
    variables = {"include_pdf": True, "pages": [{"position": 1}, {"position": 2}]}
    slides = (await ask.post(body | {"custom_variables": variables}, f"{AGENTS}/conversation")).json
    absent = (await ask.post(body | {"conversation_id": "none"}, f"{AGENTS}/conversation")).json
    contents = slides["choices"][0]["message"][0]["content"]
    assert [content["type"] for content in contents] == ["image_url", "image_url", "file_url"]
    assert absent["error"]["code"] == "1214"
    assert objections("/v1/agents/conversation", slides) == []
    assert unfilled("/v1/agents/conversation", slides, absent) == set()


async def test_agents_fit_the_document(ask: Asker) -> None:
    """Answers of agents validate against the vendor's schemas; together they have all properties but for sounds."""
    answers = [(await ask.post(agent(name), AGENTS)).json for name in ("general_translation", "ai_drawing_agent")]
    begun = await ask.post(agent("intelligent_education_correction_agent"), AGENTS)
    done = await work(ask, begun)
    content = "choices.messages.content."
    assert [objection for answer in (*answers, begun.json) for objection in objections("/v1/agents", answer)] == []
    assert unfilled("/v1/agents", *answers, begun.json) == {
        f"{content}{kind}" for kind in ("file_url", "audio_url", "video_url")
    }
    assert objections("/v1/agents/async-result", done) == []
    assert unfilled("/v1/agents/async-result", done) == set()


async def test_an_assistant(ask: Asker) -> None:
    """An assistant answers in `delta`, whole or in pieces, and goes on with a conversation that it knows."""
    answer = (await ask.post(ASSISTANT, "/assistant")).json
    again = ASSISTANT | {"conversation_id": answer["conversation_id"], "stream": True}
    chunks = (await ask.post(again, "/assistant")).chunks
    said = answer["choices"][0]["delta"]["content"]
    assert said == "I am ChatGLM. You said: “Hello”"
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks) == said
    assert [chunk["status"] for chunk in chunks[-2:]] == ["in_progress", "completed"]
    assert {chunk["conversation_id"] for chunk in chunks} == {answer["conversation_id"]}
    assert (await ask.post(ASSISTANT | {"conversation_id": "none"}, "/assistant")).code == "1214"
    assert objections("/paas/v4/assistant", answer) == []


async def test_conversations_with_an_assistant(ask: Asker) -> None:
    """Conversations come page by page, the newest first, with the tokens that they took."""
    ids = [(await ask.post(ASSISTANT, "/assistant")).json["conversation_id"] for _ in range(3)]
    body = {"assistant_id": CHATGLM, "page_size": 2}
    first, second = [(await ask.post(body | {"page": page}, "/assistant/conversation/list")).json for page in (1, 2)]
    assert [each["id"] for each in first["data"]["conversation_list"]] == [ids[2], ids[1]]
    assert [each["id"] for each in second["data"]["conversation_list"]] == [ids[0]]
    assert [page["data"]["has_more"] for page in (first, second)] == [True, False]
    assert objections("/paas/v4/assistant/conversation/list", first) == []
    assert unfilled("/paas/v4/assistant/conversation/list", first) == set()


async def test_assistants_are_listed(ask: Asker) -> None:
    """All assistants are listed, or those that are named."""
    every = (await ask.post({"assistant_id_list": []}, "/assistant/list")).json
    one = (await ask.post({"assistant_id_list": [CHATGLM]}, "/assistant/list")).json
    assert len(every["data"]) == 12
    assert [each["name"] for each in one["data"]] == ["ChatGLM"]
    assert objections("/paas/v4/assistant/list", every) == []
    assert {name for name in unfilled("/paas/v4/assistant/list", every) if "starter" not in name} == set()


async def test_an_application(ask: Asker) -> None:
    """An application answers whole or in pieces, with its steps on demand, in a conversation that was begun."""
    begun = (await ask.request("POST", f"{APPLICATIONS}/app-1/conversation")).json
    body = invoke(conversation_id=begun["data"]["conversation_id"])
    answer = (await ask.post(body, INVOKE)).json
    *chunks, last = (await ask.post(body | {"stream": True, "send_log_event": True}, INVOKE)).chunks
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    said = answer["choices"][0]["messages"]["content"]["msg"]
    assert "".join(delta["content"]["msg"] for delta in deltas if "content" in delta) == said
    assert [delta["event"]["type"] for delta in deltas if "event" in delta] == [
        "node_processing",
        "tool_finish",
        "node_finish",
    ]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"] == answer["usage"]
    assert objections("/llm-application/open/v3/application/invoke", answer) == []
    assert objections("/llm-application/open/v2/application/{app_id}/conversation", begun) == []


async def test_an_application_that_fails() -> None:
    """An application that is asked for something unsafe ends with `error`; an unknown conversation is refused."""
    async with simulated(Scenario(unsafe_prompt="so bad")) as ask:
        failed = (await ask.post(invoke("so bad"), INVOKE)).json
        unknown = await ask.post(invoke(conversation_id="none"), INVOKE)
    assert failed["choices"][0]["finish_reason"] == "error"
    assert failed["choices"][0]["error_msg"]["code"] == 1301
    assert (unknown.status, unknown.json["code"]) == (200, 1214)


async def test_what_applications_keep(ask: Asker) -> None:
    """Files, sources and further questions of an application fit the document, with all properties."""
    data = form({"app_id": "app-1"}, ("files", "a.txt", b"x"), ("files", "b.txt", b""))
    files = (await ask.request("POST", f"{APPLICATIONS}/file_upload", data=data)).json
    ids = [each["file_id"] for each in files["data"]["success_info"]]
    states = (await ask.post({"app_id": "app-1", "file_ids": [*ids, "none"]}, f"{APPLICATIONS}/file_stat")).json
    answer = (await ask.post(invoke("What is GLM?"), INVOKE)).json
    body = {"request_id": answer["request_id"], "node_id": "node_1"}
    slices = (await ask.post(body, f"{APPLICATIONS}/slice_info")).json
    history = f"/api/llm-application/open/history_session_record/app-1/{answer['conversation_id']}"
    problems = (await ask.request("GET", history)).json
    variables = (await ask.request("GET", f"{APPLICATIONS}/app-1/variables")).json
    assert [state["code"] for state in states["data"]] == [1, 0]
    assert problems["data"]["problems"] == ["关于“What is GLM?”，还有什么？"]
    root = "/llm-application/open"
    for path, said, method, without in (
        (f"{root}/v2/application/file_upload", files, "post", set[str]()),
        (f"{root}/v2/application/file_stat", states, "post", set[str]()),
        (f"{root}/v2/application/slice_info", slices, "post", {"images.text", "images.cos_url"}),
        (f"{root}/history_session_record/{{app_id}}/{{conversation_id}}", problems, "get", set[str]()),
        (f"{root}/v2/application/{{app_id}}/variables", variables, "get", set[str]()),
    ):
        assert objections(path, said, method=method) == []
        missing = unfilled(path, said, method=method)
        assert {name.removeprefix("data.document_slices.") for name in missing} == without


async def test_the_limits_of_a_plan(ask: Asker) -> None:
    """The quota comes in the gateway's envelope, with resets in the future."""
    answer = (await ask.request("GET", "/api/monitor/usage/quota/limit")).json
    assert (answer["code"], answer["success"]) == (200, True)
    assert all(limit["nextResetTime"] > 1_700_000_000_000 for limit in answer["data"]["limits"])


async def test_fine_tuning(ask: Asker) -> None:
    """A job runs, succeeds and tells of it; another one is cancelled; both are listed until they are deleted."""
    data = form({"purpose": "fine-tune"}, ("file", "a.jsonl", b"{}"))
    file = (await ask.request("POST", "/files", data=data)).json["id"]
    body = {"model": "glm-4-flash", "training_file": file, "suffix": "mine"}
    job = (await ask.post(body, "/fine_tuning/jobs")).json
    other = (await ask.post(body, "/fine_tuning/jobs")).json
    cancelled = (await ask.request("POST", f"/fine_tuning/jobs/{other['id']}/cancel")).json
    await asyncio.sleep(0.06)
    done = (await ask.request("GET", f"/fine_tuning/jobs/{job['id']}")).json
    events = (await ask.request("GET", f"/fine_tuning/jobs/{job['id']}/events")).json
    listed = (await ask.request("GET", "/fine_tuning/jobs?limit=1")).json
    assert [each["status"] for each in (job, cancelled, done)] == ["running", "cancelled", "succeeded"]
    assert done["fine_tuned_model"].startswith("glm-4-flash:mine:")
    assert [event["message"] for event in events["data"]] == [
        f"The job is {status}" for status in ("created", "running", "succeeded")
    ]
    assert ([each["id"] for each in listed["data"]], listed["has_more"]) == ([other["id"]], True)
    assert (await ask.request("DELETE", f"/fine_tuning/jobs/{job['id']}")).status == 200
    assert (await ask.request("GET", f"/fine_tuning/jobs/{job['id']}")).status == 404


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        (AGENTS, {"agent_id": "general_translation"}, "1213"),
        (AGENTS, agent(messages=[]), "1214"),
        (AGENTS, {"agent_id": "x", "messages": [{"role": "tool", "content": "x"}]}, "1210"),
        (f"{AGENTS}/async-result", {"agent_id": "x", "async_id": "y"}, "1214"),
        (f"{AGENTS}/conversation", {"agent_id": "x"}, "1213"),
        ("/assistant", ASSISTANT | {"model": "glm-4.6"}, "1211"),
        ("/assistant", ASSISTANT | {"assistant_id": "nobody"}, "1214"),
        ("/assistant/list", {}, "1213"),
        ("/assistant/conversation/list", {"assistant_id": CHATGLM, "page_size": 101}, "1214"),
        ("/fine_tuning/jobs", {"model": "glm-4-flash", "training_file": "none"}, "1214"),
    ],
)
async def test_refused(ask: Asker, path: str, body: dict[str, Any], code: str) -> None:
    """What the contract does not allow is refused with the code for it."""
    answer = await ask.post(body, path)
    assert (answer.status, answer.code) == (400, code)
