"""A request for a chat completion, and how the service refuses what is none (chat.md, sections 1 to 4)."""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Collection
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from zhipu_async.simulator.models import MODELS, OTHER, Model
from zhipu_async.simulator.replies import Refusal
from zhipu_async.simulator.shapes import is_object
from zhipu_async.simulator.validation import illegal, validated

_MAX_IMAGE_BYTES: Final = 5 * 1024 * 1024

Text = Annotated[str, Meta(min_length=1)]
Name = Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]


class Strict(Struct, forbid_unknown_fields=True, frozen=True):
    """A JSON object that takes no unknown key."""


class Url(Strict, frozen=True):
    """Where an image, a video or a file is; for an image also the data itself."""

    url: Text


class File(Strict, frozen=True):
    """A file by its address, its id, or with its data."""

    file_url: str = ""
    file_id: str = ""
    file_data: str = ""
    filename: str = ""


class Sound(Strict, frozen=True):
    """A sound in base64."""

    data: Text
    format: Literal["wav", "mp3"]


class Part(Strict, frozen=True, tag_field="type"):
    """A part of a user's content; the name of its field is its type."""


class TextPart(Part, frozen=True, tag="text"):
    text: str


class ImagePart(Part, frozen=True, tag="image_url"):
    image_url: Url


class VideoPart(Part, frozen=True, tag="video_url"):
    video_url: Url


class FilePart(Part, frozen=True, tag="file"):
    file: File


class FileUrlPart(Part, frozen=True, tag="file_url"):
    file_url: Url


class SoundPart(Part, frozen=True, tag="input_audio"):
    input_audio: Sound


AnyPart = TextPart | ImagePart | VideoPart | FilePart | FileUrlPart | SoundPart


class CalledFunction(Struct, frozen=True):
    """The function of an earlier tool call: its arguments are a text."""

    name: str
    arguments: str


class EarlierCall(Struct, frozen=True):
    """A tool call of an earlier answer, sent back."""

    id: str
    function: CalledFunction


class SystemMessage(Struct, frozen=True, tag_field="role", tag="system"):
    content: str

    @property
    def text(self) -> str:
        """What it says."""
        return self.content


class UserMessage(Struct, frozen=True, tag_field="role", tag="user"):
    content: str | Annotated[list[AnyPart], Meta(min_length=1)]

    @property
    def text(self) -> str:
        """What it says: the text, or the text parts joined by spaces."""
        if isinstance(self.content, str):
            return self.content
        return " ".join(part.text for part in self.content if isinstance(part, TextPart))

    @property
    def attached(self) -> list[AnyPart]:
        """The parts that are no text."""
        return [] if isinstance(self.content, str) else [p for p in self.content if not isinstance(p, TextPart)]


class AssistantMessage(Struct, frozen=True, tag_field="role", tag="assistant"):
    content: str | None = None
    tool_calls: list[EarlierCall] = []
    reasoning_content: str = ""

    @property
    def text(self) -> str:
        """What it says."""
        return self.content or ""


class ToolMessage(Struct, frozen=True, tag_field="role", tag="tool"):
    content: str
    tool_call_id: str

    @property
    def text(self) -> str:
        """What it says."""
        return self.content


AnyMessage = SystemMessage | UserMessage | AssistantMessage | ToolMessage


class Function(Struct, frozen=True):
    """A function that the model may call."""

    name: Name
    description: str
    parameters: dict[str, Any]


class Retrieval(Struct, frozen=True):
    """A knowledge base that the model may search."""

    knowledge_id: str


class Search(Struct, frozen=True):
    """The web search; the official samples send its booleans as texts."""

    search_engine: str
    search_result: bool | str = False


class Mcp(Struct, frozen=True):
    """A server of tools."""

    server_label: str


class FunctionTool(Struct, frozen=True, tag_field="type", tag="function"):
    function: Function


class RetrievalTool(Struct, frozen=True, tag_field="type", tag="retrieval"):
    retrieval: Retrieval


class SearchTool(Struct, frozen=True, tag_field="type", tag="web_search"):
    web_search: Search


class McpTool(Struct, frozen=True, tag_field="type", tag="mcp"):
    mcp: Mcp


AnyTool = FunctionTool | RetrievalTool | SearchTool | McpTool


class Thinking(Struct, frozen=True):
    """Whether the model thinks first."""

    type: Literal["enabled", "disabled"] = "enabled"
    clear_thinking: bool = True


