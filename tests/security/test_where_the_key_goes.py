"""The key, and what else is secret, goes to the configured origin and to nobody else."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.conftest import SHORT_SLEEPS
from tests.security.planted import HEADER, KEY, PLAIN_KEY, QUERY, SECRET_HEADERS, found_in
from tests.servers import COMPLETION, ByteServer, Conversation, byte_server
from tests.transport.sending import both_transports
from zhipu_async import APIError, AsyncZhipuAI, ConfigError, ZhipuError

ASK: dict[str, Any] = {"model": "glm-4.6", "messages": [{"role": "user", "content": "Hello"}]}
STATUSES = ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]
both_credentials = pytest.mark.parametrize(
    ("key", "auth"), [(KEY, "jwt"), (PLAIN_KEY, "bearer")], ids=["jwt", "bearer"]
)


async def listen(talk: Conversation) -> None:
    """Note everything; a chat answer for all."""
    while await talk.request():
        await talk.answer(COMPLETION)


def redirecting(location: Callable[[], str], status: str) -> Any:
    """A server that sends every request elsewhere, and gives a cookie to take along."""

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            cookie = f"Set-Cookie: token={QUERY}; Path=/"
            await talk.answer(b"", f"Location: {location()}", cookie, status=status)

    return handler


@asynccontextmanager
async def client_of(server: ByteServer, transport: str, key: str, auth: Any) -> AsyncIterator[AsyncZhipuAI]:
    """A client with secret headers of its own."""
    settings: dict[str, Any] = {"base_url": server.url, "auth": auth, "retry": SHORT_SLEEPS}
    settings["default_headers"] = {"X-Team-Key": HEADER}
    if transport == "pool":
        async with AsyncZhipuAI(key, **settings) as client:
            yield client
        return
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield AsyncZhipuAI(key, session=session, **settings)


def asking(client: AsyncZhipuAI) -> dict[str, Callable[[], Awaitable[Any]]]:
    """The ways to ask with the key."""
    secrets: dict[str, Any] = {"extra_headers": SECRET_HEADERS}
    return {
        "chat": lambda: client.chat.completions.create(**ASK, **secrets),
        "stream": lambda: client.chat.completions.create(**ASK, **secrets, stream=True),
        "get": lambda: client.models.list(),
        "file": lambda: client.files.content("1", **secrets),
        "upload": lambda: client.files.create(file=b"abc", purpose="batch", **secrets),
        "request": lambda: client.request("GET", "/x", headers=SECRET_HEADERS),
        "realtime": lambda: client.realtime.connect("glm-realtime").__aenter__(),
    }


# ---------------------------------------------------------------- redirects


@both_transports
@both_credentials
@pytest.mark.parametrize("status", STATUSES)
async def test_no_redirect_takes_the_key_elsewhere(status: str, key: str, auth: str, transport: str) -> None:
    """To another port, by each status and each way to ask: the redirect is the error, and the other hears nothing."""
    async with byte_server(listen) as there:
        async with byte_server(redirecting(lambda: there.url, status)) as here:  # noqa: SIM117
            async with client_of(here, transport, key, auth) as client:
                for ask in asking(client).values():
                    with pytest.raises(APIError) as caught:
                        await ask()
                    assert caught.value.status == int(status[:3])
        assert there.opened == 0
        assert len(here.requests) == 7


LOCATIONS: dict[str, Callable[[str, str], str]] = {
    "another host of the same machine": lambda here, there: there.replace("127.0.0.1", "127.0.0.2"),
    "the same name, spelt otherwise": lambda here, there: here.replace("127.0.0.1", "localhost"),
    "protocol-relative": lambda here, there: there.removeprefix("http:"),
    "protocol-relative, three slashes": lambda here, there: "/" + there.removeprefix("http:"),
    "with backslashes": lambda here, there: there.removeprefix("http:").replace("/", "\\"),
    "another scheme": lambda here, there: here.replace("http:", "https:"),
    "a scheme in capitals": lambda here, there: there.replace("http:", "HTTP:"),
    "user information that looks like the host": lambda here, there: there.replace(
        "http://", f"http://{here.removeprefix('http://').partition('/')[0]}@"
    ),
    "the host before a backslash": lambda here, there: there.replace(
        "http://", f"http://{here.removeprefix('http://').partition('/')[0]}\\@"
    ),
    "user information of its own": lambda here, there: here.replace("http://", "http://user:word@"),
    "a host that begins like this one": lambda here, there: here.replace("127.0.0.1", "127.0.0.1.example.com"),
    "a port that begins like this one": lambda here, there: here.partition("/api")[0] + "0/x",
    "no web address": lambda here, there: "file:///etc/passwd",
    "nothing": lambda here, there: "",
    "broken": lambda here, there: "http://[",
}


@both_transports
@pytest.mark.parametrize("location", LOCATIONS)
async def test_no_location_is_taken_for_the_same_origin(location: str, transport: str) -> None:
    """Whatever the Location looks like: the call fails, and the only other server hears nothing."""
    async with byte_server(listen) as there:
        async with byte_server(redirecting(lambda: where, "307 Temporary Redirect")) as here:
            where = LOCATIONS[location](here.url, there.url)
            async with client_of(here, transport, PLAIN_KEY, "bearer") as client:
                for way in ("chat", "get", "realtime"):
                    with pytest.raises(APIError):
                        await asking(client)[way]()
        assert there.opened == 0
        assert all(request.split(b" ")[1].startswith(b"/") for request in here.requests)


@both_transports
@pytest.mark.parametrize("location", ["absolute", "relative", "of the path alone", "protocol-relative"])
async def test_a_redirect_inside_the_origin_keeps_the_key(location: str, transport: str) -> None:
    """Same scheme, host and port: the request is made again there, key and body included, but never a WebSocket's."""

    async def handler(talk: Conversation) -> None:
        while request := await talk.request():
            if b"/moved" in request.partition(b"\r\n")[0]:
                await talk.answer(COMPLETION)
                continue
            target = {
                "absolute": f"{here.url}/moved",
                "relative": "moved",
                "of the path alone": "/moved",
                "protocol-relative": f"{here.url}/moved".removeprefix("http:"),
            }[location]
            await talk.answer(b"", f"Location: {target}", status="307 Temporary Redirect")

    async with byte_server(handler) as here, client_of(here, transport, PLAIN_KEY, "bearer") as client:
        assert (await asking(client)["chat"]()).text == "Hi"
        assert [request.count(PLAIN_KEY.encode()) for request in here.requests] == [1, 1]
        assert here.requests[0].partition(b"\r\n\r\n")[2] == here.requests[1].partition(b"\r\n\r\n")[2]
        with pytest.raises(APIError):
            await asking(client)["realtime"]()


