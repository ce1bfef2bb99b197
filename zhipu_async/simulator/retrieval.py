"""Finding slices of knowledge bases, and an agent that answers from them (contract page data.md, section 10)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from zhipu_async.simulator.chat_request import Text, UserMessage
from zhipu_async.simulator.knowledge import succeeded
from zhipu_async.simulator.library import Document, Found, Library, find
from zhipu_async.simulator.media_bytes import png
from zhipu_async.simulator.operation import API_ROOTS, RequestId, Result, Rows, Turn, in_integer_envelope, unfit
from zhipu_async.simulator.replies import Frames, Refusal
from zhipu_async.simulator.routes import Endpoint
from zhipu_async.simulator.stage import Stage
from zhipu_async.simulator.storage import absent
from zhipu_async.simulator.text import is_chinese, words

_PICTURE: Final = (320, 180)
_TOOL: Final = "knowledge_retrieve"
_SESSION: Final = "X-Session-Id"
_MILLISECONDS: Final = 12
_OFF: Final = {"embedding": 1.0, "keyword": 0.0}
"""The weight of the embedding where only one method is asked for."""

TopK = Annotated[int, Meta(ge=1, le=20)]
TopN = Annotated[int, Meta(ge=1, le=100)]
Share = Annotated[float, Meta(ge=0, le=1)]
Method = Literal["embedding", "keyword", "mixed"]


class RetrieveRequest(Struct, frozen=True):
    """A query, and the bases of text that it goes to."""

    query: Annotated[str, Meta(min_length=1, max_length=1000)]
    knowledge_ids: Annotated[list[Text], Meta(min_length=1)]
    document_ids: list[str] = []
    top_k: TopK = 8
    top_n: TopN = 10
    recall_method: Method = "mixed"
    recall_ratio: Annotated[int, Meta(ge=0, le=100)] = 80
    rerank_status: Literal[0, 1] = 0
    rerank_model: Literal["rerank", "rerank-pro"] = "rerank"
    fractional_threshold: Share = 0.0
    request_id: RequestId = ""


class Selection(Struct, frozen=True):
    """A base, or some documents of it."""

    id: Text
    doc_ids: list[str] = []


class Picture(Struct, frozen=True, tag_field="type", tag="image_url"):
    """A picture to look for."""

    url: Text


class Earlier(Struct, frozen=True):
    """An earlier message."""

    role: Literal["user", "assistant"]
    content: str


class MultimodalRequest(Struct, frozen=True):
    """A query in words or pictures, and the bases that it goes to."""

    knows: Annotated[list[Selection], Meta(min_length=1)]
    query: str = ""
    multimodal_parts: list[Picture] = []
    multimodal: bool = True
    top_k: TopK = 8
    top_n: TopN = 10
    recall_method: Method = "mixed"
    recall_ratio: Share = 0.8
    enable_rerank: bool = False
    enable_rewrite: bool = False
    enable_expansion: bool = False
    similarity_threshold: Share = 0.2
    messages: list[Earlier] = []
    search_filters: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if not self.query and not self.multimodal_parts:
            raise unfit("query")


class AgentRetrieval(Struct, frozen=True):
    """Where and how an agent retrieves."""

    know_ids: Annotated[list[Text], Meta(min_length=1)]
    top_k: TopK = 8
    top_n: TopN = 10
    enable_rerank: bool = False
    similarity_threshold: Share = 0.2


class AgentRequest(Struct, frozen=True):
    """A question for an agent."""

    messages: Annotated[list[UserMessage], Meta(min_length=1)]
    retrieval: AgentRetrieval
    model: str = "glm-5v-turbo"
    temperature: Share = 0.7
    max_steps: Annotated[int, Meta(ge=1)] = 10
    enable_thinking: bool = False


class Retrieval:
    """What is asked of a library."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def _documents(self, bases: Mapping[str, Sequence[str]]) -> list[Document] | Refusal:
        """The documents of bases, or those named beside each; a refusal where there is no such base."""
        for base in bases:
            if base not in self._library.bases:
                return absent("knowledge base", base)
        return [document for base, only in bases.items() for document in self._library.of(base, only)]

    def retrieve(self, asked: RetrieveRequest, turn: Turn) -> Result:
        """The slices that fit best, the best first."""
        documents = self._documents(dict.fromkeys(asked.knowledge_ids, asked.document_ids))
        if isinstance(documents, Refusal):
            return documents
        found = find(
            documents,
            asked.query,
            embedding=_OFF.get(asked.recall_method, asked.recall_ratio / 100),
            threshold=asked.fractional_threshold,
            candidates=asked.top_n,
            limit=asked.top_k,
        )
        return succeeded(turn, [self._slice(each) for each in found])

    def _slice(self, found: Found) -> Mapping[str, Any]:
        document = found.document
        contextual = self._library.bases[document.base].contextual
        metadata = {
            "_id": f"{document.id}_{found.place}",
            "knowledge_id": document.base,
            "doc_id": document.id,
            "doc_name": document.name,
            "doc_url": document.url,
            "contextual_text": f"{document.name}: {found.text}" if contextual else "",
        }
        return {"text": found.text, "score": found.score, "metadata": metadata}

    def retrieve_all(self, asked: MultimodalRequest, turn: Turn) -> Result:
        """The texts and pictures that fit best; a picture is looked for by the words of its address."""
        documents = self._documents({base.id: base.doc_ids for base in asked.knows})
        if isinstance(documents, Refusal):
            return documents
        query = asked.query or " ".join(part.url for part in asked.multimodal_parts)
        found = find(
            documents,
            query,
            embedding=_OFF.get(asked.recall_method, asked.recall_ratio),
            threshold=asked.similarity_threshold,
            candidates=asked.top_n,
            limit=asked.top_k,
        )
        data: dict[str, Any] = {
            "contents": [_finding(place, each, asked.enable_rerank, turn) for place, each in enumerate(found)],
            "elapsed_ms": _MILLISECONDS,
            "total_tokens": len(words(query)),
            "request_id": turn.id,
        }
        if asked.enable_rewrite or asked.enable_expansion:
            others = [f"{message.content} {query}" for message in asked.messages[-1:]]
            data["rewritten_query"] = {"original_query": query, "multi_queries": [query, *others]}
        return succeeded(turn, data)

    def chat(self, asked: AgentRequest, turn: Turn) -> Result:
        """Events of an agent that looks for the question, and answers with what it found."""
        documents = self._documents(dict.fromkeys(asked.retrieval.know_ids, ()))
        if isinstance(documents, Refusal):
            return documents
        question = asked.messages[-1].text
        found = find(
            documents,
            question,
            embedding=_OFF["embedding"],
            threshold=asked.retrieval.similarity_threshold,
            candidates=asked.retrieval.top_n,
            limit=asked.retrieval.top_k,
        )
        session = turn.request.headers.get(_SESSION) or f"session_{turn.id}"
        return Frames([{**event, "sessionId": session} for event in _events(asked, question, found, turn)])


