"""multipart/form-data as a value: names, types, escapes, and what an independent parser reads of it."""

from __future__ import annotations

import email.parser
import email.policy
import io
from datetime import date
from enum import Enum
from pathlib import PurePosixPath
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhipu_async.config import Timeouts
from zhipu_async.errors import ConfigError
from zhipu_async.protocol import codec
from zhipu_async.protocol.endpoint import Call, Endpoint
from zhipu_async.protocol.form import FilePiece, Form, form
from zhipu_async.types.base import Transfer
from zhipu_async.types.uploads import FileInput, FileUpload, media_type_of


class Word(str, Enum):  # noqa: UP042  a StrEnum is its text anyway
    """An enum of texts, as people write them."""

    BATCH = "batch"


class Kind(str, Enum):  # noqa: UP042
    """Media types."""

    WAV = "audio/wav"


class Bare(Enum):
    """An enum of anything."""

    BATCH = "batch"


def parts(made: Form) -> list[tuple[str, str | None, str, bytes]]:
    """Name, file name, media type and content of each part, by the standard library's parser of mail."""
    body = b"".join(
        piece if isinstance(piece, bytes) else bytes(piece.source)  # type: ignore[arg-type]
        for piece in made.pieces
    )
    head = f"Content-Type: {made.content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    found: list[tuple[str, str | None, str, bytes]] = []
    for part in message.iter_parts():
        content = part.get_payload(decode=True)
        name = part.get_param("name", header="content-disposition")
        found.append((str(name), part.get_filename(), part.get_content_type(), bytes(content)))  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"purpose": "batch"}, [("purpose", None, "text/plain", b"batch")]),
        ({"probability": True, "size": 300, "ratio": 0.5}, [
            ("probability", None, "text/plain", b"true"),
            ("size", None, "text/plain", b"300"),
            ("ratio", None, "text/plain", b"0.5"),
        ]),
        ({"hotwords": ["GLM", "语音"]}, [
            ("hotwords", None, "text/plain", b"GLM"),
            ("hotwords", None, "text/plain", "语音".encode()),
        ]),
        ({"hotwords": ("GLM",)}, [("hotwords", None, "text/plain", b"GLM")]),
        ({"callback_header": {"X-Key": "1"}}, [("callback_header", None, "text/plain", b'{"X-Key":"1"}')]),
        ({"purpose": Word.BATCH, "of": [Bare.BATCH]}, [
            ("purpose", None, "text/plain", b"batch"),
            ("of", None, "text/plain", b"batch"),
        ]),
        ({"day": date(2026, 1, 2), "more": {"day": date(2026, 1, 2), "none": None}}, [
            ("day", None, "text/plain", b"2026-01-02"),
            ("more", None, "text/plain", b'{"day":"2026-01-02","none":null}'),
        ]),
        ({"left out": None, "of these": ["a", None]}, [("of these", None, "text/plain", b"a")]),
        ({"file": FileUpload(b"abc", "a", Kind.WAV)}, [("file", "a", "audio/wav", b"abc")]),
        ({"file": b"abc"}, [("file", "file", "application/octet-stream", b"abc")]),
        ({"file": ("a.jsonl", b"abc")}, [("file", "a.jsonl", "application/jsonl", b"abc")]),
        ({"file": ("a.wav", b"abc", "audio/x-own")}, [("file", "a.wav", "audio/x-own", b"abc")]),
        ({"file": FileUpload(b"abc", "a.pdf")}, [("file", "a.pdf", "application/pdf", b"abc")]),
        ({"file": bytearray(b"abc")}, [("file", "file", "application/octet-stream", b"abc")]),
        ({"file": [("1.txt", b"a"), ("2.txt", b"b")]}, [
            ("file", "1.txt", "text/plain", b"a"),
            ("file", "2.txt", "text/plain", b"b"),
        ]),
    ],
    ids=str,
)  # fmt: skip
def test_fields_become_parts(fields: dict[str, Any], expected: list[Any]) -> None:
    """Text as text, a list as one part per element, an object as JSON, a file with a name and a type."""
    assert parts(form(fields, {"file"}, "b")) == expected


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/tmp/recordings/语音 1.wav", "语音 1.wav"),
        (PurePosixPath("a/b.mp3"), "b.mp3"),
        ("C:\\sounds\\b.mp3", "b.mp3"),
    ],
    ids=str,
)
def test_a_path_gives_the_name_of_its_last_part(source: Any, name: str) -> None:
    """The name is sent as UTF-8, without the folder; the path itself is only opened by the transport."""
    made = form({"file": source}, {"file"}, "b")
    assert f'filename="{name}"'.encode() in made.pieces[0]  # type: ignore[operator]
    assert made.pieces[1] == FilePiece(source, None, repr(name))


