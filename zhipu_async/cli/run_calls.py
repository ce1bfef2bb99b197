"""What a record of an input file asks for: a call; and a call as a line of a batch's input file (data.md section 9)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import msgspec

from ..binding import Events, Method
from ..config import Timeouts
from ..errors import ConfigError
from ..protocol import codec
from ..protocol.endpoint import Call
from ..resources import Completions
from ..types.base import Transfer
from ..types.chat import ChatRequest

Entry = tuple[str | None, Call[Any]]
"""An id, where there is one, and a call."""

IDS = ("custom_id", "id")
"""Where an id is looked for when no column is named."""
PROMPTS = ("prompt", "text")
"""Columns of a CSV file that hold the prompt when there is no template."""
CHAT = "/v4/chat/completions"
_LONGEST = 60
"""Characters of a value that a message repeats."""
_MOST_NAMES = 12
"""Names of a record that a message lists."""
_PIECE = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]")
_OPTIONS = {field.name: field.type for field in msgspec.structs.fields(Transfer)}


class UnfitError(Exception):
    """A record that cannot be run, in words that stand behind its line number."""


class Template:
    """A text with ``{name}`` for what each record brings; ``{{`` and ``}}`` are braces. ConfigError for a wrong one."""

    def __init__(self, text: str) -> None:
        self._pieces: list[tuple[str, bool]] = []  # text, or a name
        end = 0
        for found in _PIECE.finditer(text):
            piece = found[0]
            self._pieces.append((text[end : found.start()], False))
            if len(piece) == 1:
                raise ConfigError(f"character {found.start() + 1} of the template, {piece!r}, has no other: double it")
            self._pieces.append((piece[1:] if piece in ("{{", "}}") else piece[1:-1], piece not in ("{{", "}}")))
            end = found.end()
        self._pieces.append((text[end:], False))
        self.names = tuple(dict.fromkeys(text for text, is_name in self._pieces if is_name))
        """The names in it, each once."""
        if not self.names:
            raise ConfigError("the template has no {name} in it: every prompt would be the same")

    def fill(self, values: Mapping[str, Any]) -> str:
        """The text with these values in it: texts as they are, anything else as JSON."""
        return "".join(_value(text, values) if is_name else text for text, is_name in self._pieces)


def _value(name: str, values: Mapping[str, Any]) -> str:
    if name not in values:
        raise UnfitError(f"the template's {name!r} is not there; there are: {names_of(values)}")
    value = values[name]
    if value is None:
        raise UnfitError(f"the template's {name!r} is null")
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


@dataclass(frozen=True, slots=True)
class Reading:
    """How records become calls: what the command line says of all of them. It stands over what a record says."""

    model: str | None = None
    system: str | None = None
    template: Template | None = None
    id_column: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Of chat, such as ``temperature``."""

    def line(self, text: str) -> Entry:
        """A line of text: the prompt, or ``{line}`` of the template."""
        return None, self._prompt(text if self.template is None else self.template.fill({"line": text}), {})

    def row(self, row: Mapping[str, str]) -> Entry:
        """A row of a CSV file, whose columns were checked."""
        if self.template is not None:
            prompt = self.template.fill(row)
        else:
            prompt = next(row[name] for name in PROMPTS if name in row)
        return self._identity(row), self._prompt(prompt, {})

    def record(self, value: Any) -> Entry:
        """A JSON value: a prompt, an object with one, a chat, or a line of a batch's input file."""
        if isinstance(value, str):
            return self.line(value)
        if not isinstance(value, dict):
            hint = ": one object or text per line is wanted; jq -c '.[]' takes a list apart"
            raise UnfitError(f"neither an object nor a text{hint if isinstance(value, list) else ''}")
        fields = cast("dict[str, Any]", value)
        identity = self._identity(fields)
        if self.template is not None:
            return identity, self._prompt(self.template.fill(fields), {})
        if "body" in fields and not fields.keys().isdisjoint(("url", "method")):
            return identity, self._batch_line(fields)
        for name in ("messages", "prompt"):
            if name in fields:
                break
        else:
            raise UnfitError(f"no prompt, messages or body in it, but {names_of(fields)}: --template makes prompts")
        parameters = {
            key: item
            for key, item in fields.items()
            if key not in (*IDS, self.id_column, name) and item is not None  # as everywhere, None means not set
        }
        known = {*_body_fields(ChatRequest), "extra_body"}
        if unknown := [key for key in parameters if key not in known]:
            raise UnfitError(
                f"{names_of(unknown)} is no parameter of chat: put it into extra_body, or use --template "
                "where it is data"
            )
        if name == "messages":
            return identity, self._chat(fields[name], parameters)
        return identity, self._prompt(fields[name], parameters)

    def _identity(self, fields: Mapping[str, Any]) -> str | None:
        for name in IDS if self.id_column is None else (self.id_column,):
            value = fields.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
                raise UnfitError(f"{name} is {short(value)}, which is no id")
            return str(value)
        if self.id_column is not None:
            raise UnfitError(f"the id {self.id_column!r} is not there; there are: {names_of(fields)}")
        return None

    def _prompt(self, prompt: Any, parameters: Mapping[str, Any]) -> Call[Any]:
        if not isinstance(prompt, str):
            raise UnfitError(f"the prompt is {short(prompt)}, not a text")
        if not prompt.strip():
            raise UnfitError("the prompt is empty")
        return self._chat([{"role": "user", "content": prompt}], parameters)

    def _batch_line(self, line: Mapping[str, Any]) -> Call[Any]:
        if line.get("method", "POST") != "POST":
            raise UnfitError(f"method is {short(line['method'])}, not POST")
        url, body = line.get("url"), line["body"]
        method = endpoints().get(url) if isinstance(url, str) else None
        if method is None:
            raise UnfitError(f"url is {short(url)}: no call has it; it is like {CHAT}")
        if not isinstance(body, dict):
            raise UnfitError(f"body is {short(body)}, not an object")
        names = _body_fields(method.request)
        known: dict[str, Any] = {}
        others: dict[str, Any] = {}
        for name, value in cast("dict[str, Any]", body).items():
            # an argument that is None would not be sent
            if value is None or name not in names:
                others[name] = value
            else:
                known[names[name]] = value
        if others:
            known["extra_body"] = others
        if url == CHAT:
            return self._chat(known.pop("messages", None), known)
        given = [option for option, value in (("system", self.system), *self.parameters.items()) if value is not None]
        if given:
            raise UnfitError(f"{url} takes no --{given[0].replace('_', '-')}")
        if self.model is not None and "model" not in names:
            raise UnfitError(f"{url} takes no --model")
        return _call(method, {**known, **({} if self.model is None else {"model": self.model})})

    def _chat(self, messages: Any, parameters: Mapping[str, Any]) -> Call[Any]:
        if not _is_conversation(messages):
            raise UnfitError(f"messages is {short(messages)}, not a list of objects")
        conversation = cast("list[dict[str, Any]]", messages)
        if self.system is not None:
            first = {"role": "system", "content": self.system}
            if conversation[0].get("role") != "system":
                conversation = [first, *conversation]
            elif conversation[0] != first:
                raise UnfitError("messages begins with instructions of its own: leave --system out")
        fields = {**parameters, **self.parameters}
        if self.model is not None:
            fields["model"] = self.model
        return _call(Completions.create, {**fields, "messages": conversation})


