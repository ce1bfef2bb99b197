"""Texts as a language model sees them: cut into pieces, counted in tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import cycle
from typing import Any, Final

from zhipu_async.simulator.shapes import objects

_PIECE: Final = re.compile(r"[\u3000-\u9fff\uff00-\uffef]{1,2}|\s*[^\s\u3000-\u9fff\uff00-\uffef]{1,12}|\s+")
_CHINESE: Final = re.compile(r"[\u4e00-\u9fff]")
_ARGUMENT_PIECE_LENGTHS: Final = (2, 4, 3, 5, 1)

IMAGE_TOKENS: Final = 1024
"""What an image, video, file or sound counts for in `prompt_tokens`."""


@lru_cache(maxsize=256)
def words(text: str) -> tuple[str, ...]:
    """Cut a text into the pieces that a stream sends, about a token each: nothing is lost and nothing added."""
    return tuple(_PIECE.findall(text))


def every(length: int, text: str) -> tuple[str, ...]:
    """Cut a text into pieces of so many characters."""
    return tuple(text[start : start + length] for start in range(0, len(text), length))


@lru_cache(maxsize=256)
def argument_pieces(arguments: str) -> tuple[str, ...]:
    """Cut the arguments of a tool call into pieces of 1 to 5 characters (streaming.md section 3)."""

    def cut() -> Iterator[str]:
        start = 0
        for length in cycle(_ARGUMENT_PIECE_LENGTHS):
            if start >= len(arguments):
                return
            yield arguments[start : start + length]
            start += length

    return tuple(cut()) or ("",)


def is_chinese(text: str) -> bool:
    """Whether there is any Chinese in the text."""
    return _CHINESE.search(text) is not None


def prompt_tokens(messages: Any) -> int:
    """About how many tokens the messages of a request have: four bytes of text make one."""
    total = 3
    for message in objects(messages):
        content = message.get("content")
        texts = [content, *(part.get("text") for part in objects(content))]
        total += 3 + sum(len(text.encode(errors="replace")) // 4 for text in texts if isinstance(text, str))
        total += sum(IMAGE_TOKENS for part in objects(content) if part.get("type") != "text")
    return total
