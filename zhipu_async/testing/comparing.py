"""How a request differs from what was expected, in words that a failed test shows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import unified_diff
from typing import Any, Final, cast

import msgspec

from zhipu_async.simulator import SeenRequest
from zhipu_async.simulator.shapes import is_array, is_object

_ABSENT: Final = object()
_LONGEST: Final = 60
"""Characters of a value that is shown in one line."""


def differences(request: SeenRequest, fields: Mapping[str, Any]) -> list[str]:
    """What is not as `fields` say, a text for each field; none where all is.

    `method`, `path` (its end is enough) and `prompt` (a part of the last user message, of what an image is made from,
    ..., or a pattern that is found in it) are of the request; every other name is a field of its body. Values are
    compared with `==`, so that `unittest.mock.ANY` and `pytest.approx(0.2)` are values too.
    """
    return [said for name, expected in fields.items() if (said := _difference(request, name, expected)) is not None]


def _difference(request: SeenRequest, name: str, expected: Any) -> str | None:
    match name:
        case "method":
            return None if request.method == expected else _unequal(name, expected, request.method)
        case "path":
            return None if request.path.endswith(expected) else _unequal(name, expected, request.path)
        case "prompt":
            found = expected in request.prompt if isinstance(expected, str) else expected.search(request.prompt)
            return None if found else f"prompt: {expected!r} is not in {request.prompt!r}"
        case _:
            sent = request.get(name, _ABSENT)
            expected = _plain(expected)
            return None if expected == sent else _unequal(name, expected, sent)


def _unequal(name: str, expected: Any, sent: Any) -> str:
    if sent is _ABSENT:
        return f"{name}: not sent, expected {_short(expected)}"
    if isinstance(sent, dict | list) and not isinstance(expected, str | int | float | None):
        return f"{name} differs (- expected, + sent):\n" + "\n".join(json_diff(expected, sent))
    return f"{name}: {_short(sent)}, expected {_short(expected)}"


def json_diff(expected: Any, sent: Any) -> list[str]:
    """The lines in which two JSON values differ, with three lines around each place."""
    before, after = (_lines(value) for value in (_alike(expected, sent), sent))
    return [*unified_diff(before, after, lineterm="")][2:]


def listing(requests: Sequence[SeenRequest]) -> str:
    """The requests that were seen, a line for each."""
    if not requests:
        return "no request was seen"
    head = "1 request was seen:" if len(requests) == 1 else f"{len(requests)} requests were seen:"
    return "\n".join([head, *(f"  {line(request)}" for request in requests)])


def line(request: SeenRequest) -> str:
    """A request in one line: method, path, status, model and the beginning of the prompt."""
    said = [f"[{request.number}] {request.method} {request.path} -> {request.status or 'no answer'}"]
    if request.model:
        said.append(f"model={request.get('model')!r}")
    if request.stream:
        said.append("stream")
    if request.prompt:
        said.append(f"prompt={_short(request.prompt)}")
    return " ".join(said)


def asked_for(fields: Mapping[str, Any]) -> str:
    """Fields as a test wrote them."""
    return ", ".join(f"{name}={_short(value)}" for name, value in fields.items())


def indented(texts: Iterable[str]) -> str:
    """Texts of one or more lines, further to the right."""
    return "\n".join(f"      {line}" for text in texts for line in text.splitlines())


def _alike(expected: Any, sent: Any) -> Any:
    """What was expected, written as it was sent where the two are equal: `ANY` and `1.0` are no difference to `1`."""
    if expected == sent:
        return sent
    if is_object(expected) and is_object(sent):
        order = [*(name for name in sent if name in expected), *(name for name in expected if name not in sent)]
        return {name: _alike(expected[name], sent.get(name, _ABSENT)) for name in order}
    if is_array(expected) and is_array(sent):
        rest = [_ABSENT] * (len(expected) - len(sent))
        return [_alike(one, other) for one, other in zip(expected, [*sent, *rest], strict=False)]
    return expected


def _plain(value: Any) -> Any:
    """Structs of messages, and tuples, as the JSON that they are sent as."""
    if isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    if is_object(value):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in cast("Sequence[Any]", value)]
    return value


def _lines(value: Any) -> list[str]:
    return json.dumps(value, indent=2, ensure_ascii=False, default=repr).splitlines()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
