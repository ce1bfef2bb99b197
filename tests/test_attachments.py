"""Parts made from files: what they are called goes by the file, and not by the machine."""

from __future__ import annotations

import mimetypes
from pathlib import Path

import pytest

from zhipu_async import AudioPart, ConfigError, FilePart, VideoPart


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("a.mp4", "video/mp4"), ("a.MOV", "video/quicktime"), ("a.mkv", "video/x-matroska"), ("a", "video/mp4")],
)
async def test_a_videos_type_goes_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, media_type: str
) -> None:
    """The type is the same on every machine, and mp4 where the name says nothing."""
    monkeypatch.setattr(mimetypes, "guess_type", lambda *_: (None, None))
    path = tmp_path / name
    path.write_bytes(b"?")
    assert (await VideoPart.from_file(path)).video_url.url == f"data:{media_type};base64,Pw=="


async def test_a_document_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the folder; its type goes by the ending."""
    monkeypatch.setattr(mimetypes, "guess_type", lambda *_: (None, None))
    path = tmp_path / "a.pptx"
    path.write_bytes(b"?")
    file = (await FilePart.from_file(path)).file
    kind = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
    assert (file.filename, file.file_data) == ("a.pptx", f"data:{kind};base64,Pw==")


async def test_a_sound_that_is_not_recognised_needs_its_format(tmp_path: Path) -> None:
    """The first bytes say wav or mp3; where they do not, the caller does."""
    path = tmp_path / "a.mp3"
    path.write_bytes(b"?")
    with pytest.raises(ConfigError, match="format="):
        await AudioPart.from_file(path)
    assert (await AudioPart.from_file(path, "mp3")).input_audio.format == "mp3"
