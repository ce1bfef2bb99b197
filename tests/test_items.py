"""The input of a run: what may be one, how its items are numbered and named, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fanning import call, text_of
from zhipu_async import AsyncZhipuAI
from zhipu_async.errors import ConfigError
from zhipu_async.items import Item, Source, items

ONE, TWO = call("1"), call("2")


def read(source: Any, **parameters: Any) -> list[Item[Any]]:
    """All items."""

    async def take() -> list[Item[Any]]:
        return [item async for item in items(source, parameters)]

    return asyncio.run(take())


def generator() -> Iterator[Any]:
    yield ONE
    yield TWO


async def async_generator() -> AsyncIterator[Any]:
    yield ONE
    await asyncio.sleep(0)
    yield TWO


class AsyncList:
    """An async iterable that is no generator and has nothing to close."""

    def __init__(self, *entries: Any) -> None:
        self._entries = list(entries)

    def __aiter__(self) -> AsyncList:
        return self

    async def __anext__(self) -> Any:
        if not self._entries:
            raise StopAsyncIteration
        return self._entries.pop(0)


@pytest.mark.parametrize(
    "source",
    [[ONE, TWO], (ONE, TWO), generator(), async_generator(), AsyncList(ONE, TWO), iter([ONE, TWO])],
    ids=["list", "tuple", "generator", "async generator", "async iterable", "iterator"],
)
def test_any_iterable_gives_its_calls_numbered(source: Any) -> None:
    """Items come in the input's order, with their places and without ids."""
    assert [(item.index, item.id, item.call) for item in read(source)] == [(0, None, ONE), (1, None, TWO)]


@pytest.mark.parametrize(
    "source",
    [{"a": ONE, "b": TWO}, [("a", ONE), ("b", TWO)], {"a": ONE, "b": TWO}.items(), AsyncList(("a", ONE), ("b", TWO))],
    ids=["mapping", "pairs", "items", "async pairs"],
)
def test_mappings_and_pairs_bring_ids(source: Any) -> None:
    """Keys and first members of pairs are the ids."""
    assert [(item.index, item.id, item.call) for item in read(source)] == [(0, "a", ONE), (1, "b", TWO)]


def test_an_empty_id_is_an_id() -> None:
    """The empty text is not taken for no id."""
    assert read([("", ONE)])[0].id == ""


def test_prompts_become_chat_calls_with_the_common_parameters() -> None:
    """Each prompt is a user's message after the system's, and every parameter is in each call."""
    first, second = read({"a": "Hello", "b": "你好"}, model="glm-4.6", system="Be brief.", temperature=0.5)
    expected = AsyncZhipuAI.chat.completions.create.call(
        model="glm-4.6",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
        temperature=0.5,
    )
    assert (first.id, first.call) == ("a", expected)
    assert second.call.arguments.messages[1]["content"] == "你好"  # type: ignore[attr-defined]


