"""Chunks to a whole answer: what the plain call would have given (streaming.md section 2)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhipu_async.protocol.accumulate import ChatAccumulator
from zhipu_async.protocol.chunks import CHAT, ChunkReader
from zhipu_async.protocol.codec import decode
from zhipu_async.protocol.tolerant import convert
from zhipu_async.types.chat import ChatCompletion, ChatCompletionChunk
from zhipu_async.types.tools import ToolCall, ToolCallDelta

from .expected import SAMPLES, sample
from .feeding import DONE, cut, cuts, examples, frame, plain, splits


def chunk(**members: Any) -> ChatCompletionChunk:
    """A chunk struct."""
    return convert(members, ChatCompletionChunk, [])


def fold(*chunks: dict[str, Any]) -> Any:
    """What chunks fold to, as plain values."""
    folding = ChatAccumulator()
    for members in chunks:
        folding.add(chunk(**members))
    return plain(folding.result(complete=True))


def says(**delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta}]}


# ---------------------------------------------------------------- equal to the plain answer

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = st.from_regex(r"[a-zA-Z0-9_-]{1,8}", fullmatch=True)
counts = st.integers(0, 1 << 40)
pages = st.fixed_dictionaries({}, optional=dict.fromkeys(("icon", "title", "link", "content", "refer"), texts))
usages = st.fixed_dictionaries(
    {"prompt_tokens": counts, "completion_tokens": counts, "total_tokens": counts},
    optional={
        "prompt_tokens_details": st.fixed_dictionaries({"cached_tokens": counts}),
        "completion_tokens_details": st.fixed_dictionaries({"reasoning_tokens": counts}),
    },
)


@st.composite
def tool_calls(draw: st.DrawFn) -> list[dict[str, Any]]:
    calls = draw(st.lists(st.tuples(names, texts), min_size=1, max_size=3))
    return [
        {"id": f"call_{index}", "index": index, "type": "function", "function": {"name": name, "arguments": arguments}}
        for index, (name, arguments) in enumerate(calls)
    ]


messages = st.fixed_dictionaries(
    {"role": st.just("assistant")},
    optional={
        "content": texts,
        "reasoning_content": texts,
        "tool_calls": tool_calls(),
        "audio": st.fixed_dictionaries({"id": names, "data": names, "expires_at": names}),
    },
)
reasons = st.sampled_from(["stop", "tool_calls", "length", "sensitive", "network_error", "new"])
answers = st.fixed_dictionaries(
    {
        "id": names,
        "created": st.integers(1, 1 << 40),
        "model": names,
        "object": st.just("chat.completion"),
        "choices": st.lists(st.tuples(reasons, messages), min_size=1, max_size=2).map(
            lambda choices: [
                {"index": index, "finish_reason": reason, "message": message}
                for index, (reason, message) in enumerate(choices)
            ]
        ),
    },
    optional={
        "usage": usages,
        "web_search": st.lists(pages, min_size=1, max_size=2),
        "video_result": st.lists(
            st.fixed_dictionaries({"url": texts, "cover_image_url": texts}), min_size=1, max_size=2
        ),
        "content_filter": st.lists(st.fixed_dictionaries({"role": names, "level": st.integers(0, 3)}), min_size=1),
    },
)


def deltas(message: dict[str, Any], positions: list[int]) -> list[dict[str, Any]]:
    """The pieces of a message, in the order of the service: reasoning, content, calls, audio."""
    pieces: list[dict[str, Any]] = []
    for name in ("reasoning_content", "content"):
        if name in message:
            pieces += [{name: piece} for piece in cut(message[name], positions) or [""]]
    for call in message.get("tool_calls", ()):
        function = call["function"]
        opening = call | {"function": {"name": function["name"], "arguments": ""}}
        more = [
            {"index": call["index"], "function": {"arguments": piece}}
            for piece in cut(function["arguments"], positions)
        ]
        pieces += [{"tool_calls": [fragment]} for fragment in (opening, *more)]
    if "audio" in message:
        audio = message["audio"]
        pieces += [{"audio": {"id": audio["id"], "data": piece}} for piece in cut(audio["data"], positions)]
        pieces += [{"audio": {"expires_at": audio["expires_at"]}}]
    return [{"role": "assistant"} | piece for piece in pieces]


def stream_of(answer: dict[str, Any], positions: list[int]) -> bytes:
    """The stream in which the service would give the answer; extras come with the first chunk, usage with the last."""
    head = {name: answer[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    extras = {name: answer[name] for name in ("web_search", "video_result", "content_filter") if name in answer}
    frames = [head | extras | {"choices": []}]
    for choice in answer["choices"]:
        index = choice["index"]
        frames += [
            head | {"choices": [{"index": index, "delta": delta}]} for delta in deltas(choice["message"], positions)
        ]
        frames.append(head | {"choices": [{"index": index, "finish_reason": choice["finish_reason"], "delta": {}}]})
    if "usage" in answer:
        frames[-1] |= {"usage": answer["usage"]}
    return b"".join(map(frame, frames)) + DONE


@examples(250)
@given(answers, cuts, st.data())
def test_folded_result_is_the_plain_answer(answer: dict[str, Any], positions: list[int], data: st.DataObject) -> None:
    """An answer streamed in any pieces folds to the struct that its plain form decodes to."""
    reader = ChunkReader(CHAT)
    for piece in data.draw(splits(stream_of(answer, positions))):
        reader.feed(piece)
    result = reader.result()
    assert result == decode(ChatCompletion, msgspec.json.encode(answer))
    assert result.complete
    assert reader.damaged == 0


# ---------------------------------------------------------------- the rules one by one


def test_last_finish_reason_and_usage_count() -> None:
    """The last non-empty finish reason and the last usage count; later chunks without them change nothing."""
    whole = fold(
        {"choices": [{"finish_reason": "tool_calls"}], "usage": {"total_tokens": 1}},
        {"choices": [{"finish_reason": "stop"}], "usage": {"total_tokens": 2}},
        {"choices": [{"finish_reason": None}]},
        {"choices": [{"finish_reason": ""}], "usage": None},
    )
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert whole["usage"] == {"total_tokens": 2}


@pytest.mark.parametrize("name", ["web_search", "video_result", "content_filter"])
def test_last_non_empty_list_counts(name: str) -> None:
    """Of lists that may come on any chunk the last non-empty one is kept."""
    key = "role" if name == "content_filter" else "url" if name == "video_result" else "title"
    first, last = [{key: "a"}], [{key: "b"}, {key: "c"}]
    assert fold({name: first}, {name: last}, {name: []}, {name: None}, says(content="x"))[name] == last


def test_absent_and_empty_text_differ() -> None:
    """Content that never came is None, content that came empty is empty, as in the plain answer."""
    assert "content" not in fold(says(role="assistant"))["choices"][0]["message"]
    assert "content" not in fold(says(content=None))["choices"][0]["message"]
    assert fold(says(content=None), says(content=""))["choices"][0]["message"]["content"] == ""


def test_head_comes_from_the_first_chunk_that_has_it() -> None:
    """Id, model and time are those of the first chunk that names them."""
    head = {"id": "1", "model": "m", "created": 5, "object": "chat.completion.chunk"}
    whole = {"id": "1", "model": "m", "created": 5, "object": "chat.completion"}
    message = says(content="x")
    folded = [{"message": {"role": "assistant", "content": "x"}}]
    for chunks in (
        [head | message],
        [{}, {"id": None, "choices": None}, head, message],
        [head | message, {"id": "2", "model": "n", "created": 6}],
        [head, {"usage": None}, message],
        [{"model": "m"} | message, {"id": "1", "created": 5, "object": "chat.completion.chunk"}],
    ):
        assert fold(*chunks) == whole | {"choices": folded}
    without_id = {name: value for name, value in head.items() if name != "id"}
    assert fold(without_id | message, {"usage": None}) == {
        **{name: value for name, value in whole.items() if name != "id"}, "choices": folded,
    }  # fmt: skip


def test_other_name_of_reasoning() -> None:
    """Reasoning under the name that some servers use is kept under that name and given as .reasoning."""
    folding = ChatAccumulator()
    for piece in ("a", "b"):
        folding.add(chunk(**says(reasoning=piece)))
    result = folding.result(complete=True)
    assert result.reasoning == result.choices[0].message.reasoning == "ab"
    assert result.choices[0].message.reasoning_content is None


def test_role_of_another_kind() -> None:
    """A role of the future is passed on; without any the role is assistant."""
    assert fold(says(role="oracle"), says(content="x"))["choices"][0]["message"]["role"] == "oracle"
    assert fold(says(content="x"))["choices"][0]["message"]["role"] == "assistant"


def test_audio() -> None:
    """Data of audio is joined; its first id and its last time of expiry count; without data there is none."""
    folded = fold(
        says(audio={"id": "a", "expires_at": 1}), says(audio={"data": "UklG"}), says(audio={"id": "b", "data": "Rg=="}),
        says(audio={"expires_at": 2}), says(audio={}),
    )  # fmt: skip
    assert folded["choices"][0]["message"]["audio"] == {"id": "a", "data": "UklGRg==", "expires_at": 2}
    assert fold(says(audio={"id": "a"}))["choices"][0]["message"]["audio"] == {"id": "a"}


def test_nothing_folds_to_an_empty_answer() -> None:
    """Without a chunk the result is an empty, incomplete answer with all conveniences."""
    result = ChatAccumulator().result(complete=False)
    assert plain(result) == {}
    assert (result.text, result.reasoning, result.tool_calls, result.finish_reason) == ("", "", [], None)
    assert not result.complete


# ---------------------------------------------------------------- chunks belong to the caller


def vendors_loop(chunks: list[ChatCompletionChunk]) -> tuple[str, str, dict[int, ToolCallDelta]]:
    """The loop that the vendor publishes for streamed tool calls, attribute names and all."""
    reasoning_content = content = ""
    final_tool_calls: dict[int, ToolCallDelta] = {}
    for part in chunks:
        if not part.choices:
            continue
        delta = part.choices[0].delta
        if hasattr(delta, "reasoning_content") and delta.reasoning_content:
            reasoning_content += delta.reasoning_content
        if hasattr(delta, "content") and delta.content:
            content += delta.content
        if delta.tool_calls:
            for tool_call in delta.tool_calls:
                index = tool_call.index
                assert index is not None
                if index not in final_tool_calls:
                    final_tool_calls[index] = tool_call
                else:
                    final_tool_calls[index].function.arguments += tool_call.function.arguments
    return reasoning_content, content, final_tool_calls


@pytest.mark.parametrize("name", ["S2", "S3", "S7_one_delta", "S7_two_deltas", "S7_interleaved"])
@pytest.mark.parametrize("step", [50, 100_000])
def test_the_vendors_loop(name: str, step: int) -> None:
    """The vendor's published loop runs on our chunks, gets what the result holds, and does not disturb the result."""
    stream, expected = sample(name), SAMPLES[name]
    reader, chunks, kept = ChunkReader(CHAT), list[ChatCompletionChunk](), dict[int, ToolCallDelta]()
    for start in range(0, len(stream), step):
        chunks += reader.feed(stream[start : start + step])
    reasoning, content, kept = vendors_loop(chunks)
    assert plain(reader.result()) == expected.result
    assert reasoning == expected.message.get("reasoning_content", "")
    assert content == expected.message["content"]
    assert [plain(call) for call in kept.values()] == expected.message["tool_calls"]


def test_changing_chunks_changes_no_result() -> None:
    """Nothing of a chunk is shared with the result, and nothing of a result with the next."""
    members = {
        "id": "1",
        "choices": [{"delta": {"content": "x", "tool_calls": [{"index": 0, "id": "c", "function": {"name": "f"}}]}}],
        "usage": {"total_tokens": 1, "prompt_tokens_details": {"cached_tokens": 1}},
        "web_search": [{"title": "x"}],
        "video_result": [{"url": "x"}],
        "content_filter": [{"role": "user", "level": 1}],
    }

    def spoil(struct: Any) -> None:
        struct.usage.prompt_tokens_details.cached_tokens = 2
        struct.web_search[0].title = struct.video_result[0].url = "y"
        struct.content_filter.clear()
        struct.choices.clear()

    folding, one = ChatAccumulator(), chunk(**members)
    folding.add(one)
    first = folding.result(complete=False)
    before = plain(first)
    spoil(one)
    calls: list[ToolCall] = first.tool_calls
    calls[0].function.name = "g"
    spoil(first)
    assert plain(folding.result(complete=False)) == before
