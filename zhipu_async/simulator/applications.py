"""Applications made in the console, an older API (openapi.json, paths below `/llm-application/open/v2` and `v3`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import Meta, Struct

from zhipu_async.simulator.chat_request import Text
from zhipu_async.simulator.knowledge import succeeded
from zhipu_async.simulator.operation import (
    API_ROOTS,
    Nothing,
    Result,
    Rows,
    Turn,
    in_integer_envelope,
    of_form,
    of_query,
)
from zhipu_async.simulator.replies import DONE, Frames
from zhipu_async.simulator.routes import Endpoint
from zhipu_async.simulator.stage import Stage
from zhipu_async.simulator.storage import absent
from zhipu_async.simulator.text import is_chinese, words
from zhipu_async.simulator.validation import illegal, missing

_ROOT: Final = "/llm-application/open"
_MODEL: Final = "glm-4.6"
_NODE: Final = {"node_id": "node_1", "node_name": "大模型"}
_MILLISECONDS: Final = 12
_READ: Final = (1, "解析成功")
"""Code and text of a file that was read. The numbers are not documented."""
_NOT_THERE: Final = (0, "文件不存在")
_VARIABLES: Final[tuple[Mapping[str, Any], ...]] = (
    {
        "id": "input",
        "name": "用户提问",
        "type": "Input",
        "tips": "请输入",
        "allowed_values": [],
        "input_template": {"options": []},
    },
    {
        "id": "language",
        "name": "语言",
        "type": "selection_list",
        "tips": "请选择",
        "allowed_values": ["中文", "English"],
        "input_template": {"options": ["中文", "English"]},
    },
)

_Kind: TypeAlias = Literal["input", "upload_file", "upload_image", "upload_video", "upload_audio", "selection_list"]


class UploadRequest(Struct, frozen=True):
    """The texts of a form with files."""

    app_id: Text
    upload_unit_id: str = ""
    conversation_id: str = ""
    file_type: Literal["1", "2", "3", "4", "5"] = "1"


class FilesRequest(Struct, frozen=True):
    """Files of which the state is wanted."""

    app_id: Text
    file_ids: Annotated[list[str], Meta(min_length=1)]


class Input(Struct, frozen=True):
    """Something given to an application."""

    type: _Kind
    value: str
    key: str = ""


class Message(Struct, frozen=True):
    """What is given at a time."""

    content: Annotated[list[Input], Meta(min_length=1)]
    role: Literal["user", "assistant"] = "user"


class InvokeRequest(Struct, frozen=True):
    """A question to an application."""

    app_id: Text
    messages: Annotated[list[Message], Meta(min_length=1)]
    conversation_id: str = ""
    third_request_id: str = ""
    stream: bool = True
    role: str = "user"
    send_log_event: bool = False

    @property
    def text(self) -> str:
        """What is given at last."""
        return " ".join(given.value for given in self.messages[-1].content)


class SlicesRequest(Struct, frozen=True):
    """An answer, and the step of it that retrieved."""

    request_id: Text
    node_id: Text


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    url: str


class Applications:
    """The files, conversations and answers of applications. There is an application for every id."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._conversations: dict[str, list[str]] = {}
        self._answers: dict[str, str] = {}

    def upload(self, asked: UploadRequest, turn: Turn) -> Result:
        """Keep files; empty ones fail."""
        files = [upload for upload in turn.request.uploads if upload.name in ("files", "files[]")]
        if not files:
            return missing("files")
        done: list[Mapping[str, str]] = []
        failed: list[Mapping[str, str]] = []
        for upload in files:
            if not upload.size:
                failed.append({"file_name": upload.filename, "fail_reason": "The file is empty"})
                continue
            identity = turn.stage.stamps.next().id
            url = turn.publish(upload.read(), upload.content_type or "application/octet-stream", upload.filename)
            self._files[identity] = _File(upload.filename, url)
            done.append({"file_id": identity, "file_name": upload.filename})
        return succeeded(turn, {"success_info": done, "fail_info": failed})

    def states(self, asked: FilesRequest, turn: Turn) -> Result:
        """Whether files were read."""
        states = ((identity, _READ if identity in self._files else _NOT_THERE) for identity in asked.file_ids)
        return succeeded(turn, [{"file_id": identity, "code": code, "msg": text} for identity, (code, text) in states])

    def converse(self, asked: Nothing, turn: Turn) -> Result:
        """A new conversation."""
        self._conversations[turn.id] = []
        return succeeded(turn, {"conversation_id": turn.id})

    def invoke(self, asked: InvokeRequest, turn: Turn) -> Result:
        """The answer, whole or as a stream: one that fails has the finish reason `error`."""
        if asked.conversation_id and asked.conversation_id not in self._conversations:
            return illegal("conversation_id")
        conversation = asked.conversation_id or f"conversation_{turn.id}"
        self._conversations.setdefault(conversation, []).append(asked.text)
        self._answers[turn.id] = asked.text
        head = {"request_id": turn.id, "conversation_id": conversation, "app_id": asked.app_id}
        if turn.is_unsafe(asked.text):
            error = {"code": 1301, "msg": "The input may contain unsafe or sensitive content"}
            failed = {**head, "choices": [{"index": 0, "finish_reason": "error", "error_msg": error}]}
            return Frames([failed, DONE]) if asked.stream else failed
        said = _said(asked)
        if asked.stream:
            return Frames([*({**head, **chunk} for chunk in _chunks(asked, said)), DONE])
        messages = {"content": {"msg": said, "type": "text"}, "event": _events(asked.text, said)}
        choice = {"index": 0, "finish_reason": "stop", "messages": messages}
        return {**head, "choices": [choice], "usage": _usage(asked.text, said)}

    def slices(self, asked: SlicesRequest, turn: Turn) -> Result:
        """Where in a document the knowledge of an answer stands."""
        if asked.request_id not in self._answers:
            return absent("answer", asked.request_id)
        text = self._answers[asked.request_id]
        url = turn.publish(text.encode(errors="replace"), "text/plain; charset=utf-8", "document.txt")
        position = {"x0": 72.0, "x1": 523.0, "top": 90.0, "bottom": 120.0, "page": 1, "height": 842.0, "width": 595.0}
        part = {"document_id": "1", "position": position, "line": 1, "sheet_name": "", "text": text}
        document = {"id": "1", "name": "document.txt", "url": url, "dtype": 1}
        found = {"document": document, "slice_info": [part], "hide_positions": False, "images": []}
        return succeeded(turn, {"document_slices": [found], "has_old_document": False})

    def suggestions(self, asked: Nothing, turn: Turn) -> Result:
        """Questions that could come next: about what was asked before."""
        conversation = turn.field("conversation_id")
        if conversation not in self._conversations:
            return absent("conversation", conversation)
        earlier = self._conversations[conversation][-3:] or ["GLM"]
        return succeeded(turn, {"problems": [f"关于“{text}”，还有什么？" for text in earlier]})