def test_a_prompt_without_system_is_one_message() -> None:
    """No system message is made up."""
    assert [message["role"] for message in read(["Hi"], model="glm-4.6")[0].call.arguments.messages] == ["user"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("source", ["a prompt", b"bytes", 7, None, ONE, object()], ids=repr)
def test_what_is_no_input_is_refused_at_once(source: Any) -> None:
    """ConfigError when the run is made, before anything is read."""
    with pytest.raises(ConfigError, match="iterable or mapping"):
        Source(source, {})


@pytest.mark.parametrize(
    ("source", "parameters", "says"),
    [
        ({"a": 7}, {}, "item 0 is no call but a int"),
        ([ONE, None], {}, "item 1 is no call but a NoneType"),
        ([("a", ONE, 1)], {}, r"item 0 is a tuple that is not \(id, call\)"),
        ([(1, ONE)], {}, "tuple that is not"),
        ([(ONE, "a")], {}, "tuple that is not"),
        (["Hi"], {}, "prompts need common parameters"),
        ([ONE], {"model": "glm-4.6"}, "brings its own parameters: model"),
        ([b"Hi"], {"model": "glm-4.6"}, "no call but a bytes"),
        ([{"role": "user", "content": "Hi"}], {"model": "glm-4.6"}, "no call but a dict"),
    ],
    ids=str,
)
def test_a_wrong_item_is_told_with_its_place(source: Any, parameters: dict[str, Any], says: str) -> None:
    """ConfigError names the item and what is wrong with it."""
    with pytest.raises(ConfigError, match=says):
        read(source, **parameters)


@pytest.mark.parametrize("parameters", [{"temperature": 0.5}, {"system": "Be brief."}], ids=str)
def test_parameters_without_a_model_are_refused_at_once(parameters: dict[str, Any]) -> None:
    """ConfigError names what was given, also where the input holds calls."""
    with pytest.raises(ConfigError, match=r"need model=\.\.\."):
        Source([ONE], parameters)


@pytest.mark.parametrize("name", ["temprature", "messages"])
def test_an_unknown_parameter_is_refused_at_once(name: str) -> None:
    """TypeError, as where a single call is made, before the input is touched."""
    with pytest.raises(TypeError, match=name):
        Source(_untouchable(), {"model": "glm-4.6", name: 1})


def _untouchable() -> Iterator[str]:
    raise AssertionError("the input was read")
    yield ""


def test_a_stream_is_refused() -> None:
    """ConfigError for calls that ask for a stream, for prompts with stream=True, and for endpoints that only stream."""
    streaming = AsyncZhipuAI.chat.completions.create.call(model="glm-4.6", messages=[], stream=True)
    with pytest.raises(ConfigError, match="item 0 asks for a stream"):
        read([streaming])
    with pytest.raises(ConfigError, match="leave stream out"):
        Source(["Hi"], {"model": "glm-4.6", "stream": True})
    plain = AsyncZhipuAI.chat.completions.create.call(model="glm-4.6", messages=[], stream=False)
    assert read([plain])[0].call is plain


@pytest.mark.parametrize(("source", "length"), [([ONE] * 3, 3), ({"a": ONE}, 1), (generator(), None)], ids=str)
def test_the_length_is_known_where_the_input_has_one(source: Any, length: int | None) -> None:
    """What has no length has one when it has ended."""

    async def lengths() -> tuple[int | None, int | None]:
        reader = Source[Any](source, {})
        before = reader.length
        while await reader.next() is not None:
            pass
        return before, reader.length

    assert asyncio.run(lengths()) == (length, length or 2)


def test_what_the_input_raises_goes_through_and_is_not_hidden() -> None:
    """An error of the caller's generator reaches who reads, with the items before it read."""

    def failing() -> Iterator[Any]:
        yield ONE
        raise LookupError("no more rows")

    async def take() -> int:
        reader = Source[Any](failing(), {})
        assert await reader.next() is not None
        with pytest.raises(LookupError, match="no more rows"):
            await reader.next()
        return reader.taken

    assert asyncio.run(take()) == 1


def test_an_async_generator_is_asked_by_one_reader_at_a_time() -> None:
    """Many who ask at once get each item once, in order of asking."""

    async def take() -> list[int | None]:
        async def slow() -> AsyncIterator[Any]:
            for text in "012":
                await asyncio.sleep(0)
                yield call(text)

        reader = Source[Any](slow(), {})
        found = await asyncio.gather(*(reader.next() for _ in range(5)))
        return [None if item is None else int(text_of(item.call)) for item in found]

    assert asyncio.run(take()) == [0, 1, 2, None, None]


def test_close_closes_an_async_generator() -> None:
    """Its finally clause has run when close returns, also the second time."""
    closed: list[bool] = []

    async def source() -> AsyncIterator[Any]:
        try:
            yield ONE
            yield TWO
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    async def take() -> None:
        reader = Source[Any](source(), {})
        await reader.next()
        await reader.close()
        await reader.close()

    asyncio.run(take())
    assert closed == [True]


@given(st.lists(st.tuples(st.booleans(), st.text(max_size=5), st.text(max_size=5)), max_size=20))
def test_every_entry_becomes_one_item(entries: list[tuple[bool, str, str]]) -> None:
    """Mixed prompts and pairs keep their number, order, ids and texts."""
    source = [(identity, text) if named else text for named, identity, text in entries]
    found = read(source, model="glm-4.6")
    assert [item.index for item in found] == list(range(len(entries)))
    assert [item.id for item in found] == [identity if named else None for named, identity, _ in entries]
    assert [item.call.arguments.messages[-1]["content"] for item in found] == [text for *_, text in entries]  # type: ignore[attr-defined]


def test_the_callers_objects_are_not_changed() -> None:
    """Parameters and messages that were given are what they were."""
    parameters: dict[str, Any] = {"model": "glm-4.6", "system": "Be brief.", "stop": ["\n"]}
    before = {**parameters, "stop": ["\n"]}
    read(["Hi", "Ho"], **parameters)
    assert parameters == before
