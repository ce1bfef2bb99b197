"""Messages and the parts of their content, as they are sent (chat.md section 2)."""

from __future__ import annotations

import json
import mimetypes
from typing import Any

import msgspec
import pytest

from zhipu_async.errors import ConfigError
from zhipu_async.types.messages import (
    AssistantMessage,
    AudioPart,
    FilePart,
    FileURLPart,
    ImagePart,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
    VideoPart,
)

PNG = b"\x89PNG\r\n\x1a\n"
OFFICE = "application/vnd.openxmlformats-officedocument."


def sent(value: Any) -> Any:
    """What a struct is sent as."""
    return json.loads(msgspec.json.encode(value))


PARTS: list[tuple[Any, dict[str, Any]]] = [
    (TextPart("x"), {"type": "text", "text": "x"}),
    (ImagePart.from_url("https://x/a.png"), {"type": "image_url", "image_url": {"url": "https://x/a.png"}}),
    (ImagePart.from_bytes(PNG), {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}),
    (ImagePart.from_bytes(b"?", "image/x"), {"type": "image_url", "image_url": {"url": "data:image/x;base64,Pw=="}}),
    (VideoPart.from_url("https://x/a.mp4"), {"type": "video_url", "video_url": {"url": "https://x/a.mp4"}}),
    (VideoPart.from_bytes(b"?"), {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,Pw=="}}),
    (FilePart.from_url("https://x/a.pdf"), {"type": "file", "file": {"file_url": "https://x/a.pdf"}}),
    (FilePart.from_id("file-1"), {"type": "file", "file": {"file_id": "file-1"}}),
    (
        FilePart.from_bytes(b"?", "a.pdf"),
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,Pw==", "filename": "a.pdf"}},
    ),
    (
        FilePart.from_bytes(b"?", "a.unheardof"),
        {"type": "file", "file": {"file_data": "data:application/octet-stream;base64,Pw==", "filename": "a.unheardof"}},
    ),
    (
        FilePart.from_bytes(b"?", "a", "text/plain"),
        {"type": "file", "file": {"file_data": "data:text/plain;base64,Pw==", "filename": "a"}},
    ),
    (FileURLPart.from_url("https://x/a.pdf"), {"type": "file_url", "file_url": {"url": "https://x/a.pdf"}}),
    (
        AudioPart.from_bytes(b"RIFF    WAVE"),
        {"type": "input_audio", "input_audio": {"data": "UklGRiAgICBXQVZF", "format": "wav"}},
    ),
    (AudioPart.from_bytes(b"ID3"), {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}}),
    (AudioPart.from_bytes(b"ID3", "wav"), {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "wav"}}),
]


@pytest.mark.parametrize(("part", "expected"), PARTS)
def test_parts(part: Any, expected: dict[str, Any]) -> None:
    """Each part is sent in the contract's shape, and nothing beside it."""
    assert sent(part) == expected


MESSAGES: list[tuple[Any, dict[str, Any]]] = [
    (SystemMessage("x"), {"role": "system", "content": "x"}),
    (UserMessage("x"), {"role": "user", "content": "x"}),
    (UserMessage([TextPart("x")]), {"role": "user", "content": [{"type": "text", "text": "x"}]}),
    (UserMessage([{"type": "new"}]), {"role": "user", "content": [{"type": "new"}]}),
    (UserMessage((TextPart("x"),)), {"role": "user", "content": [{"type": "text", "text": "x"}]}),
    (AssistantMessage(), {"role": "assistant"}),
    (AssistantMessage(content=""), {"role": "assistant", "content": ""}),
    (AssistantMessage(tool_calls=[{"id": "c"}]), {"role": "assistant", "tool_calls": [{"id": "c"}]}),
    (ToolMessage(content="{}", tool_call_id="c"), {"role": "tool", "content": "{}", "tool_call_id": "c"}),
]


@pytest.mark.parametrize(("message", "expected"), MESSAGES)
def test_messages(message: Any, expected: dict[str, Any]) -> None:
    """Each message is sent with its role and what was given."""
    assert sent(message) == expected


@pytest.mark.parametrize(
    ("start", "media_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"BM\x00", "image/bmp"),
    ],
)
def test_images_are_recognised(start: bytes, media_type: str) -> None:
    """The kind of an image is read from its first bytes."""
    assert ImagePart.from_bytes(start).image_url.url.startswith(f"data:{media_type};base64,")


@pytest.mark.parametrize("data", [b"", b"hello", b"%PDF-1.7", b"RIFF\x00\x00\x00\x00WAVEfmt ", b"<svg"])
def test_what_is_no_image(data: bytes) -> None:
    """Bytes that are no known image need their media type, or are a ConfigError that says so."""
    with pytest.raises(ConfigError, match="media_type"):
        ImagePart.from_bytes(data)
    assert ImagePart.from_bytes(data, "image/tiff").image_url.url.startswith("data:image/tiff;base64,")


@pytest.mark.parametrize(
    ("start", "format"),
    [
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "wav"),
        (b"ID3\x04", "mp3"),
        (b"\xff\xfb\x90", "mp3"),
        (b"\xff\xf3\x40", "mp3"),
    ],
)
def test_sounds_are_recognised(start: bytes, format: str) -> None:
    """The kind of a sound is read from its first bytes."""
    assert AudioPart.from_bytes(start).input_audio.format == format


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"OggS\x00\x02",
        b"fLaC",
        b"\xff\xf1\x50\x80",  # AAC, whose frames begin much as those of mp3 do
        b"\xff\xfeh\x00",
        b"RIFF\x00\x00\x00\x00AVI LIST",
    ],
)
def test_what_is_no_sound(data: bytes) -> None:
    """Bytes that are neither wav nor mp3 need their format, or are a ConfigError that says so."""
    with pytest.raises(ConfigError, match="format="):
        AudioPart.from_bytes(data)
    assert AudioPart.from_bytes(data, "mp3").input_audio.format == "mp3"


@pytest.mark.parametrize(
    ("name", "media_type"), [("a.docx", OFFICE + "wordprocessingml.document"), ("A.MD", "text/markdown")]
)
def test_a_documents_type_is_the_same_on_every_machine(
    name: str, media_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes by the name's ending, and not by what the machine has installed."""
    monkeypatch.setattr(mimetypes, "guess_type", lambda *_: (None, None))
    assert str(FilePart.from_bytes(b"", name).file.file_data).startswith(f"data:{media_type};base64,")


def test_fields_that_must_be_given() -> None:
    """A tool's answer needs the id of its call, a message its content."""
    kinds: list[type[Any]] = [SystemMessage, UserMessage, TextPart]
    for kind in kinds:
        with pytest.raises(TypeError):
            kind()
    with pytest.raises(TypeError):
        ToolMessage(content="x")  # type: ignore[call-arg]
