"""``transcribe`` and ``speak``: speech to text and text to speech (media.md sections 3 and 4)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import typer

from ..errors import ConfigError, ZhipuError
from ..types.audio import Transcription, TranscriptionChunk
from . import progress
from .outputs import check_output, name_for, shown, size_of
from .shared import (
    BaseURL,
    Force,
    JSONLines,
    exit_codes,
    model_option,
    output_is_terminal,
    perform,
    text_of,
    write_bytes,
    write_line,
)
from .terminal import console, say

if TYPE_CHECKING:
    from ..client import AsyncZhipuAI
    from ..streaming import Stream

LISTENER = "glm-asr-2512"
SPEAKER = "glm-tts"
VOICE = "tongtong"


class Heard(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What ``--json`` prints of a file."""

    file: str
    text: str
    model: str | None = None
    id: str | None = None
    segments: list[object] | None = None
    """Stretches of the recording, from older models."""


def transcribe(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings: .wav or .mp3, up to 25 MB.")],
    model: Annotated[str, model_option(kinds=("transcription",))] = LISTENER,
    stream: Annotated[
        bool | None,
        typer.Option("--stream/--no-stream", help="Print the text as it is understood. Default: at a terminal."),
    ] = None,
    hotwords: Annotated[
        list[str] | None,
        typer.Option("--hotword", metavar="WORD", help="A name or term to listen for. May be repeated."),
    ] = None,
    context: Annotated[str | None, typer.Option(metavar="TEXT", help="What was said before the recording.")] = None,
    json_wanted: JSONLines = False,
    base_url: BaseURL = None,
) -> None:
    """Print what is said in recordings; of several, each below a line with its name."""
    with exit_codes():
        if stream and json_wanted:
            raise ConfigError("--json prints whole answers: it does not go with --stream")
        for file in files:
            size_of(file)
        streamed = stream if stream is not None else output_is_terminal() and not json_wanted

        async def work(client: AsyncZhipuAI) -> None:
            for file in files:
                if len(files) > 1 and not json_wanted:
                    write_line(f"==> {shown(file)} <==")
                try:
                    await hear(client, file)
                except ZhipuError as error:
                    error.add_note(f"(while listening to {shown(file)!r})")
                    raise

        async def hear(client: AsyncZhipuAI, file: Path) -> None:
            with progress.transferring(shown(file)) as line:
                heard = await client.audio.transcriptions.create(
                    file=file, model=model, hotwords=hotwords, prompt=context, progress=line, stream=streamed or None
                )
            if isinstance(heard, Transcription):
                write_line(_json(file, heard) if json_wanted else heard.text)
            else:
                await _show(heard)

        perform(base_url, work)


async def _show(stream: Stream[TranscriptionChunk, Transcription]) -> None:
    """Print the text piece by piece, and the whole once more where the service has corrected itself in the end."""
    printed = ""
    async with stream:
        try:
            async for event in stream:
                if event.content and not (event.final and printed):
                    _print(event.content)
                    printed += event.content
            whole = (await stream.until_done()).text
            if whole != printed:
                _print(f"\n{whole}" if printed else whole)
        finally:
            _print("\n")


def _print(text: str) -> None:
    if output_is_terminal():
        say(console(), text)
    else:
        write_bytes(text.encode(errors="replace"))


def _json(file: Path, heard: Transcription) -> str:
    segments: list[object] | None = None if heard.segments is None else [*heard.segments]
    line = Heard(file=shown(file), text=heard.text, model=heard.model, id=heard.id, segments=segments)
    return msgspec.json.encode(line).decode()


def speak(
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="What to say, up to 1024 characters; - reads standard input.")
    ],
    out: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Where to save the sound; - is standard output. Default: a new name."),
    ] = None,
    voice: Annotated[
        str,
        typer.Option(
            metavar="NAME|ID", help="Who speaks: tongtong, chuichui, xiaochen, ..., or the id of a cloned voice."
        ),
    ] = VOICE,
    speed: Annotated[float | None, typer.Option(metavar="0.5-2.0", help="How fast; 1 is as usual.")] = None,
    volume: Annotated[float | None, typer.Option(metavar="0.0-10.0", help="How loud, above 0; 1 is as usual.")] = None,
    format: Annotated[
        Literal["wav", "pcm"] | None,
        typer.Option(help="Of the sound; pcm is samples alone. Default: by the name, else wav."),
    ] = None,
    model: Annotated[str, model_option(kinds=("speech",))] = SPEAKER,
    force: Force = False,
    base_url: BaseURL = None,
) -> None:
    """Speak a text, save the sound (24 kHz, mono, 16 bit) and print its path."""
    with exit_codes():
        form = format or _format(out)
        if out == "-" and output_is_terminal():
            raise ConfigError("sound is nothing for a terminal: send standard output to a file or a program")
        words = text_of(text, "text")
        path = None if out == "-" else name_for(words, f".{form}") if out is None else Path(out)
        arguments: dict[str, Any] = {
            "model": model,
            "input": words,
            "voice": voice,
            "speed": speed,
            "volume": volume,
            "response_format": form,
        }

        async def work(client: AsyncZhipuAI) -> None:
            if path is None:
                await stream_out(client)
                return
            await check_output(path, force=force)
            with progress.transferring(shown(path)) as line:
                await client.audio.speech.to_file(path, **arguments, progress=line)
            write_line(shown(path))

        async def stream_out(client: AsyncZhipuAI) -> None:
            with progress.transferring("speaking") as line:
                async with await client.audio.speech.open(**arguments, progress=line) as download:
                    async for block in download:
                        write_bytes(block)

        perform(base_url, work)


def _format(out: str | None) -> Literal["wav", "pcm"]:
    """The format that goes with a name."""
    ending = "" if out in (None, "-") else Path(out or "").suffix.lower()
    if ending == ".pcm":
        return "pcm"
    if ending in ("", ".wav"):
        return "wav"
    raise ConfigError(f"the service makes wav and pcm: name the file .wav or .pcm, not {ending}, or add --format")