async def test_no_redirect_leads_from_https_to_http(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """Not even on the same host."""
    heard: list[bytes] = []

    async def serve(reader: Any, writer: Any) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        head = f"HTTP/1.1 307 Moved\r\nLocation: {there.url}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        writer.close()

    async with byte_server(listen) as there, await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls[0]) as server:
        base = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v4"
        async with AsyncZhipuAI(PLAIN_KEY, base_url=base, ssl=tls[1], max_retries=0) as client:
            for ask in (asking(client)["chat"], asking(client)["realtime"]):
                with pytest.raises(APIError) as caught:
                    await ask()
                assert caught.value.status == 307
        assert there.opened == 0
        assert len(heard) == 2


# ---------------------------------------------------------------- files of other hosts


@both_transports
@both_credentials
async def test_a_download_elsewhere_carries_no_secret(key: str, auth: str, transport: str) -> None:
    """Neither key, nor headers, nor query, nor cookies of the service; only what the call itself adds for this host."""
    async with byte_server(listen) as there, byte_server(redirecting(lambda: "/x", "200 OK")) as here:  # noqa: SIM117
        async with client_of(here, transport, key, auth) as client:
            client = client.with_options(default_query={"sign": QUERY})
            if transport == "pool":  # a session of the user's has cookies of its own, which it gives to this host
                with pytest.raises(ZhipuError):
                    await client.chat.completions.create(**ASK)
            await client.download(there.url)
            await client.download.open(f"{there.url}/2")
            assert len(there.requests) == 2
            assert found_in(*there.requests) == []
            await client.download(there.url, extra_headers=SECRET_HEADERS)
            assert b"\r\nX-Api-Key: " + HEADER.encode() in there.requests[2]


