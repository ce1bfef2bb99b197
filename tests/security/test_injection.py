"""Nothing that a caller passes on from strangers becomes another header, another path, another part or another host."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers import COMPLETION, Conversation, byte_server
from tests.transport.sending import arrived, both_transports, client_of
from zhipu_async import AsyncZhipuAI, ConfigError
from zhipu_async.config import resolve_base_url
from zhipu_async.protocol import codec
from zhipu_async.resources import Completions, Files

ASK: dict[str, Any] = {"model": "glm-4.6", "messages": [{"role": "user", "content": "Hello"}]}
STORED = b'{"id":"file-1","object":"file","bytes":3}'


async def answer(talk: Conversation) -> None:
    while request := await talk.request():
        await talk.answer(STORED if b"multipart/form-data" in request else COMPLETION)


CONTROLS = [chr(code) for code in (*range(32), 127) if chr(code) != "\t"]
FOREIGN = ["\u0100", "\u2028", "\u4f60", "\U0001f600", "\ud83d"]


@pytest.mark.parametrize("character", [*CONTROLS, *FOREIGN, "\t", " ", "\x80", "\u00e9"], ids=ascii)
async def test_a_key_holds_no_character_that_ends_a_header(character: str) -> None:
    """Control characters, blanks and what is not ASCII are refused, in a key and in what a callable gives."""
    key = f"abc{character}def.X-Evil:1"

    async def source() -> str:
        return key

    with pytest.raises(ConfigError):
        AsyncZhipuAI(key)
    with pytest.raises(ConfigError):
        AsyncZhipuAI("a.b", base_url="http://127.0.0.1:9").with_options(api_key=key)
    async with byte_server(answer) as server, AsyncZhipuAI(source, base_url=server.url) as client:
        with pytest.raises(ConfigError):
            await client.chat.completions.create(**ASK)
        with pytest.raises(ConfigError):
            await client.realtime.connect("glm-realtime").__aenter__()
        assert server.opened + len(server.requests) <= 1  # a connection may be open; nothing was said on it
        assert server.requests == []


@both_transports
@pytest.mark.parametrize("character", [*CONTROLS, *FOREIGN], ids=ascii)
async def test_a_header_holds_no_character_that_ends_it(character: str, transport: str) -> None:
    """Names and values, of a client and of a call; nothing is sent, and no connection made."""
    async with byte_server(answer) as server:
        for headers in ({"X-A": f"b{character}X-Evil: 1"}, {f"X-A{character}X-Evil": "1"}):
            async with client_of(server, transport) as client:
                with pytest.raises(ConfigError):
                    client.with_options(default_headers=headers)
                with pytest.raises(ConfigError):
                    await client.chat.completions.create(**ASK, extra_headers=headers)
                with pytest.raises(ConfigError):
                    await client.files.create(file=b"abc", purpose="batch", extra_headers=headers)
                with pytest.raises(ConfigError):
                    await client.download(server.url, extra_headers=headers)
                with pytest.raises(ConfigError):
                    await client.request("GET", "/x", headers=headers)
        assert server.opened == 0


@pytest.mark.parametrize(
    "name",
    ["", " ", "X A", "X:A", "X\tA", "X(A)", "Authorization", "authorization", "HOST", "Content-Length", "Connection",
     "Transfer-Encoding", "transfer-encoding"],
)  # fmt: skip
def test_what_is_no_header_name_or_is_the_clients_own_is_refused(name: str) -> None:
    """Where a request ends, where it goes and who sends it is not the caller's to say."""
    with pytest.raises(ConfigError):
        codec.check_headers({name: "1"})


@both_transports
async def test_header_values_arrive_as_they_are(transport: str) -> None:
    """Blanks, tabs, punctuation and Latin-1 between the first and the last character: exactly these bytes."""
    value = "a \t!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\u00e9\u00ff z"
    async with byte_server(answer) as server, client_of(server, transport) as client:
        await client.chat.completions.create(**ASK, extra_headers={"X-A": value})
        encoding = "latin-1" if transport == "pool" else "utf-8"  # aiohttp's own choice
        assert f"\r\nX-A: {value}\r\n".encode(encoding) in server.requests[0]


