"""Methods of resources: what they are called, and what a raw answer of each kind is."""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Conversation, byte_server
from tests.transport.sending import client_of
from zhipu_async import AsyncZhipuAI, ConfigError
from zhipu_async.catalogue import rows

NAMES = [name for row in rows() for name in (row.name, *row.aliases)]


def answering(body: bytes, kind: str) -> Callable[[Conversation], Any]:
    """A server that gives one answer to everything."""

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            await talk.answer(body, kind=kind)

    return handler


@pytest.mark.parametrize("name", NAMES)
async def test_a_wrong_argument_is_told_with_the_name_of_the_method(name: str) -> None:
    """TypeError, as of any function, says which method was called; ``help`` shows that name too."""
    async with AsyncZhipuAI("k.s", base_url="http://127.0.0.1:9") as client:
        method = operator.attrgetter(name)(client)
        with pytest.raises(TypeError, match=rf"\.{method.__name__}\(\): .*nonsense"):
            method(nonsense=1)
    own_names = {other.rpartition(".")[2] for other in NAMES}
    assert method.__name__ in own_names


async def test_a_raw_answer_is_not_saved_as_an_empty_file(tmp_path: Path) -> None:
    """``with_raw_response`` gives a file's bytes; what would save or stream them is refused, and the path stays."""
    path = tmp_path / "a"
    path.write_bytes(b"older")
    async with byte_server(answering(b"content", "application/octet-stream")) as server, client_of(server) as client:
        content = client.files.with_raw_response.content
        assert (await content("1")).body == b"content"
        with pytest.raises(ConfigError, match="raw"):
            await content.to_file(path, "1")
        with pytest.raises(ConfigError, match="raw"):
            await content.open("1")
        assert len(server.requests) == 1
    assert path.read_bytes() == b"older"


async def test_a_raw_page_is_not_iterated() -> None:
    """A raw page has no elements: ``await`` gives it, ``async for`` says so."""
    body = b'{"object":"list","data":[{"id":"1"}],"has_more":false}'
    async with byte_server(answering(body, "application/json")) as server, client_of(server) as client:
        raw: Any = client.files.with_raw_response
        assert (await raw.list(purpose="batch")).body == body
        with pytest.raises(TypeError, match="with_raw_response"):
            [file async for file in raw.list(purpose="batch")]


@pytest.mark.parametrize("kind", ["application/json", "application/octet-stream"])
async def test_a_raw_file_may_look_like_an_error(kind: str) -> None:
    """A file of one line that tells of a failed call of a batch is a file, raw too."""
    line = b'{"custom_id":"request-1","error":{"code":"1234","message":"broken"}}'
    async with byte_server(answering(line, kind)) as server, client_of(server) as client:
        raw: Any = client.files.with_raw_response
        assert (await raw.content("1")).body == line
