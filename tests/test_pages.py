"""Lists that come in pages: one page, all elements, page by page, as a coroutine, and services that misbehave."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.servers import ByteServer, Conversation, byte_server
from tests.transport.sending import client_of
from zhipu_async import APIError, ConnectionLost, DecodeError
from zhipu_async.pages import Pages
from zhipu_async.types.files import FileList, FileObject

Answer = Callable[[dict[str, str]], Any]


def query(request: bytes) -> dict[str, str]:
    """The parameters of a request."""
    target = request.split(b" ")[1].decode()
    return {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}


def paging(answer: Answer) -> Callable[[Conversation], Any]:
    """A server whose answers depend on the query; an int is a status, None a connection that breaks."""

    async def handler(talk: Conversation) -> None:
        while request := await talk.request():
            found = answer(query(request))
            if found is None:
                return
            if isinstance(found, int):
                await talk.answer(b'{"error":{"code":"1210","message":"no"}}', status=f"{found} No")
            else:
                await talk.answer(json.dumps(found).encode())

    return handler


def files(size: int, total: int) -> Answer:
    """A service with ``total`` files, ``size`` of them on a page."""

    def answer(parameters: dict[str, str]) -> Any:
        begin = int(parameters.get("after", "0"))
        end = min(begin + size, total)
        return {
            "object": "list",
            "data": [{"id": str(number + 1), "purpose": parameters["purpose"]} for number in range(begin, end)],
            "has_more": end < total,
        }

    return answer


def asked(server: ByteServer) -> list[str | None]:
    """The cursors of the requests, in order."""
    return [query(request).get("after") for request in server.requests]


async def ids(pages: Pages[FileList, FileObject]) -> list[str | None]:
    return [file.id async for file in pages]


async def test_awaiting_gives_one_page() -> None:
    """As the other SDKs' lists do: an answer with its elements, and the request for what follows."""
    async with byte_server(paging(files(2, 5))) as server, client_of(server) as client:
        page = await client.files.list(purpose="batch", limit=2)
        assert [file.id for file in page.data] == [file.id for file in page.items] == ["1", "2"]
        assert page.has_more is True
        assert page.timing is not None
        assert query(server.requests[0]) == {"purpose": "batch", "limit": "2"}
        page = await client.files.list(purpose="batch", after="4")
        assert ([file.id for file in page.data], page.has_more) == (["5"], False)
        assert len(server.requests) == 2


