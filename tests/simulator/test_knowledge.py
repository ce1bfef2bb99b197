"""Knowledge bases, their documents and retrieval, held against data.md section 10."""

from __future__ import annotations

import json
from typing import Any

import pytest

from zhipu_async.simulator.library import Document, Library, find

from .asking import Answered, Asker
from .documented import objections, unfilled
from .multipart import form

ROOT = "/api/llm-application/open"
BASES = f"{ROOT}/knowledge"
DOCUMENTS = f"{ROOT}/document"
ANIMALS = "# Cats\nCats sleep all day and chase mice.\n# Dogs\nDogs bark at the postman.\n# Fish\nFish swim."


async def made(ask: Asker, name: str = "Animals", **fields: Any) -> str:
    """The id of a new base."""
    identity: str = (await ask.post({"embedding_id": 3, "name": name, **fields}, BASES)).json["data"]["id"]
    return identity


async def uploaded(ask: Asker, base: str, *files: tuple[str, str], **texts: str) -> Answered:
    """The answer to an upload of documents."""
    data = form(texts, *(("files", name, text.encode()) for name, text in files))
    return await ask.request("POST", f"{DOCUMENTS}/upload_document/{base}", data=data)


async def with_animals(ask: Asker, **texts: str) -> tuple[str, str]:
    """A base with a document about animals: both ids."""
    base = await made(ask)
    answer = await uploaded(ask, base, ("animals.md", ANIMALS), **{"knowledge_type": "1", **texts})
    return base, answer.json["data"]["successInfos"][0]["documentId"]


@pytest.mark.parametrize(
    ("kind", "text", "slices"),
    [
        (None, "a b\n\nc\n\n\n", ["a b", "c"]),
        (1, "# a\nb\n# c", ["# a\nb", "# c"]),
        (3, "a,b\nc,d\n", ["a,b", "c,d"]),
        (5, "ab;cd", ["ab", "cd"]),
        (5, "x" * 50, ["x" * 20, "x" * 20, "x" * 10]),
        (6, "page\fpage", ["page", "page"]),
        (7, "a\n\nb", ["a\n\nb"]),
    ],
)
def test_slices(kind: int | None, text: str, slices: list[str]) -> None:
    """Each way of slicing cuts where it should, and no slice is empty."""
    document = Document("1", "1", "a.txt", "", text, kind, (";",), 20)
    assert document.slices == slices


@pytest.mark.parametrize("embedding", [0.0, 0.8, 1.0])
def test_the_slice_that_fits_is_found(embedding: float) -> None:
    """By likeness, by common words and by both the best comes first, and what is below the threshold is left out."""
    library = Library()
    library.documents["1"] = Document("1", "base", "a.md", "", ANIMALS, 1)
    found = find(library.of("base"), "What do dogs do?", embedding=embedding, threshold=0.1, candidates=10, limit=5)
    assert [each.text for each in found] == ["# Dogs\nDogs bark at the postman."]
    assert 0 < found[0].score <= 1


async def test_the_life_of_a_base(ask: Asker) -> None:
    """A base is made, changed where the edit says so, counted, listed, and gone with its documents."""
    base, document = await with_animals(ask)
    edited = await ask.request("PUT", f"{BASES}/{base}", json={"name": "Beasts", "background": "red"})
    detail = (await ask.request("GET", f"{BASES}/{base}")).json["data"]
    capacity = (await ask.request("GET", f"{BASES}/capacity")).json["data"]
    assert (edited.json["code"], "data" in edited.json) == (200, False)
    assert (detail["name"], detail["background"], detail["icon"]) == ("Beasts", "red", "question")
    assert (detail["document_size"], detail["word_num"]) == (1, len(ANIMALS))
    assert capacity["used"]["word_num"] == len(ANIMALS) < capacity["total"]["word_num"]
    assert (await ask.request("DELETE", f"{BASES}/{base}")).json["code"] == 200
    assert (await ask.request("GET", f"{BASES}/{base}")).json["code"] == 404
    assert (await ask.request("GET", f"{DOCUMENTS}/{document}")).json["code"] == 404


