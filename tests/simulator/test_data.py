"""Embeddings, rerank, token counts, moderation, the reader and the search, held against data.md sections 1 to 6."""

from __future__ import annotations

import math
from typing import Any

import pytest

from zhipu_async.simulator import Scenario

from .asking import Asker, simulated
from .documented import objections, unfilled

CAT = "How do I train a cat?"
CATS = "Training cats takes patience."
MONEY = "The stock market fell on Monday."
SEARCH = {"search_query": "GLM models", "search_engine": "search_std", "search_intent": True}
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def embedding(text: Any, **fields: Any) -> dict[str, Any]:
    """The body of a request for embeddings."""
    return {"model": "embedding-3", "input": text, **fields}


def search(**fields: Any) -> dict[str, Any]:
    """The body of a search."""
    return {**SEARCH, **fields}


def cosine(one: list[float], other: list[float]) -> float:
    """The cosine between two vectors."""
    return sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other)


@pytest.mark.parametrize("size", [256, 512, 1024, 2048])
async def test_texts_on_one_subject_have_near_vectors(ask: Asker, size: int) -> None:
    """In every size the vectors have that length and a norm of 1, and related texts are nearer than unrelated ones."""
    answer = await ask.post(embedding([CAT, CATS, MONEY], dimensions=size), "/embeddings")
    data = answer.json["data"]
    cat, cats, money = (element["embedding"] for element in data)
    assert [element["index"] for element in data] == [0, 1, 2]
    assert len(cat) == len(cats) == len(money) == size
    assert math.hypot(*cat) == pytest.approx(1, abs=1e-4)
    assert cosine(cat, cats) > cosine(cat, money) + 0.2


async def test_the_same_text_has_the_same_vector(ask: Asker) -> None:
    """A text alone and in a list gets the same vector, of the model's usual length."""
    alone = (await ask.post(embedding("今天天气很好"), "/embeddings")).json["data"][0]["embedding"]
    listed = (await ask.post(embedding(["x", "今天天气很好"]), "/embeddings")).json["data"][1]["embedding"]
    assert alone == listed
    assert len(alone) == 2048


async def test_rerank_sorts_by_likeness(ask: Asker) -> None:
    """Results come sorted by score with the index they were sent at; `top_n` cuts, documents come on demand."""
    body = {"model": "rerank", "query": CAT, "documents": [MONEY, CATS, "A dog."]}
    every = (await ask.post(body, "/rerank")).json["results"]
    best = (await ask.post(body | {"top_n": 1, "return_documents": True}, "/rerank")).json["results"]
    scores = [result["relevance_score"] for result in every]
    assert every[0]["index"] == 1
    assert scores == sorted(scores, reverse=True)
    assert "document" not in every[0]
    assert best == [every[0] | {"document": CATS}]