def _call(method: Method[..., Any, Any], arguments: dict[str, Any]) -> Call[Any]:
    if arguments.get("stream"):
        raise UnfitError("it asks for a stream: a run gives whole answers, leave stream out")
    model = arguments.get("model")
    if "model" not in arguments and "model" in _required(method.request):
        raise UnfitError("no model: give --model")
    if "model" in arguments and (not isinstance(model, str) or not model):
        raise UnfitError(f"model is {short(model)}, not a model id")
    extra = arguments.get("extra_body")
    if extra is not None and not isinstance(extra, dict):
        raise UnfitError(f"extra_body is {short(extra)}, not an object")
    try:
        return method.call(**arguments)
    except (TypeError, ConfigError) as error:
        raise UnfitError(str(error)) from None


def _is_conversation(messages: Any) -> bool:
    if not isinstance(messages, list) or not messages:
        return False
    return all(isinstance(message, dict) for message in messages)  # pyright: ignore[reportUnknownVariableType]


# ---------------------------------------------------------------- lines of batch files


@cache
def endpoints() -> Mapping[str, Method[..., Any, Any]]:
    """The calls that a line can ask for, by url: those that send JSON and can answer with something whole."""
    from ..catalogue import rows  # with all of the client

    methods = [row[-1] for row in rows()]  # as an attribute it would be bound
    return {
        _url(method.endpoint.path): method
        for method in methods
        if method.endpoint.method == "POST"
        and "{" not in method.endpoint.path
        and not (method.endpoint.form or isinstance(method, Events))
    }


def line_of(identity: str, call: Call[Any]) -> bytes:
    """A call as a line of a batch's input file, with the end of the line. ConfigError for one that cannot be sent."""
    line = {
        "custom_id": identity,
        "method": call.endpoint.method,
        "url": _url(call.endpoint.path),
        "body": msgspec.Raw(body_of(call)),
    }
    return msgspec.json.encode(line) + b"\n"


def body_of(call: Call[Any]) -> bytes:
    """The JSON that is sent for a call. ConfigError for what cannot be sent."""
    body = codec.encode(call, "", headers={}, query={}, timeout=None, default=_CLOCKS).body
    return body if isinstance(body, bytes) else b"{}"


_CLOCKS = Timeouts()


def _url(path: str) -> str:
    return path if path.startswith("/api/") else f"/v4{path}"


@cache
def _body_fields(kind: Any) -> Mapping[str, str]:
    """The fields of a request that go into its body: their names in JSON, and in Python."""
    return {
        field.encode_name: field.name
        for field in msgspec.structs.fields(kind)
        if field.name not in kind.header_fields and _OPTIONS.get(field.name, ...) != field.type
    }


@cache
def _required(kind: Any) -> frozenset[str]:
    return frozenset(field.name for field in msgspec.structs.fields(kind) if field.required)


# ---------------------------------------------------------------- in messages


def names_of(values: Mapping[str, Any] | list[str]) -> str:
    """The names of a record, for a message; of many the first."""
    names = [*values]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return (", ".join(name[:_LONGEST] for name in names[:_MOST_NAMES]) or "nothing") + more


def short(value: Any) -> str:
    """A value as JSON, for a message; of a long one the beginning."""
    text = msgspec.json.encode(value).decode(errors="replace")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
