"""The API on one page: every endpoint, one line each (README.md section 4)."""

from __future__ import annotations

from .binding import Group, Resource, Streaming, Unary
from .protocol.chunks import CHAT
from .types.chat import ChatCompletion, ChatEitherRequest, ChatRequest, ChatStreamRequest
from .types.models import ModelList, ModelsRequest


class Completions(Resource):
    """Answers of a model (chat.md)."""

    create = Streaming(
        "POST", "/chat/completions", ChatRequest, ChatStreamRequest, ChatEitherRequest, ChatCompletion, CHAT
    )


class Chat(Resource):
    """Conversations."""

    completions = Group(Completions)


class Models(Resource):
    """The models of the platform."""

    list = Unary("GET", "/models", ModelsRequest, ModelList)
