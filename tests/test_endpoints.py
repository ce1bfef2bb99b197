"""What holds for every endpoint of the catalogue: what it sends, what it gives, and how it fails."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
import pytest

from tests.arguments import ALWAYS_SENT, fields, full, least
from tests.conftest import SHORT_SLEEPS
from tests.recording import LOST, RATE_LIMITED, Recorded, Recorder, Reply, recording
from tests.types.test_structs import made
from zhipu_async import APIError, AsyncZhipuAI, BadRequestError, ConnectionLost, NotFoundError
from zhipu_async.catalogue import Row, rows
from zhipu_async.downloads import Binary
from zhipu_async.streaming import Stream
from zhipu_async.types.audio import SpeechChunk

KEY = "0123456789abcdef.0123456789abcdef"
SOUND = b"RIFF\x00\xff"
ODD = "a/b ?#%&=文"
"""A path value that must not be read as anything else."""


class Way(NamedTuple):
    """An endpoint, called for a whole answer or for a stream."""

    row: Row
    stream: bool

    @property
    def events(self) -> bool:
        """Whether events come back."""
        return self.stream or self.row.name == "knowledge.chat"

    @property
    def in_path(self) -> list[str]:
        """The names of the path's variables."""
        return re.findall(r"\{(\w+)\}", self.row.path)

    def arguments(self, of: Callable[[Row], dict[str, Any]], server: Recorder) -> dict[str, Any]:
        """The arguments of the call."""
        given = of(self.row) | ({"stream": True} if self.stream else {})
        texts = {field.name: ODD for field in fields(self.row) if field.name in self.in_path and field.type is str}
        return given | texts | ({"url": f"{server.url}/file"} if self.row.path == "{url}" else {})

    async def call(self, server: Recorder, arguments: dict[str, Any]) -> Any:
        """What the method gives; of a stream its chunks."""
        async with AsyncZhipuAI(api_key=KEY, base_url=server.url, retry=SHORT_SLEEPS) as client:
            answer = await reduce(getattr, self.row.name.split("."), client)(**arguments)  # type: ignore[operator]
            return [chunk async for chunk in answer] if isinstance(answer, Stream) else answer

    def answered(self) -> tuple[Reply, Any]:
        """An answer with every field that the endpoint's struct has, and what the method is to make of it."""
        endpoint = self.row.method.endpoint
        if self.events:
            chunk = _in_order(made(endpoint.chunk, full=True))  # type: ignore[arg-type]
            return Reply(b"data: %s\n\ndata: [DONE]\n\n" % msgspec.json.encode(chunk), kind="text/event-stream"), [
                chunk
            ]
        if endpoint.binary:
            return Reply(SOUND, kind="audio/wav"), SOUND
        answer = _in_order(made(endpoint.response, full=True))
        return Reply(msgspec.json.encode(answer)), answer

    def __str__(self) -> str:
        return self.row.name + (" (stream)" if self.stream else "")


def _in_order(answer: Any) -> Any:
    """The answer without what would say that the call failed."""
    if getattr(answer, "code", None) is not None:
        answer.code = 200
    if isinstance(answer, SpeechChunk):
        answer.choices[0].delta.content = "AAAA"
    return answer


WAYS = [
    Way(row, stream)
    for row in rows()
    for stream in ([False, True] if "stream" in row.method.request.__struct_fields__ else [False])  # type: ignore[attr-defined]
]
OF_SERVICE = [way for way in WAYS if way.row.path != "{url}"]
"""All but the download of files of other hosts, whose answers are taken as they come."""

every = pytest.mark.parametrize("way", WAYS, ids=str)
of_service = pytest.mark.parametrize("way", OF_SERVICE, ids=str)


def expected_path(way: Way, arguments: dict[str, Any]) -> str:
    """The path with the caller's values in it, percent-encoded, below its root."""
    if way.row.path == "{url}":
        return "/api/paas/v4/file"
    path = re.sub(r"\{(\w+)\}", lambda found: quote(str(arguments[found[1]]), safe=""), way.row.path)
    return path if path.startswith("/api/") else f"/api/paas/v4{path}"


