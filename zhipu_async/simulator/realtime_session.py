"""One realtime session from the side of the service: what it says to each event of the client's."""

from __future__ import annotations

import asyncio
import binascii
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from typing import Any, Final

import msgspec.json

from zhipu_async.simulator import media_bytes
from zhipu_async.simulator.invention import invent
from zhipu_async.simulator.shapes import is_object, objects
from zhipu_async.simulator.stage import Stage
from zhipu_async.simulator.text import argument_pieces, is_chinese, words

MODELS: Final = ("glm-realtime-flash", "glm-realtime-air")
SECONDS: Final = 30.0
"""The longest sound of one commit."""
_REQUIRED: Final = ("input_audio_format", "output_audio_format", "turn_detection")
_DEFAULTS: Final[Mapping[str, Any]] = {
    "object": "realtime.session",
    "model": MODELS[0],
    "input_audio_format": "wav",
    "output_audio_format": "pcm",
    "voice": "tongtong",
    "modalities": ["text", "audio"],
    "turn_detection": {"type": "client_vad"},
    "beta_fields": {"chat_mode": "audio", "tts_source": "e2e", "auto_search": True},
}
_WAV_HEAD: Final = 44

Say = Callable[[dict[str, Any]], Awaitable[None]]


class Wrong(Exception):
    """An event that is refused: type, code and message of the error, and the field that it is about."""

    def __init__(self, message: str, *, code: str = "invalid_value", kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.code = code
        self.kind = kind


class Listener:
    """Hears the client's events and says the server's. Responses are said in the background: they can be cancelled."""

    def __init__(self, say: Say, texts: Sequence[str], stage: Stage) -> None:
        self._send = say
        self._texts = list(texts)
        self._stage = stage
        self._numbers = count(1)
        self._config: dict[str, Any] = {"id": self._id("sess"), **_DEFAULTS}
        self._items: list[dict[str, Any]] = []
        self._sound = bytearray()
        self._frames = 0
        self._speaking = False
        self._response: asyncio.Task[None] | None = None
        self._hearing: Mapping[str, Callable[[dict[str, Any]], Awaitable[None]]] = {
            "session.update": self._update,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.append_video_frame": self._append_frame,
            "input_audio_buffer.pre_commit": self._pre_commit,
            "input_audio_buffer.commit": self._commit,
            "input_audio_buffer.clear": self._clear,
            "conversation.item.create": self._create_item,
            "conversation.item.delete": self._delete_item,
            "conversation.item.retrieve": self._retrieve_item,
            "conversation.item.truncate": self._truncate_item,
            "response.create": self._create_response,
            "response.cancel": self._cancel_response,
        }

    async def begin(self) -> None:
        """The session is open."""
        await self._say("session.created", session=self._config)
        await self._say(
            "conversation.created", conversation={"id": self._id("conv"), "object": "realtime.conversation"}
        )
        await self.beat()

    async def beat(self) -> None:
        """The heart beats."""
        await self._send({"type": "heartbeat"})

    async def hear(self, event: Any) -> None:
        """One event of the client's; what is wrong with it is said, and the session goes on."""
        members: dict[str, Any] = event if is_object(event) else {}
        try:
            if not is_object(event):
                raise Wrong("The event is not a JSON object.", code="invalid_event")
            if not isinstance(event.get("type"), str):
                raise Wrong("The 'type' field is missing.", code="invalid_event")
            if (act := self._hearing.get(event["type"])) is None:
                raise Wrong(f"The event '{event['type']}' is unknown.", code="invalid_event")
            await act(event)
        except Wrong as wrong:
            error = {"type": wrong.kind, "code": wrong.code, "message": str(wrong), "event_id": members.get("event_id")}
            await self._say("error", error={name: value for name, value in error.items() if value is not None})

    async def end(self) -> None:
        """The session is closed."""
        if self._response is not None:
            self._response.cancel()
            await asyncio.wait([self._response])

    def _id(self, kind: str) -> str:
        return f"{kind}_{next(self._numbers):08d}"

    async def _say(self, name: str, /, **fields: Any) -> None:
        await self._send({"event_id": self._id("event"), "type": name, **fields})

    # ------------------------------------------------------------ configuration

    async def _update(self, event: dict[str, Any]) -> None:
        session = event.get("session")
        if not is_object(session):
            raise Wrong("The 'session' field is missing.", code="missing_required_parameter")
        if self._stage.scenario.checks:
            _check_session(session, (*MODELS, *self._stage.scenario.models))
        self._config = {**_DEFAULTS, **self._config, **session}
        await self._say("session.updated", session=self._config)
        await self.beat()
        greeting = session.get("greeting_config")
        if is_object(greeting) and greeting.get("enable") and greeting.get("content"):
            self._texts.insert(0, str(greeting["content"]))
            await self._respond()

    def _mode(self) -> str:
        fields = self._config.get("beta_fields")
        return str(fields.get("chat_mode", "audio")) if is_object(fields) else "audio"

    def _detects_turns(self) -> bool:
        return bool(self._config["turn_detection"].get("type") == "server_vad")

    # ------------------------------------------------------------ sound and pictures

    async def _append(self, event: dict[str, Any]) -> None:
        sound = _decoded(event, "audio")
        self._sound += sound
        if not self._detects_turns():
            return
        if any(sound[_WAV_HEAD:] if sound.startswith(b"RIFF") else sound):
            if not self._speaking:
                self._speaking = True
                await self._say("input_audio_buffer.speech_started")
        elif self._speaking:
            self._speaking = False
            await self._say("input_audio_buffer.speech_stopped")
            await self._commit(event)
            await self._respond()

    async def _append_frame(self, event: dict[str, Any]) -> None:
        if not media_bytes.is_picture(_decoded(event, "video_frame")):
            raise Wrong("The 'video_frame' field is not a picture.")
        self._frames += 1

    async def _pre_commit(self, event: dict[str, Any]) -> None:
        """Nothing is said to it."""

    async def _commit(self, event: dict[str, Any]) -> None:
        sound, self._sound = bytes(self._sound), bytearray()
        if not sound:
            raise Wrong("The input audio buffer is empty.", code="input_audio_buffer_commit_empty")
        rate = int(self._config["input_audio_format"].removeprefix("wav").removeprefix("pcm") or 16) * 1000
        length = media_bytes.seconds(sound) or len(sound) / (2 * rate)
        if length > SECONDS:
            raise Wrong(f"The sound is longer than {SECONDS:g} seconds.")
        said = media_bytes.transcript(sound) if sound.startswith(b"RIFF") else f"A sound of {length:.2f} seconds."
        item = self._new_item("message", "user", content=[{"type": "input_audio", "transcript": said}])
        await self._say("input_audio_buffer.committed", item_id=item["id"])
        await self._say("conversation.item.created", item=item)
        name = "conversation.item.input_audio_transcription.completed"
        await self._say(name, item_id=item["id"], content_index=0, transcript=said)

    async def _clear(self, event: dict[str, Any]) -> None:
        self._sound.clear()
        await self._say("input_audio_buffer.cleared")

    # ------------------------------------------------------------ items

    def _new_item(self, kind: str, role: str | None, **fields: Any) -> dict[str, Any]:
        item = {"id": self._id("item"), "object": "realtime.item", "type": kind, "status": "completed"}
        item |= ({"role": role} if role else {}) | fields
        self._items.append(item)
        return item

    async def _create_item(self, event: dict[str, Any]) -> None:
        item = event.get("item")
        if not is_object(item):
            raise Wrong("The 'item' field is missing.", code="missing_required_parameter")
        if item.get("type") not in ("message", "function_call", "function_call_output"):
            raise Wrong("The 'item.type' field is illegal.")
        if item["type"] == "function_call_output" and not item.get("output"):
            raise Wrong("The 'item.output' field is empty.")
        if item["type"] == "message" and not objects(item.get("content")):
            raise Wrong("The 'item.content' field is empty.")
        created = {"id": self._id("item"), "object": "realtime.item", "status": "completed", **item}
        self._items.append(created)
        await self._say("conversation.item.created", item=created)

    async def _delete_item(self, event: dict[str, Any]) -> None:
        self._items.remove(self._found(event))
        await self._say("conversation.item.deleted", item_id=event["item_id"])

    async def _retrieve_item(self, event: dict[str, Any]) -> None:
        await self._say("conversation.item.retrieved", item=self._found(event))

    async def _truncate_item(self, event: dict[str, Any]) -> None:
        self._found(event)
        told = {name: event[name] for name in ("item_id", "content_index", "audio_end_ms") if name in event}
        await self._say("conversation.item.truncated", **told)

    def _found(self, event: dict[str, Any]) -> dict[str, Any]:
        for item in self._items:
            if item["id"] == event.get("item_id"):
                return item
        raise Wrong(f"The item '{event.get('item_id')}' does not exist.", code="item_not_found")

    # ------------------------------------------------------------ responses

    async def _create_response(self, event: dict[str, Any]) -> None:
        if self._mode() != "audio" and not self._frames:
            raise Wrong("A video frame must be appended first.", code="video_model_query_error", kind="server_error")
        await self._respond()

    async def _respond(self) -> None:
        if self._response is not None and not self._response.done():
            raise Wrong("A response is under way.", code="conversation_already_has_active_response")
        self._frames = 0
        self._response = asyncio.create_task(self._speak())

    async def _cancel_response(self, event: dict[str, Any]) -> None:
        if self._response is None or self._response.done():
            raise Wrong("There is no response to cancel.", code="response_cancel_not_active")
        self._response.cancel()
        await asyncio.wait([self._response])

    async def _speak(self) -> None:
        pace = self._stage.scenario.pace
        response: dict[str, Any] = {"id": self._id("resp"), "object": "realtime.response", "status": "in_progress"}
        await self._say("response.created", response={**response, "usage": _usage(0, 0, 0, 0)})
        await self._say("rate_limits.updated", rate_limits=[{"name": "requests", "limit": 50, "remaining": 49}])
        try:
            await asyncio.sleep(pace.first_token)
            call = self._call()
            used = await (self._say_call(response["id"], call) if call else self._say_text(response["id"]))
            response |= {"status": "completed", "usage": used}
        except asyncio.CancelledError:
            response |= {"status": "cancelled", "usage": _usage(0, 0, 0, 0)}
            await self._say("response.cancelled", response=response)
        await self._say("response.done", response=response)

    def _heard(self) -> str:
        """The last that the user said, in words."""
        for item in reversed(self._items):
            if item.get("role") == "user":
                parts = objects(item.get("content"))
                return " ".join(str(part.get("text") or part.get("transcript") or "") for part in parts).strip()
        return ""

    def _call(self) -> tuple[str, str] | None:
        """The function that is called and its arguments: the one that the user names, or the first, once."""
        last = self._items[-1] if self._items else {}
        tools = objects(self._config.get("tools")) if self._mode() == "audio" else []
        if not tools or self._texts or last.get("role") != "user":
            return None
        heard = self._heard()
        named = [tool for tool in tools if str(tool.get("name")) in heard]
        called = any(item["type"] == "function_call" for item in self._items)
        tool = next(iter(named or ([] if called else tools)), None)
        if tool is None:
            return None
        arguments = invent({"type": "object", **(tool.get("parameters") or {})}, heard)
        return str(tool.get("name")), msgspec.json.encode(arguments).decode()

    async def _say_call(self, response: str, call: tuple[str, str]) -> dict[str, Any]:
        name, arguments = call
        item = self._new_item("function_call", None, call_id=self._id("call"), name=name, arguments=arguments)
        place = {"response_id": response, "output_index": 0}
        begun = {**item, "status": "incomplete", "arguments": ""}
        await self._say("response.output_item.added", **place, item=begun)
        place |= {"item_id": item["id"], "call_id": item["call_id"]}
        for piece in argument_pieces(arguments):
            await self._say("response.function_call_arguments.delta", **place, delta=piece)
            await asyncio.sleep(self._stage.scenario.pace.per_chunk)
        await self._say("response.function_call_arguments.done", **place, name=name, arguments=arguments)
        await self._say("response.output_item.done", response_id=response, output_index=0, item=item)
        return _usage(len(words(self._heard())), 0, len(words(arguments)), 0)

    async def _say_text(self, response: str) -> dict[str, Any]:
        text, heard = self._texts.pop(0) if self._texts else self._own_words(), self._heard()
        modalities: list[str] = self._config.get("modalities") or ["text", "audio"]
        item: dict[str, Any] = {
            "id": self._id("item"),
            "object": "realtime.item",
            "type": "message",
            "role": "assistant",
        }
        spoken = {"type": "audio", "transcript": text} if "audio" in modalities else {"type": "text", "text": text}
        kind = spoken["type"]
        whole = {"response_id": response, "output_index": 0}
        place = {**whole, "item_id": item["id"], "content_index": 0}
        await self._say("response.output_item.added", **whole, item={**item, "status": "incomplete"})
        await self._say("response.content_part.added", **place, part={"type": kind})
        for piece in words(text):
            if "text" in modalities:
                await self._say("response.text.delta", **place, delta=piece)
            if "audio" in modalities:
                sound = media_bytes.pcm(piece, str(self._config.get("voice")))
                await self._say("response.audio_transcript.delta", **place, delta=piece)
                await self._say("response.audio.delta", **place, delta=b64encode(sound).decode())
            await asyncio.sleep(self._stage.scenario.pace.per_chunk)
        if "text" in modalities:
            await self._say("response.text.done", **place, text=text)
        if "audio" in modalities:
            await self._say("response.audio.done", **place)
            await self._say("response.audio_transcript.done", **place, transcript=text)
        await self._say("response.content_part.done", **place, part=spoken)
        item |= {"status": "completed", "content": [spoken]}
        self._items.append(item)
        await self._say("response.output_item.done", **whole, item=item)
        said = len(words(text))
        return _usage(len(words(heard)), 0, said, 10 * said if "audio" in modalities else 0)

    def _own_words(self) -> str:
        heard, last = self._heard(), self._items[-1] if self._items else {}
        if last.get("type") == "function_call_output":
            return f"查询结果是：{last['output']}" if is_chinese(heard) else f"This is what I found: {last['output']}"
        model = self._config["model"]
        if is_chinese(heard):
            return f"你好！我是本地模拟的 {model}。你说的是：“{heard}”"
        return f"Hello! I am a simulated {model}. You said: “{heard}”"


def _check_session(session: dict[str, Any], models: Sequence[str]) -> None:
    """Refuse a configuration that is not as the document wants it."""
    for name in _REQUIRED:
        if name not in session:
            raise Wrong(f"The 'session.{name}' field is missing.", code="missing_required_parameter")
    if session.get("model", MODELS[0]) not in models:
        raise Wrong(f"The model '{session['model']}' does not exist.", code="1211")
    detection = session["turn_detection"]
    if not is_object(detection) or detection.get("type") not in ("server_vad", "client_vad"):
        raise Wrong("The 'session.turn_detection' field is illegal.")
    format_ = str(session["input_audio_format"])
    if format_[:3] not in ("wav", "pcm") or not (format_[3:] or "16").isdigit():
        raise Wrong("The 'session.input_audio_format' field is illegal.")
    tokens = session.get("max_response_output_tokens", 0)
    if not str(tokens).isdigit() or int(tokens) > 1024:
        raise Wrong("The 'session.max_response_output_tokens' field is illegal.")
    if not 0 <= session.get("temperature", 0) <= 1:
        raise Wrong("The 'session.temperature' field is illegal.")


def _decoded(event: dict[str, Any], name: str) -> bytes:
    value = event.get(name)
    try:
        data = binascii.a2b_base64(value, strict_mode=True) if isinstance(value, str) else b""
    except ValueError:
        data = b""
    if not data:
        raise Wrong(f"The '{name}' field is not base64 of anything.")
    return data


def _usage(text_in: int, audio_in: int, text_out: int, audio_out: int) -> dict[str, Any]:
    return {
        "total_tokens": text_in + audio_in + text_out + audio_out,
        "input_tokens": text_in + audio_in,
        "output_tokens": text_out + audio_out,
        "input_token_details": {"cached_tokens": 0, "text_tokens": text_in, "audio_tokens": audio_in},
        "output_token_details": {"text_tokens": text_out, "audio_tokens": audio_out},
    }