async def test_pictures_are_counted_apart(ask: Asker) -> None:
    """The tokens of pictures stand beside those of the text, and make the total with them."""
    content = [{"type": "text", "text": "What is this?"}, PICTURE]
    body = {"model": "glm-4.6v", "messages": [{"role": "user", "content": content}]}
    usage = (await ask.post(body, "/tokenizer")).json["usage"]
    assert usage["image_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["image_tokens"] + usage["video_tokens"]


@pytest.mark.parametrize(
    ("given", "levels"),
    [
        ("hello", ["PASS"]),
        ({"type": "text", "text": "hello"}, ["PASS"]),
        ([{"type": "text", "text": "so bad"}, PICTURE], ["REJECT", "PASS"]),
        ([{"type": "text", "text": "half bad"}], ["REVIEW"]),
    ],
)
async def test_moderation(given: Any, levels: list[str]) -> None:
    """A text, an object and a list are taken; the words of the scenario make the level of a part."""
    async with simulated(Scenario(unsafe_prompt="so bad", unsafe_answer="half bad")) as ask:
        results = (await ask.post({"model": "moderation", "input": given}, "/moderations")).json["result_list"]
    assert [result["risk_level"] for result in results] == levels
    assert [bool(result["risk_type"]) for result in results] == [level != "PASS" for level in levels]


async def test_the_reader_gives_what_was_asked_for(ask: Asker) -> None:
    """Markdown has a heading and a picture, text has neither; summaries come on demand."""
    body = {"url": "https://example.com/glm-models"}
    markdown = (await ask.post(body, "/reader")).json["reader_result"]["content"]
    text = (await ask.post(body | {"return_format": "text", "with_links_summary": True}, "/reader")).json
    assert markdown.startswith("# glm models")
    assert "![" in markdown
    assert text["reader_result"]["content"].startswith("glm models")
    assert "Links:" in text["reader_result"]["content"]


@pytest.mark.parametrize(
    ("fields", "intent", "count"),
    [
        ({"count": 3}, "SEARCH_ALL", 3),
        ({}, "SEARCH_ALL", 10),
        ({"search_intent": False}, "SEARCH_ALWAYS", 10),
        ({"search_query": "你好！"}, "SEARCH_NONE", 0),
        ({"search_engine": "search_pro_sogou", "count": 20}, "SEARCH_ALL", 20),
    ],
)
async def test_search(ask: Asker, fields: dict[str, Any], intent: str, count: int) -> None:
    """The intent is that of the query, and there are as many results as asked for, the same each time."""
    answers = [(await ask.post(search(**fields), "/web_search")).json for _ in range(2)]
    assert answers[0]["search_intent"][0]["intent"] == intent
    assert [result["refer"] for result in answers[0]["search_result"]] == [f"ref_{n}" for n in range(1, count + 1)]
    assert answers[0]["search_result"] == answers[1]["search_result"]


async def test_a_search_keeps_to_its_site(ask: Asker) -> None:
    """With a domain filter every link leads there."""
    results = (await ask.post(search(search_domain_filter="bigmodel.cn"), "/web_search")).json["search_result"]
    assert {result["link"].split("/")[2] for result in results} == {"bigmodel.cn"}


@pytest.mark.parametrize("stream", [False, True])
async def test_the_older_search(ask: Asker, stream: bool) -> None:
    """Intent, results and further questions stand in tool calls under the name of their type."""
    body = {"model": "web-search-pro", "messages": [{"role": "user", "content": "GLM"}], "stream": stream}
    answer = await ask.post(body, "/tools")
    sources = answer.deltas if stream else [answer.message]
    calls = [call for source in sources for call in source["tool_calls"]]
    assert [call["type"] for call in calls] == ["search_intent", "search_result", "search_recommend"]
    assert all(call[call["type"]] for call in calls)


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/embeddings", embedding("x", model="embedding-9"), "1211"),
        ("/embeddings", {"model": "embedding-3"}, "1213"),
        ("/embeddings", embedding([]), "1214"),
        ("/embeddings", embedding(["x"] * 65), "1214"),
        ("/embeddings", embedding("x", dimensions=100), "1210"),
        ("/embeddings", embedding("x", model="embedding-2", dimensions=256), "1214"),
        ("/embeddings", embedding("word " * 600, model="embedding-2"), "1214"),
        ("/rerank", {"model": "rerank", "query": "x"}, "1213"),
        ("/rerank", {"model": "rerank", "query": "x", "documents": ["y"] * 129}, "1214"),
        ("/rerank", {"model": "rerank", "query": "x" * 4097, "documents": ["y"]}, "1214"),
        ("/tokenizer", {"model": "glm-4.6", "messages": []}, "1214"),
        ("/tokenizer", {"model": "nobody", "messages": [{"role": "user", "content": "x"}]}, "1211"),
        ("/moderations", {"model": "moderation"}, "1213"),
        ("/moderations", {"model": "moderation", "input": "x" * 2001}, "1214"),
        ("/moderations", {"model": "moderation", "input": {"type": "smell"}}, "1214"),
        ("/reader", {"url": "example.com"}, "1214"),
        ("/reader", {}, "1213"),
        ("/web_search", search(search_engine="bing"), "1702"),
        ("/web_search", search(search_domain_filter="nothing.invalid"), "1703"),
        ("/web_search", search(search_query="x" * 71), "1214"),
        ("/web_search", search(count=51), "1214"),
        ("/web_search", search(count=15, search_engine="search_pro_sogou"), "1214"),
        ("/web_search", search(search_recency_filter="oneHour"), "1210"),
        ("/web_search", search(request_id="short"), "1214"),
        ("/tools", {"model": "web-search", "messages": [{"role": "user", "content": "x"}]}, "1211"),
    ],
)
async def test_refused(ask: Asker, path: str, body: dict[str, Any], code: str) -> None:
    """What the contract does not allow is refused with the code for it."""
    answer = await ask.post(body, path)
    assert (answer.status, answer.code) == (400, code)


async def test_the_callers_id_comes_back(ask: Asker) -> None:
    """`request_id` is the caller's, or the answer's own id where the caller has none."""
    own = (await ask.post(search(), "/web_search")).json
    given = (await ask.post(search(request_id="my-request"), "/web_search")).json
    assert own["request_id"] == own["id"]
    assert given["request_id"] == "my-request"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/embeddings", embedding([CAT, CATS])),
        ("/rerank", {"model": "rerank", "query": CAT, "documents": [CATS], "return_documents": True}),
        ("/tokenizer", {"model": "glm-4.6", "messages": [{"role": "user", "content": "x"}]}),
        ("/moderations", {"model": "moderation", "input": "x"}),
        ("/reader", {"url": "https://example.com/a"}),
        ("/web_search", SEARCH),
    ],
)
async def test_answers_fit_the_document(ask: Asker, path: str, body: dict[str, Any]) -> None:
    """An answer validates against the vendor's schema and has every property of it.

    Rerank is asked for the documents: the schema requires them, the pages say that they come on demand.
    """
    answer = (await ask.post(body, path)).json
    assert objections(f"/paas/v4{path}", answer) == []
    assert unfilled(f"/paas/v4{path}", answer) == set()
