"""Speech to text, text to speech and voices (media.md sections 3 to 5)."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import msgspec

from .base import Failure, Request, Response, Transfer
from .chat import ChunkChoice, Folded, SensitiveWordCheck
from .uploads import FileInput

# ---------------------------------------------------------------- speech to text


class TranscriptionParameters(Transfer, kw_only=True, frozen=True, omit_defaults=True):
    """Write down what is said in a recording.

    Either ``file`` or ``file_base64`` must be there; the file wins. Files are .wav or .mp3, at most 25 MB, 30 seconds.
    """

    model: str
    """``glm-asr-2512``; older: ``glm-asr``."""
    file: FileInput | None = None
    file_base64: str | None = None
    """The recording as base64 text."""
    prompt: str | None = None
    """What was said before, as context: below 8000 characters."""
    hotwords: Sequence[str] | None = None
    """Names and terms to listen for, at most 100."""
    request_id: str | None = None
    """6 to 64 characters, unique per call."""
    user_id: str | None = None
    """6 to 128 characters: the end user, for abuse control."""
    temperature: float | None = None
    """The older model only."""
    sensitive_word_check: SensitiveWordCheck | Mapping[str, Any] | None = None


class TranscriptionRequest(TranscriptionParameters, kw_only=True, frozen=True, omit_defaults=True):
    __doc__ = TranscriptionParameters.__doc__

    stream: Literal[False] | None = None


class TranscriptionStreamRequest(TranscriptionParameters, kw_only=True, frozen=True, omit_defaults=True):
    __doc__ = TranscriptionParameters.__doc__

    stream: Literal[True]


class TranscriptionEitherRequest(TranscriptionParameters, kw_only=True, frozen=True, omit_defaults=True):
    __doc__ = TranscriptionParameters.__doc__

    stream: bool | None


class TranscriptionSegment(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A stretch of the recording, ``start`` to ``end`` in seconds."""

    id: int | None = None
    start: float | None = None
    end: float | None = None
    text: str | None = None


class Transcription(Response, Folded, kw_only=True, omit_defaults=True, dict=True):
    """What was said, in ``text``; as it came or folded from a stream."""

    id: str | None = None
    request_id: str | None = None
    created: int | None = None
    """Unix seconds."""
    model: str | None = None
    text: str = ""
    segments: list[TranscriptionSegment] | None = None
    """Older answers only."""


