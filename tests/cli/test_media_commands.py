"""``image`` and ``video``: files that appear whole or not at all, and tasks that can be resumed."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest

from zhipu_async.simulator import Delivery, Json, Raw, Refusal, Scenario, Simulator
from zhipu_async.simulator.replies import Answer
from zhipu_async.simulator.scenario import Case

from .conftest import Service
from .invoking import ask_often, invoke, names, paths
from .running import PATIENCE, command, finish, process_of, terminal

pytestmark = pytest.mark.heavy

PNG = b"\x89PNG\r\n\x1a\n"
TASKS = ["image", "video"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, and tasks that are asked after often."""
    ask_often(monkeypatch)
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def generated(*replies: Answer) -> Scenario:
    """A service whose generated files are answered like this."""
    return Scenario(cases=[Case(lambda seen: seen.path.startswith("/generated/"), replies)])


def created(simulator: Simulator) -> list[str]:
    """What was asked for that costs money."""
    return [path for path in paths(simulator) if path.startswith("POST")]


def ordered(kind: str, *more: str) -> list[str]:
    """The arguments that make an image or a video as a task."""
    return [kind, "a red fox", *(["--async"] if kind == "image" else []), *more]


# ---------------------------------------------------------------- images


async def test_an_image_is_saved(service: Service, folder: Path) -> None:
    """The image is under the name that was asked for, and the name is all that is printed."""
    simulator = await service()
    done = await invoke("image", "a red fox", "--out", "fox.png", "--size", "1024x1024", "--quality", "hd")
    assert (done.code, done.output, done.errors) == (0, "fox.png\n", "")
    assert (folder / "fox.png").read_bytes().startswith(PNG)
    assert names(folder) == ["fox.png"]
    assert simulator.requests[0].body == {
        "model": "cogview-4-250304",
        "prompt": "a red fox",
        "size": "1024x1024",
        "quality": "hd",
    }


async def test_a_name_from_the_prompt(service: Service, folder: Path) -> None:
    """Without --out the name has words of the prompt, of any script, and the time."""
    await service()
    done = await invoke("image", "../A red/fox: 红色的狐狸!")
    assert done.code == 0
    (name,) = names(folder)
    assert done.output == f"{name}\n"
    assert name.startswith("a-red-fox-红色的狐狸-20")
    assert name.endswith(".png")


async def test_a_prompt_from_standard_input(service: Service) -> None:
    """- reads the prompt from standard input."""
    simulator = await service()
    done = await invoke("image", "-", "--out", "a.png", stdin="一只猫\n".encode())
    assert done.code == 0
    assert simulator.requests[0].get("prompt") == "一只猫"


async def test_an_image_as_json(service: Service, folder: Path) -> None:
    """--json says where the file is, its size, and where it came from."""
    simulator = await service()
    done = await invoke("image", "a fox", "--out", "fox.png", "--json")
    told = json.loads(done.output)
    assert told["url"].startswith(simulator.origin)
    assert {**told, "url": ""} == {
        "path": "fox.png",
        "bytes": (folder / "fox.png").stat().st_size,
        "url": "",
        "model": "cogview-4-250304",
    }


async def test_an_image_inside_the_answer(service: Service, folder: Path) -> None:
    """An image that comes as base64 in place of a URL is saved too; text that is none is an error."""
    answers = [Json({"data": [{"b64_json": text}]}) for text in (base64.b64encode(PNG).decode(), "?")]
    await service(Scenario(replies=answers))
    assert (await invoke("image", "a fox", "--out", "fox.png")).code == 0
    assert (folder / "fox.png").read_bytes() == PNG
    done = await invoke("image", "a fox", "--out", "other.png")
    assert done.code == 1
    assert "no base64" in done.errors
    assert names(folder) == ["fox.png"]


async def test_an_answer_without_an_image(service: Service, folder: Path) -> None:
    """An answer that holds nothing is an error, and leaves nothing."""
    await service(Scenario(replies=[Json({"data": []})]))
    done = await invoke("image", "a fox", "--out", "fox.png")
    assert (done.code, done.output) == (1, "")
    assert "holds no image" in done.errors
    assert names(folder) == []


async def test_a_file_that_cannot_be_fetched(service: Service, folder: Path) -> None:
    """When the download fails, the message has the address of what was paid for, and no file is left."""
    await service(generated(Refusal("404", 404)))
    done = await invoke("image", "a fox", "--out", "fox.png")
    assert (done.code, done.output) == (1, "")
    assert "can be fetched for some time from http" in done.errors
    assert names(folder) == []


async def test_ctrl_c_in_a_download(service: Service, folder: Path) -> None:
    """Ctrl-C in the middle of a download leaves no part of the file, and says where the whole is."""
    half = Raw(PNG * 100_000, delivery=Delivery(stops_at=400_000, then="hang"), content_type="image/png")
    await service(generated(half))
    async with terminal("image", "a fox", "--out", "fox.png") as person:
        await person.until("fox.png")
        await person.until("kB")
        assert [name for name in names(folder) if name.endswith(".part")]
        person.interrupt()
        assert await person.end() == 130
    assert "can be fetched for some time from http" in person.text
    assert "Traceback" not in person.text
    assert names(folder) == []


