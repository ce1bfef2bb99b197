"""pydantic-ai's messages as the service's, and the service's answers as pydantic-ai's parts."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    AudioUrl,
    BinaryContent,
    CachePoint,
    CompactionPart,
    DocumentUrl,
    FilePart,
    FinishReason,
    ImageUrl,
    InstructionPart,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ModelResponsePart,
    SystemPromptPart,
    TextContent,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
    VideoUrl,
)
from pydantic_ai.models import download_item
from pydantic_ai.usage import RequestUsage

from ..errors import DecodeError
from ..types import messages as glm
from ..types.chat import ChatCompletion
from ..types.tools import FunctionCall, ToolCall

FINISH_REASONS: Mapping[str | None, FinishReason] = {
    "stop": "stop",
    "tool_calls": "tool_call",
    "length": "length",
    "model_context_window_exceeded": "length",
    "sensitive": "content_filter",
    "network_error": "error",
}

THINKING_ID = "reasoning_content"
"""The field of the service, as pydantic-ai's own model of Z.ai notes it: histories can move between the two."""

_BY_ADDRESS: Mapping[str, type[glm.ImagePart | glm.VideoPart | glm.FilePart]] = {
    "image-url": glm.ImagePart,
    "video-url": glm.VideoPart,
    "document-url": glm.FilePart,
}


# ---------------------------------------------------------------- what is asked


async def conversation(messages: Sequence[ModelMessage], instructions: Sequence[InstructionPart]) -> list[glm.Message]:
    """The messages of a call, with the instructions behind the system prompts that they begin with."""
    sent: list[glm.Message] = []
    for message in messages:
        if isinstance(message, ModelRequest):
            sent += await _said(message)
        elif (answered := _answered(message)) is not None:
            sent.append(answered)
    place = next((index for index, said in enumerate(sent) if not isinstance(said, glm.SystemMessage)), len(sent))
    sent[place:place] = [glm.SystemMessage(part.content) for part in instructions]
    return sent


async def _said(request: ModelRequest) -> list[glm.Message]:
    """What a request says. Files that tools returned follow their results as a message of the user's."""
    sent: list[glm.Message] = []
    files: list[UserContent] = []
    for part in request.parts:
        match part:
            case SystemPromptPart():
                sent.append(glm.SystemMessage(part.content))
            case UserPromptPart():
                sent.append(await _user(part.content))
            case ToolReturnPart():
                text, of_tool = part.model_response_str_and_user_content()
                files += of_tool
                sent.append(glm.ToolMessage(content=text, tool_call_id=part.tool_call_id))
            case CompactionPart(content=str() as summary):
                sent.append(glm.UserMessage(summary))
            case _:
                raise UserError(
                    f"{type(part).__name__} cannot be sent as it is: pass the messages through "
                    "model.prepare_messages(...) first, as Agent does"
                )
    return [*sent, await _user(files)] if files else sent


async def _user(content: str | Sequence[UserContent]) -> glm.UserMessage:
    if isinstance(content, str):
        return glm.UserMessage(content)
    parts = [await _part(item) for item in content if not isinstance(item, CachePoint)]
    texts = [part.text for part in parts if isinstance(part, glm.TextPart)]
    if len(texts) == len(parts):  # models without eyes may refuse a list (chat.md section 2)
        return glm.UserMessage("\n\n".join(texts))
    return glm.UserMessage(parts)


async def _part(item: UserContent) -> glm.Part:
    match item:
        case str():
            return glm.TextPart(item)
        case TextContent():
            return glm.TextPart(item.content)
        case BinaryContent():
            return _file(item.data, item.media_type, item.identifier)
        case AudioUrl() | ImageUrl() | VideoUrl() | DocumentUrl():
            if isinstance(item, AudioUrl) or item.force_download:  # sound is not taken by address
                loaded = await download_item(item, data_format="bytes")
                return _file(loaded["data"], loaded["data_type"], item.identifier)
            return _BY_ADDRESS[item.kind].from_url(item.url)
        case _:
            raise UserError(f"{type(item).__name__} cannot be sent to a GLM model")  # a file of another service


_SOUND: Mapping[str, Literal["wav", "mp3"]] = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3"}
"""Media types of the sound that the service takes; of another it is looked for in the sound itself."""


