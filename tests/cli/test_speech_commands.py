"""``speak`` and ``transcribe``: sound to files and pipes, and texts as they are heard."""

from __future__ import annotations

import json
import os
import wave
from pathlib import Path

import pytest

from zhipu_async.simulator import Delivery, Frames, Raw, Refusal, Scenario
from zhipu_async.simulator.replies import DONE
from zhipu_async.simulator.scenario import Case

from .conftest import Service
from .invoking import invoke, names
from .running import run, terminal

pytestmark = pytest.mark.heavy


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


# ---------------------------------------------------------------- wrong use, and refusals


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["speak", " ", "--out", "a.wav"], "the text is empty"),
        (["speak", "-", "--out", "a.wav"], "the text is empty"),
        (["speak", "hello", "--out", "a.mp3"], "name the file .wav or .pcm, not .mp3"),
        (["speak", "hello", "--out", "taken.wav", "--format", "wav"], "exists already: --force"),
        (["speak", "hello", "--out", "folder"], "it is a directory"),
        (["speak", "hello", "--out", "nowhere/a.wav"], "cannot write 'nowhere/a.wav'"),
        (["transcribe"], "FILE"),
        (["transcribe", "missing.wav"], "cannot read 'missing.wav': No such file"),
        (["transcribe", "folder"], "cannot read 'folder': it is a directory"),
        (["transcribe", "empty.wav"], "'empty.wav' is empty"),
        (["transcribe", "taken.wav", "empty.wav"], "'empty.wav' is empty"),
        (["transcribe", "pipe"], "it is no regular file"),
        (["transcribe", "taken.wav", "--stream", "--json"], "does not go with --stream"),
    ],
)
async def test_wrong_use(service: Service, folder: Path, arguments: list[str], reason: str) -> None:
    """What cannot work is told with 2 before anything is sent; what lies there stays as it is."""
    simulator = await service()
    (folder / "taken.wav").write_bytes(b"mine")
    (folder / "empty.wav").write_bytes(b"")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    done = await invoke(*arguments)
    assert (done.code, done.output) == (2, "")
    assert reason in done.errors
    assert simulator.requests == []
    assert names(folder) == ["empty.wav", "folder", "pipe", "taken.wav"]
    assert (folder / "taken.wav").read_bytes() == b"mine"


async def test_force_overwrites(service: Service, folder: Path) -> None:
    """--force puts the new sound in the place of the old file."""
    await service()
    (folder / "taken").write_bytes(b"mine")
    done = await invoke("speak", "a fox", "--out", "taken", "--force")
    assert (done.code, done.output) == (0, "taken\n")
    assert (folder / "taken").read_bytes().startswith(b"RIFF")
    assert names(folder) == ["taken"]


async def test_what_the_service_refuses(service: Service, folder: Path) -> None:
    """A text that content safety refuses ends with 1 and its code, and leaves nothing behind."""
    await service()
    done = await invoke("speak", "[unsafe prompt]", "--out", "file")
    assert (done.code, done.output) == (1, "")
    assert "1301" in done.errors
    assert names(folder) == []


# ---------------------------------------------------------------- speech


async def test_a_text_is_spoken(service: Service, folder: Path) -> None:
    """The sound is a WAV file under the name that was asked for."""
    simulator = await service()
    done = await invoke("speak", "hello there", "--out", "a.wav", "--voice", "jam", "--speed", "1.5", "--volume", "2")
    assert (done.code, done.output, done.errors) == (0, "a.wav\n", "")
    with wave.open(str(folder / "a.wav")) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (24_000, 1, 2)
    assert simulator.requests[0].body == {
        "model": "glm-tts",
        "input": "hello there",
        "voice": "jam",
        "speed": 1.5,
        "volume": 2.0,
        "response_format": "wav",
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--out", "a.pcm"], "pcm"),
        (["--out", "a.WAV"], "wav"),
        (["--out", "a"], "wav"),
        (["--out", "a.mp3", "--format", "pcm"], "pcm"),
        (["--out", "-"], "wav"),
        (["--format", "pcm"], "pcm"),
        ([], "wav"),
    ],
    ids=" ".join,
)
async def test_the_format_goes_by_the_name(service: Service, folder: Path, options: list[str], expected: str) -> None:
    """--format decides, else the ending of the name, else it is wav; a name that is made up ends with the format."""
    simulator = await service()
    assert (await invoke("speak", "hello", *options)).code == 0
    assert simulator.requests[0].get("response_format") == expected
    if "--out" not in options:
        assert [Path(name).suffix for name in names(folder)] == [f".{expected}"]


async def test_sound_for_a_pipe(service: Service, folder: Path) -> None:
    """--out - writes the bytes of the sound and nothing else; the text comes from standard input."""
    await service()
    saved = await invoke("speak", "hello there", "--out", "a.wav")
    assert saved.code == 0
    done = await invoke("speak", "-", "--out", "-", stdin=b"hello there\n")
    assert (done.code, done.errors) == (0, "")
    assert done.raw == (folder / "a.wav").read_bytes()


async def test_no_sound_for_a_terminal(service: Service) -> None:
    """Bytes of sound are not written to a terminal."""
    simulator = await service()
    async with terminal("speak", "hello", "--out", "-") as person:
        assert await person.end() == 2
    assert "sound is nothing for a terminal" in person.text
    assert simulator.requests == []


