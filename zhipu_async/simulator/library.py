"""Knowledge bases as they are kept: documents cut into slices, and slices found again by their likeness to a query."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePath
from typing import Final, NamedTuple

from zhipu_async.simulator.meaning import features, similarity
from zhipu_async.simulator.text import every, words

_TEXTS: Final = frozenset({"doc", "docx", "md", "pdf", "ppt", "pptx", "txt", "url"})
_SHEETS: Final = frozenset({"csv", "xls", "xlsx"})
_SCENES: Final = frozenset({"jpg", "jpeg", "png", "mp4", "mp3", "wav"})
_BY_KIND: Final[Mapping[int | None, frozenset[str]]] = {
    None: _TEXTS | _SHEETS | _SCENES | {"html", "json"},
    1: _TEXTS,
    2: _TEXTS,
    3: _SHEETS,
    5: _TEXTS,
    6: frozenset({"pdf", "ppt", "pptx"}),
    7: _SHEETS,
}
"""Endings of files that each way of slicing takes (openapi.json, DocumentUploadRequest)."""
_CUTS: Final[Mapping[int | None, re.Pattern[str]]] = {
    None: re.compile(r"\n\s*\n"),
    1: re.compile(r"\n(?=#)"),
    2: re.compile(r"\n\s*\n"),
    3: re.compile(r"\n"),
    6: re.compile(r"\f"),
    7: re.compile(r"\Z"),
}
USUAL_SIZE: Final = 300
"""Characters of a slice that is cut by separators, where no other size is given."""
EMBEDDING, EMBEDDED, FAILED = 0, 1, 2
"""How far the embedding of a document is. The numbers are not documented."""


@dataclass(slots=True)
class Document:
    """A document, and how it was cut."""

    id: str
    base: str
    name: str
    url: str
    text: str
    kind: int | None = None
    separators: Sequence[str] = ("\n",)
    size: int = USUAL_SIZE
    has_pictures: bool = False
    looks_left: int = 1
    """How often it is still seen being embedded."""
    slices: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        parts = _cut(self.text, self.separators) if self.kind == 5 else _CUTS[self.kind].split(self.text)
        pieces = [piece for part in parts for piece in (every(self.size, part) if self.kind == 5 else (part,))]
        self.slices = [piece.strip() for piece in pieces if piece.strip()]

    @property
    def ending(self) -> str:
        """The ending of its name without the dot."""
        return PurePath(self.name).suffix.removeprefix(".").lower() or "url"

    @property
    def tokens(self) -> int:
        """How long it is for a model."""
        return len(words(self.text))


def _cut(text: str, separators: Sequence[str]) -> Iterable[str]:
    return re.split("|".join(map(re.escape, separators)), text)


@dataclass(slots=True)
class Base:
    """A knowledge base: what its owner said about it."""

    id: str
    embedding_id: int
    name: str
    description: str = ""
    contextual: int = 0
    background: str = "blue"
    icon: str = "question"


class Found(NamedTuple):
    """A slice that fits a query."""

    score: float
    document: Document
    place: int
    """Where it is in the document, from 0."""

    @property
    def text(self) -> str:
        """What it says."""
        return self.document.slices[self.place]


class Library:
    """The bases and documents by their ids."""

    def __init__(self) -> None:
        self.bases: dict[str, Base] = {}
        self.documents: dict[str, Document] = {}

    def of(self, base: str, only: Collection[str] = ()) -> list[Document]:
        """The documents of a base, or those of them that are named."""
        return [
            document
            for document in self.documents.values()
            if document.base == base and document.id in (only or (document.id,))
        ]

    def remove_base(self, base: str) -> bool:
        """Forget a base with its documents; False where there is none."""
        for document in self.of(base):
            del self.documents[document.id]
        return self.bases.pop(base, None) is not None


def unfit(name: str, content: bytes, kind: int | None) -> str | None:
    """Why a file becomes no document; None where nothing is wrong with it."""
    ending = PurePath(name).suffix.removeprefix(".").lower()
    if not content:
        return "The file is empty"
    return None if ending in _BY_KIND[kind] else f"Files of type {ending or 'unknown'} cannot be cut in this way"


def text_of(name: str, content: bytes) -> str:
    """The text of a file; of one that is no text its name and size."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"{name}, a file of {len(content)} bytes"


def find(
    documents: Iterable[Document], query: str, *, embedding: float, threshold: float, candidates: int, limit: int
) -> list[Found]:
    """The slices that fit best, the best first. `embedding` is the weight of likeness; common words have the rest."""
    asked = features(query).keys()
    found = [
        Found(round(embedding * similarity(query, text) + (1 - embedding) * _common(asked, text), 6), document, index)
        for document in documents
        for index, text in enumerate(document.slices)
    ]
    found.sort(key=lambda each: -each.score)
    return list(islice((each for each in found[:candidates] if each.score >= threshold), limit))


def _common(asked: Collection[str], text: str) -> float:
    """The share of the query's parts that are in the text."""
    there = features(text)
    return sum(part in there for part in asked) / len(asked)
