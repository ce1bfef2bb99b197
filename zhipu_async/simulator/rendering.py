"""Answers as the bytes of HTTP bodies (contract pages chat.md section 5, streaming.md, errors.md)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import msgspec.json

from zhipu_async.simulator.codes import BUSINESS_CODES
from zhipu_async.simulator.models import MODELS, OTHER
from zhipu_async.simulator.replies import (
    DONE,
    JSON_TYPE,
    STREAM_TYPE,
    Answer,
    Download,
    ErrorFrame,
    Frames,
    Json,
    Raw,
    Refusal,
    Reply,
    ToolCall,
)
from zhipu_async.simulator.seen import SeenRequest
from zhipu_async.simulator.text import argument_pieces, every, prompt_tokens, words

_CHINA: Final = 8 * 3600
encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Body:
    """What an answer is on the wire: a status, headers, and a body in blocks; a stream is sent in HTTP chunks."""

    status: int
    headers: Mapping[str, str]
    blocks: Sequence[bytes]
    stream: bool = False
    file: Path | None = None
    """A file that is the body in the place of blocks."""
    file_size: int = 0


class Stamp(NamedTuple):
    """What tells one answer from another: its id and the time of its making (Unix seconds)."""

    id: str
    created: int


class Stamps:
    """A source of stamps: ids are 14 digits of China time and 16 hex digits (README.md section 5)."""

    def __init__(self, clock: Callable[[], float], seed: int) -> None:
        self._clock = clock
        self._random = Random(seed)
        self._second = -1
        self._digits = ""

    def next(self) -> Stamp:
        """A stamp of this moment, with an id that was not given before."""
        now = int(self._clock())
        if now != self._second:
            self._second, self._digits = now, time.strftime("%Y%m%d%H%M%S", time.gmtime(now + _CHINA))
        return Stamp(f"{self._digits}{self._random.getrandbits(64):016x}", now)


def render(answer: Answer, request: SeenRequest, stamps: Stamps) -> Body:
    """The answer to this request as bytes. A `Reply` is a stream or a plain answer, as the request asks."""
    match answer:
        case Reply():
            stamp = stamps.next()
            if request.stream:
                blocks = stream_blocks(answer, request, stamp, stamps)
                return _body(answer, 200, STREAM_TYPE, blocks, log_id=stamp.id, stream=True)
            return _body(answer, 200, JSON_TYPE, [encode(completion(answer, request, stamp))], log_id=stamp.id)
        case Refusal(code=code, status=status):
            status = BUSINESS_CODES[str(code)].status if status is None else status
            return _body(answer, status, answer.content_type, [encode(_error(answer))], log_id=stamps.next().id)
        case ErrorFrame():
            stamp = stamps.next()
            head = Reply(pieces=answer.after, final_chunk=False, done=False) if answer.after else None
            blocks = stream_blocks(head, request, stamp, stamps) if head else []
            data = encode(_error(answer))
            if not request.stream:
                return _body(answer, 200, JSON_TYPE, [data], log_id=stamp.id)
            blocks.append(b"%sdata: %s\n\n" % (b"event: error\n" if answer.event else b"", data))
            if answer.done:
                blocks.append(DONE)
            return _body(answer, 200, STREAM_TYPE, blocks, log_id=stamp.id, stream=True)
        case Frames():
            blocks = [_block(block) for block in answer.blocks if block]
            return _body(answer, 200, answer.content_type, blocks, stream=True)
        case Json():
            return _body(answer, answer.status, JSON_TYPE, [encode(answer.body)])
        case Raw():
            return _body(answer, answer.status, answer.content_type, [answer.body])
        case Download():
            path = Path(answer.path)
            body = _body(answer, answer.status, answer.content_type, ())
            return replace(body, file=path, file_size=path.stat().st_size)
        case _:
            raise TypeError(f"{type(answer).__name__} is not an answer that has a body")


def _body(
    answer: Answer,
    status: int,
    content_type: str | None,
    blocks: Sequence[bytes],
    *,
    log_id: str | None = None,
    stream: bool = False,
) -> Body:
    headers: dict[str, str] = {}
    if content_type is not None:
        headers["content-type"] = content_type
    if log_id is not None:
        headers["x-log-id"] = log_id
    headers.update((name.lower(), value) for name, value in answer.headers.items())
    return Body(status, headers, blocks, stream)


def _error(answer: Refusal | ErrorFrame) -> dict[str, Any]:
    known = BUSINESS_CODES.get(str(answer.code))
    message = answer.message if answer.message is not None else known.message if known else ""
    envelope: dict[str, Any] = {"error": {"code": answer.code, "message": message}}
    if answer.content_filter:
        envelope["contentFilter"] = answer.content_filter
    if answer.request_id is not None:
        envelope["request_id"] = answer.request_id
    return envelope


def _block(block: bytes | str | Mapping[str, Any]) -> bytes:
    if isinstance(block, bytes):
        return block
    return b"data: %s\n\n" % (block.encode() if isinstance(block, str) else encode(block))


def completion(reply: Reply, request: SeenRequest, stamp: Stamp) -> dict[str, Any]:
    """The plain answer to a request for a chat completion."""
    message: dict[str, Any] = {"role": "assistant"}
    if (text := reply.text) is not None:
        message["content"] = text
    if reply.reasoning is not None:
        message["reasoning_content"] = reply.reasoning
    if reply.tool_calls:
        message["tool_calls"] = _calls(reply.tool_calls, stamp)
    if reply.audio is not None:
        message["audio"] = reply.audio
    given = request.get("request_id")
    answer: dict[str, Any] = {
        "id": stamp.id,
        "request_id": given if isinstance(given, str) else stamp.id,
        "created": stamp.created,
        "model": request.model,
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": _finish_reason(reply), "message": message}],
    }
    return answer | _beside(reply) | _usage(reply, request)


def stream_blocks(reply: Reply, request: SeenRequest, stamp: Stamp, stamps: Stamps) -> list[bytes]:
    """The events of a streamed chat completion, one block each."""
    tails: list[bytes] = []
    if reply.web_search:
        beside = encode({"web_search": reply.web_search})
        tails.append(b'"delta":{"role":"assistant","content":""}}],' + beside[1:] + b"\n\n")
    if reply.reasoning is not None:
        tails += _text_tails("reasoning_content", words(reply.reasoning))
    if reply.text is not None:
        tails += _text_tails("content", content_pieces(reply))
    if reply.tool_calls:
        in_pieces = reply.tool_stream
        if in_pieces is None:
            in_pieces = request.get("tool_stream") is True and MODELS.get(request.model, OTHER).tool_stream
        tails += _call_tails(_calls(reply.tool_calls, stamp), in_pieces)
    if reply.audio is not None:
        tails.append(b'"delta":%s}]}\n\n' % encode({"role": "assistant", "audio": reply.audio}))
    if reply.final_chunk:
        beside = encode(_beside(Reply(content_filter=reply.content_filter)) | _usage(reply, request))
        tail = b'"finish_reason":%s,"delta":{"role":"assistant","content":""}}]' % encode(_finish_reason(reply))
        tails.append(tail + (b"," + beside[1:] if len(beside) > 2 else b"}") + b"\n\n")
    head = _chunk_head(stamp, request.model)
    blocks = [head + tail for tail in tails]
    if reply.restarts_at is not None:
        head = _chunk_head(stamps.next(), request.model)
        blocks[reply.restarts_at :] = [head + tail for tail in tails[reply.restarts_at :]]
    if reply.done:
        blocks.append(DONE)
    return blocks


def content_pieces(reply: Reply) -> tuple[str, ...]:
    """The pieces in which a stream sends the content."""
    if isinstance(reply.pieces, int):
        return every(reply.pieces, reply.content or "")
    return words(reply.content or "") if reply.pieces is None else tuple(reply.pieces)


def _chunk_head(stamp: Stamp, model: str) -> bytes:
    head = f'data: {{"id":"{stamp.id}","created":{stamp.created},"object":"chat.completion.chunk","model":'
    return head.encode() + encode(model) + b',"choices":[{"index":0,'


@lru_cache(maxsize=256)
def _text_tails(key: str, pieces: tuple[str, ...]) -> tuple[bytes, ...]:
    head = b'"delta":{"role":"assistant","%s":' % key.encode()
    return tuple(head + encode(piece) + b"}}]}\n\n" for piece in pieces)


def _calls(calls: Sequence[ToolCall], stamp: Stamp) -> list[dict[str, Any]]:
    return [
        {
            "id": call.id if call.id is not None else f"call_{stamp.id[14:]}{place:04x}",
            "index": place if call.index is None else call.index,
            "type": "function",
            "function": {"name": call.name, "arguments": arguments_text(call)},
        }
        for place, call in enumerate(calls)
    ]


def arguments_text(call: ToolCall) -> str:
    """The arguments of a call as the text that is sent."""
    return call.arguments if isinstance(call.arguments, str) else encode(call.arguments).decode()


def _call_tails(calls: Sequence[dict[str, Any]], in_pieces: bool) -> list[bytes]:
    if not in_pieces:
        return [b'"delta":%s}]}\n\n' % encode({"tool_calls": calls})]
    tails: list[bytes] = []
    for call in calls:
        first, *rest = argument_pieces(call["function"]["arguments"])
        fragments: list[dict[str, Any]] = [call | {"function": {"name": call["function"]["name"], "arguments": first}}]
        fragments += ({"index": call["index"], "type": "function", "function": {"arguments": piece}} for piece in rest)
        tails += (
            b'"delta":%s}]}\n\n' % encode({"role": "assistant", "tool_calls": [fragment]}) for fragment in fragments
        )
    return tails


def _finish_reason(reply: Reply) -> str:
    return reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop")


def _beside(reply: Reply) -> dict[str, Any]:
    beside: dict[str, Any] = {}
    if reply.web_search:
        beside["web_search"] = reply.web_search
    if reply.content_filter:
        beside["content_filter"] = reply.content_filter
    return beside


def _usage(reply: Reply, request: SeenRequest) -> dict[str, Any]:
    if reply.usage is not None:
        return {"usage": reply.usage} if reply.usage else {}
    prompt = prompt_tokens(request.get("messages"))
    reasoning = len(words(reply.reasoning or ""))
    answer = len(content_pieces(reply)) + sum(len(argument_pieces(arguments_text(call))) for call in reply.tool_calls)
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": reasoning + answer,
        "total_tokens": prompt + reasoning + answer,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    if MODELS.get(request.model, OTHER).thinking != "never":
        usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return {"usage": usage}