def variables(asked: Nothing, turn: Turn) -> Result:
    """What an application wants to be given."""
    return succeeded(turn, _VARIABLES)


def _said(asked: InvokeRequest) -> str:
    if is_chinese(asked.text):
        return f"我是应用 {asked.app_id}。你说的是：“{asked.text}”"
    return f"I am the application {asked.app_id}. You said: “{asked.text}”"


def _events(text: str, said: str) -> list[dict[str, Any]]:
    """The steps: what goes into the one node, and what comes out of it."""
    calls = {"type": "function", "tool_calls_data": {"name": "answer", "arguments": {"text": text}}}
    return [
        {**_NODE, "type": "node_processing", "content": text, "time": 0},
        {**_NODE, "type": "tool_finish", "content": said, "time": _MILLISECONDS // 2, "tool_calls": calls},
        {**_NODE, "type": "node_finish", "content": said, "time": _MILLISECONDS},
    ]


def _chunks(asked: InvokeRequest, said: str) -> Iterator[Mapping[str, Any]]:
    if asked.send_log_event:
        for event in _events(asked.text, said):
            yield {"choices": [{"index": 0, "delta": {"event": event}}]}
    for piece in words(said):
        yield {"choices": [{"index": 0, "delta": {"content": {"msg": piece, "type": "text"}}}]}
    end = {"index": 0, "finish_reason": "stop", "delta": {"content": {"msg": "", "type": "text"}}}
    yield {"choices": [end], "usage": _usage(asked.text, said)}


def _usage(text: str, said: str) -> list[Mapping[str, Any]]:
    counts = len(words(text)), len(words(said))
    return [
        {
            "model": _MODEL,
            "nodeName": _NODE["node_name"],
            "inputTokenCount": counts[0],
            "outputTokenCount": counts[1],
            "totalTokenCount": sum(counts),
        }
    ]


def endpoints(stage: Stage) -> tuple[Endpoint, ...]:
    """The rows of applications."""
    kept, rows = Applications(), Rows(stage, API_ROOTS, in_integer_envelope)
    second = f"{_ROOT}/v2/application"
    history = f"{_ROOT}/history_session_record/{{app_id}}/{{conversation_id}}"
    return (
        rows.row("GET", f"{second}/{{app_id}}/variables", Nothing, variables, arguments=of_query),
        rows.row("POST", f"{second}/file_upload", UploadRequest, kept.upload, arguments=of_form),
        rows.row("POST", f"{second}/file_stat", FilesRequest, kept.states),
        rows.row("POST", f"{second}/{{app_id}}/conversation", Nothing, kept.converse, arguments=of_query),
        rows.row("POST", f"{_ROOT}/v3/application/invoke", InvokeRequest, kept.invoke),
        rows.row("POST", f"{second}/slice_info", SlicesRequest, kept.slices),
        rows.row("GET", history, Nothing, kept.suggestions, arguments=of_query),
    )
