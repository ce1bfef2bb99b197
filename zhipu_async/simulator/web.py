"""Searching the web, as a call of its own and as the older tool (contract page data.md, section 5)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal
from zlib import crc32

from msgspec import Meta

from zhipu_async.simulator.chat_request import AnyMessage, Text, UserMessage
from zhipu_async.simulator.operation import Asked, Result, Rows, Turn, unfit, unsafe
from zhipu_async.simulator.replies import DONE, Frames, Refusal
from zhipu_async.simulator.routes import Endpoint
from zhipu_async.simulator.stage import Stage

ENGINES: Final = ("search_std", "search_pro", "search_pro_sogou", "search_pro_quark", "search-prime")
_COUNTED_ENGINE: Final = "search_pro_sogou"
_TOPICS: Final = ("An introduction to {}", "{}: questions and answers", "The history of {}", "News about {}")
_SENTENCE: Final = "What one should know about {}, part {}. "
_SENTENCES: Final = {"medium": 3, "high": 12}
_DATES: Final = {
    "oneDay": "2026-11-20",
    "oneWeek": "2026-11-16",
    "oneMonth": "2026-11-01",
    "oneYear": "2026-03-01",
    "noLimit": "2025-06-01",
}
_WORD: Final = re.compile(r"\w+")
_GREETING: Final = re.compile(r"\s*(hi|hello|hey|thanks|你好|您好|谢谢)\W*", re.IGNORECASE)
_EMPTY_ZONE: Final = ".invalid"
"""The reserved top-level domain in which nothing can be."""
_OLD_RESULTS: Final = 5


class SearchRequest(Asked, frozen=True):
    """What to search for, and where."""

    search_query: Annotated[str, Meta(min_length=1, max_length=70)]
    search_engine: Text
    search_intent: bool = False
    count: Annotated[int, Meta(ge=1, le=50)] = 10
    search_domain_filter: str = ""
    search_recency_filter: Literal["oneDay", "oneWeek", "oneMonth", "oneYear", "noLimit"] = "noLimit"
    content_size: Literal["medium", "high"] = "medium"

    def __post_init__(self) -> None:
        if self.search_engine == _COUNTED_ENGINE and self.count % 10:
            raise unfit("count")


class ToolRequest(Asked, frozen=True):
    """A conversation whose last question is searched for."""

    model: Text
    messages: Annotated[list[AnyMessage], Meta(min_length=1)]
    stream: bool = False
    scope: str = ""
    location: str = ""
    recent_days: Annotated[int, Meta(ge=1, le=30)] = 30


def search(asked: SearchRequest, turn: Turn) -> Result:
    """Results for a query; none where it is a greeting and the intent was asked for."""
    if asked.search_engine not in ENGINES:
        return Refusal("1702")
    if turn.is_unsafe(asked.search_query):
        return unsafe()
    if asked.search_domain_filter.endswith(_EMPTY_ZONE):
        return Refusal("1703")
    intent = "SEARCH_ALWAYS"
    if asked.search_intent:
        intent = "SEARCH_NONE" if _GREETING.fullmatch(asked.search_query) else "SEARCH_ALL"
    found = {"query": asked.search_query, "intent": intent, "keywords": _keywords(asked.search_query)}
    results = [] if intent == "SEARCH_NONE" else [_result(asked, place) for place in range(1, asked.count + 1)]
    return {**turn.head, "search_intent": [found], "search_result": results}


def _keywords(query: str) -> str:
    return " ".join(_WORD.findall(query))


def _result(asked: SearchRequest, place: int) -> dict[str, Any]:
    query = asked.search_query
    site = asked.search_domain_filter or f"site-{place}.example.com"
    return {
        "title": _TOPICS[place % len(_TOPICS)].format(query),
        "content": "".join(_SENTENCE.format(query, part) for part in range(1, _SENTENCES[asked.content_size] + 1)),
        "link": f"https://{site}/{crc32(query.encode(errors='replace')):08x}/{place}",
        "media": site,
        "icon": f"https://{site}/icon.png",
        "refer": f"ref_{place}",
        "publish_date": _DATES[asked.search_recency_filter],
    }


def search_as_tool(asked: ToolRequest, turn: Turn) -> Result:
    """The older search: intent, results and further questions stand in tool calls, whole or one by one."""
    query = next((said.text for said in reversed(asked.messages) if isinstance(said, UserMessage)), "")
    if turn.is_unsafe(query):
        return unsafe()
    head, calls = turn.head, _calls(query, turn.id)
    if not asked.stream:
        message = {"role": "assistant", "tool_calls": calls}
        return {**head, "model": asked.model, "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}
    chunk = {"id": head["id"], "created": head["created"], "model": asked.model}
    deltas = [{"index": 0, "delta": {"role": "assistant", "tool_calls": [call]}} for call in calls]
    last = {"index": 0, "finish_reason": "stop", "delta": {"role": "assistant", "content": ""}}
    return Frames([*({**chunk, "choices": [choice]} for choice in (*deltas, last)), DONE])


def _calls(query: str, identity: str) -> list[dict[str, Any]]:
    asked = SearchRequest(query, ENGINES[0])
    results = [{"index": place - 1, **_result(asked, place)} for place in range(1, _OLD_RESULTS + 1)]
    lists: dict[str, Sequence[Any]] = {
        "search_intent": [{"index": 0, "query": query, "intent": "SEARCH_ALL", "keywords": _keywords(query)}],
        "search_result": results,
        "search_recommend": [{"index": index, "query": topic.format(query)} for index, topic in enumerate(_TOPICS)],
    }
    return [
        {"index": index, "id": f"call_{identity[14:]}{index}", "type": kind, kind: found}
        for index, (kind, found) in enumerate(lists.items())
    ]


def endpoints(stage: Stage) -> tuple[Endpoint, ...]:
    """The rows of the search."""
    rows = Rows(stage)
    return (
        rows.row("POST", "/web_search", SearchRequest, search),
        rows.row("POST", "/tools", ToolRequest, search_as_tool, models=("web-search-pro",)),
    )
