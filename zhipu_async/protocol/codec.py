"""A call to an HTTP request, and an answer's bytes to its struct."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from string import punctuation
from typing import Any, TypeVar, get_args
from urllib.parse import quote, urldefrag, urlencode, urlsplit

import msgspec

from ..config import HOST, Timeouts, hidden
from ..errors import BODY_KEPT, ConfigError, DecodeError
from ..telemetry import logger
from ..types.base import OPTIONS, Request, Transfer
from ..types.uploads import FileUpload
from . import tolerant
from .encoding import encode_json as encode_json
from .encoding import text_of, unwrapped
from .endpoint import Call, HTTPRequest
from .form import Form, form

T = TypeVar("T")
Text = TypeVar("Text", str, str | None)

_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OWN_HEADERS = ("authorization", "content-length", "transfer-encoding", "host", "connection")
_FILE_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity"}
"""Of calls that fetch files: most are compressed as they are, and their length is to be known."""
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_PATH_FIELD = re.compile(r"\{(\w+)\}")


def encode(
    call: Call[Any],
    base_url: str,
    *,
    headers: Mapping[str, str],
    query: Mapping[str, str],
    timeout: float | Timeouts | None,
    default: Timeouts,
    root_url: str = "",
    boundary: str = "",
) -> HTTPRequest:
    """The request that ``call`` becomes; ``headers``, ``query`` and ``timeout`` are the client's.

    ``root_url`` is what paths that begin with ``/api/`` are below, ``boundary`` a random text for forms. ConfigError
    for what cannot be sent: a lone surrogate, NaN or infinity, an unfit header or path field, a file that is none.
    """
    endpoint, arguments = call.endpoint, call.arguments
    if endpoint.plain and not query and not arguments.header_fields and _as_it_stands(arguments):  # as most calls are
        return HTTPRequest(
            endpoint=endpoint.name,
            method=endpoint.method,
            url=_joined(base_url, endpoint.path),
            body=encode_json(arguments),
            headers=headers,
            timeouts=default if timeout is None else Timeouts.of(timeout, stream=call.stream, default=default),
            model=call.model,
            stream=call.stream,
            creates=endpoint.creates,
        )
    if endpoint.path == "{url}":
        return _foreign(call, {name: headers[name] for name in headers if name == "User-Agent"}, timeout, default)
    path, elsewhere = _path(endpoint.path, arguments)
    if path.startswith("/api/"):
        base_url, path = root_url, path.removeprefix("/api")
    if endpoint.binary and not call.stream:
        headers = merge_headers(headers, _FILE_HEADERS)
    if arguments.header_fields:
        in_headers = {
            header: text_of(value)
            for name, header in arguments.header_fields.items()
            if (value := getattr(arguments, name)) is not None
        }
        headers = merge_headers(headers, check_headers(in_headers))
        elsewhere += tuple(arguments.header_fields)
    timeout_option = getattr(arguments, "timeout", None) if "timeout" in _options(type(arguments)) else None
    body: bytes | Form | None = None
    parameters: dict[str, Any] = dict(query)
    if endpoint.method in ("GET", "DELETE"):
        parameters |= _fields(arguments, elsewhere)
    elif endpoint.form:
        fields = {**_fields(arguments, elsewhere), **(arguments.extra_body or {})}
        body = form(fields, _file_fields(type(arguments)), boundary)
        headers = merge_headers(headers, {"Content-Type": body.content_type})
    else:
        body = _body(arguments, elsewhere)
    if arguments.extra_headers:
        of_the_call = check_headers(arguments.extra_headers)
        if isinstance(body, Form) and any(name.lower() == "content-type" for name in of_the_call):
            raise ConfigError("the content type of an upload is made by the client and cannot be set")
        headers = merge_headers(headers, of_the_call)
    return HTTPRequest(
        endpoint=endpoint.name,
        method=endpoint.method,
        url=join(base_url, path, {**parameters, **(arguments.extra_query or {})}),
        body=body,
        headers=headers,
        timeouts=Timeouts.of(
            timeout if timeout_option is None else timeout_option,
            stream=call.stream or endpoint.binary is not None,
            default=default,
        ),
        model=call.model,
        stream=call.stream,
        creates=endpoint.creates,
        progress=getattr(arguments, "progress", None) if endpoint.form else None,
    )


def _foreign(
    call: Call[Any], headers: Mapping[str, str], timeout: float | Timeouts | None, default: Timeouts
) -> HTTPRequest:
    """The request for a file of another host: it gets neither the key nor anything of the client's settings."""
    endpoint, arguments = call.endpoint, call.arguments
    url = text_of(getattr(arguments, "url", "")).strip()
    if not fetchable(url) or not url.isprintable():
        text = "only http and https URLs, with a host in ASCII and without user name and password, can be fetched"
        raise ConfigError(text)
    headers = merge_headers({**headers, **_FILE_HEADERS}, check_headers(arguments.extra_headers or {}))
    given = timeout if arguments.timeout is None else arguments.timeout
    return HTTPRequest(
        endpoint=endpoint.name,
        method=endpoint.method,
        url=join(quote(urldefrag(url).url, safe=punctuation), "", arguments.extra_query),
        headers=headers,
        timeouts=Timeouts.of(given, stream=True, default=default),
        authorized=False,
    )