async def test_bases_come_page_by_page(ask: Asker) -> None:
    """Pages hold the newest first and the number of all; behind the last there is nothing."""
    for number in range(3):
        await made(ask, f"base {number}")
    pages = [(await ask.request("GET", f"{BASES}?page={page}&size=2")).json["data"] for page in (1, 2, 3)]
    assert [[base["name"] for base in page["list"]] for page in pages] == [["base 2", "base 1"], ["base 0"], []]
    assert {page["total"] for page in pages} == {3}


async def test_the_life_of_a_document(ask: Asker) -> None:
    """A document is embedded after the first look, again on demand, listed by its name, and gone when deleted."""
    base, document = await with_animals(ask)
    await uploaded(ask, base, ("other.txt", "Other things."))
    looks = [(await ask.request("GET", f"{DOCUMENTS}/{document}")).json["data"]["embedding_stat"] for _ in range(2)]
    await ask.request("POST", f"{DOCUMENTS}/embedding/{document}")
    again = (await ask.request("GET", f"{DOCUMENTS}/{document}")).json["data"]["embedding_stat"]
    query = {"knowledge_id": base, "word": "animals"}
    listed = (await ask.request("GET", DOCUMENTS, params=query)).json["data"]
    assert (looks, again) == ([0, 1], 0)
    assert ([each["name"] for each in listed["list"]], listed["total"]) == (["animals.md"], 1)
    async with ask.session.get(listed["list"][0]["url"]) as response:
        assert await response.text() == ANIMALS
    assert (await ask.request("DELETE", f"{DOCUMENTS}/{document}")).json["code"] == 200
    assert (await ask.request("GET", f"{DOCUMENTS}/{document}")).json["code"] == 404


async def test_some_files_fail(ask: Asker) -> None:
    """Files that are empty, of a wrong kind or too long fail beside those that do not."""
    base = await made(ask)
    files = [("good.md", "Good."), ("empty.md", ""), ("table.csv", "a,b"), ("long.md", "x" * 100)]
    answer = await uploaded(ask, base, *files, knowledge_type="1", word_num_limit="50")
    data = answer.json["data"]
    assert [each["fileName"] for each in data["successInfos"]] == ["good.md"]
    assert [each["fileName"] for each in data["failedInfos"]] == ["empty.md", "table.csv", "long.md"]
    assert all(each["failReason"] for each in data["failedInfos"])


async def test_addresses_become_documents(ask: Asker) -> None:
    """Pages of the web become documents that are found; what is no address fails."""
    base = await made(ask)
    pages = [{"url": "https://example.com/blue-whales", "knowledge_type": 1}, {"url": "nowhere", "knowledge_type": 1}]
    answer = (await ask.post({"knowledge_id": base, "upload_detail": pages}, f"{DOCUMENTS}/upload_url")).json
    found = (await ask.post({"query": "whales", "knowledge_ids": [base]}, f"{BASES}/retrieve")).json
    assert [each["url"] for each in answer["data"]["failedInfos"]] == ["nowhere"]
    assert "blue whales" in found["data"][0]["text"]
    path = "/llm-application/open/document/upload_url"
    assert objections(path, answer) == []
    assert unfilled(path, answer) == set()


