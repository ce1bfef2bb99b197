"""A call to an HTTP request: what is sent, and what is refused before anything is."""

from __future__ import annotations

import copy
import json
from collections import UserDict, deque
from enum import Enum
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhipu_async.config import Timeouts
from zhipu_async.errors import ConfigError
from zhipu_async.protocol import codec
from zhipu_async.protocol.endpoint import Call, Endpoint, HTTPRequest
from zhipu_async.types.base import Request
from zhipu_async.types.chat import ChatCompletion, ChatEitherRequest, ChatRequest, ChatStreamRequest, Thinking
from zhipu_async.types.messages import AssistantMessage, ImagePart, SystemMessage, TextPart, ToolMessage, UserMessage
from zhipu_async.types.tools import FunctionCall, FunctionDefinition, FunctionTool, ToolCall

from .feeding import examples

BASE = "https://open.bigmodel.cn/api/paas/v4"
CHAT = Endpoint("POST", "/chat/completions", ChatCompletion)
HELLO = [{"role": "user", "content": "Hello"}]


class FileRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """A request with path fields."""

    file_id: str
    part: int | bool | None = None
    purpose: str | None = None


class ReaderLike(Request, kw_only=True, frozen=True, omit_defaults=True):
    """A request whose body has a field with the name of a call option."""

    url: str
    timeout: int | None = None


FILE = Endpoint("GET", "/files/{file_id}/content", ChatCompletion)


def encode(arguments: Request, endpoint: Endpoint[Any] = CHAT, base: str = BASE, **settings: Any) -> HTTPRequest:
    """The request of a call, with the client's settings."""
    defaults: dict[str, Any] = {"headers": {}, "query": {}, "timeout": None, "default": Timeouts()}
    return codec.encode(Call(endpoint, arguments), base, **defaults | settings)


def body_of(arguments: Request, **settings: Any) -> Any:
    """The JSON that is sent."""
    body = encode(arguments, **settings).body
    assert body is not None
    return json.loads(body)


def chat(**fields: Any) -> ChatRequest:
    """A chat request; what is given as None is not set."""
    return ChatRequest(**{"model": "glm-4.6", "messages": HELLO, **fields})


# ---------------------------------------------------------------- the body


def test_only_what_is_set_is_sent() -> None:
    """The body holds the fields that were given, in any form they have, and nothing else."""
    assert body_of(chat()) == {"model": "glm-4.6", "messages": HELLO}
    given = {
        "do_sample": False, "temperature": 0.0, "max_tokens": 1, "stop": [], "tools": [], "request_id": "",
        "stream": False, "thinking": {"type": "disabled"},
    }  # fmt: skip
    assert body_of(chat(**given)) == {"model": "glm-4.6", "messages": HELLO, **given}


@pytest.mark.parametrize("name", [name for name in ChatRequest.__struct_fields__ if name not in ("model", "messages")])
def test_none_is_never_sent(name: str) -> None:
    """A field that is None is not sent, with call options or without."""
    every: list[dict[str, Any]] = [
        {},
        {"timeout": 5},
        {"extra_headers": {"x": "y"}},
        {"extra_query": {"a": "b"}},
        {"extra_body": {}},
    ]
    for options in every:
        assert body_of(chat(**{name: None, **{key: value for key, value in options.items() if key != name}})) == {
            "model": "glm-4.6", "messages": HELLO,
        }  # fmt: skip


def test_none_in_a_required_field_is_not_sent() -> None:
    """None stands for not set in every field, also where one must be given."""
    assert body_of(ChatEitherRequest(model="m", messages=HELLO, stream=None)) == {"model": "m", "messages": HELLO}
    assert body_of(chat(model=None)) == {"messages": HELLO}


@pytest.mark.parametrize(
    ("request_type", "stream", "sent"),
    [(ChatStreamRequest, True, True), (ChatEitherRequest, True, True), (ChatEitherRequest, False, False)],
)
def test_stream_is_sent(request_type: type[Request], stream: bool, sent: bool) -> None:
    """What stream was set to is sent, and the request knows whether a stream was asked for."""
    request = encode(request_type(model="m", messages=HELLO, stream=stream))  # type: ignore[call-arg]
    assert json.loads(request.body or b"")["stream"] is sent
    assert request.stream is sent