async def test_a_speech_that_breaks_off(service: Service, folder: Path) -> None:
    """A sound that does not arrive whole is no file."""
    broken = Raw(b"RIFF" * 1000, content_type="audio/wav", headers={"Content-Length": "9000"}, times=None)
    await service(Scenario(replies=[broken]))
    done = await invoke("speak", "hello", "--out", "a.wav")
    assert (done.code, done.output) == (1, "")
    assert names(folder) == []


async def spoken(folder: Path, **texts: str) -> None:
    """Recordings of texts, under their names."""
    for name, text in texts.items():
        assert (await invoke("speak", text, "--out", folder / f"{name}.wav")).code == 0


async def test_what_was_said(service: Service, folder: Path) -> None:
    """One recording gives its text; of several, each stands below its name."""
    simulator = await service()
    await spoken(folder, one="hello there", two="good bye")
    done = await invoke("transcribe", "one.wav", "--hotword", "there", "--hotword", "hello", "--context", "a greeting")
    assert (done.code, done.output, done.errors) == (0, "hello there\n", "")
    asked = simulator.requests[-1]
    assert (asked.get("model"), asked.get("prompt")) == ("glm-asr-2512", "a greeting")
    assert ["there", "hello"] in asked.form.values()
    both = await invoke("transcribe", "one.wav", "two.wav")
    assert both.output == "==> one.wav <==\nhello there\n==> two.wav <==\ngood bye\n"


async def test_what_was_said_as_json(service: Service, folder: Path) -> None:
    """--json gives one object per recording."""
    await service()
    await spoken(folder, one="hello there", two="good bye")
    done = await invoke("transcribe", "one.wav", "two.wav", "--json")
    told = [json.loads(line) for line in done.output.splitlines()]
    assert [(each["file"], each["text"], each["model"]) for each in told] == [
        ("one.wav", "hello there", "glm-asr-2512"),
        ("two.wav", "good bye", "glm-asr-2512"),
    ]


@pytest.mark.parametrize(("option", "stream"), [([], False), (["--stream"], True), (["--no-stream"], False)])
async def test_streams_in_a_pipe(service: Service, folder: Path, option: list[str], stream: bool) -> None:
    """A pipe gets the whole text at once unless --stream is given; it is the same text."""
    simulator = await service()
    await spoken(folder, one="hello there")
    done = await invoke("transcribe", "one.wav", *option)
    assert (done.code, done.output) == (0, "hello there\n")
    assert simulator.requests[-1].stream is stream


async def test_a_terminal_gets_the_text_as_it_comes(service: Service, folder: Path) -> None:
    """At a terminal the text is there before the service has heard all."""
    simulator = await service()
    await spoken(folder, one="hello there")
    events = [{"type": "transcript.text.delta", "delta": piece} for piece in ("first\x1b]0;x\x07 ", "second")]
    simulator_with = await service(
        Scenario(replies=[Frames([*events, DONE], delivery=Delivery(stops_after=1, then="hang"))])
    )
    async with terminal("transcribe", "one.wav") as person:
        await person.until("first")
        person.interrupt()
        assert await person.end() == 130
    assert "\x1b]0;" not in person.seen
    assert simulator_with.requests[0].stream
    assert len(simulator.requests) == 1


async def test_a_text_that_is_corrected_in_the_end(service: Service, folder: Path) -> None:
    """Where the last event has another text than the pieces, that one is printed below them."""
    done_event = {"type": "transcript.text.done", "text": "whole text"}
    first = {"type": "transcript.text.delta", "delta": "hole"}
    simulator = await service()
    await spoken(folder, one="hello")
    await service(Scenario(replies=[Frames([first, done_event, DONE]), Frames([done_event, DONE])]))
    assert (await invoke("transcribe", "one.wav", "--stream")).output == "hole\nwhole text\n"
    assert (await invoke("transcribe", "one.wav", "--stream")).output == "whole text\n"
    assert simulator.requests


@pytest.mark.parametrize("option", [[], ["--stream"]])
async def test_a_recording_that_is_refused(service: Service, folder: Path, option: list[str]) -> None:
    """The text of the recordings before it stays; the one that was refused is named, with 1."""
    refusal = Case(lambda seen: len(seen.uploads) > 0 and seen.uploads[0].filename == "bad.wav", [Refusal("1214")])
    await service(Scenario(cases=[refusal]))
    await spoken(folder, good="hello", bad="bad")
    done = await invoke("transcribe", "good.wav", "bad.wav", *option)
    assert done.code == 1
    assert done.output.startswith("==> good.wav <==\nhello\n")
    assert "1214" in done.errors
    assert "while listening to 'bad.wav'" in done.errors


async def test_the_upload_is_seen_at_a_terminal(service: Service, folder: Path) -> None:
    """A terminal sees the name of the file while it travels; the text is what remains."""
    await service()
    await spoken(folder, one="hello there")
    async with terminal("transcribe", "one.wav", env={"NO_COLOR": "1"}) as person:
        assert await person.end() == 0
    assert "one.wav" in person.text
    assert person.text.rstrip().splitlines()[-1].endswith("hello there")
    piped = await run("transcribe", "one.wav", env={"FORCE_COLOR": "1"})
    assert (piped.output, piped.errors) == ("hello there\n", "")
