"""Pictures, films, sounds, voices and documents, held against media.md."""

from __future__ import annotations

import asyncio
import base64
import io
import struct
import wave
import zlib
from typing import Any

import pytest

from zhipu_async.simulator import Scenario
from zhipu_async.simulator.media_bytes import mp4, pcm, png, seconds, transcript, wav

from .asking import Answered, Asker, simulated
from .documented import objections, unfilled
from .multipart import form

DRAW = {"model": "glm-image", "prompt": "A cat"}
FILM = {"model": "cogvideox-3", "prompt": "A cat walks"}
SPEAK = {"model": "glm-tts", "input": "Hello, how are you today?", "voice": "tongtong"}
READ = {"model": "glm-ocr", "file": "https://example.com/a.png"}
PICTURES = ["https://example.com/1.png", "https://example.com/2.png"]


def read_png(data: bytes) -> tuple[int, int, set[bytes]]:
    """Width, height and the different rows of a PNG, after its checksums were found right."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    chunks: dict[bytes, bytes] = {}
    at = 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length]) == (zlib.crc32(kind + content),)
        chunks[kind] = content
        at += 12 + length
    assert [*chunks] == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    width, height, depth, *_ = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    rows = zlib.decompress(chunks[b"IDAT"])
    size = 1 + -(-width * depth // 8)
    assert len(rows) == size * height
    return width, height, {rows[start : start + size] for start in range(0, len(rows), size)}


def read_wav(data: bytes) -> tuple[int, int, int, int]:
    """Channels, bytes a sample, samples a second and samples of a WAV file."""
    with wave.open(io.BytesIO(data)) as reader:
        return reader.getnchannels(), reader.getsampwidth(), reader.getframerate(), reader.getnframes()


def read_mp4(data: bytes) -> dict[bytes, bytes]:
    """The boxes of an MP4 file at its top level."""
    boxes: dict[bytes, bytes] = {}
    while data:
        (length,) = struct.unpack(">I", data[:4])
        boxes[data[4:8]], data = data[8:length], data[length:]
    return boxes


async def fetched(ask: Asker, url: str) -> Answered:
    """What stands at a URL, asked for without a key."""
    async with ask.session.get(url) as response:
        return Answered(response.status, response.headers, await response.read())


async def done(ask: Asker, answer: Answered) -> Any:
    """The result of a task."""
    for _ in range(100):
        result = (await ask.request("GET", f"/async-result/{answer.json['id']}")).json
        if result["task_status"] != "PROCESSING":
            return result
        await asyncio.sleep(0.01)
    raise TimeoutError


async def transcribed(ask: Asker, sound: bytes | None, filename: str = "a.wav", **texts: str) -> Answered:
    """The answer to a form with a sound."""
    files = [] if sound is None else [("file", filename, sound)]
    data = form({"model": "glm-asr-2512", **texts}, *files)
    return await ask.request("POST", "/audio/transcriptions", data=data)


async def uploaded(ask: Asker, content: bytes, purpose: str = "voice-clone-input") -> str:
    """The id of a file that was uploaded."""
    data = form({"purpose": purpose}, ("file", "sample.wav", content))
    identity: str = (await ask.request("POST", "/files", data=data)).json["id"]
    return identity


@pytest.mark.parametrize("size", [(1280, 1280), (320, 180), (1, 1), (513, 7)])
def test_pictures_are_png(size: tuple[int, int]) -> None:
    """A picture has the size that was wanted, is the same for the same words, and another for others."""
    width, height, _ = read_png(png("cat", *size))
    assert (width, height) == size
    assert png("cat", *size) == png("cat", *size) != png("dog", *size)


def test_pictures_show_something() -> None:
    """The rows of a picture are not all alike."""
    *_, rows = read_png(png("cat", 64, 64))
    assert len(rows) > 1


@pytest.mark.parametrize("words", ["", "Hello", "你好，世界", "nul\0"])
def test_sounds_are_wav(words: str) -> None:
    """A sound is mono with 16 bits at 24 kHz, lasts as long as its words take, and is silent nowhere for long."""
    samples = pcm(words, "jam")
    assert read_wav(wav(samples, words)) == (1, 2, 24_000, len(samples) // 2)
    assert seconds(wav(samples)) == pytest.approx(0.06 * len(words))
    assert bytes(1000) not in samples


def test_speed_and_volume_are_heard() -> None:
    """Twice the speed is half the time, more volume is a higher amplitude, and each voice has a pitch of its own."""
    usual = pcm("Hello", "jam")
    assert len(pcm("Hello", "jam", speed=2)) == pytest.approx(len(usual) / 2, abs=2)
    assert max(struct.unpack(f"<{len(usual) // 2}h", pcm("Hello", "jam", volume=2))) > 1.9 * max(
        struct.unpack(f"<{len(usual) // 2}h", usual)
    )
    assert pcm("Hello", "kazi") != usual


@pytest.mark.parametrize(
    ("sound", "text"),
    [
        (wav(pcm("x"), "你好"), "你好"),
        (wav(bytes(48_000))[:44] + bytes(48_000), "A sound of 1.00 seconds."),
        (b"ID3 of an mp3", "A sound of 13 bytes."),
    ],
)
def test_transcripts(sound: bytes, text: str) -> None:
    """A sound of the service says what was spoken; of another one its length is told."""
    assert transcript(sound) == text


def test_films_are_mp4() -> None:
    """A film says what it is and how long it lasts."""
    boxes = read_mp4(mp4(5))
    assert [*boxes] == [b"ftyp", b"moov"]
    header = read_mp4(boxes[b"moov"])[b"mvhd"]
    assert len(header) == 100
    scale, duration = struct.unpack(">II", header[12:20])
    assert duration / scale == 5


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, (1280, 1280)),
        ({"size": "1728x960"}, (1728, 960)),
        ({"size": "2048x2048"}, (2048, 2048)),
        ({"model": "cogview-4"}, (1024, 1024)),
        ({"model": "cogview-4-250304", "size": "720x1440", "quality": "standard"}, (720, 1440)),
    ],
)
async def test_a_picture(ask: Asker, fields: dict[str, Any], size: tuple[int, int]) -> None:
    """The URL of a picture leads to a PNG of the size that was asked for, without a key."""
    answer = await ask.post(DRAW | fields, "/images/generations")
    picture = await fetched(ask, answer.json["data"][0]["url"])
    assert picture.headers["content-type"] == "image/png"
    assert read_png(picture.body)[:2] == size


async def test_pictures_and_films_as_tasks(ask: Asker) -> None:
    """Tasks end with pictures, and with films and their covers."""
    drawn = await done(ask, await ask.post(DRAW, "/async/images/generations"))
    filmed = await done(ask, await ask.post(FILM | {"image_url": PICTURES, "duration": 10}, "/videos/generations"))
    (film,) = filmed["video_result"]
    assert read_png((await fetched(ask, drawn["image_result"][0]["url"])).body)[:2] == (1280, 1280)
    assert b"ftyp" in (await fetched(ask, film["url"])).body
    assert read_png((await fetched(ask, film["cover_image_url"])).body)[:2] == (320, 180)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"prompt": "", "image_url": "https://example.com/1.png"},
        {"size": "3840x2160", "fps": 60, "duration": 10, "with_audio": True, "quality": "quality"},
        {"model": "cogvideox-flash", "size": "720x480"},
        {"model": "viduq1-text", "style": "anime", "aspect_ratio": "9:16", "movement_amplitude": "large"},
        {"model": "vidu2-image", "image_url": PICTURES[0], "duration": 4},
        {"model": "viduq1-start-end", "image_url": PICTURES, "size": "1920x1080"},
        {"model": "vidu2-reference", "image_url": [*PICTURES, PICTURES[0]], "aspect_ratio": "1:1"},
    ],
)
async def test_films_that_are_made(ask: Asker, fields: dict[str, Any]) -> None:
    """What media.md section 2 lists for a model is taken."""
    assert (await ask.post(FILM | fields, "/videos/generations")).json["task_status"] == "PROCESSING"


@pytest.mark.parametrize("kind", ["wav", "pcm"])
async def test_speech(ask: Asker, kind: str) -> None:
    """The answer is the sound itself, in the format asked for."""
    answer = await ask.post(SPEAK | {"response_format": kind}, "/audio/speech")
    samples = pcm(SPEAK["input"], "tongtong")
    assert answer.headers["content-type"] == f"audio/{kind}"
    assert answer.body == (wav(samples, SPEAK["input"]) if kind == "wav" else samples)


@pytest.mark.parametrize("encoding", ["base64", "hex"])
async def test_streamed_speech(ask: Asker, encoding: str) -> None:
    """`index` counts the pieces, each can be decoded alone, together they are the whole; the last has no delta."""
    body = SPEAK | {"input": "Hello. " * 10, "stream": True, "encode_format": encoding}
    *chunks, last = (await ask.post(body, "/audio/speech")).chunks
    choices = [chunk["choices"][0] for chunk in chunks]
    decode = bytes.fromhex if encoding == "hex" else base64.b64decode
    assert [choice["index"] for choice in choices] == [*range(len(chunks))]
    assert len(chunks) > 1
    assert b"".join(decode(choice["delta"]["content"]) for choice in choices) == pcm("Hello. " * 10, "tongtong")
    assert choices[0]["delta"]["return_sample_rate"] == 24_000
    assert last["choices"] == [{"index": len(chunks), "finish_reason": "stop"}]


async def test_what_was_spoken_is_understood(ask: Asker) -> None:
    """The transcript of spoken words is those words: from a file, from base64, and as a stream."""
    spoken = (await ask.post(SPEAK | {"response_format": "wav"}, "/audio/speech")).body
    from_file = await transcribed(ask, spoken, hotwords="GLM")
    from_text = await transcribed(ask, None, file_base64=base64.b64encode(spoken).decode())
    streamed = (await transcribed(ask, spoken, stream="true")).chunks
    assert from_file.json["text"] == from_text.json["text"] == SPEAK["input"]
    assert [chunk["type"] for chunk in streamed][-2:] == ["transcript.text.delta", "transcript.text.done"]
    assert "".join(chunk["delta"] for chunk in streamed) == SPEAK["input"]


async def test_the_file_goes_before_base64(ask: Asker) -> None:
    """Where both are sent the file counts."""
    answer = await transcribed(ask, wav(b"", "file"), file_base64=base64.b64encode(wav(b"", "text")).decode())
    assert answer.json["text"] == "file"


@pytest.mark.parametrize(
    ("sound", "texts", "code"),
    [
        (None, {}, "1213"),
        (b"", {}, "1214"),
        (None, {"file_base64": "?"}, "1214"),
        (bytes(25 * 1024 * 1024 + 1), {}, "1214"),
        (wav(bytes(31 * 48_000)), {}, "1214"),
        (b"x", {"model": "glm-4.6"}, "1211"),
        (b"x", {"stream": "yes"}, "1210"),
        (b"x", {"prompt": "x" * 8001}, "1214"),
    ],
)
async def test_sounds_that_are_refused(ask: Asker, sound: bytes | None, texts: dict[str, str], code: str) -> None:
    """No sound, an empty one, one over 25 MB or 30 seconds, and wrong fields are refused."""
    answer = await transcribed(ask, sound, **texts)
    assert (answer.status, answer.code) == (400, code)


async def test_the_life_of_a_voice(ask: Asker) -> None:
    """A voice is cloned once from an uploaded sample, is listed, speaks, and is gone when it is deleted."""
    sample = await uploaded(ask, wav(bytes(5 * 48_000)))
    body = {"model": "glm-tts-clone", "voice_name": "我的声音", "input": "Hi", "file_id": sample}
    cloned = await ask.post(body, "/voice/clone")
    voice = cloned.json["voice"]
    listed = await ask.request("GET", "/voice/list", params={"voiceType": "PRIVATE", "voiceName": "声音"})
    assert (await ask.post(body, "/voice/clone")).code == "1214"
    assert [each["voice"] for each in listed.json["voice_list"]] == [voice]
    assert transcript((await fetched(ask, listed.json["voice_list"][0]["download_url"])).body) == "Hi"
    assert (await ask.post(SPEAK | {"voice": voice}, "/audio/speech")).body == pcm(SPEAK["input"], voice)
    deleted = await ask.post({"voice": voice}, "/voice/delete")
    assert deleted.json["voice"] == voice
    assert (await ask.post(SPEAK | {"voice": voice}, "/audio/speech")).code == "1214"
    assert (await ask.request("GET", "/voice/list?voiceType=PRIVATE")).json == {"voice_list": []}
    for path, answer in (("clone", cloned.json), ("delete", deleted.json)):
        assert objections(f"/paas/v4/voice/{path}", answer) == []
        assert unfilled(f"/paas/v4/voice/{path}", answer) == set()
    assert objections("/paas/v4/voice/list", listed.json, method="get") == []
    assert unfilled("/paas/v4/voice/list", listed.json, method="get") == set()


@pytest.mark.parametrize("length", [2, 31])
async def test_samples_of_a_wrong_length(ask: Asker, length: int) -> None:
    """A sample is 3 to 30 seconds long."""
    sample = await uploaded(ask, wav(bytes(length * 48_000)))
    body = {"model": "glm-tts-clone", "voice_name": "x", "input": "Hi", "file_id": sample}
    assert (await ask.post(body, "/voice/clone")).code == "1214"


async def test_the_older_way_to_a_voice(ask: Asker) -> None:
    """A form with a sample is answered with sound in that voice; without a sample it is refused."""
    texts = {"model": "cogtts", "input": "Hi", "voice_text": "Hello"}
    data = form(texts, ("voice_data", "a.wav", wav(bytes(48_000))))
    answer = await ask.request("POST", "/audio/customization", data=data)
    assert answer.headers["content-type"] == "audio/wav"
    assert transcript(answer.body) == "Hi"
    assert (await ask.request("POST", "/audio/customization", data=form(texts))).code == "1213"


async def test_layout(ask: Asker) -> None:
    """The parts of a page stand in the Markdown; pictures come on demand; pages can be chosen."""
    pages = base64.b64encode(b"%PDF-1.4 /Type /Pages " + b"/Type /Page " * 3).decode()
    body = READ | {"file": pages, "start_page_id": 2, "end_page_id": 3, "need_layout_visualization": True}
    answer = (await ask.post(body | {"return_crop_images": True}, "/layout_parsing")).json
    assert answer["data_info"]["num_pages"] == len(answer["data_info"]["pages"]) == 3
    assert len(answer["layout_details"]) == len(answer["layout_visualization"]) == 2
    for page in answer["layout_details"]:
        assert [part["label"] for part in page] == ["text", "formula", "table", "image"]
        assert all(part["content"] in answer["md_results"] for part in page)
        assert ask.sim.origin in page[-1]["content"]
    assert objections("/paas/v4/layout_parsing", answer) == []
    assert unfilled("/paas/v4/layout_parsing", answer) == set()


async def test_the_size_of_a_picture_is_seen(ask: Asker) -> None:
    """The page of a picture in base64 is as large as the picture; a data URL is taken too."""
    data = base64.b64encode(png("x", 40, 30)).decode()
    for file in (data, f"data:image/png;base64,{data}"):
        answer = await ask.post(READ | {"file": file}, "/layout_parsing")
        assert answer.json["data_info"]["pages"] == [{"width": 40, "height": 30}]


@pytest.mark.parametrize(("content", "status"), [(png("x", 40, 30), "succeeded"), (b"no picture", "failed")])
async def test_ocr(ask: Asker, content: bytes, status: str) -> None:
    """The words of a picture are found; what is no picture fails under HTTP 200.

    With `probability`, for the schema requires what the page says comes on demand.
    """
    data = form({"tool_type": "hand_write", "probability": "true"}, ("file", "a.png", content))
    answer = await ask.request("POST", "/files/ocr", data=data)
    assert (answer.status, answer.json["status"]) == (200, status)
    assert answer.json["words_result_num"] == len(answer.json["words_result"]) == (3 if status == "succeeded" else 0)
    assert objections("/paas/v4/files/ocr", answer.json) == []
    assert status == "failed" or unfilled("/paas/v4/files/ocr", answer.json) == set()


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/images/generations", DRAW | {"model": "cogview-9"}, "1211"),
        ("/images/generations", {"model": "glm-image"}, "1213"),
        ("/images/generations", DRAW | {"prompt": ""}, "1214"),
        ("/images/generations", DRAW | {"prompt": "x" * 1001}, "1214"),
        ("/images/generations", DRAW | {"quality": "standard"}, "1214"),
        ("/images/generations", DRAW | {"quality": "best"}, "1210"),
        ("/images/generations", DRAW | {"size": "1000x1000"}, "1214"),
        ("/images/generations", DRAW | {"size": "2080x1024"}, "1214"),
        ("/images/generations", DRAW | {"size": "large"}, "1214"),
        ("/images/generations", DRAW | {"model": "cogview-4", "size": "2048x2048"}, "1214"),
        ("/async/images/generations", DRAW | {"model": "cogview-4"}, "1211"),
        ("/videos/generations", {"model": "cogvideox-3"}, "1214"),
        ("/videos/generations", FILM | {"model": "sora"}, "1211"),
        ("/videos/generations", FILM | {"fps": 25}, "1214"),
        ("/videos/generations", FILM | {"duration": 7}, "1214"),
        ("/videos/generations", FILM | {"size": "720x480"}, "1214"),
        ("/videos/generations", FILM | {"prompt": "x" * 513}, "1214"),
        ("/videos/generations", FILM | {"image_url": PICTURES, "quality": "quality"}, "1214"),
        ("/videos/generations", FILM | {"model": "viduq1-image"}, "1214"),
        ("/videos/generations", FILM | {"model": "viduq1-text", "image_url": PICTURES[0]}, "1214"),
        ("/videos/generations", {"model": "vidu2-reference", "image_url": PICTURES}, "1214"),
        ("/audio/speech", SPEAK | {"stream": True, "response_format": "wav"}, "1214"),
        ("/audio/speech", SPEAK | {"input": "x" * 1025}, "1214"),
        ("/audio/speech", SPEAK | {"voice": "nobody"}, "1214"),
        ("/audio/speech", SPEAK | {"speed": 2.5}, "1214"),
        ("/audio/speech", SPEAK | {"volume": 0}, "1214"),
        ("/audio/speech", {"model": "glm-tts", "input": "x"}, "1213"),
        ("/voice/delete", {"voice": "tongtong"}, "1214"),
        ("/voice/clone", {"model": "glm-tts-clone", "voice_name": "x", "input": "y", "file_id": "z"}, "1214"),
        ("/layout_parsing", READ | {"file": "not base64!"}, "1214"),
        ("/layout_parsing", READ | {"start_page_id": 3, "end_page_id": 2}, "1214"),
        ("/layout_parsing", READ | {"model": "glm-4.6v"}, "1211"),
    ],
)
async def test_refused(ask: Asker, path: str, body: dict[str, Any], code: str) -> None:
    """What the contract does not allow is refused with the code for it."""
    answer = await ask.post(body, path)
    assert (answer.status, answer.code) == (400, code)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/images/generations", DRAW | {"prompt": "so bad"}),
        ("/videos/generations", FILM | {"prompt": "so bad"}),
        ("/audio/speech", SPEAK | {"input": "so bad"}),
    ],
)
async def test_unsafe_words_are_refused(path: str, body: dict[str, Any]) -> None:
    """Words that the scenario calls unsafe get code 1301 with a content filter."""
    async with simulated(Scenario(unsafe_prompt="so bad")) as ask:
        answer = await ask.post(body, path)
    assert answer.code == "1301"
    assert answer.json["contentFilter"]


async def test_models_of_the_scenario(ask: Asker) -> None:
    """A model that the scenario adds by name is taken, and makes pictures of the usual size."""
    async with simulated(Scenario(models=("My-Painter",))) as ask:
        answer = await ask.post(DRAW | {"model": "my-painter"}, "/images/generations")
        assert read_png((await fetched(ask, answer.json["data"][0]["url"])).body)[:2] == (1024, 1024)


@pytest.mark.parametrize("path", ["/images/generations", "/async/images/generations", "/videos/generations"])
async def test_answers_fit_the_document(ask: Asker, path: str) -> None:
    """An answer validates against the vendor's schema and has every property of it."""
    answer = (await ask.post(FILM if "videos" in path else DRAW, path)).json
    assert objections(f"/paas/v4{path}", answer) == []
    assert unfilled(f"/paas/v4{path}", answer) == set()


async def test_transcripts_fit_the_document(ask: Asker) -> None:
    """A transcript and the events of a streamed one validate against the vendor's schemas and have all properties."""
    path = "/paas/v4/audio/transcriptions"
    whole = (await transcribed(ask, b"x")).json
    events = (await transcribed(ask, b"x", stream="true")).chunks
    assert objections(path, whole) == []
    assert unfilled(path, whole) == set()
    assert [objection for event in events for objection in objections(path, event, stream=True)] == []
    assert unfilled(path, *events, stream=True) == set()
