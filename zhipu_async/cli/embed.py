"""``embed``: texts to vectors, or texts by how near they are to a query (data.md section 1)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from ..attachments import read
from ..errors import ConfigError, DecodeError
from . import progress
from .shared import (
    AsJSON,
    BaseURL,
    at_terminal,
    exit_codes,
    model_option,
    output_is_terminal,
    perform,
    piped,
    write_line,
)

if TYPE_CHECKING:
    from ..client import AsyncZhipuAI

MODEL = "embedding-3"
PER_REQUEST = 64
"""Texts in a request (data.md section 1)."""


class Vector(msgspec.Struct, kw_only=True):
    """What is printed of a text."""

    index: int
    """The place of the text, from 0; blank lines do not count."""
    text: str
    embedding: list[float]


class Found(msgspec.Struct, kw_only=True):
    """A text and its nearness to the query: the cosine, 1 for the same direction."""

    index: int
    text: str
    similarity: float


def embed(
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT...", help="Texts; - reads lines from standard input.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A text per line; blank lines are left out.")
    ] = None,
    query: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Print the texts, the nearest to this one first, in place of vectors."),
    ] = None,
    model: Annotated[str, model_option(kinds=("embedding",))] = MODEL,
    dimensions: Annotated[
        int | None,
        typer.Option(metavar="NUMBERS", min=1, help="Length of a vector: 256, 512, 1024 or 2048; embedding-3 only."),
    ] = None,
    json_wanted: AsJSON = False,
    base_url: BaseURL = None,
) -> None:
    """Turn texts into vectors: one JSON object per text, with its index, text and embedding."""

    async def work(client: AsyncZhipuAI) -> None:
        wanted = await _texts(texts or [], file)
        if query is not None:
            await _show_nearest(client, query, wanted, model, dimensions, as_json=json_wanted)
        elif json_wanted:
            found: list[Vector] = []
            tokens = await _embed(client, wanted, model, dimensions, found.append)
            write_line(_json(model, found, tokens))
        else:
            await _embed(client, wanted, model, dimensions, _print, quiet=output_is_terminal())

    with exit_codes():
        if query is not None and not query.strip():
            raise ConfigError("the query is empty")
        perform(base_url, work)


async def _texts(texts: Sequence[str], file: Path | None) -> list[str]:
    """What is to be embedded: arguments, or the lines of a file or of standard input."""
    if file is not None and texts:
        raise ConfigError("give texts or --file, not both")
    if file is not None and str(file) != "-":
        try:
            lines = _lines((await read(file)).decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise ConfigError(f"{str(file)!r} is not UTF-8 text") from None
        if not lines:
            raise ConfigError(f"{str(file)!r} has no text in it")
        return lines
    if file is not None or list(texts) == ["-"] or (not texts and not at_terminal()):
        lines = _lines(piped())
        if not lines:
            raise ConfigError("standard input has no text in it")
        return lines
    if not texts:
        raise ConfigError("there is no text: give some, or --file, or - for standard input")
    if "-" in texts:
        raise ConfigError("- stands for standard input and goes with no other text")
    if not all(text.strip() for text in texts):
        raise ConfigError("a text is empty")
    return list(texts)


def _lines(text: str) -> list[str]:
    # not splitlines: U+2028 and the like are part of a text
    return [line.removesuffix("\r") for line in text.split("\n") if line.strip()]


def _print(vector: Vector) -> None:
    write_line(msgspec.json.encode(vector).decode())


async def _embed(
    client: AsyncZhipuAI,
    texts: Sequence[str],
    model: str,
    dimensions: int | None,
    take: Callable[[Vector], object],
    *,
    quiet: bool = False,
) -> int:
    """Give ``take`` the vectors in the order of the texts, as they arrive; the tokens that were used.

    ``quiet`` where a line of progress would stand among them.
    """
    tokens = 0
    with progress.counting("embedding", len(texts), hidden=quiet) as line:
        for start in range(0, len(texts), PER_REQUEST):
            asked = texts[start : start + PER_REQUEST]
            answer = await client.embeddings.create(model=model, input=asked, dimensions=dimensions)
            vectors = answer.vectors
            if len(vectors) != len(asked):
                raise DecodeError(f"the service sent {len(vectors)} vectors for {len(asked)} texts")
            for index, (text, vector) in enumerate(zip(asked, vectors, strict=True), start):
                take(Vector(index=index, text=text, embedding=vector))
            line(start + len(asked), len(texts))
            tokens += (answer.usage and answer.usage.total_tokens) or 0
    return tokens


async def _show_nearest(
    client: AsyncZhipuAI, query: str, texts: Sequence[str], model: str, dimensions: int | None, *, as_json: bool
) -> None:
    found: list[Found] = []
    aim: list[float] = []

    def take(vector: Vector) -> None:
        if vector.index == 0:
            aim.extend(vector.embedding)
        else:
            nearness = cosine(aim, vector.embedding)
            found.append(Found(index=vector.index - 1, text=vector.text, similarity=nearness))

    tokens = await _embed(client, [query, *texts], model, dimensions, take)
    found.sort(key=lambda each: -each.similarity)
    if as_json:
        write_line(_json(model, found, tokens, query=query))
        return
    for each in found:
        write_line(f"{each.similarity:7.4f}  {' '.join(each.text.split())}")


def _json(model: str, data: Sequence[Vector | Found], tokens: int, **more: str) -> str:
    return msgspec.json.encode({"model": model, **more, "data": data, "usage": {"total_tokens": tokens}}).decode()


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """The cosine of the angle between two vectors; 0 where one has no length."""
    if len(one) != len(other):
        raise DecodeError(f"the service sent vectors of {len(one)} and of {len(other)} numbers")
    lengths = math.hypot(*one) * math.hypot(*other)
    return sum(a * b for a, b in zip(one, other, strict=True)) / lengths if lengths else 0.0