def test_call_options_stay_out_of_the_body() -> None:
    """timeout, extra_headers, extra_query and extra_body go where they belong and not into the body."""
    request = encode(
        chat(timeout=7, extra_headers={"X-A": "1"}, extra_query={"q": "ü", "n": 1, "b": True}, extra_body={"new": 1}),
        headers={"Accept": "application/json"},
        query={"q": "client", "k": "client"},
    )
    assert json.loads(request.body or b"") == {"model": "glm-4.6", "messages": HELLO, "new": 1}
    assert request.headers == {"Accept": "application/json", "X-A": "1"}
    assert parse_qsl(urlsplit(request.url).query) == [("q", "ü"), ("k", "client"), ("n", "1"), ("b", "true")]
    assert request.timeouts.total == 7


def test_extra_body_is_merged_over_the_body() -> None:
    """extra_body adds fields, replaces those of the same name, and is the way to send a null."""
    request = chat(temperature=0.5, extra_body={"temperature": None, "top_p": 0.9, "nested": {"a": [None]}})
    assert body_of(request) == {
        "model": "glm-4.6", "messages": HELLO, "temperature": None, "top_p": 0.9, "nested": {"a": [None]},
    }  # fmt: skip


def test_a_body_field_named_like_an_option() -> None:
    """Where the body has a field with an option's name, the body gets it and the option is the client's."""
    endpoint = Endpoint("POST", "/reader", ChatCompletion)
    request = encode(ReaderLike(url="u", timeout=20), endpoint, timeout=3.0)
    assert json.loads(request.body or b"") == {"url": "u", "timeout": 20}
    assert request.timeouts.total == 3.0


def test_structs_and_dicts_make_the_same_body() -> None:
    """A conversation of structs is sent as the same bytes as one of dicts."""
    call = ToolCall(id="c", index=0, function=FunctionCall("f", "{}"))
    structs = chat(
        messages=[
            SystemMessage("s"),
            UserMessage([TextPart("t"), ImagePart.from_url("https://x/y.png")]),
            AssistantMessage(content="", reasoning_content="r", tool_calls=[call]),
            ToolMessage(content="{}", tool_call_id="c"),
        ],
        thinking=Thinking(type="enabled", clear_thinking=False),
        tools=[FunctionTool(function=FunctionDefinition(name="f", description="d", parameters={"type": "object"}))],
    )
    function = {"name": "f", "arguments": "{}"}
    parts = [{"type": "text", "text": "t"}, {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]
    dicts = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": parts},
        {
            "role": "assistant", "content": "", "reasoning_content": "r",
            "tool_calls": [{"id": "c", "type": "function", "index": 0, "function": function}],
        },
        {"role": "tool", "content": "{}", "tool_call_id": "c"},
    ]  # fmt: skip
    definition = {"name": "f", "description": "d", "parameters": {"type": "object"}}
    tools = [{"type": "function", "function": definition}]
    assert body_of(structs) == body_of(
        chat(messages=dicts, thinking={"type": "enabled", "clear_thinking": False}, tools=tools)
    )


def test_any_mapping_and_sequence_can_be_sent() -> None:
    """Read-only mappings, user dicts, tuples and deques are sent like dicts and lists."""
    message = MappingProxyType({"role": "user", "content": "Hello"})
    assert body_of(chat(messages=(message,), meta=UserDict(a=1), stop=deque(["x"]))) == {
        "model": "glm-4.6", "messages": HELLO, "meta": {"a": 1}, "stop": ["x"],
    }  # fmt: skip


def test_the_callers_objects_are_left_alone() -> None:
    """Encoding changes nothing of what the caller passed."""
    given: dict[str, Any] = {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "extra_headers": {"x": "y"},
        "extra_query": {"a": "b"},
        "extra_body": {"n": {"m": None}},
    }
    before = copy.deepcopy(given)
    headers, query = {"h": "1"}, {"q": "1"}
    request = chat(**given)
    encode(request, headers=headers, query=query)
    assert (given, headers, query) == (before, {"h": "1"}, {"q": "1"})
    assert request == chat(**before)


def test_text_is_sent_as_utf8() -> None:
    """Text goes as UTF-8, not as escapes, and any character survives."""
    text = "你好 \U0001f600 \u2028 \x00 \ufeff"
    body = encode(chat(messages=[{"role": "user", "content": text}])).body
    assert body is not None
    assert "你好".encode() in body
    assert json.loads(body)["messages"][0]["content"] == text


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@examples(200)
@given(st.dictionaries(st.text(max_size=4), json_values, max_size=4), st.lists(json_values, max_size=3))
def test_any_values_are_sent_as_they_are(extra: dict[str, Any], messages: list[Any]) -> None:
    """Whatever JSON values the caller gives arrive unchanged."""
    body = body_of(chat(messages=messages, extra_body=extra))
    assert body == {"model": "glm-4.6", "messages": messages} | extra