def _finding(place: int, found: Found, reranked: bool, turn: Turn) -> Mapping[str, Any]:
    document = found.document
    finding: dict[str, Any] = {
        "id": f"{document.id}_{found.place}",
        "know_id": document.base,
        "doc_id": document.id,
        "text": found.text,
        "index": place,
        "score": found.score,
        "metadata": {
            "doc_type": document.ending,
            "doc_name": document.name,
            "doc_url": document.url,
            "index": found.place,
            "page_index": found.place,
        },
    }
    if document.has_pictures:
        url = turn.publish(png(found.text, *_PICTURE), "image/png", "picture.png")
        finding["medias"] = [{"id": f"{document.id}_{found.place}_0", "url": url, "description": found.text[:50]}]
    if document.ending in ("png", "jpg", "jpeg"):
        finding["image_url"] = {"url": document.url}
    if document.ending == "mp4":
        finding["video_url"] = {"url": document.url}
        finding["metadata"] |= {
            "clip_index": 0,
            "start_time": 0,
            "end_time": 5,
            "duration": 5,
            "frames": [document.url],
        }
    if reranked:
        finding |= {"rerank_index": place, "rerank_score": found.score}
    return finding


def _events(asked: AgentRequest, question: str, found: Sequence[Found], turn: Turn) -> Iterator[Mapping[str, Any]]:
    chinese = is_chinese(question)
    call = {"callId": f"call_{turn.id}", "toolName": _TOOL}
    results = [{"text": each.text, "score": each.score, "doc_name": each.document.name} for each in found]
    yield {"type": "session_created"}
    if asked.enable_thinking:
        yield {"type": "reasoning", "data": "先看看知识库。" if chinese else "Let me look at the knowledge bases."}
    yield {"type": "thought", "data": "我来检索。" if chinese else "I will retrieve."}
    yield {"type": "tool_call", "data": {**call, "arguments": {"query": question}}}
    yield {
        "type": "tool_result",
        "data": {**call, "result": results, "status": "success", "durationMs": _MILLISECONDS},
    }
    answer = found[0].text if found else "知识库里没有。" if chinese else "The knowledge bases do not say."
    pieces = words(answer)
    yield from ({"type": "answer", "data": piece} for piece in pieces)
    prompt = len(words(question)) + sum(len(words(each.text)) for each in found)
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": len(pieces),
        "total_tokens": prompt + len(pieces),
        "total_calls": 2,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 6 if asked.enable_thinking else 0},
    }
    yield {"type": "done", "messageId": f"message_{turn.id}", "usage": usage}


def endpoints(stage: Stage, library: Library) -> tuple[Endpoint, ...]:
    """The rows of retrieval."""
    retrieval, rows = Retrieval(library), Rows(stage, API_ROOTS, in_integer_envelope)
    return (
        rows.row("POST", "/llm-application/open/knowledge/retrieve", RetrieveRequest, retrieval.retrieve),
        rows.row("POST", "/zrag/retrieval/retrieve", MultimodalRequest, retrieval.retrieve_all),
        rows.row("POST", "/zrag/agent/chat", AgentRequest, retrieval.chat),
    )
