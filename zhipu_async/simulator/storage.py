"""What the simulator keeps: uploaded files (data.md section 7), and what anybody may fetch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from random import Random
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from zhipu_async.simulator import listing
from zhipu_async.simulator.folder import remove
from zhipu_async.simulator.replies import Answer, Download, Json, Raw, Refusal, not_found
from zhipu_async.simulator.routes import Endpoint
from zhipu_async.simulator.seen import SeenRequest
from zhipu_async.simulator.validation import illegal, missing

_MB: Final = 1024 * 1024
OUTPUT: Final = "batch_output"
"""The purpose of files that batches make."""


class _Limits(NamedTuple):
    """What files of a purpose may be: their size in bytes, their number, the endings of their names."""

    size: float = float("inf")
    number: float = float("inf")
    endings: frozenset[str] = frozenset()


_PURPOSES: Final = {
    "batch": _Limits(100 * _MB, 1000, frozenset({".jsonl"})),
    "code-interpreter": _Limits(20 * _MB, 100),
    "agent": _Limits(20 * _MB, 1000),
    "voice-clone-input": _Limits(10 * _MB, endings=frozenset({".mp3", ".wav"})),
    "user_data": _Limits(endings=frozenset({".pptx", ".ppt", ".docx", ".doc", ".xlsx", ".xls", ".pdf"})),
    "fine-tune": _Limits(),
    "retrieval": _Limits(),
}


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that is kept."""

    id: str
    filename: str
    purpose: str
    created_at: int
    size: int
    path: Path

    @property
    def object(self) -> dict[str, Any]:
        """What the service says about it."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.size,
            "created_at": self.created_at,
            "filename": self.filename,
            "purpose": self.purpose,
        }


class Files:
    """The files by their ids, which are a time and 32 hexadecimal digits (README.md section 5)."""

    def __init__(self, clock: Callable[[], float], seed: int) -> None:
        self._clock = clock
        self._random = Random(seed)
        self._files: dict[str, Stored] = {}

    def get(self, identity: object) -> Stored | None:
        """The file with this id."""
        return self._files.get(identity) if isinstance(identity, str) else None

    def add(self, path: Path, filename: str, purpose: str) -> Stored:
        """Keep a file from now on."""
        now = int(self._clock())
        identity = f"{now}_{self._random.getrandbits(128):032x}"
        stored = self._files[identity] = Stored(identity, filename, purpose, now, path.stat().st_size, path)
        return stored

    def delete(self, identity: str) -> bool:
        """Keep a file no longer; False where it is not there."""
        stored = self._files.pop(identity, None)
        if stored is not None:
            remove(stored.path)
        return stored is not None

    def clear(self) -> None:
        """Forget all files. They remain on the disk."""
        self._files.clear()

    def check_create(self, request: SeenRequest) -> Refusal | None:
        """What the service refuses in an upload."""
        purpose = request.get("purpose")
        if purpose is None:
            return missing("purpose")
        limits = _PURPOSES.get(purpose) if isinstance(purpose, str) else None
        if limits is None:
            return illegal("purpose")
        upload = request.upload("file")
        if upload is None:
            return missing("file")
        if not upload.size or (limits.endings and PurePath(upload.filename).suffix.lower() not in limits.endings):
            return illegal("file")
        if upload.size > limits.size:
            return Refusal("1214", 435, f"The file is larger than {limits.size / _MB:g} MB")
        if sum(stored.purpose == purpose for stored in self._files.values()) >= limits.number:
            return Refusal("1214", message=f"There are {limits.number} files of this purpose, which is the limit")
        return None

    def create(self, request: SeenRequest) -> Answer:
        """Keep an upload."""
        upload = request.upload("file")
        if upload is None:
            return missing("file")
        upload.kept = True
        return Json(self.add(upload.path, upload.filename, str(request.get("purpose", "user_data"))).object)

    def check_list(self, request: SeenRequest) -> Refusal | None:
        """What the service refuses in the query of a list."""
        purpose = request.query.get("purpose")
        if not purpose:
            return missing("purpose")
        if purpose not in _PURPOSES and purpose != OUTPUT:
            return illegal("purpose")
        return (
            listing.unfit(request.query)
            if request.query.get("order", "created_at") == "created_at"
            else illegal("order")
        )

    def list(self, request: SeenRequest) -> Answer:
        """A page of the files of a purpose, the newest first."""
        purpose = request.query.get("purpose")
        files = [stored.object for stored in reversed(self._files.values()) if purpose in (None, stored.purpose)]
        return Json(listing.listed(files, request.query))

    def delete_file(self, request: SeenRequest) -> Answer:
        """Delete a file."""
        identity = request.fields["id"]
        return (
            Json({"id": identity, "object": "file", "deleted": True})
            if self.delete(identity)
            else absent("file", identity)
        )

    def check_content(self, request: SeenRequest) -> Refusal | None:
        """What the service refuses to hand out: only files of batches can be had."""
        stored = self._files.get(request.fields["id"])
        return illegal("purpose") if stored and stored.purpose not in ("batch", OUTPUT) else None

    def content(self, request: SeenRequest) -> Answer:
        """The bytes of a file."""
        stored = self._files.get(request.fields["id"])
        return Download(stored.path) if stored else absent("file", request.fields["id"])


def absent(kind: str, identity: str) -> Refusal:
    """The refusal of an id that nothing has."""
    return Refusal("404", 404, f"There is no {kind} {identity}")


class Public:
    """Pictures, films and the like that answers point at: everybody may fetch them, without a key."""

    def __init__(self) -> None:
        self._contents: dict[str, tuple[bytes, str]] = {}

    def publish(self, request: SeenRequest, content: bytes, media_type: str, name: str) -> str:
        """The URL under which the content can be fetched from now on, at the host that this request was sent to.

        `name` is the last part of the URL, like `picture.png`; contents of one name do not replace each other.
        """
        place = f"{len(self._contents):06x}-{PurePath(name).name}"
        self._contents[place] = content, media_type
        return f"{request.origin}/generated/{quote(place)}"

    def fetch(self, request: SeenRequest) -> Answer:
        """The content."""
        content, media_type = self._contents.get(request.fields["name"], (None, ""))
        return not_found() if content is None else Raw(content, content_type=media_type)


def endpoints(files: Files, public: Public) -> tuple[Endpoint, ...]:
    """The rows of files."""
    return (
        Endpoint("POST", "/files", files.create, files.check_create),
        Endpoint("GET", "/files", files.list, files.check_list),
        Endpoint("DELETE", "/files/{id}", files.delete_file),
        Endpoint("GET", "/files/{id}/content", files.content, files.check_content),
        Endpoint("GET", "/generated/{name}", public.fetch, roots=("",), keyless=True),
    )