async def test_retrieval_finds_what_was_uploaded(ask: Asker) -> None:
    """The best slice comes first, limits and chosen documents are kept, and context comes where the base has it."""
    base, document = await with_animals(ask)
    body = {"query": "Why do dogs bark?", "knowledge_ids": [base]}
    every = (await ask.post(body, f"{BASES}/retrieve")).json["data"]
    best = (await ask.post(body | {"top_k": 1, "document_ids": [document]}, f"{BASES}/retrieve")).json["data"]
    none = (await ask.post(body | {"fractional_threshold": 0.99}, f"{BASES}/retrieve")).json["data"]
    await ask.request("PUT", f"{BASES}/{base}", json={"contextual": 1})
    contextual = (await ask.post(body, f"{BASES}/retrieve")).json["data"]
    scores = [each["score"] for each in every]
    assert every[0]["text"] == "# Dogs\nDogs bark at the postman."
    assert scores == sorted(scores, reverse=True)
    assert (best, none) == (every[:1], [])
    assert every[0]["metadata"]["doc_id"] == document
    assert contextual[0]["metadata"]["contextual_text"].startswith("animals.md")


async def test_an_agent_answers_from_knowledge(ask: Asker) -> None:
    """Its events tell what it thinks, calls and finds; the pieces of its answer are what was uploaded."""
    base, _ = await with_animals(ask)
    messages = [{"role": "user", "content": [{"type": "text", "text": "Why do dogs bark?"}]}]
    body = {"messages": messages, "retrieval": {"know_ids": [base]}, "enable_thinking": True}
    answer = await ask.request("POST", "/api/zrag/agent/chat", json=body, headers={"X-Session-Id": "my-session"})
    events = [json.loads(payload) for payload in answer.payloads]
    kinds = list(dict.fromkeys(event["type"] for event in events))
    assert kinds == ["session_created", "reasoning", "thought", "tool_call", "tool_result", "answer", "done"]
    assert {event["sessionId"] for event in events} == {"my-session"}
    said = "".join(event["data"] for event in events if event["type"] == "answer")
    assert said == "# Dogs\nDogs bark at the postman."
    assert events[-1]["usage"]["total_tokens"] > 0
    path = "/zrag/agent/chat"
    assert [objection for event in events for objection in _but_one_of(path, event)] == []
    assert unfilled(path, *events, stream=True) == {"data.message"}


def _but_one_of(path: str, event: dict[str, Any]) -> list[str]:
    """What the document has against an event, its `data` excepted.

    The schema wants exactly one of a text and three objects without required properties: each object fits them all.
    """
    return [each for each in objections(path, event, stream=True) if not each.startswith("$.data:")]


async def test_pictures_of_a_document(ask: Asker) -> None:
    """A document that was uploaded with `parse_image` has pictures, one without has none."""
    _, document = await with_animals(ask, parse_image="true")
    _, other = await with_animals(ask)
    path = "/llm-application/open/document/slice/image_list/{id}"
    shown = (await ask.request("POST", f"{DOCUMENTS}/slice/image_list/{document}")).json
    bare = (await ask.request("POST", f"{DOCUMENTS}/slice/image_list/{other}")).json
    assert (len(shown["data"]["images"]), bare["data"]["images"]) == (3, [])
    assert objections(path, shown) == []
    assert unfilled(path, shown) == set()


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", BASES, {"name": "x"}, 1213),
        ("POST", BASES, {"embedding_id": 4, "name": "x"}, 1210),
        ("POST", BASES, {"embedding_id": 3, "name": ""}, 1214),
        ("PUT", f"{BASES}/none", {"name": "x"}, 404),
        ("GET", f"{BASES}/none", None, 404),
        ("DELETE", f"{BASES}/none", None, 404),
        ("GET", DOCUMENTS, None, 1213),
        ("GET", f"{DOCUMENTS}?knowledge_id=none", None, 404),
        ("GET", f"{DOCUMENTS}/none", None, 404),
        ("DELETE", f"{DOCUMENTS}/none", None, 404),
        ("POST", f"{DOCUMENTS}/embedding/none", None, 404),
        ("POST", f"{DOCUMENTS}/upload_url", {"knowledge_id": "none"}, 1213),
        ("POST", f"{BASES}/retrieve", {"query": "x", "knowledge_ids": []}, 1214),
        ("POST", f"{BASES}/retrieve", {"query": "x", "knowledge_ids": ["none"]}, 404),
        ("POST", f"{BASES}/retrieve", {"query": "x" * 1001, "knowledge_ids": ["none"]}, 1214),
        ("POST", f"{BASES}/retrieve", {"query": "x", "knowledge_ids": ["none"], "top_k": 21}, 1214),
        ("POST", "/api/zrag/retrieval/retrieve", {"knows": [{"id": "none"}]}, 1214),
        ("POST", "/api/zrag/retrieval/retrieve", {"knows": [{"id": "none"}], "query": "x"}, 404),
        ("POST", "/api/zrag/agent/chat", {"messages": [{"role": "user", "content": "x"}]}, 1213),
    ],
)
async def test_refused(ask: Asker, method: str, path: str, body: Any, code: int) -> None:
    """What is refused has a code other than 200 as an integer, and a message, under HTTP 200."""
    answer = await ask.request(method, path, **({} if body is None else {"json": body}))
    assert (answer.status, answer.json["code"]) == (200, code)
    assert answer.json["message"]