# ---------------------------------------------------------------- videos


async def test_a_video_is_saved(service: Service, folder: Path) -> None:
    """The task's id is on standard error with the command that resumes it; the file and its name come at the end."""
    simulator = await service()
    done = await invoke(
        *("video", "a wave", "--out", "wave.mp4", "--model", "cogvideox-3", "--quality", "speed", "--fps", "60"),
        *("--duration", "5", "--audio", "--size", "1920x1080"),
    )
    assert (done.code, done.output) == (0, "wave.mp4\n")
    task = done.errors.split()[1].rstrip(";")
    assert done.errors.endswith(f"zhipu-async video --task {task} --out wave.mp4\n")
    assert (folder / "wave.mp4").read_bytes()[4:8] == b"ftyp"
    assert names(folder) == ["wave.mp4"]
    assert simulator.requests[0].body == {
        "model": "cogvideox-3",
        "prompt": "a wave",
        "quality": "speed",
        "fps": 60,
        "duration": 5,
        "with_audio": True,
        "size": "1920x1080",
    }


@pytest.mark.parametrize(
    ("model", "number", "wanted", "form"),
    [
        (None, 1, "cogvideox-flash", str),
        (None, 2, "cogvideox-3", list),
        ("vidu2-image", 1, "vidu2-image", str),
        ("vidu2-start-end", 1, "vidu2-start-end", list),
    ],
)
async def test_pictures_of_a_video(
    service: Service, folder: Path, model: str | None, number: int, wanted: str, form: type[Any]
) -> None:
    """A picture is a URL or a file; one goes as text and several as a list, but for models that want a list always."""
    simulator = await service()
    (folder / "frame.png").write_bytes(PNG)
    given = ["frame.png", "https://example.com/last.png"][:number]
    options = [word for place in given for word in ("--image", place)] + (["--model", model] if model else [])
    done = await invoke("video", "--out", "a.mp4", *options)
    assert done.code == 0, done.errors
    body = simulator.requests[0].body
    assert body["model"] == wanted
    sent = body["image_url"]
    assert type(sent) is form
    sent = [sent] if isinstance(sent, str) else sent
    assert sent == [f"data:image/png;base64,{base64.b64encode(PNG).decode()}", "https://example.com/last.png"][:number]


# ---------------------------------------------------------------- tasks


@pytest.mark.parametrize("kind", TASKS)
async def test_a_task_is_waited_for_again(service: Service, folder: Path, kind: str) -> None:
    """When the time is up, the message is the command that fetches the file later, and it does without a new task."""
    simulator = await service(Scenario(task_seconds=1.0))
    done = await invoke(*ordered(kind, "--out", "a file", "--timeout", "0.2", "--json"))
    assert (done.code, done.output) == (1, "")
    assert "was not done within 0.2 s" in done.errors
    assert names(folder) == []
    resume = done.errors.splitlines()[-1].partition(": ")[2]
    program, *arguments = shlex.split(resume)
    assert program == "zhipu-async"
    again = await invoke(*arguments)
    assert (again.code, again.output, again.errors) == (0, "a file\n", "")
    assert len(created(simulator)) == 1
    assert names(folder) == ["a file"]


@pytest.mark.parametrize("kind", TASKS)
async def test_a_task_as_json(service: Service, kind: str) -> None:
    """--json names the task and the model."""
    await service()
    done = await invoke(*ordered(kind, "--out", "file", "--json"))
    told = json.loads(done.output)
    assert told["task_id"] in done.errors
    assert told["model"] in ("glm-image", "cogvideox-flash")
    assert told["bytes"] > 0


@pytest.mark.parametrize("kind", TASKS)
async def test_ctrl_c_while_a_task_goes_on(service: Service, folder: Path, kind: str) -> None:
    """A person sees status and seconds; Ctrl-C ends with 130, says how to resume, and leaves no file."""
    await service(Scenario(task_seconds=600))
    async with terminal(*ordered(kind, "--out", "file")) as person:
        await person.until("--task")
        await person.until("PROCESSING")
        await person.until(" 1 s")
        person.interrupt()
        assert await person.end() == 130
    task = person.text.partition("; to come back")[0].rpartition(" ")[2]
    *_, last = person.text.rstrip().splitlines()
    assert last.strip().endswith(f"zhipu-async {kind} --task {task} --out file")
    assert "Traceback" not in person.text
    assert person.seen.count("\x1b[?25l") == person.seen.count("\x1b[?25h")  # the cursor is there again
    assert names(folder) == []