CANNOT_BE_SENT: dict[str, Any] = {
    "a lone surrogate": "\ud83d",
    "a lone surrogate as key": {"\ud83d": 1},
    "NaN": float("nan"),
    "infinity": float("inf"),
    "minus infinity": [{"a": (1, float("-inf"))}],
    "NaN in a set": frozenset([float("nan")]),
    "NaN in a read-only mapping": MappingProxyType({"a": float("nan")}),
    "an object": object(),
    "a complex number": 1j,
    "a key that is no text": {(1, 2): 3},
    "a function": print,
    "an iterator": iter(["x"]),
}


@pytest.mark.parametrize("value", CANNOT_BE_SENT.values(), ids=CANNOT_BE_SENT)
def test_what_cannot_be_sent(value: Any) -> None:
    """What JSON or UTF-8 cannot hold is a ConfigError, wherever it stands, with options and without."""
    for fields in (
        {"messages": [{"role": "user", "content": value}]},
        {"meta": {"deep": [value]}},
        {"extra_body": {"x": value}},
        {"messages": [{"role": "user", "content": value}], "timeout": 3},
    ):
        with pytest.raises(ConfigError):
            encode(chat(**fields))


def test_not_a_number_is_named() -> None:
    """The error of a number that JSON cannot hold names where it stands, and a null elsewhere is none."""
    with pytest.raises(ConfigError, match="temperature"):
        encode(chat(temperature=float("nan"), messages=[{"content": None}]))
    assert body_of(chat(messages=[{"content": None}]))["messages"] == [{"content": None}]


def test_endless_structures() -> None:
    """A list that holds itself, and one nested too deep, are ConfigErrors."""
    circle: list[Any] = []
    circle.append(circle)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (circle, deep):
        with pytest.raises(ConfigError):
            encode(chat(messages=value))
    while deep:  # taken apart by hand: freeing it at once would recurse
        deep = deep[0]


def test_json_that_is_raw() -> None:
    """Encoded JSON is sent as it is; where its nulls cannot be told from NaN it is a ConfigError, and nothing else."""
    assert body_of(chat(meta=msgspec.Raw(b'{"a":1}')))["meta"] == {"a": 1}
    with pytest.raises(ConfigError):
        encode(chat(meta=msgspec.Raw(b'{"a":null}')))


@pytest.mark.parametrize("depth", [100, 500, 700, 900, 950, 990])
def test_deep_json(depth: int) -> None:
    """What nests as deep as Python's calls may is sent, or is a ConfigError; a NaN at its end is found."""
    for end in (None, float("nan")):
        deep: Any = end
        for _ in range(depth):
            deep = {"a": deep}
        try:
            body = codec.encode_json(deep)
        except ConfigError:
            continue
        assert end is None
        assert body == b'{"a":' * depth + b"null" + b"}" * depth


# ---------------------------------------------------------------- headers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", "1\r\nX-B: 2"),
        ("X-A", "1\n2"),
        ("X-A", "1\r"),
        ("X-A", "\x00"),
        ("X-A", "a\x7fb"),
        ("X-A", "你"),
        ("X-A", "\ud83d"),
        ("X-A", 5),
        ("X-A", None),
        ("X-A", b"1"),
        ("X-A\r\nX-B", "1"),
        ("X A", "1"),
        ("X-A:", "1"),
        ("", "1"),
        ("é", "1"),
        (5, "1"),
        ("Host", "x"),
        ("Content-Length", "1"),
        ("transfer-encoding", "chunked"),
        ("CONNECTION", "close"),
        ("authorization", "Bearer x"),
    ],
)
def test_headers_that_are_refused(name: Any, value: Any) -> None:
    """Header injection, what is no header text, and headers that the client makes itself are ConfigErrors."""
    with pytest.raises(ConfigError, match="header"):
        encode(chat(extra_headers={name: value}))


@pytest.mark.parametrize("value", ["", "1", "a\tb", "caf\xe9", 'a, b; c="d"', "~!@#$%^&*()"])
def test_headers_that_pass(value: str) -> None:
    """Ordinary header values pass as they are."""
    assert encode(chat(extra_headers={"X-A": value})).headers == {"X-A": value}