def check_sent(way: Way, seen: Recorded, arguments: dict[str, Any]) -> None:
    """The request holds exactly these arguments, each at its place."""
    row, kind = way.row, way.row.method.request
    headers: dict[str, str] = kind.header_fields  # type: ignore[attr-defined]
    assert (seen.verb, seen.path) == (row.verb, expected_path(way, arguments))
    inside = {
        field.encode_name: msgspec.to_builtins(arguments[field.name], builtin_types=(bytes,))
        for field in fields(row)
        if field.name in arguments and field.name not in (*way.in_path, *headers)
    }
    for name, header in headers.items():
        assert seen.headers.get(header.lower()) == arguments.get(name)
    if row.verb in ("GET", "DELETE"):
        assert seen.body == b""
        assert "content-type" not in seen.headers
        assert dict(seen.query) == {name: str(value) for name, value in inside.items()}
        return
    assert seen.query == []
    if row.method.endpoint.form:
        assert {part.name for part in seen.form} == set(inside)
        for part in seen.form:
            assert part.content == _in_a_form(inside[part.name])
            assert (part.filename is not None) == isinstance(inside[part.name], bytes)
    elif inside or not way.in_path:
        assert seen.headers["content-type"] == "application/json"
        assert seen.json == inside
    else:
        assert seen.body == b""


def _in_a_form(value: Any) -> bytes:
    """A value as the content of a part; a list of one is one part."""
    value = value[0] if isinstance(value, list) else value
    if isinstance(value, (bytes, str)):
        return value if isinstance(value, bytes) else value.encode()
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


@every
async def test_with_everything(way: Way) -> None:
    """With every field set each travels at its place, and an answer with every field comes back whole."""
    reply, expected = way.answered()
    async with recording(reply) as server:
        arguments = way.arguments(full, server)
        answer = await way.call(server, arguments)
        assert (bytes(answer) if isinstance(answer, Binary) else answer) == expected
        (seen,) = server.seen
        check_sent(way, seen, arguments)
        assert seen.headers.get("authorization") == (f"Bearer {KEY}" if way in OF_SERVICE else None)


@every
async def test_with_the_least(way: Way) -> None:
    """With only what is required, nothing else is sent, and an answer that says nothing is an answer too."""
    reply, _ = way.answered()
    kind = way.row.method.endpoint.response
    empty = kind is not Binary and not way.events
    least_answer = msgspec.json.encode(made(kind, full=False)) if empty else reply.body
    async with recording(Reply(least_answer, kind=reply.kind)) as server:
        arguments = way.arguments(least, server)
        answer = await way.call(server, arguments)
        assert not empty or answer == made(kind, full=False)
        check_sent(way, server.seen[0], {**ALWAYS_SENT.get(way.row.name, {}), **arguments})


@every
def test_all_ways_to_call_take_the_same_arguments(way: Way) -> None:
    """The request types for a whole answer, for a stream and for either differ in the type of ``stream`` alone."""
    kinds = [way.row.method.request, getattr(way.row.method, "_either_request", way.row.method.request)]
    found = [{field.name: field.type for field in msgspec.structs.fields(kind)} for kind in kinds]  # type: ignore[arg-type]
    assert len({tuple(item for item in types.items() if item[0] != "stream") for types in found}) == 1


# ---------------------------------------------------------------- failures

ILLEGAL = Reply(b'{"error":{"code":"1214","message":"messages parameter is illegal"}}', "400 Bad Request")
NO_ROUTE = Reply(b'{"code":500,"msg":"404 NOT_FOUND","success":false}')
KNOWLEDGE = Reply('{"code":10005,"message":"知识库不存在"}'.encode())
PAGE = b"<html><head><title>blocked</title></head></html>"
OTHERS = [
    (
        "AuthenticationError",
        Reply(b'{"error":{"code":"401","message":"token expired or incorrect"}}', "401 Unauthorized"),
    ),
    ("AuthenticationError", Reply(b'{"code":1001,"msg":"no Authorization","success":false}')),
    ("AuthenticationError", Reply(b'{"code":401,"msg":"no Authorization","success":false}', "401 Unauthorized")),
    ("NotFoundError", Reply(b'{"timestamp":"t","status":404,"error":"Not Found","path":"/v4/v1"}', "404 Not Found")),
    ("PermissionDeniedError", Reply(PAGE, "403 Forbidden", "text/html")),
    ("BadRequestError", Reply(PAGE, "405 Method Not Allowed", "text/html")),
    ("BadRequestError", Reply('{"code":10005,"message":"知识库不存在"}'.encode(), "400 Bad Request")),
]
"""The other answers of errors.md section 2 that may come anywhere."""


