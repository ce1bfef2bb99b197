"""Embeddings, rerank, token counts, moderation and pages of the web (contract page data.md, sections 1 to 4 and 6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from msgspec import UNSET, Meta, Struct, UnsetType

from zhipu_async.simulator.chat_request import ImagePart, Part, Text, TextPart, Url, VideoPart
from zhipu_async.simulator.meaning import similarity, vector
from zhipu_async.simulator.operation import Asked, Result, Rows, Turn, unfit
from zhipu_async.simulator.replies import Refusal
from zhipu_async.simulator.routes import Endpoint
from zhipu_async.simulator.shapes import is_array, objects
from zhipu_async.simulator.stage import Stage
from zhipu_async.simulator.text import IMAGE_TOKENS, prompt_tokens, words
from zhipu_async.simulator.validation import illegal, validated

_EMBEDDINGS: Final[Mapping[str, tuple[int, int]]] = {"embedding-3": (2048, 3072), "embedding-2": (1024, 512)}
"""The length of a model's vectors unless the request says another, and the tokens that a text may have."""
_OLD_SIZE: Final = 1024
_OLD_TOKENS: Final = 8192
"""What embedding-2 takes together."""
_TOKENIZERS: Final = (
    "glm-4.6", "glm-4.6v", "glm-4.5", "glm-4.5-air", "glm-4-0520", "glm-4-long", "glm-4-air", "glm-4-flash",
)  # fmt: skip
_LENGTH: Final = 4096
_MODERATED_LENGTH: Final = 2000


class EmbeddingRequest(Asked, frozen=True):
    """Texts that become vectors."""

    model: Text
    input: Text | Annotated[list[Text], Meta(min_length=1, max_length=64)]
    dimensions: Literal[256, 512, 1024, 2048] | UnsetType = UNSET

    def __post_init__(self) -> None:
        size, most = _embedding(self.model)
        tokens = [len(words(text)) for text in self.texts]
        if max(tokens) > most or (size == _OLD_SIZE and sum(tokens) > _OLD_TOKENS):
            raise unfit("input")
        if size == _OLD_SIZE and self.dimensions not in (UNSET, size):
            raise unfit("dimensions")

    @property
    def texts(self) -> list[str]:
        """The texts, also where there is but one."""
        return [self.input] if isinstance(self.input, str) else self.input


def _embedding(model: str) -> tuple[int, int]:
    return _EMBEDDINGS.get(model.lower(), _EMBEDDINGS["embedding-3"])


class RerankRequest(Asked, frozen=True):
    """Documents to be put in the order of their nearness to a query."""

    model: Text
    query: Annotated[str, Meta(min_length=1, max_length=_LENGTH)]
    documents: Annotated[list[Annotated[str, Meta(max_length=_LENGTH)]], Meta(min_length=1, max_length=128)]
    top_n: Annotated[int, Meta(ge=0)] = 0
    return_documents: bool = False
    return_raw_scores: bool = False


class TokenizerRequest(Asked, frozen=True):
    """Messages whose tokens are counted."""

    model: Text
    messages: Annotated[list[dict[str, Any]], Meta(min_length=1)]
    tools: list[dict[str, Any]] = []


class AudioPart(Part, frozen=True, tag="audio_url"):
    audio_url: Url


AnyModerated = TextPart | ImagePart | VideoPart | AudioPart


class ModerationRequest(Asked, frozen=True):
    """A text, one thing to look at, or a list of them: msgspec takes no union of all three, so it is read in parts."""

    model: Text
    input: Any


class Moderated(Struct, frozen=True):
    """The parts of such an input."""

    input: Annotated[list[AnyModerated], Meta(min_length=1)]


class ReaderRequest(Asked, frozen=True):
    """A page of the web to be read."""

    url: Text
    timeout: Annotated[int, Meta(ge=1)] = 20
    no_cache: bool = False
    return_format: Literal["markdown", "text"] = "markdown"
    retain_images: bool = True
    no_gfm: bool = False
    keep_img_data_url: bool = False
    with_images_summary: bool = False
    with_links_summary: bool = False

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")) or not urlsplit(self.url).netloc:
            raise unfit("url")


def embed(asked: EmbeddingRequest, turn: Turn) -> Result:
    """The vector of each text."""
    size = asked.dimensions or _embedding(asked.model)[0]
    vectors = [
        {"index": index, "object": "embedding", "embedding": vector(text, size)}
        for index, text in enumerate(asked.texts)
    ]
    tokens = sum(map(_tokens, asked.texts))
    usage = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
    return {"model": asked.model, "object": "list", "data": vectors, "usage": usage}


