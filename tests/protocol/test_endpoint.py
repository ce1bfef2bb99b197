"""An endpoint and a call of it, as values."""

from __future__ import annotations

import copy
import pickle

import pytest

from zhipu_async.protocol.endpoint import Call, Endpoint, HTTPRequest
from zhipu_async.types.chat import ChatCompletion, ChatRequest
from zhipu_async.types.models import ModelList, ModelsRequest

CHAT = Endpoint("POST", "/chat/completions", ChatCompletion)


@pytest.mark.parametrize(("stream", "asked"), [(None, False), (False, False), (True, True)])
def test_call(stream: bool | None, asked: bool) -> None:
    """A call knows its model and whether a stream was asked for."""
    call = Call(CHAT, ChatRequest(model="m", messages=[], stream=stream))  # type: ignore[arg-type]
    assert (call.model, call.stream) == ("m", asked)


def test_call_without_model() -> None:
    """A call whose arguments name no model has none, and is no stream."""
    call = Call(Endpoint("GET", "/models", ModelList), ModelsRequest())
    assert (call.model, call.stream, call.endpoint.name) == (None, False, "GET /models")


def test_values() -> None:
    """Endpoint, call and request compare, copy, pickle and print as values."""
    call = Call(CHAT, ChatRequest(model="m", messages=[{"role": "user", "content": "x"}]))
    for value in (CHAT, call, HTTPRequest("POST /x", "POST", "https://h/x", b"{}")):
        assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == copy.copy(value) == value
    assert repr(call).startswith("Call(endpoint=Endpoint(method='POST', path='/chat/completions'")