@both_transports
@pytest.mark.parametrize("status", STATUSES)
async def test_a_download_that_goes_on_elsewhere_drops_the_callers_headers(status: str, transport: str) -> None:
    """Headers were meant for the host that was named; what says which bytes are wanted goes along."""
    async with byte_server(listen) as there:
        async with byte_server(redirecting(lambda: there.url, status)) as here:  # noqa: SIM117
            async with client_of(here, transport, PLAIN_KEY, "bearer") as client:
                headers = {**SECRET_HEADERS, "Range": "bytes=0-9"}
                await client.download(f"{here.url}/file", extra_headers=headers)
        [request] = there.requests
        asked = (
            request if transport == "pool" else request.replace(f"token={QUERY}".encode(), b"")
        )  # its own cookie jar
        assert found_in(asked) == []
        assert b"\r\nRange: bytes=0-9\r\n" in request
        assert b"\r\nAccept-Encoding: identity\r\n" in request
        assert HEADER.encode() in here.requests[0]


async def test_cookies_are_not_kept() -> None:
    """What the service sets is not sent again, to nobody."""
    async with byte_server(redirecting(lambda: "/", "200 OK")) as here:
        async with AsyncZhipuAI(PLAIN_KEY, base_url=here.url, max_retries=0) as client:
            for _ in range(2):
                await client.request("GET", "/a")
        assert len(here.requests) == 2
        assert b"cookie" not in b"".join(here.requests).lower()


# ---------------------------------------------------------------- whole URLs and changed settings


@pytest.mark.parametrize(
    "path",
    [
        "http://127.0.0.1:9/x", "https://127.0.0.1/x", "//127.0.0.1:9/../x", "http:///x", "http://{host}@127.0.0.1:9/x",
        "http://{host}", "http://{host}.example.com/x", "http://{host}0/x", "https://{host}/x", "HTTP://{host}/x",
        "http://user@{host}/x", "http:/\\127.0.0.1:9/x", "\\\\127.0.0.1:9\\x", "file:///etc/passwd", "x\r\nHost: y",
        "/x\0", "/x y", "/../x", "/./x", "..", "x/..", "/ü", "/x#y",
    ],
)  # fmt: skip
async def test_a_raw_path_stays_at_the_origin(path: str) -> None:
    """client.request refuses other origins, or asks its own for what the text then means: a path below the base."""
    async with byte_server(listen) as here, AsyncZhipuAI(PLAIN_KEY, base_url=here.url, max_retries=0) as client:
        host = here.url.removeprefix("http://").partition("/")[0]
        try:
            await client.request("GET", path.replace("{host}", host))
        except ConfigError:
            assert here.opened == 0
        else:
            [request] = here.requests
            assert request.startswith(b"GET /api/paas/v4/")
            assert path in ("\\\\127.0.0.1:9\\x", "http:/\\127.0.0.1:9/x")  # paths like any other, below the base


async def test_another_base_url_has_its_own_connections_and_root() -> None:
    """with_options(base_url=...) sends to the new origin alone, its root included; the client before it as ever."""
    async with byte_server(listen) as one, byte_server(listen) as two:
        async with AsyncZhipuAI(KEY, base_url=one.url) as client:
            other = client.with_options(base_url=two.url, api_key=PLAIN_KEY)
            await client.request("GET", "/a")
            await other.request("GET", "/b")
            await other.agents.invoke(agent_id="1", messages=[])
            await client.request("GET", "/c")
        assert [request.split(b" ")[1] for request in one.requests] == [b"/api/paas/v4/a", b"/api/paas/v4/c"]
        assert all(KEY.encode() in request and PLAIN_KEY.encode() not in request for request in one.requests)
        assert two.requests[1].startswith(b"POST /api/v1/agents")
        assert all(PLAIN_KEY.encode() in request and KEY.encode() not in request for request in two.requests)