def fetchable(url: str) -> bool:
    """Whether ``url`` names a file of a host, and nothing that two parsers read differently."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(HOST.fullmatch(parts.netloc)) and parts.port != 0
    except ValueError:
        return False


def decode(kind: type[T], body: bytes, drops: list[str] | None = None) -> T:
    """``body`` as ``kind``: strictly first, then as tolerantly as the contract asks (README.md section 5).

    ``drops`` collects the names of optional fields that did not fit and were left out. DecodeError when that fails too.
    """
    hashable: Any = kind
    try:
        answer: T = decoder(hashable).decode(body)
        return answer
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    drops = [] if drops is None else drops
    name = getattr(kind, "__name__", str(kind))
    try:
        answer = tolerant.convert(tolerant.loads(body), kind, drops)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        reason = shown(str(error), 200)
    else:
        if drops:
            logger.warning("an answer was read as %s without %.500s, which do not fit", name, drops)
        return answer
    # not raised above: the other error would be kept, and with it the whole body
    raise DecodeError(f"the answer is not a {name}: {reason}", body=excerpt(body))


@cache
def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """The strict decoder of ``kind``, made once."""
    return msgspec.json.Decoder(kind)


@lru_cache(maxsize=64)
def _joined(base_url: str, path: str) -> str:
    return join(base_url, path)


def join(base_url: str, path: str, parameters: Mapping[str, Any] | None = None) -> str:
    """Base URL and path with one slash between them, and the query without what is None.

    ConfigError for a surrogate in the query.
    """
    url = f"{base_url.rstrip('/')}/{path.lstrip('/')}" if path else base_url
    given = [
        (name, text_of(item))
        for name, value in (parameters or {}).items()
        for item in (value if isinstance(value, (list, tuple)) else (value,))  # pyright: ignore[reportUnknownVariableType]
        if item is not None
    ]
    if not given:
        return url
    try:
        query = urlencode(given)
    except UnicodeEncodeError as error:
        raise ConfigError("the query holds text that is not Unicode (a lone surrogate)") from error
    return f"{url}{'&' if '?' in url else '?'}{query}"


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """A copy of ``headers``, whose values a repr does not show; ConfigError for what cannot stand in a header (line
    ends, control characters)."""
    headers = hidden({name: unwrapped(value) for name, value in headers.items()})
    for name, value in headers.items():
        if not isinstance(value, str) or not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"header {name!r} must be text")
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ConfigError(f"header {name!r} holds characters that cannot stand in a header")
        if name.lower() in _OWN_HEADERS:
            raise ConfigError(f"header {name!r} is made by the client and cannot be set")
    return dict(headers)


def merge_headers(headers: Mapping[str, str], over: Mapping[str, str]) -> dict[str, str]:
    """``headers`` with ``over`` in their place; the case of a name makes no difference."""
    replaced = {name.lower() for name in over}
    return {**{name: value for name, value in headers.items() if name.lower() not in replaced}, **over}


def excerpt(body: bytes) -> str:
    """The first 4 KiB of ``body`` as text."""
    return body[:BODY_KEPT].decode("utf-8", "replace")


def shown(text: Text, limit: int = BODY_KEPT) -> Text:
    """The first ``limit`` characters of ``text``, as an error or a log can hold and print them. None stays None.

    A lone surrogate, which JSON and headers can have, becomes a question mark. Characters that move a cursor or turn
    the direction of a line become escapes; line ends and tabs stay.
    """
    if text is None:
        return text
    return _UNSEEN.sub(_escaped, text[:limit].encode("utf-8", "replace").decode())[:limit]


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


@cache
def _options(kind: type[Request]) -> tuple[str, ...]:
    """The call options of a request type; where an endpoint has a body field of such a name, the body wins."""
    types = {field.name: field.type for field in msgspec.structs.fields(Transfer)}
    return tuple(
        field.name
        for field in msgspec.structs.fields(kind)
        if field.name in OPTIONS and field.type == types[field.name]
    )


@cache
def _required(kind: type[Request]) -> tuple[str, ...]:
    """The fields without a default, which msgspec does not leave out when they are None."""
    return tuple(field.name for field in msgspec.structs.fields(kind) if field.required)


@cache
def _file_fields(kind: type[Request]) -> frozenset[str]:
    """The fields of a form that take files, by their encoded names."""
    return frozenset(field.encode_name for field in msgspec.structs.fields(kind) if FileUpload in get_args(field.type))


def _as_it_stands(arguments: Request) -> bool:
    """Whether the struct is the body: no call option is set, and all that msgspec always writes is."""
    kind = type(arguments)
    for name in _options(kind):
        if getattr(arguments, name) is not None:
            return False
    for name in _required(kind):  # noqa: SIM110  a generator would cost more than all the looking
        if getattr(arguments, name) is None:
            return False
    return True


def _body(arguments: Request, in_path: tuple[str, ...]) -> bytes | None:
    if not in_path and _as_it_stands(arguments):
        return encode_json(arguments)
    fields = _fields(arguments, in_path)
    fields.update(arguments.extra_body or {})
    if not fields and in_path:
        return None  # nothing but the path, as in a cancel
    return encode_json(fields)


def _fields(arguments: Request, left_out: tuple[str, ...]) -> dict[str, Any]:
    """The fields that are set, by their encoded names, without call options and path fields."""
    left_out += _options(type(arguments))
    return {
        field.encode_name: value
        for field in msgspec.structs.fields(arguments)
        if field.name not in left_out and (value := getattr(arguments, field.name)) is not None
    }


def _path(template: str, arguments: Request) -> tuple[str, tuple[str, ...]]:
    if "{" not in template:
        return template, ()
    names = tuple(_PATH_FIELD.findall(template))
    return template.format(**{name: _segment(name, getattr(arguments, name)) for name in names}), names


def _segment(name: str, value: Any) -> str:
    text = "" if value is None else text_of(value)
    if text in ("", ".", "..") or not text.isprintable():
        raise ConfigError(f"{name}={text!r} cannot stand in a path")
    return quote(text, safe="")