def test_no_error_shows_a_headers_value() -> None:
    """The error of a header names the header and not its value, which may be a secret."""
    with pytest.raises(ConfigError) as caught:
        encode(chat(extra_headers={"X-Api-Key": "secret\n"}))
    assert "X-Api-Key" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_header_is_replaced_whatever_its_case() -> None:
    """A header of the call replaces the client's of the same name in another case, and is not sent beside it."""
    request = encode(chat(extra_headers={"accept": "text/plain"}), headers={"Accept": "application/json", "X": "1"})
    assert request.headers == {"X": "1", "accept": "text/plain"}


# ---------------------------------------------------------------- the URL


@pytest.mark.parametrize(
    ("base", "path", "query", "url"),
    [
        ("https://h/api/v4", "/x", {}, "https://h/api/v4/x"),
        ("https://h/api/v4/", "/x", {}, "https://h/api/v4/x"),
        ("https://h/api/v4//", "x", {}, "https://h/api/v4/x"),
        ("https://h", "/x/", {}, "https://h/x/"),
        ("https://h/a", "/x", {"q": "a b&c=d/ü"}, "https://h/a/x?q=a+b%26c%3Dd%2F%C3%BC"),
        ("https://h/a", "/x?p=1", {"q": 1}, "https://h/a/x?p=1&q=1"),
        ("https://h/a", "/x", {"a": True, "b": False, "c": 0, "d": 1.5}, "https://h/a/x?a=true&b=false&c=0&d=1.5"),
        ("https://h/a", "/x", {"a": None, "b": ""}, "https://h/a/x?b="),
        ("https://h/a", "/x", {"a": None}, "https://h/a/x"),
        ("https://h/a/x", "", {"q": 1}, "https://h/a/x?q=1"),
        ("http://h/v4", "x", {"id": ["a", "b c"], "n": [None, 1]}, "http://h/v4/x?id=a&id=b+c&n=1"),
    ],
)
def test_join(base: str, path: str, query: dict[str, Any], url: str) -> None:
    """One slash between base and path; the query is percent-encoded without what is None; a list repeats its name."""
    assert codec.join(base, path, query) == url


def test_surrogate_in_the_query() -> None:
    """A lone surrogate in the query is a ConfigError."""
    with pytest.raises(ConfigError, match="surrogate"):
        encode(chat(extra_query={"q": "\ud83d"}))


@pytest.mark.parametrize(
    ("file_id", "segment"),
    [
        ("file-1", "file-1"),
        ("1725435402_e5bc", "1725435402_e5bc"),
        ("a/b", "a%2Fb"),
        ("../x", "..%2Fx"),
        ("a?b#c", "a%3Fb%23c"),
        ("a b", "a%20b"),
        ("%2e%2e", "%252e%252e"),
        ("...", "..."),
        ("报告.pdf", "%E6%8A%A5%E5%91%8A.pdf"),
        ("a\\b", "a%5Cb"),
        (5, "5"),
    ],
)
def test_path_fields(file_id: Any, segment: str) -> None:
    """Path fields are percent-encoded whole and appear in the path alone."""
    request = encode(FileRequest(file_id=file_id, part=3), FILE)
    assert request.url == f"{BASE}/files/{segment}/content?part=3"
    assert request.body is None
    assert request.endpoint == "GET /files/{file_id}/content"


@pytest.mark.parametrize("file_id", ["", ".", "..", "a\nb", "\x00", "\ud83d", "\u2028", None])
def test_path_fields_that_are_refused(file_id: Any) -> None:
    """Empty path fields, dots, control characters, surrogates and None are ConfigErrors."""
    with pytest.raises(ConfigError, match="file_id"):
        encode(FileRequest(file_id=file_id), FILE)


@examples(200)
@given(st.text(min_size=1))
def test_any_path_field(file_id: str) -> None:
    """Any text is one segment of the path that decodes to itself, or a ConfigError."""
    try:
        url = encode(FileRequest(file_id=file_id), FILE).url
    except ConfigError:
        return
    path = urlsplit(url).path
    assert url.isascii()
    assert path.count("/") == BASE.count("/") - 2 + 3
    assert unquote(path.split("/")[-2]) == file_id


def test_path_fields_stay_out_of_the_body() -> None:
    """What a POST takes into its path is not in its body."""
    request = encode(FileRequest(file_id="f", purpose="p"), Endpoint("POST", "/files/{file_id}", ChatCompletion))
    assert request.url == f"{BASE}/files/f"
    assert json.loads(request.body or b"") == {"purpose": "p"}


def test_fields_of_a_get_are_its_query() -> None:
    """The fields of a GET go into the query, the call's own query over them, and there is no body."""
    request = encode(FileRequest(file_id="f", part=True, purpose="a&b", extra_query={"x": "y"}), FILE, query={"k": "v"})
    assert dict(parse_qsl(urlsplit(request.url).query)) == {"part": "true", "purpose": "a&b", "k": "v", "x": "y"}
    assert request.body is None