class TranscriptionChunk(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One event of a stream: ``transcript.text.delta`` with the next piece, or ``transcript.text.done``."""

    id: str | None = None
    request_id: str | None = None
    created: int | None = None
    model: str | None = None
    type: str | None = None
    delta: str | None = None
    text: str | None = None
    """With done: the whole text, where the service sends it."""
    choices: list[ChunkChoice] = []
    """Events in the form of chat, which some servers send."""

    @property
    def content(self) -> str:
        """What this event adds to the text, in either form."""
        return (self.delta or "") + "".join(choice.delta.content or "" for choice in self.choices)

    @property
    def final(self) -> bool:
        """Whether the text ends with this event."""
        return (self.type or "").endswith(".done") or any(choice.finish_reason for choice in self.choices)


# ---------------------------------------------------------------- text to speech


class SpeechParameters(Transfer, kw_only=True, frozen=True, omit_defaults=True):
    """Speak a text. The answer is sound: 24 kHz, mono, 16 bit."""

    model: str
    """``glm-tts``; older: ``cogtts``."""
    input: str
    """What to say: at most 1024 characters."""
    voice: str
    """``tongtong``, ``chuichui``, ``xiaochen``, ``jam``, ``kazi``, ``douji``, ``luodo`` or the id of a cloned voice."""
    speed: float | None = None
    """0.5 to 2; the service's default is 1."""
    volume: float | None = None
    """Above 0, to 10; the service's default is 1."""
    response_format: Literal["pcm", "wav"] | None = None
    """The service's default is ``pcm``: samples without a header. Streams know no other."""
    encode_format: Literal["base64", "hex"] | None = None
    """How a stream writes sound as text; the service's default is ``base64``."""
    watermark_enabled: bool | None = None
    """False is for accounts that have switched the watermark off."""
    request_id: str | None = None
    """6 to 64 characters, unique per call."""
    user_id: str | None = None
    """6 to 128 characters: the end user, for abuse control."""
    sensitive_word_check: SensitiveWordCheck | Mapping[str, Any] | None = None


class SpeechRequest(SpeechParameters, kw_only=True, frozen=True, omit_defaults=True):
    __doc__ = SpeechParameters.__doc__

    stream: Literal[False] | None = None


class SpeechStreamRequest(SpeechParameters, kw_only=True, frozen=True, omit_defaults=True):
    __doc__ = SpeechParameters.__doc__

    stream: Literal[True]


class SpeechEitherRequest(SpeechParameters, kw_only=True, frozen=True, omit_defaults=True):
    __doc__ = SpeechParameters.__doc__

    stream: bool | None


class SpeechDelta(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A piece of sound: text that stands on its own, base64 or hex as it was asked for."""

    role: str | None = None
    content: str | None = None
    return_sample_rate: int | None = None
    """Samples per second."""
    return_format: str | None = None

    def audio(self, encode_format: Literal["base64", "hex"] = "base64") -> bytes:
        """The bytes of this piece, b"" when there are none; ValueError for text that is not in ``encode_format``."""
        text = self.content or ""
        if encode_format == "hex":
            return bytes.fromhex(text)
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


class SpeechChoice(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A piece with its number in ``index``. The last one has a finish reason and no sound."""

    index: int | None = None
    delta: SpeechDelta = msgspec.field(default_factory=lambda: SpeechDelta(content=""))
    """Where the service leaves it out, its ``content`` is "": it can be decoded like that of the others."""
    finish_reason: str | None = None


class SpeechChunk(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One event of a stream of sound."""

    id: str | None = None
    request_id: str | None = None
    created: int | None = None
    model: str | None = None
    choices: list[SpeechChoice] = []
    error: Failure | None = None
    """Beside choices; without them it is raised."""


class SpeechAudio(Response, Folded, kw_only=True, omit_defaults=True, dict=True):
    """A stream of sound, joined."""

    id: str | None = None
    request_id: str | None = None
    created: int | None = None
    """Unix seconds."""
    model: str | None = None
    audio: bytes = b""
    """The pieces, decoded and joined: mono, 16 bit."""
    sample_rate: int | None = None
    """Samples per second."""
    format: str | None = None
    """``pcm`` (samples without a header) or what the service named."""
    finish_reason: str | None = None


class SpeechCustomizationRequest(Transfer, kw_only=True, frozen=True, omit_defaults=True):
    """Speak a text in the voice of a recording: older than cloned voices, and superseded by them."""

    model: str
    input: str
    """What to say."""
    voice_data: FileInput
    """The recording."""
    voice_text: str | None = None
    """What is said in the recording."""
    response_format: str | None = None
    request_id: str | None = None
    user_id: str | None = None
    sensitive_word_check: SensitiveWordCheck | Mapping[str, Any] | None = None
    watermark_enabled: bool | None = None


# ---------------------------------------------------------------- voices


class VoiceCloneRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """Make a voice from a recording that was uploaded with the purpose ``voice-clone-input``.

    Recordings are mp3 or wav, at most 10 MB, 3 to 30 seconds.
    """

    model: str
    """``glm-tts-clone``."""
    voice_name: str
    """Unique in the account."""
    input: str
    """What the new voice says in the preview."""
    file_id: str
    """The recording."""
    text: str | None = None
    """What is said in the recording."""
    request_id: str | None = None
    """6 to 64 characters, unique per call."""


class VoiceClone(Response, kw_only=True, omit_defaults=True, dict=True):
    """A new voice: use the id ``voice`` to speak with it. The preview is the file ``file_id``."""

    voice: str | None = None
    file_id: str | None = None
    file_purpose: str | None = None
    request_id: str | None = None


class VoiceListRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """List voices."""

    header_fields: ClassVar[Mapping[str, str]] = {"request_id": "Request-Id"}

    voice_type: Literal["PRIVATE", "OFFICIAL"] | None = msgspec.field(name="voiceType", default=None)
    """The account's own, or the service's."""
    voice_name: str | None = msgspec.field(name="voiceName", default=None)
    """Part of a name."""
    request_id: str | None = None


class Voice(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A voice: speak with the id ``voice``."""

    voice: str | None = None
    voice_name: str | None = None
    voice_type: str | None = None
    """PRIVATE, OFFICIAL."""
    download_url: str | None = None
    """A recording of it."""
    create_time: str | None = None
    """Local time as text, without a zone."""


class VoiceList(Response, kw_only=True, omit_defaults=True, dict=True):
    """The voices in ``voice_list``."""

    voice_list: list[Voice] = []


class VoiceDeleteRequest(Request, frozen=True, omit_defaults=True):
    """Delete a voice of the account."""

    voice: str
    """Its id."""
    request_id: str | None = None


class VoiceDeleted(Response, kw_only=True, omit_defaults=True, dict=True):
    """The voice that was deleted."""

    voice: str | None = None
    update_time: str | None = None
    """Local time as text, without a zone."""