@pytest.mark.parametrize(("size", "total"), [(2, 5), (2, 4), (1, 3), (10, 3), (10, 0)])
async def test_iterating_gives_the_elements_of_all_pages(size: int, total: int) -> None:
    """Each once, in their order; the last page is followed by no other, and all arguments go with every request."""
    async with byte_server(paging(files(size, total))) as server, client_of(server) as client:
        listed = client.files.list(purpose="agent", limit=7, extra_query={"x": "y"}, extra_headers={"X-Own": "1"})
        assert await ids(listed) == [str(number + 1) for number in range(total)]
        pages = max(1, -(-total // size))
        assert asked(server) == [None, *(str(size * number) for number in range(1, pages))]
        for request in server.requests:
            assert {"purpose": "agent", "limit": "7", "x": "y"}.items() <= query(request).items()
            assert b"X-Own: 1\r\n" in request


async def test_pages_come_one_by_one() -> None:
    """pages() gives the answers themselves; each is asked for when the one before was used up."""
    async with byte_server(paging(files(2, 5))) as server, client_of(server) as client:
        seen: list[tuple[list[str | None], int]] = []
        async for page in client.files.list(purpose="batch").pages():
            seen.append(([file.id for file in page.items], len(server.requests)))
        assert seen == [(["1", "2"], 1), (["3", "4"], 2), (["5"], 3)]


async def test_nothing_is_asked_before_it_is_wanted() -> None:
    """Not when the list is made, and not for the next page while elements of this one are left."""
    async with byte_server(paging(files(2, 6))) as server, client_of(server) as client:
        listed = client.files.list(purpose="batch")
        await asyncio.sleep(0.05)
        assert server.opened == 0
        iterator = aiter(listed)
        await asyncio.sleep(0.05)
        assert server.opened == 0
        for number, requests in [("1", 1), ("2", 1), ("3", 2), ("4", 2)]:
            assert (await anext(iterator)).id == number
            await asyncio.sleep(0.02)
            assert len(server.requests) == requests


async def test_a_list_can_be_iterated_again() -> None:
    """Every iteration begins at the first page."""
    async with byte_server(paging(files(2, 3))) as server, client_of(server) as client:
        listed = client.files.list(purpose="batch")
        assert await ids(listed) == await ids(listed) == ["1", "2", "3"]
        first, second = await asyncio.gather(ids(listed), ids(listed))
        assert first == second == ["1", "2", "3"]


async def test_a_list_is_a_coroutine_for_asyncio() -> None:
    """create_task, gather, wait_for, TaskGroup and ensure_future take it; each gives the first page."""
    async with byte_server(paging(files(2, 5))) as server, client_of(server) as client:

        def make() -> Pages[FileList, FileObject]:
            return client.files.list(purpose="batch")

        assert asyncio.iscoroutine(make())
        async with asyncio.TaskGroup() as group:
            task = group.create_task(make())
        pages = [
            task.result(),
            await asyncio.create_task(make()),
            *await asyncio.gather(make(), make()),
            await asyncio.wait_for(make(), 5),
            await asyncio.ensure_future(make()),
        ]
        assert [len(page.data) for page in pages] == [2] * 6
        assert asked(server) == [None] * 6


async def test_a_task_of_a_list_can_be_cancelled() -> None:
    """Before it began, and while it waits: nothing is left of it."""

    async def handler(talk: Conversation) -> None:
        await talk.request()
        await talk.reader.read()

    async with byte_server(handler) as server, client_of(server) as client:
        for pause in (0.0, 0.1):
            task = asyncio.create_task(client.files.list(purpose="batch"))
            if pause:
                await asyncio.sleep(pause)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert len(server.requests) == 1


async def test_a_list_is_awaited_once() -> None:
    """A second await is refused, as of any coroutine, and asks nothing."""
    async with byte_server(paging(files(2, 5))) as server, client_of(server) as client:
        listed = client.files.list(purpose="batch")
        await listed
        with pytest.raises(RuntimeError, match="already awaited"):
            await listed
        assert len(server.requests) == 1


async def test_no_warning_for_what_is_not_used_up(recwarn: pytest.WarningsRecorder) -> None:
    """Never awaited, closed unawaited, left half-way, or abandoned: no warning, and the pool is free."""
    async with byte_server(paging(files(2, 50))) as server, client_of(server) as client:
        client.files.list(purpose="batch")
        client.files.list(purpose="batch").close()
        aiter(client.files.list(purpose="batch"))
        async for file in client.files.list(purpose="batch"):
            if file.id == "3":
                break
        async for _ in client.files.list(purpose="batch").pages():
            break
        gc.collect()
        await asyncio.sleep(0)
        assert len(server.requests) == 3
    gc.collect()
    assert recwarn.list == []


REPEATING: dict[str, tuple[Answer, list[str | None]]] = {
    "the same page whatever is asked": (
        lambda _: {"data": [{"id": "1"}, {"id": "2"}], "has_more": True},
        ["1", "2"],
    ),
    "empty pages without end": (lambda _: {"data": [], "has_more": True}, []),
    "elements without ids": (lambda _: {"data": [{"filename": "a"}], "has_more": True}, [None]),
    "a last page over and over": (
        lambda parameters: {"data": [{"id": "2"} if "after" in parameters else {"id": "1"}], "has_more": True},
        ["1", "2"],
    ),
    "an end that is not told": (lambda _: {"data": [{"id": "1"}]}, ["1"]),
    "no data": (lambda _: {"has_more": True}, []),
}


@pytest.mark.parametrize("case", REPEATING)
async def test_a_service_that_repeats_itself_comes_to_an_end(case: str) -> None:
    """It is not asked for ever, and what it repeats is not given twice."""
    answer, expected = REPEATING[case]
    async with byte_server(paging(answer)) as server, client_of(server) as client:
        async with asyncio.timeout(5):
            assert await ids(client.files.list(purpose="batch")) == expected
        assert len(server.requests) <= len(expected) + 1


GOING_ON: dict[str, tuple[list[Any], list[str]]] = {
    "an empty page in the middle": (
        [
            {"data": [{"id": "1"}], "last_id": "1", "has_more": True},
            {"data": [], "last_id": "5", "has_more": True},
            {"data": [{"id": "6"}], "last_id": "6", "has_more": False},
        ],
        ["1", "6"],
    ),
    "full pages that tell nothing": (
        [
            {"data": [{"id": "1"}, {"id": "2"}]},
            {"data": [{"id": "3"}, {"id": "4"}], "has_more": None},
            {"data": [{"id": "5"}]},
        ],
        ["1", "2", "3", "4", "5"],
    ),
    "full pages, then an empty one": ([{"data": [{"id": "1"}, {"id": "2"}]}, {"data": []}], ["1", "2"]),
    "a full page that is the last": ([{"data": [{"id": "1"}, {"id": "2"}], "has_more": False}], ["1", "2"]),
}


@pytest.mark.parametrize("case", GOING_ON)
async def test_a_page_that_does_not_look_like_it_is_followed(case: str) -> None:
    """A list goes on after an empty page that names a cursor, and after one that is full and tells no end."""
    pages, expected = GOING_ON[case]
    left = iter(pages)
    async with byte_server(paging(lambda _: next(left))) as server, client_of(server) as client:
        assert [batch.id async for batch in client.batches.list(limit=2)] == expected
        assert len(server.requests) == len(pages)


async def test_a_list_that_goes_in_a_circle_is_an_error() -> None:
    """Pages that name each other are not asked for ever: each is given once or twice, then a DecodeError ends it."""

    def answer(parameters: dict[str, str]) -> Any:
        return {"data": [{"id": "2" if parameters.get("after") == "1" else "1"}], "has_more": True}

    async with byte_server(paging(answer)) as server, client_of(server) as client:
        with pytest.raises(DecodeError, match="does not end"):
            await ids(client.files.list(purpose="batch"))
        assert asked(server) == [None, "1", "2"]


@pytest.mark.parametrize(("failure", "error"), [(400, APIError), (None, ConnectionLost)])
async def test_an_error_in_the_middle_keeps_what_came(failure: int | None, error: type[Exception]) -> None:
    """The elements before it were given; the error is the page's own, and the list ends with it."""

    def answer(parameters: dict[str, str]) -> Any:
        return failure if parameters.get("after") == "4" else files(2, 10)(parameters)

    async with byte_server(paging(answer)) as server, client_of(server, max_retries=0) as client:
        came: list[str | None] = []
        iterator = aiter(client.files.list(purpose="batch"))

        async def take() -> None:
            while True:
                came.append((await anext(iterator)).id)

        with pytest.raises(error):
            await take()
        assert came == ["1", "2", "3", "4"]
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)


async def test_a_page_that_fails_once_is_asked_again() -> None:
    """A broken connection costs the page an attempt, not the list its elements."""
    broken: list[str] = []

    def answer(parameters: dict[str, str]) -> Any:
        if parameters.get("after") == "2" and not broken:
            broken.append("once")
            return None
        return files(2, 5)(parameters)

    async with byte_server(paging(answer)) as server, client_of(server) as client:
        assert await ids(client.files.list(purpose="batch")) == ["1", "2", "3", "4", "5"]
        assert asked(server) == [None, "2", "2", "4"]


async def test_bad_arguments_are_refused_when_the_list_is_made() -> None:
    """A typo is a TypeError at the call, not at the first page."""
    async with byte_server(paging(files(2, 5))) as server, client_of(server) as client:
        with pytest.raises(TypeError):
            client.files.list(purpos="batch")  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            client.files.list()  # type: ignore[call-arg]
        assert server.opened == 0