# ---------------------------------------------------------------- enums


class Word(str, Enum):  # noqa: UP042  a StrEnum is its text anyway
    """An enum of texts, as people write them."""

    BATCH = "batch"


class Bare(Enum):
    """An enum of anything."""

    BATCH = "batch"


class Tenant(Request, kw_only=True, frozen=True, omit_defaults=True):
    """A request with a field in a header."""

    header_fields = {"session": "X-Session"}

    session: str | None = None


@pytest.mark.parametrize("member", [Word.BATCH, Bare.BATCH])
def test_an_enum_is_its_value_wherever_it_stands(member: Any) -> None:
    """In the body, the path, the query, headers, and where limits and statistics look for the model."""
    request = encode(FileRequest(file_id=member, purpose=member, extra_query={"x": [member]}), FILE)
    assert request.url == f"{BASE}/files/batch/content?purpose=batch&x=batch"
    request = encode(chat(model=member, extra_headers={"X-A": member}))
    assert json.loads(request.body or b"")["model"] == "batch"
    assert (type(request.model), f"{request.model} {request.headers['X-A']}") == (str, "batch batch")
    assert encode(Tenant(session=member)).headers == {"X-Session": "batch"}


# ---------------------------------------------------------------- the rest of a request


def test_request_says_what_it_is() -> None:
    """The request names endpoint, method, model, stream and whether it creates something; the URL has no secret."""
    request = encode(chat(), Endpoint("POST", "/chat/completions", ChatCompletion, creates=True))
    assert (request.endpoint, request.method, request.model) == ("POST /chat/completions", "POST", "glm-4.6")
    assert (request.stream, request.creates) == (False, True)
    assert request.url == BASE + "/chat/completions"


DEFAULT = Timeouts(connect=1, first_byte=2, between=3, total=4, pool=5)


@pytest.mark.parametrize(
    ("client", "call", "stream", "expected"),
    [
        (None, None, False, DEFAULT),
        (None, None, True, DEFAULT),
        (9.0, None, False, Timeouts(connect=1, pool=None, first_byte=None, between=None, total=9)),
        (9.0, None, True, Timeouts(connect=1, pool=None, first_byte=None, between=9, total=9)),
        (9.0, 7, False, Timeouts(connect=1, pool=None, first_byte=None, between=None, total=7)),
        (9.0, 7, True, Timeouts(connect=1, pool=None, first_byte=None, between=7, total=7)),
        (9.0, Timeouts(total=6), False, Timeouts(total=6)),
        (Timeouts(total=6), None, True, Timeouts(total=6)),
    ],
)
def test_timeouts(client: Any, call: Any, stream: bool, expected: Timeouts) -> None:
    """The call's timeout counts before the client's; a number is the longest wait, for a stream also between reads."""
    request = encode(chat(timeout=call, stream=stream or None), timeout=client, default=DEFAULT)
    assert request.timeouts == expected


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), True, "5", {}, [5]])
def test_timeouts_that_are_refused(timeout: Any) -> None:
    """A timeout that is no positive number of seconds is a ConfigError."""
    with pytest.raises(ConfigError, match="timeout"):
        encode(chat(timeout=timeout))


def test_encode_json() -> None:
    """Raw bodies are encoded under the same rules."""
    assert codec.encode_json({"a": [1, "ü", None]}) == '{"a":[1,"ü",null]}'.encode()
    with pytest.raises(ConfigError):
        codec.encode_json({"a": float("nan")})


def test_excerpt() -> None:
    """An excerpt is at most 4 KiB of a body, as text, whatever the bytes."""
    assert codec.excerpt(b"a" * 5000) == "a" * 4096
    assert codec.excerpt(b"\xff") == "\ufffd"


def test_arguments_stand_over_the_query_of_the_client() -> None:
    """In a query, the arguments of a call replace the client's defaults, and extra_query replaces both."""
    query = {"part": "9", "purpose": "client", "tenant": "7"}
    plain = encode(FileRequest(file_id="a", part=2), FILE, query=query)
    over = encode(FileRequest(file_id="a", part=2, extra_query={"part": "3"}), FILE, query=query)
    assert dict(parse_qsl(urlsplit(plain.url).query)) == {"part": "2", "purpose": "client", "tenant": "7"}
    assert dict(parse_qsl(urlsplit(over.url).query)) == {"part": "3", "purpose": "client", "tenant": "7"}