@every
async def test_the_error_envelope(way: Way) -> None:
    """An error envelope with HTTP 400 is raised as what its code means, and not asked again."""
    async with recording(ILLEGAL) as server:
        with pytest.raises(BadRequestError) as caught:
            await way.call(server, way.arguments(least, server))
        assert (caught.value.code, caught.value.message) == ("1214", "messages parameter is illegal")
        assert caught.value.status == 400
        assert len(server.seen) == 1


@of_service
async def test_the_envelope_of_the_gateway(way: Way) -> None:
    """The gateway's answer of HTTP 200 for a route that it does not know is NotFoundError wherever it comes."""
    async with recording(NO_ROUTE) as server:
        with pytest.raises(NotFoundError) as caught:
            await way.call(server, way.arguments(least, server))
        assert (caught.value.status, caught.value.code) == (200, "500")
        assert len(server.seen) == 1


@of_service
@pytest.mark.parametrize(("name", "reply"), OTHERS)
async def test_other_envelopes(way: Way, name: str, reply: Reply) -> None:
    """A refused key, a doubled version segment and a firewall's page are told apart on every endpoint, and final."""
    async with recording(reply) as server:
        with pytest.raises(APIError) as caught:
            await way.call(server, way.arguments(least, server))
        assert type(caught.value).__name__ == name
        assert len(server.seen) == 1


@pytest.mark.parametrize("way", [way for way in WAYS if way.events], ids=str)
@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("ContentFilterError", b'{"error":{"code":"1301","message":"unsafe"}}'),
        ("NotFoundError", b'{"code":500,"msg":"404 NOT_FOUND","success":false}'),
    ],
)
async def test_errors_inside_a_stream(way: Way, name: str, frame: bytes) -> None:
    """An error that is the first frame of a stream is raised as what it means by the call itself, on every stream."""
    async with recording(Reply(b"data: %s\n\n" % frame, kind="text/event-stream")) as server:
        with pytest.raises(APIError) as caught:
            await way.call(server, way.arguments(least, server))
        assert type(caught.value).__name__ == name
        assert len(server.seen) == 1


@pytest.mark.parametrize("way", [way for way in WAYS if way.row.method.endpoint.enveloped], ids=str)
async def test_the_envelope_of_knowledge(way: Way) -> None:
    """Another code than 200 in HTTP 200 is an error where answers have such an envelope, streams too."""
    async with recording(KNOWLEDGE) as server:
        with pytest.raises(APIError) as caught:
            await way.call(server, way.arguments(least, server))
        assert (caught.value.status, caught.value.code, caught.value.message) == (200, "10005", "知识库不存在")


# ---------------------------------------------------------------- repeats


@every
async def test_a_lost_answer(way: Way) -> None:
    """When the connection ends after the request was read, what creates something is not sent again; the rest is."""
    reply, _ = way.answered()
    async with recording(LOST, reply) as server:
        if way.row.method.endpoint.creates:
            with pytest.raises(ConnectionLost):
                await way.call(server, way.arguments(least, server))
            assert len(server.seen) == 1
        else:
            await way.call(server, way.arguments(least, server))
            first, second = server.seen
            assert (first.verb, first.path, first.body) == (second.verb, second.path, second.body)


@every
async def test_a_rate_limit(way: Way) -> None:
    """A refusal of load proves that nothing was created: every call is sent again, unchanged, until it is answered."""
    reply, _ = way.answered()
    async with recording(RATE_LIMITED, RATE_LIMITED, reply) as server:
        await way.call(server, way.arguments(full, server))
        assert len(server.seen) == 3
        assert len({(seen.verb, seen.path, seen.body) for seen in server.seen}) == 1


@every
async def test_a_gateway_time_out(way: Way) -> None:
    """An HTTP 504 proves nothing: what creates something is not sent again; the rest is."""
    reply, _ = way.answered()
    async with recording(Reply(b"<html>", "504 Gateway Timeout", "text/html"), reply) as server:
        creates = way.row.method.endpoint.creates
        if creates:
            with pytest.raises(APIError):
                await way.call(server, way.arguments(least, server))
        else:
            await way.call(server, way.arguments(least, server))
        assert len(server.seen) == (1 if creates else 2)
