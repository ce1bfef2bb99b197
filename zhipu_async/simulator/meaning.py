"""How near two texts are: hashed words and letters as vectors, so that common words make a large cosine."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from math import sqrt
from typing import Final
from zlib import crc32

_WORD: Final = re.compile(r"[\u4e00-\u9fff]|[^\W\d_\u4e00-\u9fff]+|\d+")
_ENDING: Final = re.compile(r"(?<=\w{3})(?:ing|es|ed|s)$", re.ASCII)
_STOP_WORDS: Final = frozenset(
    _WORD.findall(
        "a an and are as at be by do does for from has have how i in is it of on or that the this to was what when "
        "where which who why will with you 的 了 是 在 我 你 有 和 吗 什 么 怎"
    )
)
_WEIGHTS: Final = {"stop word": 0.1, "word": 1.0, "pair": 0.8, "letters": 0.25}


@lru_cache(maxsize=1024)
def features(text: str) -> Mapping[str, float]:
    """The parts of a text with weights of a length of 1 in all: words, three letters of words, pairs of characters."""
    weights: defaultdict[str, float] = defaultdict(float)
    found = [_ENDING.sub("", word) for word in _WORD.findall(text.lower())]
    for word in found:
        weights[word] += _WEIGHTS["stop word" if word in _STOP_WORDS else "word"]
        if len(word) > 3:
            for start in range(len(word) - 2):
                weights[f"~{word[start : start + 3]}"] += _WEIGHTS["letters"]
    for first, second in pairwise(found):
        if first >= "\u4e00" and second >= "\u4e00":
            weights[first + second] += _WEIGHTS["pair"]
    if not weights:
        weights[text] = 1.0
    length = sqrt(sum(weight * weight for weight in weights.values()))
    return {part: weight / length for part, weight in weights.items()}


def similarity(one: str, other: str) -> float:
    """The cosine between two texts, from 0 (nothing in common) to 1 (the same words)."""
    left, right = features(one), features(other)
    return min(1.0, sum(weight * right.get(part, 0.0) for part, weight in left.items()))


def vector(text: str, dimensions: int) -> list[float]:
    """The text as a vector with a length of 1: each part stands at the place, and with the sign, that its hash says."""
    values = [0.0] * dimensions
    for part, weight in features(text).items():
        place = crc32(part.encode(errors="replace"))
        values[place % dimensions] += weight if place >> 16 & 1 else -weight
    length = sqrt(sum(value * value for value in values)) or 1.0
    return [round(value / length, 7) for value in values]
