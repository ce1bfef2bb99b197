"""Speech to text, text to speech, voices (contract page media.md, sections 3 to 5)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from zhipu_async.simulator.chat_request import Text
from zhipu_async.simulator.media_bytes import SAMPLE_RATE, pcm, seconds, transcript, wav
from zhipu_async.simulator.operation import (
    Asked,
    RequestId,
    Result,
    Rows,
    Truth,
    Turn,
    of_form,
    of_query,
    unfit,
    unsafe,
)
from zhipu_async.simulator.replies import DONE, Answer, Frames, Raw
from zhipu_async.simulator.routes import Endpoint
from zhipu_async.simulator.stage import Stage
from zhipu_async.simulator.text import words
from zhipu_async.simulator.validation import illegal, missing

_MB: Final = 1024 * 1024
_SOUND_LIMIT: Final = 25 * _MB
_SOUND_SECONDS: Final = 30.0
_SAMPLE_SECONDS: Final = (3.0, 30.0)
_PIECE: Final = 48_000
"""Bytes of sound in a chunk of a stream: one second."""
_TRANSCRIBERS: Final = ("glm-asr-2512", "glm-asr")
_SPEAKERS: Final = ("glm-tts", "cogtts")
_CLONERS: Final = ("glm-tts-clone",)
_OFFICIAL: Final = ("tongtong", "chuichui", "xiaochen", "jam", "kazi", "douji", "luodo")
_OFFICIAL_SINCE: Final = "2025-08-01 00:00:00"


class TranscriptionRequest(Asked, frozen=True):
    """The texts of a form with a sound."""

    model: Text
    file_base64: str = ""
    stream: Truth = "false"
    prompt: Annotated[str, Meta(max_length=8000)] = ""
    hotwords: str | Annotated[list[str], Meta(max_length=100)] = ""
    temperature: Annotated[str, Meta(pattern=r"^[0-9]*\.?[0-9]+$")] = "0.95"


class SpeechRequest(Asked, frozen=True):
    """A text to be spoken."""

    model: Text
    input: Annotated[str, Meta(min_length=1, max_length=1024)]
    voice: Text
    speed: Annotated[float, Meta(ge=0.5, le=2)] = 1.0
    volume: Annotated[float, Meta(gt=0, le=10)] = 1.0
    response_format: Literal["pcm", "wav"] = "pcm"
    encode_format: Literal["base64", "hex"] = "base64"
    stream: bool = False
    watermark_enabled: bool = True

    def __post_init__(self) -> None:
        if self.stream and self.response_format != "pcm":
            raise unfit("response_format")


class CustomizationRequest(Asked, frozen=True):
    """The texts of a form with a voice that is to speak."""

    model: Text
    input: Annotated[str, Meta(min_length=1, max_length=1024)]
    voice_text: Text
    response_format: Literal["pcm", "wav"] = "wav"


class CloneRequest(Asked, frozen=True):
    """A voice to be made from an uploaded sample."""

    model: Text
    voice_name: Text
    input: Text
    file_id: Text
    text: str = ""


class VoiceQuery(Struct, frozen=True, rename="camel"):
    """Which voices to list."""

    voice_type: Literal["PRIVATE", "OFFICIAL", ""] = ""
    voice_name: str = ""


class VoiceDeleteRequest(Struct, frozen=True):
    """A voice to be deleted."""

    voice: Text
    request_id: RequestId = ""


def transcribe(asked: TranscriptionRequest, turn: Turn) -> Result:
    """What is said in a sound, whole or as a stream. A file goes before base64."""
    upload = turn.request.upload("file")
    if upload is None and not asked.file_base64:
        return missing("file")
    if upload is not None and upload.size > _SOUND_LIMIT:
        return illegal("file")
    try:
        sound = upload.read() if upload is not None else b64decode(asked.file_base64, validate=True)
    except ValueError:
        return illegal("file_base64")
    if not 0 < len(sound) <= _SOUND_LIMIT or (seconds(sound) or 0.0) > _SOUND_SECONDS:
        return illegal("file")
    head = turn.head
    text = transcript(sound)
    if asked.stream == "false":
        return {**head, "model": asked.model, "text": text}
    chunk = {"id": head["id"], "created": head["created"], "model": asked.model}
    pieces = [{**chunk, "type": "transcript.text.delta", "delta": piece} for piece in words(text)]
    return Frames([*pieces, {**chunk, "type": "transcript.text.done", "delta": ""}, DONE])


@dataclass(slots=True)
class _Voice:
    name: str
    kind: str
    url: str
    created: str


class Voices:
    """The voices of the account: the official ones and its own."""

    def __init__(self) -> None:
        self._voices: dict[str, _Voice] = {name: _Voice(name, "OFFICIAL", "", _OFFICIAL_SINCE) for name in _OFFICIAL}

    def speak(self, asked: SpeechRequest, turn: Turn) -> Result:
        """The sound of a text, whole or as a stream."""
        if asked.voice not in self._voices:
            return illegal("voice")
        if turn.is_unsafe(asked.input):
            return unsafe()
        sound = pcm(asked.input, asked.voice, asked.speed, asked.volume)
        if asked.stream:
            return Frames([*_chunks(sound, asked, turn), DONE])
        return _sound(sound, asked.input, asked.response_format)

    def customize(self, asked: CustomizationRequest, turn: Turn) -> Result:
        """The sound of a text in the voice of an uploaded sample."""
        sample = turn.request.upload("voice_data")
        if sample is None:
            return missing("voice_data")
        if not sample.size:
            return illegal("voice_data")
        return _sound(pcm(asked.input, sample.sha256), asked.input, asked.response_format)

    def clone(self, asked: CloneRequest, turn: Turn) -> Result:
        """A new voice, with a file in which it speaks."""
        sample = turn.stage.files.get(asked.file_id)
        if sample is None or sample.purpose != "voice-clone-input":
            return illegal("file_id")
        length = seconds(sample.path.read_bytes())
        if length is not None and not _SAMPLE_SECONDS[0] <= length <= _SAMPLE_SECONDS[1]:
            return illegal("file_id")
        if any(voice.name == asked.voice_name for voice in self._voices.values()):
            return illegal("voice_name")
        identity = f"voice_clone_{turn.id}"
        preview = wav(pcm(asked.input, identity), asked.input)
        path = turn.stage.folder.new()
        path.write_bytes(preview)
        stored = turn.stage.files.add(path, f"{identity}.wav", "voice-clone-output")
        url = turn.publish(preview, "audio/wav", "preview.wav")
        self._voices[identity] = _Voice(asked.voice_name, "PRIVATE", url, turn.local_time)
        return {
            "voice": identity,
            "file_id": stored.id,
            "file_purpose": stored.purpose,
            "request_id": turn.head["request_id"],
        }

    def list(self, asked: VoiceQuery, turn: Turn) -> Result:
        """The voices of a kind, or those whose names hold a text."""
        return {
            "voice_list": [
                {
                    "voice": identity,
                    "voice_name": voice.name,
                    "voice_type": voice.kind,
                    "download_url": voice.url or self._preview(identity, voice, turn),
                    "create_time": voice.created,
                }
                for identity, voice in self._voices.items()
                if asked.voice_type in ("", voice.kind) and asked.voice_name in voice.name
            ]
        }

    def _preview(self, identity: str, voice: _Voice, turn: Turn) -> str:
        voice.url = turn.publish(wav(pcm(identity, identity), identity), "audio/wav", "preview.wav")
        return voice.url

    def delete(self, asked: VoiceDeleteRequest, turn: Turn) -> Result:
        """Forget a voice; only a private one."""
        voice = self._voices.get(asked.voice)
        if voice is None or voice.kind != "PRIVATE":
            return illegal("voice")
        del self._voices[asked.voice]
        return {"voice": asked.voice, "update_time": turn.local_time}


def _sound(samples: bytes, text: str, form: str) -> Answer:
    return Raw(wav(samples, text) if form == "wav" else samples, content_type=f"audio/{form}")


def _chunks(sound: bytes, asked: SpeechRequest, turn: Turn) -> Iterator[Mapping[str, Any]]:
    """The recorded shape: `index` counts the pieces, and the last choice has no delta."""
    chunk = {"id": turn.head["id"], "created": turn.head["created"], "model": asked.model}
    pieces = [sound[start : start + _PIECE] for start in range(0, len(sound), _PIECE)]
    for index, piece in enumerate(pieces):
        text = piece.hex() if asked.encode_format == "hex" else b64encode(piece).decode()
        delta = {"role": "assistant", "content": text, "return_sample_rate": SAMPLE_RATE, "return_format": "pcm"}
        yield {**chunk, "choices": [{"index": index, "delta": delta}]}
    yield {**chunk, "choices": [{"index": len(pieces), "finish_reason": "stop"}]}


def endpoints(stage: Stage) -> tuple[Endpoint, ...]:
    """The rows of speech and voices."""
    voices, rows = Voices(), Rows(stage)
    return (
        rows.row(
            "POST", "/audio/transcriptions", TranscriptionRequest, transcribe, models=_TRANSCRIBERS, arguments=of_form
        ),
        rows.row("POST", "/audio/speech", SpeechRequest, voices.speak, models=_SPEAKERS),
        rows.row(
            "POST", "/audio/customization", CustomizationRequest, voices.customize, models=_SPEAKERS, arguments=of_form
        ),
        rows.row("POST", "/voice/clone", CloneRequest, voices.clone, models=_CLONERS),
        rows.row("GET", "/voice/list", VoiceQuery, voices.list, arguments=of_query),
        rows.row("POST", "/voice/delete", VoiceDeleteRequest, voices.delete),
    )
