"""The file parser: documents to text, as tasks of their own or at once (data.md section 8)."""

from __future__ import annotations

import asyncio
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePath
from typing import Any, Final

from zhipu_async.simulator.forms import Upload
from zhipu_async.simulator.replies import Answer, Json, Later, Refusal
from zhipu_async.simulator.routes import Endpoint
from zhipu_async.simulator.seen import SeenRequest
from zhipu_async.simulator.stage import Stage
from zhipu_async.simulator.validation import illegal, missing

_MB: Final = 1024 * 1024
_TEXTS: Final = frozenset({"TXT", "MD", "CSV", "HTML"})
_SHEETS: Final = frozenset({"XLS", "XLSX", "CSV"})
_PICTURES: Final = frozenset({"PNG", "JPG", "JPEG"})
_MORE_PICTURES: Final = frozenset({
    "BMP", "GIF", "WEBP", "HEIC", "EPS", "ICNS", "IM", "PCX", "PPM", "TIFF", "XBM", "HEIF", "JP2",
})  # fmt: skip
_LITE: Final = frozenset({"PDF", "DOCX", "DOC", "PPT", "PPTX", "TXT", "MD"}) | _SHEETS | _PICTURES
_PRIME: Final = _LITE | _MORE_PICTURES | {"HTML"}
_TOOLS: Final[Mapping[str, frozenset[str]]] = {"lite": _LITE, "expert": frozenset({"PDF"}), "prime": _PRIME}
_SYNC_TOOLS: Final[Mapping[str, frozenset[str]]] = {"prime-sync": _PRIME | {"WPS"}}
_ZIP_TIME: Final = (2026, 11, 20, 0, 0, 0)


@dataclass(slots=True)
class _Task:
    upload: Upload
    kind: str
    known: bool
    """Whether the tool takes files of this kind."""
    ready_at: float
    link: str | None = None


class Parser:
    """The tasks of the parser. One is done `Scenario.task_seconds` after its creation."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._tasks: dict[str, _Task] = {}
        stage.when_closed(self._tasks.clear)

    def check(self, request: SeenRequest) -> Refusal | None:
        """What is refused in the creation of a task."""
        return _unfit(request, _TOOLS)

    def check_sync(self, request: SeenRequest) -> Refusal | None:
        """What is refused in parsing at once."""
        return _unfit(request, _SYNC_TOOLS)

    def check_result(self, request: SeenRequest) -> Refusal | None:
        """What is refused in the fetching of a result."""
        return None if request.fields["format"] in ("text", "download_link") else illegal("format_type")

    def create(self, request: SeenRequest) -> Answer:
        """A new task; `success` is false where the file is too large for the tool."""
        upload = request.upload("file")
        if upload is None:
            return missing("file")
        task = self._task(request, upload)
        limit = _limit(request.get("tool_type"), task.kind)
        if upload.size > limit:
            message = f"The file is larger than {limit // _MB} MB"
            return Json({"success": False, "message": message, "task_id": None})
        upload.kept = True
        identity = f"task_{self._stage.stamps.next().id}"
        self._tasks[identity] = task
        return Json({"success": True, "message": "Task created", "task_id": identity})

    def result(self, request: SeenRequest) -> Answer:
        """How a task stands, with the text or a link to it."""
        identity = request.fields["id"]
        task = self._tasks.get(identity)
        if task is None:
            return Json({"success": False, "code": 404, "message": f"404 NOT_FOUND: there is no task {identity}"})
        if asyncio.get_running_loop().time() < task.ready_at:
            return Json(_state("processing", identity))
        form = request.fields["format"]
        return Later(lambda: self._parsed(task, request, identity, with_text=form == "text", with_link=form != "text"))

    def sync(self, request: SeenRequest) -> Answer:
        """The text and a link to it, as late as a task would have them."""
        upload = request.upload("file")
        if upload is None:
            return missing("file")
        task = self._task(request, upload)

        async def parse() -> Answer:
            await asyncio.sleep(task.ready_at - asyncio.get_running_loop().time())
            identity = f"task_{self._stage.stamps.next().id}"
            return await self._parsed(task, request, identity, with_text=True, with_link=True)

        return Later(parse)

    def _task(self, request: SeenRequest, upload: Upload) -> _Task:
        kind = str(request.get("file_type") or PurePath(upload.filename).suffix.removeprefix(".")).upper()
        tools = {**_TOOLS, **_SYNC_TOOLS}
        known = kind in tools.get(str(request.get("tool_type")), _PRIME)
        seconds = self._stage.scenario.task_seconds
        seconds = seconds(request) if callable(seconds) else seconds
        return _Task(upload, kind, known, asyncio.get_running_loop().time() + seconds)

    async def _parsed(
        self, task: _Task, request: SeenRequest, identity: str, *, with_text: bool, with_link: bool
    ) -> Answer:
        if not task.known:
            return Json(_state("failed", identity, f"Files of type {task.kind or 'unknown'} cannot be parsed"))
        state = _state("succeeded", identity)
        text = await asyncio.to_thread(_text, task) if with_text or task.link is None else ""
        if with_text:
            state["content"] = text
        if with_link:
            if task.link is None:
                content = await asyncio.to_thread(_zipped, text)
                task.link = self._stage.public.publish(request, content, "application/zip", f"{identity}.zip")
            state["parsing_result_url"] = task.link
        return Json(state)


def _state(status: str, identity: str, message: str = "") -> dict[str, Any]:
    return {
        "status": status,
        "message": message or f"The task is {status}",
        "content": None,
        "task_id": identity,
        "parsing_result_url": None,
    }


def _unfit(request: SeenRequest, tools: Mapping[str, frozenset[str]]) -> Refusal | None:
    tool = request.get("tool_type")
    if tool is None:
        return missing("tool_type")
    if not isinstance(tool, str) or tool not in tools:
        return illegal("tool_type")
    upload = request.upload("file")
    if upload is None:
        return missing("file")
    return None if upload.size else illegal("file")


def _limit(tool: object, kind: str) -> int:
    """Bytes that a file may have."""
    if tool == "lite":
        return 50 * _MB
    if kind in _SHEETS:
        return 10 * _MB
    return (20 if kind in _PICTURES | _MORE_PICTURES else 100) * _MB


def _text(task: _Task) -> str:
    """What stands in the file; of a file that is no text, its name, size and digest."""
    if task.kind in _TEXTS:
        return task.upload.read().decode("utf-8-sig", errors="replace")
    return f"{task.upload.filename}: {task.kind}, {task.upload.size} bytes, sha256 {task.upload.sha256}"


def _zipped(text: str) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("result.md", _ZIP_TIME), text)
    return out.getvalue()


def endpoints(parser: Parser) -> tuple[Endpoint, ...]:
    """The rows of the parser."""
    return (
        Endpoint("POST", "/files/parser/create", parser.create, parser.check),
        Endpoint("GET", "/files/parser/result/{id}/{format}", parser.result, parser.check_result),
        Endpoint("POST", "/files/parser/sync", parser.sync, parser.check_sync),
    )