AWKWARD = [
    "a b", "a/b", "../a", "../../x", "%2e%2e", "%2e%2e%2fx", "a?b=c", "a#b", "a;b", "a%b", "a%0d%0aX: y", "a\\b",
    "...", " ", "a&b=c", "\u4f60\u597d", "\U0001f600", "a+b", "~", "//evil/x", "http://evil/", "@evil",
]  # fmt: skip


@both_transports
@pytest.mark.parametrize("identity", AWKWARD, ids=ascii)
async def test_an_id_is_one_segment_of_the_path(identity: str, transport: str) -> None:
    """Whatever an id holds, the server reads exactly it, in its place; the path around it stays as it is."""
    async with byte_server(answer) as server, client_of(server, transport) as client:
        await client.files.delete(identity)
        await client.batches.retrieve(identity)
        targets = [request.split(b" ")[1].decode("ascii") for request in server.requests]
    assert [target.rpartition("/")[0] for target in targets] == ["/api/paas/v4/files", "/api/paas/v4/batches"]
    assert {unquote(target.rpartition("/")[2]) for target in targets} == {identity}
    assert not [target for target in targets if set(target) & set("?#;\\")]


@pytest.mark.parametrize("identity", ["", ".", "..", "\ud83d", *CONTROLS, *(f"a{one}b" for one in CONTROLS)], ids=ascii)
async def test_an_id_that_cannot_stand_in_a_path_is_refused(identity: str) -> None:
    """Nothing, dots alone, control characters and lone surrogates."""
    async with byte_server(answer) as server, client_of(server) as client:
        with pytest.raises(ConfigError):
            await client.files.delete(identity)
        assert server.opened == 0


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4), st.text(max_size=12))
def test_any_query_and_id_make_one_request_line(query: dict[str, str], identity: str) -> None:
    """Any text in a query or id is refused, or comes back whole from the URL, which is printable ASCII."""
    call = Files.delete.call(identity, extra_query=query)
    options: dict[str, Any] = {
        "headers": {},
        "query": {},
        "timeout": None,
        "default": AsyncZhipuAI("a.b")._sender.settings.timeouts,
    }  # type: ignore[attr-defined]
    try:
        url = codec.encode(call, "http://host/v4", **options).url
    except ConfigError:
        assert any("\ud800" <= one <= "\udfff" for one in "".join([*query, *query.values()])) or (
            identity in ("", ".", "..") or not identity.isprintable()
        )
        return
    assert url.isascii()
    assert url.isprintable()
    assert " " not in url
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("http", "host", "")
    assert unquote(parts.path) == f"/v4/files/{identity}"
    assert dict(parse_qsl(parts.query, keep_blank_values=True)) == query


@both_transports
@pytest.mark.parametrize(
    "text", ["a\r\nb", "a\0b", 'a"b', "a\x1b[31m", "\u4f60\u597d", "a\u2028b", "</script>", "\\", "\x85"], ids=ascii
)
async def test_what_goes_into_the_body_arrives_as_it_is(text: str, transport: str) -> None:
    """Model names, user ids, request ids and prompts are JSON: no header shows them."""
    async with byte_server(answer) as server, client_of(server, transport) as client:
        messages = [{"role": "user", "content": text}]
        await client.chat.completions.create(model=text, messages=messages, request_id=text, user_id=text)
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        sent = json.loads(body)
        assert (sent["model"], sent["request_id"], sent["user_id"], sent["messages"]) == (text, text, text, messages)
        assert b"POST /api/paas/v4/chat/completions HTTP/1.1\r\n" in head + b"\r\n"
        assert text.encode() not in head


@both_transports
@pytest.mark.parametrize(
    ("name", "received"),
    [
        ("a.jsonl", "a.jsonl"),
        ("\u4f60\u597d.jsonl", "\u4f60\u597d.jsonl"),
        ("a;b=c.jsonl", "a;b=c.jsonl"),
        ("../../a.jsonl", "../../a.jsonl"),
        ('a"; name="purpose', "a%22; name=%22purpose"),
        ("a\r\nContent-Type: text/html\r\n\r\nevil", "a%0D%0AContent-Type: text/html%0D%0A%0D%0Aevil"),
        ("a\r\n--boundary--", "a%0D%0A--boundary--"),
    ],
    ids=ascii,
)  # fmt: skip
async def test_a_files_name_stays_in_its_header(name: str, received: str, transport: str) -> None:
    """Quotation marks and line ends are percent-encoded, as browsers do; the form keeps its parts and its content."""
    async with byte_server(answer) as server, client_of(server, transport) as client:
        await client.files.create(file=(name, b"abc"), purpose="batch")
        got = arrived(server.requests[0])
        assert (got.filename, got.file, got.fields["purpose"]) == (received, b"abc", b"batch")
        assert set(got.fields) == {"file", "purpose"}
        assert server.requests[0].count(b"\r\nContent-Disposition: ") == 2