@pytest.mark.parametrize("arguments", [("video", "a wave", "--out", "file"), ("video", "--task", "{task}")])
async def test_ctrl_c_in_a_pipe(service: Service, folder: Path, arguments: tuple[str, ...]) -> None:
    """A pipe gets the id of the task early and how to resume it in the end, and no progress between."""
    simulator = await service(Scenario(task_seconds=600))
    task = (await invoke("video", "a wave", "--timeout", "0.1")).errors.split()[1].rstrip(";")
    asked = len(simulator.requests)
    async with process_of(*command(*(word.replace("{task}", task) for word in arguments))) as process:
        assert process.stderr is not None
        early = b""
        if "--task" in arguments:
            async with asyncio.timeout(PATIENCE):
                while len(simulator.requests) == asked:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        else:
            early = await process.stderr.readline()
        process.send_signal(signal.SIGINT)
        done = await finish(process)
    assert (done.code, done.output) == (130, "")
    assert done.errors.count("\n") == 1
    assert "the task goes on; to fetch the video: zhipu-async video --task" in done.errors
    assert "\x1b" not in early.decode() + done.errors
    assert names(folder) == []


@pytest.mark.parametrize("kind", TASKS)
async def test_a_task_that_fails(service: Service, folder: Path, kind: str) -> None:
    """A task that the service gives up ends with 1 and its reason; nobody is told to wait for it again."""
    await service(Scenario(task_failure={"error": {"code": "1301", "message": "unsafe"}}))
    done = await invoke(*ordered(kind, "--out", "file"))
    assert (done.code, done.output) == (1, "")
    assert "unsafe" in done.errors
    assert "goes on" not in done.errors
    assert names(folder) == []


@pytest.mark.parametrize("kind", TASKS)
async def test_an_unknown_task(service: Service, folder: Path, kind: str) -> None:
    """An id that the service does not know ends with 1, at once."""
    await service()
    done = await invoke(kind, "--task", "20260101nothing", "--out", "file")
    assert (done.code, done.output) == (1, "")
    assert "goes on" not in done.errors
    assert names(folder) == []


# ---------------------------------------------------------------- wrong use


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["image"], "there is no prompt"),
        (["image", " "], "the prompt is empty"),
        (["image", "-"], "the prompt is empty"),
        (["image", "fox", "--out", "taken.png"], "exists already: --force"),
        (["image", "fox", "--out", "folder"], "it is a directory"),
        (["image", "fox", "--out", "folder", "--force"], "it is a directory"),
        (["image", "fox", "--out", "nowhere/fox.png"], "cannot write 'nowhere/fox.png': No such file"),
        (["image", "fox", "--out", "taken.png/fox.png"], "Not a directory"),
        (["image", "fox", "--out", "taken.png/../no/fox.png"], "cannot write"),
        (["image", "fox", "--out", "pipe", "--force"], "it is no regular file"),
        (["image", "fox", "--timeout", "-1"], "--timeout must be a positive number"),
        (["image", "fox", "--task", "1"], "not both"),
        (["image", "fox", "--quality", "best"], "--quality"),
        (["video"], "there is no prompt"),
        (["video", "--task", " "], "the id of --task is empty"),
        (["video", "--task", "1", "--image", "photo.png"], "takes no --image"),
        (["video", "wave", "--task", "1"], "not both"),
        (["video", "wave", "--timeout", "nan"], "--timeout must be a positive number"),
        (["video", "wave", "--image", "missing.png"], "cannot read 'missing.png'"),
        (["video", "wave", "--image", "folder"], "cannot read 'folder'"),
        (["video", "wave", "--image", "taken.png"], "image"),
        (["video", "wave", "--out", "taken.png"], "exists already: --force"),
    ],
)
async def test_wrong_use(service: Service, folder: Path, arguments: list[str], reason: str) -> None:
    """What cannot work is told with 2 before anything is asked or paid for; what lies there stays as it is."""
    simulator = await service()
    (folder / "taken.png").write_bytes(b"mine")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")  # a thing of this test: a device of the machine could be harmed
    done = await invoke(*arguments)
    assert (done.code, done.output) == (2, "")
    assert reason in done.errors
    assert simulator.requests == []
    assert names(folder) == ["folder", "pipe", "taken.png"]
    assert (folder / "taken.png").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "arguments",
    [["image", "a fox"], ["video", "a fox"]],
    ids=lambda words: words[0],
)
async def test_force_overwrites(service: Service, folder: Path, arguments: list[str]) -> None:
    """--force puts the new file in the place of the old one."""
    await service()
    (folder / "taken").write_bytes(b"mine")
    done = await invoke(*arguments, "--out", "taken", "--force")
    assert (done.code, done.output) == (0, "taken\n")
    assert (folder / "taken").read_bytes() not in (b"mine", b"")
    assert names(folder) == ["taken"]


@pytest.mark.parametrize("arguments", [["image"], ["image", "--async"], ["video"]], ids=" ".join)
async def test_what_the_service_refuses(service: Service, folder: Path, arguments: list[str]) -> None:
    """A prompt that content safety refuses ends with 1 and its code, and leaves nothing behind."""
    await service()
    done = await invoke(*arguments, "[unsafe prompt]", "--out", "file")
    assert (done.code, done.output) == (1, "")
    assert "1301" in done.errors
    assert names(folder) == []
