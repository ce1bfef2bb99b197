"""multipart/form-data (RFC 7578) as a value: ready bytes and, between them, the files that are still to be read."""

from __future__ import annotations

import inspect
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec

from ..errors import ConfigError
from ..types.uploads import FileSource, FileUpload, media_type_of
from .encoding import encode_json, unwrapped
from .tolerant import is_list


class FilePiece(msgspec.Struct):
    """A file of a form."""

    source: FileSource
    start: int | None = None
    """Where an open file stood; None for one that cannot seek, and for what is no open file."""
    name: str = "the file"
    """What errors call it."""
    spent: bool = False
    """Whether some of it was read and, as only who opens a path finds out (a pipe), cannot be read again."""

    @property
    def rewindable(self) -> bool:
        """Whether it can be read from its beginning again."""
        return not self.spent and (self.start is not None or not hasattr(self.source, "read"))


class Form(msgspec.Struct, frozen=True):
    """The pieces of a body, in order."""

    boundary: str
    pieces: tuple[bytes | FilePiece, ...]

    @property
    def content_type(self) -> str:
        """The header's value."""
        return f"multipart/form-data; boundary={self.boundary}"

    @property
    def rewindable(self) -> bool:
        """Whether the whole body can be sent again."""
        return all(piece.rewindable for piece in self.pieces if isinstance(piece, FilePiece))


def form(fields: Mapping[str, Any], files: Collection[str], boundary: str) -> Form:
    """The form of ``fields``; those named in ``files`` are files, the others text.

    A list becomes one part for each element, an object JSON, a bool ``true`` or ``false``; None is left out.
    ConfigError for a file that is none, and for what JSON cannot hold.
    """
    pieces: list[bytes | FilePiece] = []
    text = ""
    for name, value in fields.items():
        for element in _elements(value, of_files=name in files):
            if element is None and name not in files:
                continue
            text += f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"'
            if name in files:
                upload = as_upload(name, element)
                pieces += [_bytes(f"{text}{_file_head(upload)}\r\n\r\n"), _piece(upload)]
                text = "\r\n"
            else:
                text += f"\r\n\r\n{_text(name, element)}\r\n"
    return Form(boundary, (*pieces, _bytes(f"{text}--{boundary}--\r\n")))


def _elements(value: Any, *, of_files: bool) -> Iterable[Any]:
    """What becomes a part each: the elements of a sequence; a tuple in the place of a file is one file."""
    many = is_list(value) or (isinstance(value, Sequence) and not of_files and not isinstance(value, (str, bytes)))
    return cast("Iterable[Any]", value if many else (value,))


def as_upload(name: str, value: Any) -> FileUpload:
    """``value`` as a file with a name; ConfigError when it is none."""
    match value:
        case FileUpload():
            upload = value
        case (str() as filename, source):
            upload = FileUpload(source, filename)
        case (str() as filename, source, str() as media_type):
            upload = FileUpload(source, filename, media_type)
        case _:
            upload = FileUpload(value)
    source = upload.source
    if not isinstance(source, (bytes, bytearray, memoryview, str)) and not (
        hasattr(source, "__fspath__") or hasattr(source, "read")
    ):
        raise ConfigError(
            f"{name} must be bytes, a path, an open binary file or (name, one of these), not {type(value).__name__}"
        )
    if isinstance(source, io.TextIOBase):
        raise ConfigError(f"{name} is a file in text mode: open it with mode 'rb'")
    if inspect.iscoroutinefunction(getattr(source, "read", None)):
        raise ConfigError(f"{name} has an asynchronous read(): give its bytes, or the file inside it")
    return msgspec.structs.replace(upload, filename=upload.filename or _name_of(source) or name)


def _file_head(upload: FileUpload) -> str:
    media_type = unwrapped(upload.media_type) or media_type_of(upload.filename or "")
    if not media_type.isprintable() or not media_type.isascii():
        raise ConfigError(f"{media_type!r} is no media type")
    return f'; filename="{_quoted(upload.filename or "")}"\r\nContent-Type: {media_type}'


def _piece(upload: FileUpload) -> FilePiece:
    """The file with the place where it stands, if it can seek. ConfigError when it is closed."""
    source: Any = upload.source
    name = repr(upload.filename)
    if not hasattr(source, "read"):
        return FilePiece(source, None, name)
    try:
        position: int | None = source.tell() if source.seekable() else None
    except AttributeError:
        position = None
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {name}: {error}") from error
    return FilePiece(source, position, name)


def _name_of(source: Any) -> str | None:
    """The last part of a path or of an open file's path."""
    path: Any = getattr(source, "name", None) if hasattr(source, "read") else source
    if hasattr(path, "__fspath__"):
        path = path.__fspath__()
    return path.replace("\\", "/").rpartition("/")[2] or None if isinstance(path, str) else None


def _quoted(text: str) -> str:
    """For a quoted value, as browsers write it: UTF-8, with line ends and quotation marks percent-encoded."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _text(name: str, value: Any) -> str:
    """Text as it is, also where it is JSON that makes it text (an enum, a date); anything else as JSON."""
    if type(value) is str:
        return value
    data = encode_json(value, name)
    return msgspec.json.decode(data, type=str) if data.startswith(b'"') else data.decode()


def _bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError("the request holds text that is not Unicode (a lone surrogate)") from error