class ResponseFormat(Struct, frozen=True):
    """The form of the answer."""

    type: Literal["text", "json_object"] = "text"


_MAY_BE_NULL = ("thinking", "response_format")
"""The vendor's own SDK sends them so where they are not set."""


class ChatRequest(Struct, frozen=True):
    """The body: unknown fields are ignored, null is not a value."""

    model: Text
    messages: Annotated[list[AnyMessage], Meta(min_length=1)]
    stream: bool = False
    thinking: Thinking = Thinking()
    reasoning_effort: Literal["max", "xhigh", "high", "medium", "low", "minimal", "none"] = "max"
    do_sample: bool = True
    temperature: Annotated[float, Meta(ge=0, le=1)] = 1.0
    top_p: Annotated[float, Meta(ge=0.01, le=1)] = 1.0
    max_tokens: Annotated[int, Meta(ge=1, le=131_072)] | msgspec.UnsetType = msgspec.UNSET
    tool_stream: bool = False
    tools: Annotated[list[AnyTool], Meta(max_length=128)] = []
    tool_choice: Literal["auto"] = "auto"
    stop: Annotated[list[Text], Meta(min_length=1, max_length=4)] | msgspec.UnsetType = msgspec.UNSET
    response_format: ResponseFormat = ResponseFormat()
    request_id: Annotated[str, Meta(min_length=6, max_length=64)] = ""
    user_id: Annotated[str, Meta(min_length=6, max_length=128)] = ""
    watermark_enabled: bool = False
    meta: dict[str, Any] = {}

    def attached(self) -> list[AnyPart]:
        """Everything in the messages that is no text."""
        return [part for message in self.messages if isinstance(message, UserMessage) for part in message.attached]


def read(body: Any, more_models: Collection[str] = ()) -> ChatRequest | Refusal:
    """The request that a JSON body is, or how the service refuses it."""
    if is_object(body):
        body = {name: value for name, value in body.items() if value is not None or name not in _MAY_BE_NULL}
    request = validated(body, ChatRequest)
    if isinstance(request, Refusal):
        return request
    name = request.model.lower()
    model = MODELS.get(name) or (OTHER if name in more_models else None)
    return Refusal("1211") if model is None else (_unfit(request, model) or request)


def _unfit(request: ChatRequest, model: Model) -> Refusal | None:
    """What the service refuses in a well-formed request."""
    if request.thinking.type == "disabled" and model.refuses_disabled:
        return Refusal("1210", message="Incorrect API call parameters: this model cannot do without thinking")
    if request.reasoning_effort not in model.efforts:
        return Refusal("1210", message="Incorrect API call parameters: reasoning_effort")
    if request.max_tokens is not msgspec.UNSET and request.max_tokens > model.max_tokens:
        return illegal("max_tokens")
    if all(isinstance(message, SystemMessage | AssistantMessage) for message in request.messages):
        return illegal("messages")
    return _unfit_parts(request.attached(), model)


def _unfit_parts(parts: list[AnyPart], model: Model) -> Refusal | None:
    for part in parts:
        if model.kind != ("voice" if isinstance(part, SoundPart) else "vision"):
            return Refusal(
                "1210", message="Incorrect API call parameters: the model does not take this kind of content"
            )
    seen = {type(part) for part in parts}
    if seen & {FilePart, FileUrlPart} and seen & {ImagePart, VideoPart}:
        return Refusal("1215", message="Files and images or videos cannot be set at the same time")
    images = [part.image_url.url for part in parts if isinstance(part, ImagePart)]
    if len(images) > model.images:
        return Refusal("1210", message=f"Incorrect API call parameters: more than {model.images} images")
    for url in images:
        try:
            data = image_data(url)
        except Base64Error:
            return Refusal("1210", message="Incorrect API call parameters: an image is not base64")
        if data is not None and (len(data) > _MAX_IMAGE_BYTES or not model.takes_image_data):
            return Refusal("1210", message="Incorrect API call parameters: an image is too large or in the wrong form")
    return None


def image_data(url: str) -> bytes | None:
    """The bytes of an image in the request itself, as a data URL or bare base64; None for an address elsewhere.

    Raises binascii.Error for what is neither.
    """
    if url.startswith(("http://", "https://")):
        return None
    head, comma, data = url.partition(",")
    if comma and not (head.startswith("data:") and head.endswith(";base64")):
        raise Base64Error("not a data URL in base64")
    return a2b_base64(data if comma else url, strict_mode=True)