def _file(data: bytes, media_type: str, name: str) -> glm.Part:
    """A file in memory, as the kind of part that its media type asks for."""
    match media_type.partition("/")[0]:
        case "image":
            return glm.ImagePart.from_bytes(data, media_type)
        case "video":
            return glm.VideoPart.from_bytes(data, media_type)
        case "audio":
            return glm.AudioPart.from_bytes(data, _SOUND.get(media_type))
        case _:
            return glm.FilePart.from_bytes(data, f"{name}{mimetypes.guess_extension(media_type) or ''}", media_type)


def _answered(response: ModelResponse) -> glm.AssistantMessage | None:
    """An earlier answer as it goes back; None for one without text, thinking and calls."""
    texts, thinking, calls, audio = list[str](), list[str](), list[ToolCall](), None
    for part in response.parts:
        match part:
            case TextPart():
                texts.append(part.content)
            case ThinkingPart(content=content) if content:
                thinking.append(content)
            case ToolCallPart():
                function = FunctionCall(part.tool_name, part.args_as_json_str())
                calls.append(ToolCall(id=part.tool_call_id, function=function))
            case FilePart(id=str() as id) if part.content.is_audio:
                audio = glm.AudioReference(id)
            case _:  # what other providers' own tools did
                pass
    if not (texts or thinking or calls or audio):
        return None
    return glm.AssistantMessage(
        content="\n\n".join(texts),
        reasoning_content="\n\n".join(thinking) or None,
        tool_calls=calls or None,
        audio=audio,
    )


# ---------------------------------------------------------------- what is answered


def parts(completion: ChatCompletion, provider: str) -> list[ModelResponsePart]:
    """The answer's parts: thinking, text, calls of functions, speech."""
    found: list[ModelResponsePart] = []
    if completion.reasoning:
        found.append(ThinkingPart(completion.reasoning, id=THINKING_ID, provider_name=provider))
    if completion.text:
        found.append(TextPart(completion.text))
    for call in completion.tool_calls:
        if call.type == "function":
            part = ToolCallPart(call.function.name, call.function.arguments)
            part.tool_call_id = call.id or part.tool_call_id
            found.append(part)
    return [*found, *speech(completion, provider)]


def speech(completion: ChatCompletion, provider: str) -> list[FilePart]:
    """What the model said aloud (glm-4-voice), at most one file. DecodeError for what is no base64."""
    audio = completion.choices[0].message.audio if completion.choices else None
    if audio is None or not audio.data:
        return []
    try:
        content = BinaryContent(base64.b64decode(audio.data), media_type="audio/wav")
    except ValueError:
        raise DecodeError("the speech of the answer is no base64", body=completion.text) from None
    more = None if audio.expires_at is None else {"expires_at": audio.expires_at}
    return [FilePart(content, id=audio.id, provider_name=provider, provider_details=more)]


def details(completion: ChatCompletion) -> dict[str, Any]:
    """What pydantic-ai's types have no place for."""
    others = [call for call in completion.tool_calls if call.type != "function"]
    found = {
        "finish_reason": completion.finish_reason,
        "timestamp": _moment(completion.created),
        "request_id": completion.request_id,
        "log_id": completion.response_headers.get("x-log-id"),
        "web_search": msgspec.to_builtins(completion.web_search),
        "video_result": msgspec.to_builtins(completion.video_result),
        "content_filter": msgspec.to_builtins(completion.content_filter),
        "tool_calls": msgspec.to_builtins(others),
    }
    return {name: value for name, value in found.items() if value}


def _moment(seconds: int | None) -> datetime | int | None:
    """A moment; a number that is no time of this calendar, such as one of milliseconds, stays what it is."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (OSError, OverflowError, ValueError):
        return seconds


def usage(completion: ChatCompletion) -> RequestUsage:
    """The tokens of an answer."""
    tokens = completion.usage
    if tokens is None:
        return RequestUsage(unmeasured_requests=1)
    prompt, answer = tokens.prompt_tokens_details, tokens.completion_tokens_details
    return RequestUsage(
        input_tokens=tokens.prompt_tokens or 0,
        output_tokens=tokens.completion_tokens or 0,
        cache_read_tokens=(prompt and prompt.cached_tokens) or 0,
        output_reasoning_tokens=(answer and answer.reasoning_tokens) or 0,
        details={"reasoning_tokens": answer.reasoning_tokens} if answer and answer.reasoning_tokens is not None else {},
    )