async def test_a_missing_file_is_refused(ask: Asker) -> None:
    """An upload without a file, and one for a base that is not there, are refused."""
    base = await made(ask)
    assert (await uploaded(ask, base)).json["code"] == 1213
    assert (await uploaded(ask, "none", ("a.md", "x"))).json["code"] == 404


async def test_a_key_is_needed(ask: Asker) -> None:
    """Without a key the gateway answers, in its own envelope."""
    answer = await ask.request("GET", BASES, headers={"Authorization": "Bearer wrong"})
    assert (answer.status, answer.code) == (401, "401")


async def test_bases_and_documents_fit_the_document(ask: Asker) -> None:
    """Every answer validates against the vendor's schema and has every property of it."""
    base, document = await with_animals(ask)
    one = {"base": base, "document": document}
    upload = (await uploaded(ask, base, ("a.md", "x"), ("b.md", ""))).json
    retrieve = (await ask.post({"query": "dogs", "knowledge_ids": [base]}, f"{BASES}/retrieve")).json
    root = "/llm-application/open"
    for method, path, kind, query in (
        ("get", "/knowledge", "", ""),
        ("get", "/knowledge/capacity", "", ""),
        ("get", "/knowledge/{id}", "base", ""),
        ("get", "/document", "", f"?knowledge_id={base}"),
        ("get", "/document/{id}", "document", ""),
        ("post", "/document/embedding/{id}", "document", ""),
        ("delete", "/document/{id}", "document", ""),
        ("delete", "/knowledge/{id}", "base", ""),
    ):
        url = f"{ROOT}{path}{query}".replace("{id}", one.get(kind, ""))
        answer = (await ask.request(method.upper(), url)).json
        assert objections(f"{root}{path}", answer, method=method) == []
        assert unfilled(f"{root}{path}", answer, method=method) == set()
    for path, answer in (("/document/upload_document/{id}", upload), ("/knowledge/retrieve", retrieve)):
        assert objections(f"{root}{path}", answer) == []
        assert unfilled(f"{root}{path}", answer) == set()


async def test_findings_fit_the_document(ask: Asker) -> None:
    """Texts, pictures and films that are found validate against the vendor's schema and have every property of it."""
    base = await made(ask)
    files = [("dogs.md", "Dogs bark."), ("dogs.png", "A picture of dogs."), ("dogs.mp4", "A film of dogs.")]
    await uploaded(ask, base, *files, parse_image="true")
    body = {"query": "dogs", "knows": [{"id": base}], "enable_rerank": True, "enable_rewrite": True}
    answer = (await ask.post(body, "/api/zrag/retrieval/retrieve")).json
    path = "/zrag/retrieval/retrieve"
    assert len(answer["data"]["contents"]) == 3
    assert objections(path, answer) == []
    assert unfilled(path, answer) == set()
