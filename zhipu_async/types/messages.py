"""Messages of a conversation and the parts of their content (chat.md section 2). Plain dicts work in their place.

Parts made from files, read off the event loop's thread, are in ``attachments``.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Self, TypeVar, cast

import msgspec

from ..errors import ConfigError
from .tools import ToolCall
from .uploads import media_type_of

T = TypeVar("T")

_MP3 = (b"ID3", *(bytes((0xFF, second)) for second in (0xE2, 0xE3, 0xF2, 0xF3, 0xFA, 0xFB)))
"""How sound of MPEG layer III begins: with tags, or with a frame."""


class URL(msgspec.Struct, frozen=True):
    """An address, or data as a ``data:`` URL."""

    url: str


class TextPart(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """Text among other parts."""

    text: str


class ImagePart(msgspec.Struct, frozen=True, tag_field="type", tag="image_url"):
    """An image: jpg, jpeg or png, at most 5 MB and 6000 x 6000 pixels."""

    image_url: URL

    @classmethod
    def from_url(cls, url: str) -> Self:
        """An image that the service fetches itself."""
        return cls(URL(url))

    @classmethod
    def from_bytes(cls, data: bytes, media_type: str | None = None) -> Self:
        """An image in memory; the media type is recognised from its first bytes when it is not given."""
        return cls(URL(_data_url(data, media_type or _image_type(data))))


class VideoPart(msgspec.Struct, frozen=True, tag_field="type", tag="video_url"):
    """A video: mp4, mkv or mov, at most 200 MB."""

    video_url: URL

    @classmethod
    def from_url(cls, url: str) -> Self:
        """A video that the service fetches itself."""
        return cls(URL(url))

    @classmethod
    def from_bytes(cls, data: bytes, media_type: str = "video/mp4") -> Self:
        """A video in memory, sent as a ``data:`` URL."""
        return cls(URL(_data_url(data, media_type)))


class FileReference(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A document by address, by id of an uploaded file, or by its data with a name."""

    file_url: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    filename: str | None = None


class FilePart(msgspec.Struct, frozen=True, tag_field="type", tag="file"):
    """A document (pdf, docx, txt, ...), at most 50 MB; not together with images or videos."""

    file: FileReference

    @classmethod
    def from_url(cls, url: str) -> Self:
        """A document that the service fetches itself."""
        return cls(FileReference(file_url=url))

    @classmethod
    def from_id(cls, file_id: str) -> Self:
        """A document uploaded before."""
        return cls(FileReference(file_id=file_id))

    @classmethod
    def from_bytes(cls, data: bytes, filename: str, media_type: str | None = None) -> Self:
        """A document in memory."""
        return cls(FileReference(file_data=_data_url(data, media_type or media_type_of(filename)), filename=filename))


class FileURLPart(msgspec.Struct, frozen=True, tag_field="type", tag="file_url"):
    """A document by address, in the form that older vision models take."""

    file_url: URL

    @classmethod
    def from_url(cls, url: str) -> Self:
        """A document that the service fetches itself."""
        return cls(URL(url))


class InputAudio(msgspec.Struct, frozen=True):
    """Sound as base64 text."""

    data: str
    format: Literal["wav", "mp3"]


class AudioPart(msgspec.Struct, frozen=True, tag_field="type", tag="input_audio"):
    """Speech for glm-4-voice, at most 10 minutes."""

    input_audio: InputAudio

    @classmethod
    def from_bytes(cls, data: bytes, format: Literal["wav", "mp3"] | None = None) -> Self:
        """Sound in memory; wav or mp3 is recognised from its first bytes when it is not given."""
        return cls(InputAudio(_base64(data), format or _audio_format(data)))


Part = TextPart | ImagePart | VideoPart | FilePart | FileURLPart | AudioPart


class SystemMessage(msgspec.Struct, frozen=True, tag_field="role", tag="system"):
    """Instructions for the whole conversation."""

    content: str


class UserMessage(msgspec.Struct, frozen=True, tag_field="role", tag="user"):
    """What the user says: text, or parts for models that see or hear."""

    content: str | Sequence[Part | Mapping[str, Any]]


class AudioReference(msgspec.Struct, frozen=True):
    """An earlier spoken answer, by id."""

    id: str


class AssistantMessage(
    msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, tag_field="role", tag="assistant"
):
    """An earlier answer. Send ``reasoning_content`` back unchanged with tool calls and for preserved thinking."""

    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: Sequence[ToolCall | Mapping[str, Any]] | None = None
    audio: AudioReference | None = None


class ToolMessage(msgspec.Struct, kw_only=True, frozen=True, tag_field="role", tag="tool"):
    """The result of a tool call."""

    content: str
    tool_call_id: str


Message = SystemMessage | UserMessage | AssistantMessage | ToolMessage


def sendable(value: T) -> T:
    """Text of a model's as UTF-8 can hold it, also within JSON: a lone surrogate becomes U+FFFD, a pair its character.

    Models write them, and JSON can escape them: what came is sent back without an error that blames the caller.
    """
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return cast(T, value.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    elif isinstance(value, list):
        return cast(T, [sendable(inner) for inner in cast("list[Any]", value)])
    elif isinstance(value, dict):
        return cast(T, {sendable(name): sendable(inner) for name, inner in cast("dict[str, Any]", value).items()})
    return value


def refuse_bytes(messages: Iterable[Message | Mapping[str, Any]]) -> None:
    """ConfigError for bytes in the place of text, which JSON would carry as base64 without a word."""
    for message in messages:
        texts: list[Any] = [_member(message, "content")]
        if isinstance(texts[0], (list, tuple)):
            texts = [_member(part, "text") for part in cast("Sequence[Any]", texts[0])]
        for text in texts:
            if isinstance(text, (bytes, bytearray, memoryview)):
                raise ConfigError(
                    "the text of a message is bytes: decode it to str, or use ImagePart.from_bytes or "
                    "FilePart.from_bytes"
                )


def _member(value: Any, name: str) -> Any:
    return cast("Mapping[str, Any]", value).get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _data_url(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{_base64(data)}"


def _audio_format(data: bytes) -> Literal["wav", "mp3"]:
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "wav"
    if data.startswith(_MP3):
        return "mp3"
    raise ConfigError("cannot tell what kind of sound this is; pass format=, 'wav' or 'mp3'")


def _image_type(data: bytes) -> str:
    for start, media_type in (
        (b"\x89PNG", "image/png"),
        (b"\xff\xd8", "image/jpeg"),
        (b"GIF8", "image/gif"),
        (b"BM", "image/bmp"),
    ):
        if data.startswith(start):
            return media_type
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    raise ConfigError("cannot tell what kind of image this is; pass media_type=, for example 'image/png'")
