"""Each target over its corpus, over mutations of it, and over input that has the shape of its format."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .mutation import CORPUS, TOKENS, known, mutated
from .targets import TARGETS

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
"""Of each kind for each target; ``FUZZ_EXAMPLES=20000 pytest tests/fuzz`` for a long search."""

some = settings(max_examples=EXAMPLES, deadline=None)
names = pytest.mark.parametrize("name", TARGETS)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**31, 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\ud800", "1302", "a\0b", "stop", "FAILED"])
)
# fmt: off
MEMBERS = [
    "id", "choices", "index", "delta", "message", "content", "reasoning_content", "tool_calls",
    "function", "name", "arguments", "finish_reason", "usage", "total_tokens", "error", "code",
    "msg", "success", "data", "type", "status", "task_status", "custom_id", "response",
    "status_code", "body", "hash", "run", "seconds", "begun", "batch", "mcp",
    "audio", "web_search", "content_filter", "request_id", "created", "model", "messages", "text",
    "event", "object",
]
# fmt: on
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=5),
    max_leaves=25,
)
objects = st.dictionaries(st.sampled_from(MEMBERS), documents, max_size=6)
"""Objects with the members that the client reads, of any type."""


def written(value: Any) -> bytes:
    """A value as JSON, with lone surrogates escaped."""
    return json.dumps(value).encode()


SHAPES: dict[str, st.SearchStrategy[bytes]] = {
    "lines": st.lists(objects.map(written), max_size=4).map(b"\n".join),
    "events": st.lists(
        st.tuples(
            st.sampled_from([b"data: ", b"data:", b"event: ping\ndata: ", b"id: 1\ndata: ", b": c\n\ndata: "]),
            objects.map(written) | st.just(b"[DONE]"),
            st.sampled_from([b"\n\n", b"\r\n\r\n", b"\n", b"\r\r", b"\n\n\n"]),
        ).map(b"".join),
        max_size=5,
    ).map(b"".join),
    "tokens": st.lists(st.sampled_from(TOKENS), max_size=20).map(b"".join),
    "bytes": st.binary(max_size=200),
}


@names
def test_the_corpus(name: str) -> None:
    """What broke the target once does so no more, and each target has something to begin with."""
    assert known(name)
    for data in known(name):
        TARGETS[name](data)


@names
def test_mutations_of_the_corpus(name: str) -> None:
    """What holds of any bytes holds after bits flip, pieces are cut, repeated and swapped, and tokens appear."""
    corpus = known(name)

    @some
    @given(st.sampled_from(corpus), st.sampled_from(corpus), st.integers(0, 2**32))
    def holds(data: bytes, other: bytes, seed: int) -> None:
        TARGETS[name](mutated(data, other, random.Random(seed)))

    holds()


@names
def test_shapes_and_bytes(name: str) -> None:
    """What holds of any bytes holds of JSON with members of wrong types, of events of it, of tokens and of noise."""

    @some
    @given(st.one_of(*SHAPES.values()))
    def holds(data: bytes) -> None:
        TARGETS[name](data)

    holds()


def test_the_corpus_is_small() -> None:
    """Every folder of the corpus belongs to a target; in all there are under 150 files and 200 kB."""
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    sizes = [path.stat().st_size for path in CORPUS.glob("*/*")]
    assert len(sizes) < 150
    assert sum(sizes) < 200_000


def test_every_target_says_what_must_hold() -> None:
    """The first line of each target's docstring is its invariant."""
    assert all(target.__doc__ for target in TARGETS.values())