def _tokens(text: str) -> int:
    return max(1, len(words(text)))


def rerank(asked: RerankRequest, turn: Turn) -> Result:
    """The documents in the order of their scores; of two with the same score the first comes first."""
    results = [
        {"index": index, "relevance_score": round(similarity(asked.query, document), 6)}
        | ({"document": document} if asked.return_documents else {})
        for index, document in enumerate(asked.documents)
    ]
    results.sort(key=lambda result: -float(result["relevance_score"]))
    tokens = sum(map(_tokens, [asked.query, *asked.documents]))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {**turn.head, "results": results[: asked.top_n or None], "usage": usage}


def count(asked: TokenizerRequest, turn: Turn) -> Result:
    """How many tokens the messages have, those of pictures and films apart."""
    parts = [part for message in asked.messages for part in _parts(message.get("content"))]
    images, videos = (IMAGE_TOKENS * parts.count(kind) for kind in ("image_url", "video_url"))
    tokens = prompt_tokens(asked.messages) + sum(_tokens(str(tool)) for tool in asked.tools)
    return {
        **turn.head,
        "usage": {
            "prompt_tokens": tokens - images - videos,
            "image_tokens": images,
            "video_tokens": videos,
            "total_tokens": tokens,
        },
    }


def _parts(content: Any) -> list[Any]:
    return [part.get("type") for part in objects(content)]


def moderate(asked: ModerationRequest, turn: Turn) -> Result:
    """The level of each part: REJECT with an unsafe prompt in it, REVIEW with what leads to an unsafe answer."""
    parts: Any = asked.input
    if isinstance(parts, str):
        parts = [{"type": "text", "text": parts}]
    moderated = validated({"input": parts if is_array(parts) else [parts]}, Moderated)
    if isinstance(moderated, Refusal):
        return moderated
    results: list[dict[str, Any]] = []
    for part in moderated.input:
        kind = str(part.__struct_config__.tag)
        text = part.text if isinstance(part, TextPart) else getattr(part, kind).url
        if len(text) > _MODERATED_LENGTH and kind == "text":
            return illegal("input")
        level = "REVIEW" if turn.stage.scenario.unsafe_answer in text else "PASS"
        level = "REJECT" if turn.is_unsafe(text) else level
        results.append(
            {"content_type": kind, "risk_level": level, "risk_type": [] if level == "PASS" else ["violence"]}
        )
    usage = {"moderation_text": {"call_count": len(results)}}
    return {**turn.head, "result_list": results, "usage": usage}


def page(url: str) -> tuple[str, str]:
    """What stands at an address: the title and the text, made up from the words of the address."""
    split = urlsplit(url)
    name = " ".join(part for part in split.path.replace("-", " ").replace("_", " ").split("/") if part)
    title = name or split.netloc
    return title, f"This page of {split.netloc} is about {title}."


def read(asked: ReaderRequest, turn: Turn) -> Result:
    """The text of a page, with what belongs to it as asked."""
    title, text = page(asked.url)
    links, picture = f"[{title}]({asked.url})", f"![{title}]({asked.url.rstrip('/')}/picture.png)"
    plain = asked.return_format == "text"
    blocks = [title if plain else f"# {title}", text]
    if asked.retain_images and not plain:
        blocks.append(picture)
    if asked.with_images_summary:
        blocks.append(f"Images:\n- {picture}")
    if asked.with_links_summary:
        blocks.append(f"Links:\n- {links}")
    result = {
        "content": "\n\n".join(blocks),
        "description": text,
        "title": title,
        "url": asked.url,
        "external": {"stylesheet": {f"{asked.url.rstrip('/')}/page.css": {"type": "text/css"}}},
        "metadata": {
            "keywords": ", ".join(title.split()),
            "viewport": "width=device-width, initial-scale=1",
            "description": text,
            "format-detection": "telephone=no",
        },
    }
    return {**turn.head, "model": "reader", "reader_result": result}


def endpoints(stage: Stage) -> tuple[Endpoint, ...]:
    """The rows of this page."""
    rows = Rows(stage)
    return (
        rows.row("POST", "/embeddings", EmbeddingRequest, embed, models=_EMBEDDINGS),
        rows.row("POST", "/rerank", RerankRequest, rerank, models=("rerank", "rerank-pro")),
        rows.row("POST", "/tokenizer", TokenizerRequest, count, models=_TOKENIZERS),
        rows.row("POST", "/moderations", ModerationRequest, moderate, models=("moderation",)),
        rows.row("POST", "/reader", ReaderRequest, read),
    )