def test_an_open_file_is_remembered_with_its_place() -> None:
    """It is sent from where it stood when the call was made, again and again; one that cannot seek only once."""
    file = io.BytesIO(b"0123456789")
    file.seek(4)
    made = form({"file": file}, {"file"}, "b")
    assert made.pieces[1] == FilePiece(file, 4, "'file'")  # type: ignore[arg-type]
    assert made.rewindable

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    assert not form({"file": Pipe(b"x")}, {"file"}, "b").rewindable


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_no_name_breaks_out_of_its_header(name: str) -> None:
    """Quotation marks and line ends of a file's name are percent-encoded, so that no name adds a header or a part."""
    opening = form({"file": (name, b"x")}, {"file"}, "b").pieces[0]
    assert isinstance(opening, bytes)
    lines = opening.decode().split("\r\n")
    assert len(lines) == 5
    assert lines[1].startswith('Content-Disposition: form-data; name="file"; filename="')
    assert lines[1].count('"') == 4
    assert "\n" not in lines[1] + lines[2]
    assert lines[2].startswith("Content-Type: ")


@pytest.mark.parametrize(
    "value",
    [3, None, object(), ("name", 4), ("a.wav", b"x", "audio/wav\r\nX-Evil: 1"), FileUpload(b"x", "\ud800.wav")],
    ids=repr,
)
def test_what_is_no_file_is_refused(value: Any) -> None:
    """ConfigError before anything is sent."""
    with pytest.raises(ConfigError):
        form({"file": value}, {"file"}, "b")


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), [1.5, float("-inf")], {"deep": [float("nan")]}, object(), "\ud800"], ids=repr
)
def test_what_no_text_is_made_of_is_refused(value: Any) -> None:
    """ConfigError for numbers that are none, as in JSON, and for what JSON cannot hold."""
    with pytest.raises(ConfigError):
        form({"temperature": value}, {"file"}, "b")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.wav", "audio/x-wav"),
        ("A.MP3", "audio/mpeg"),
        ("a.pdf", "application/pdf"),
        ("a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("a.jsonl", "application/jsonl"),
        ("a", "application/octet-stream"),
        ("a.unheard-of", "application/octet-stream"),
    ],
)
def test_media_types_go_by_the_ending(name: str, kind: str) -> None:
    """Known endings, in any case, have their type; others are bytes."""
    assert media_type_of(name) == kind


class SendFile(Transfer, kw_only=True, frozen=True, omit_defaults=True):
    """A form with a file."""

    file: FileInput
    purpose: str
    place: str | None = None


def test_a_form_is_encoded_from_its_request() -> None:
    """File fields are found by their type; options are no parts; extra_body adds parts; text of a file is a path."""
    call = Call(
        Endpoint("POST", "/files", dict, form=True),
        SendFile(file="data.jsonl", purpose="batch", timeout=3, progress=print, extra_body={"extra": "1"}),
    )
    request = codec.encode(call, "http://x", headers={}, query={}, timeout=None, default=Timeouts(), boundary="bb")
    assert isinstance(request.body, Form)
    assert [piece.source for piece in request.body.pieces if isinstance(piece, FilePiece)] == ["data.jsonl"]
    text = b"".join(piece for piece in request.body.pieces if isinstance(piece, bytes)).decode()
    assert [word for word in ("purpose", "extra", "place", "timeout", "progress") if f'name="{word}"' in text] == [
        "purpose",
        "extra",
    ]
    assert request.headers["Content-Type"] == "multipart/form-data; boundary=bb"
    assert request.progress is print
    assert request.timeouts.total == 3
    assert msgspec.structs.asdict(call.arguments)["file"] == "data.jsonl"


def upload(headers: dict[str, str], **options: Any) -> dict[str, str]:
    """The headers of an upload, with the client's."""
    call = Call(Endpoint("POST", "/files", dict, form=True), SendFile(file=b"x", purpose="batch", **options))
    default = Timeouts()
    return dict(
        codec.encode(call, "http://x", headers=headers, query={}, timeout=None, default=default, boundary="b").headers
    )


@pytest.mark.parametrize("name", ["Content-Type", "content-type", "CONTENT-TYPE"])
def test_a_form_has_one_content_type(name: str) -> None:
    """The client's default gives way to it, in any case; that of the call is a ConfigError."""
    multipart = {"Content-Type": "multipart/form-data; boundary=b"}
    assert upload({name: "application/json", "X": "1"}) == {"X": "1", **multipart}
    with pytest.raises(ConfigError, match="content type of an upload"):
        upload({}, extra_headers={name: "application/json"})
    assert upload({}, extra_headers={"X": "1"}) == {"X": "1", **multipart}