@both_transports
async def test_the_text_of_a_form_cannot_end_its_part(transport: str) -> None:
    """A field that guesses at boundaries is one field: the boundary is random, and new for each request."""
    guess = 'x\r\n--boundary\r\nContent-Disposition: form-data; name="evil"\r\n\r\n1'
    async with byte_server(answer) as server, client_of(server, transport) as client:
        for _ in range(2):
            await client.files.create(file=b"abc", purpose=guess)
        both = [arrived(request) for request in server.requests]
        assert [one.fields["purpose"] for one in both] == [guess.encode()] * 2
        assert both[0].headers["content-type"] != both[1].headers["content-type"]


@pytest.mark.parametrize(
    "url",
    ["http://user:word@host", "http://user@host/v4", "http://@host", "http://:@host", "http://host?x=1", "http://host?",
     "http://host#x", "http://host#", "http://host/v4?api_key=x", "http://a\\@b", "http://a\\b", "http://a b",
     "http://a\r\nX: y", "http://a\0", "http://ho%73t", "http://h\u00f6st", "http://host:0", "http://host:-1",
     "http://host:80:80", "http://[::1", "http://[x]", "http:host", "http:///v4", "ws://host", "HTTP//host",
     "http://host,evil", "http://host;evil", "http://<host>", "http://a\tb"],
    ids=ascii,
)  # fmt: skip
def test_a_base_url_is_an_origin_and_a_path(url: str) -> None:
    """No user information, query, fragment, or host that two parsers could read differently."""
    with pytest.raises(ConfigError):
        resolve_base_url(url)
    with pytest.raises(ConfigError):
        AsyncZhipuAI("a.b", base_url="http://host", root_url=url)


@pytest.mark.parametrize(
    "url",
    ["https://host/@cf/x", "http://[::1]:8080/v1", "http://[fe80::1%eth0]:80", "http://my_gpu:8000/v1", "HTTPS://Host/v4"],
)  # fmt: skip
def test_a_base_url_of_ones_own_is_taken(url: str) -> None:
    """Addresses with zones, names of containers, and paths with signs of their own."""
    assert resolve_base_url(url) == url


@pytest.mark.parametrize(
    "proxy",
    ["", "proxy", "socks5://h:1", "ftp://h:1", "http://", "http://h:99999", "http://h\r\nX: y", "http://h\0", "http://[::1",
     "http://user:\r\n@h:1"],
    ids=ascii,
)  # fmt: skip
def test_what_is_no_proxy_is_refused(proxy: str) -> None:
    """Before a client is made."""
    with pytest.raises(ConfigError):
        AsyncZhipuAI("a.b", proxy=proxy)


@both_transports
async def test_the_method_of_a_raw_call_is_a_word(transport: str) -> None:
    """No blanks or line ends that would begin another request."""
    async with byte_server(answer) as server, client_of(server, transport) as client:
        for method in ("", "GET /x", "GET\r\nX", "G\0T", "G\u00c9T", "GET:"):
            with pytest.raises(ConfigError):
                await client.request(method, "/x")
        assert server.opened == 0


def test_a_call_that_is_not_sent_is_checked_when_it_is() -> None:
    """A Call may hold anything: encoding it is what refuses, so that a batch of them can be made first."""
    call = Completions.create.call(**ASK, extra_headers={"X": "a\r\nb"})
    with pytest.raises(ConfigError):
        codec.encode(
            call, "http://h", headers={}, query={}, timeout=None, default=AsyncZhipuAI("a.b")._sender.settings.timeouts
        )  # type: ignore[attr-defined]
