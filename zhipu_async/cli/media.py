"""``image`` and ``video``: made by the service, waited for where they are tasks, and downloaded (media.md 1 and 2)."""

from __future__ import annotations

import base64
import binascii
import shlex
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
import typer

from ..attachments import ImagePart
from ..config import check_seconds
from ..downloads import writing
from ..errors import BadRequestError, ConfigError, DecodeError, NotFoundError, TaskFailed, ZhipuError
from ..types.images import GeneratedImage
from ..types.tasks import AsyncTask, ImageTask, VideoTask
from . import progress
from .outputs import check_output, name_for, shown
from .shared import (
    AsJSON,
    BaseURL,
    Force,
    exit_codes,
    model_option,
    perform,
    remark,
    resumable,
    text_of,
    write_line,
)

if TYPE_CHECKING:
    from ..client import AsyncZhipuAI

IMAGE_MODEL = "cogview-4-250304"
"""Known to both platforms (media.md section 1)."""
TASK_IMAGE_MODEL = "glm-image"
"""The only one that makes images as tasks."""
VIDEO_MODEL = "cogvideox-flash"
"""Free, and known to both platforms."""
TWO_FRAME_MODEL = "cogvideox-3"
"""Takes a first and a last frame."""
_LISTS = ("-start-end", "-reference")
"""Endings of models that want a list of pictures, even of one (media.md section 2)."""
_IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
_HOPELESS = (TaskFailed, BadRequestError, NotFoundError)
"""Errors of a task that is no more, or never was."""

Out = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Where to save it. Default: named after the prompt and the time.")
]
Size = Annotated[
    str | None, typer.Option(metavar="WxH", help="Pixels across and down, like 1280x1280. Default: the model's.")
]
Task = Annotated[
    str | None, typer.Option(metavar="ID", help="Make nothing: wait for this task, which was created before.")
]
TaskSeconds = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Longest wait; the task goes on. Default: as long as it takes."),
]


class Made(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What ``--json`` prints: where the file is, its size in bytes, and where it came from."""

    path: str
    bytes: int
    url: str | None = None
    model: str | None = None
    task_id: str | None = None


@dataclass(frozen=True)
class Order:
    """What a command is to make, apart from how: where it goes, and how long it may take."""

    command: Literal["image", "video"]
    path: Path
    named: bool
    """Whether the path is the caller's, with the ending that it has."""
    force: bool
    timeout: float | None
    as_json: bool
    base_url: str | None

    @property
    def noun(self) -> str:
        """What it is, in a sentence."""
        return f"the {self.command}"

    def resume(self, identity: str) -> str:
        """The command that fetches a task in a later run."""
        words = ["zhipu-async", self.command, "--task", identity, "--out", shown(self.path)]
        words += ["--force"] if self.force else []
        return shlex.join([*words, "--base-url", self.base_url] if self.base_url else words)


def image(
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="What to draw; - reads standard input.")
    ] = None,
    out: Out = None,
    model: Annotated[
        str | None,
        model_option(
            f"Model id. Default: {IMAGE_MODEL}, with --async {TASK_IMAGE_MODEL}.", kinds=("image",), show_default=False
        ),
    ] = None,
    size: Size = None,
    quality: Annotated[
        Literal["hd", "standard"] | None, typer.Option(help="How well it is drawn; hd takes longer.")
    ] = None,
    deferred: Annotated[bool, typer.Option("--async", help="As a task, which outlives a lost connection.")] = False,
    task: Task = None,
    timeout: TaskSeconds = None,
    force: Force = False,
    json_wanted: AsJSON = False,
    base_url: BaseURL = None,
) -> None:
    """Make an image from text, save it and print its path."""
    with exit_codes():
        words = _prompt(prompt, task, needed=True)
        order = _order("image", out, words or task or "", ".png", force, timeout, json_wanted, base_url)

        chosen = model or (TASK_IMAGE_MODEL if deferred else IMAGE_MODEL)
        arguments: dict[str, Any] = {"model": chosen, "prompt": words or "", "size": size, "quality": quality}

        async def make(client: AsyncZhipuAI) -> None:
            if deferred:
                with progress.waiting("creating the task"):
                    created = await client.images.generate_async(**arguments)
                await _fetch_new(client, created, order)
                return
            with progress.waiting("making the image"):
                answer = await client.images.generate(**arguments, timeout=timeout)
            await _save(client, answer.data, order, Made(path="", bytes=0, model=chosen))

        _carry_out(order, None if task is None else ImageTask(id=task), make)


def video(
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="What to show; - reads standard input.")
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option(
            "--image",
            metavar="FILE|URL",
            help="A picture: the first frame, then the last, or references. May be repeated.",
        ),
    ] = None,
    out: Out = None,
    model: Annotated[
        str | None,
        model_option(
            f"Model id. Default: {VIDEO_MODEL}, with two pictures {TWO_FRAME_MODEL}.",
            kinds=("video",),
            show_default=False,
        ),
    ] = None,
    size: Size = None,
    quality: Annotated[
        Literal["speed", "quality"] | None, typer.Option(help="What matters more. Default: the model's.")
    ] = None,
    fps: Annotated[int | None, typer.Option(metavar="FRAMES", min=1, help="Frames per second: 30 or 60.")] = None,
    duration: Annotated[
        int | None, typer.Option(metavar="SECONDS", min=1, help="Length, where the model has a choice.")
    ] = None,
    audio: Annotated[bool | None, typer.Option("--audio/--no-audio", help="With sound. Default: the model's.")] = None,
    style: Annotated[
        Literal["general", "anime"] | None, typer.Option(help="How it is drawn; viduq1-text only.")
    ] = None,
    aspect_ratio: Annotated[
        Literal["16:9", "9:16", "1:1"] | None, typer.Option(help="Width to height; some Vidu models.")
    ] = None,
    movement: Annotated[
        Literal["auto", "small", "medium", "large"] | None, typer.Option(help="How much moves; Vidu models.")
    ] = None,
    task: Task = None,
    timeout: TaskSeconds = None,
    force: Force = False,
    json_wanted: AsJSON = False,
    base_url: BaseURL = None,
) -> None:
    """Make a video from text or pictures, which takes minutes; save it and print its path."""
    places = images or []
    with exit_codes():
        if task is not None and places:
            raise ConfigError("--task waits for a video that was ordered before: it takes no --image")
        words = _prompt(prompt, task, needed=not places)
        order = _order("video", out, words or task or "video", ".mp4", force, timeout, json_wanted, base_url)
        chosen = model or (TWO_FRAME_MODEL if len(places) > 1 else VIDEO_MODEL)

        async def make(client: AsyncZhipuAI) -> None:
            pictures = [await _picture(place) for place in places]
            with progress.waiting("creating the task"):
                created = await client.videos.generate(
                    model=chosen,
                    prompt=words,
                    image_url=_pictures(pictures, chosen),
                    size=size,
                    quality=quality,
                    fps=fps,
                    duration=duration,
                    with_audio=audio,
                    style=style,
                    aspect_ratio=aspect_ratio,
                    movement_amplitude=movement,
                )
            await _fetch_new(client, created, order)

        _carry_out(order, None if task is None else VideoTask(id=task), make)


# ---------------------------------------------------------------- what is asked for


def _prompt(prompt: str | None, task: str | None, *, needed: bool) -> str | None:
    if task is not None:
        if prompt is not None:
            raise ConfigError("give a prompt, or --task for what was ordered before, not both")
        if not task.strip():
            raise ConfigError("the id of --task is empty")
        return None
    if prompt is None and needed:
        raise ConfigError("there is no prompt: give one, or - for standard input")
    return None if prompt is None else text_of(prompt, "prompt")


def _order(
    command: Literal["image", "video"],
    out: Path | None,
    words: str,
    ending: str,
    force: bool,
    timeout: float | None,
    as_json: bool,
    base_url: str | None,
) -> Order:
    check_seconds("--timeout", timeout)  # now, and not when the task has been paid for
    path = name_for(words, ending) if out is None else out
    return Order(command, path, out is not None, force, timeout, as_json, base_url)


def _carry_out(
    order: Order, ordered: AsyncTask | None, make: Callable[[AsyncZhipuAI], Coroutine[Any, Any, None]]
) -> None:
    """Wait for what was ``ordered`` before, or ``make`` it; the output is checked first."""

    async def work(client: AsyncZhipuAI) -> None:
        await check_output(order.path, force=order.force)
        if ordered is not None:
            await _fetch_task(client, ordered, order)
        else:
            await make(client)

    perform(order.base_url, work)


async def _picture(place: str) -> str:
    if place.startswith(("http://", "https://", "data:")):
        return place
    return (await ImagePart.from_file(place)).image_url.url


def _pictures(pictures: Sequence[str], model: str) -> str | Sequence[str] | None:
    if len(pictures) == 1 and not model.lower().endswith(_LISTS):
        return pictures[0]
    return pictures or None


# ---------------------------------------------------------------- what comes of it


async def _fetch_task(client: AsyncZhipuAI, task: AsyncTask, order: Order) -> None:
    """Wait for a task and save what it made."""
    with (
        resumable(f"the task goes on; to fetch {order.noun}: {order.resume(task.id)}", unless=_HOPELESS),
        progress.waiting(f"{task.task_status or 'PROCESSING'} {task.id}") as line,
    ):
        result = await client.wait(
            task,
            timeout=order.timeout,
            progress=lambda answer: line.label(f"{answer.task_status or 'PROCESSING'} {task.id}"),
        )
    made = Made(path="", bytes=0, model=result.model or task.model, task_id=task.id)
    videos = [GeneratedImage(url=video.url) for video in result.video_result or ()]
    await _save(client, [*(result.image_result or ()), *videos], order, made)


async def _fetch_new(client: AsyncZhipuAI, task: ImageTask | VideoTask, order: Order) -> None:
    """The same, after its id was said: it has been paid for."""
    remark(f"task {task.id}; to come back to it: {order.resume(task.id)}")
    await _fetch_task(client, task, order)


async def _save(client: AsyncZhipuAI, results: Sequence[GeneratedImage], order: Order, made: Made) -> None:
    """Save the first of what was made, and print where."""
    first = next((result for result in results if result.url or result.b64_json), None)
    if first is None:
        raise ZhipuError(f"the answer of the service holds no {order.command}")
    path = _path(order, first.url)
    if first.url:
        note = f"{order.noun} is made, and can be fetched for some time from {first.url}"
        with resumable(note), progress.transferring(shown(path)) as line:
            await client.download.to_file(path, first.url, progress=line)
    else:
        await _save_text(path, first.b64_json or "")
    made = msgspec.structs.replace(made, path=shown(path), bytes=path.stat().st_size, url=first.url)
    write_line(msgspec.json.encode(made).decode() if order.as_json else made.path)


def _path(order: Order, url: str | None) -> Path:
    """A name that is ours takes the ending of what was really made."""
    ending = PurePosixPath(urlsplit(url or "").path).suffix.lower()
    if order.named or order.command == "video" or ending not in _IMAGE_ENDINGS:
        return order.path
    return replace(order, path=order.path.with_suffix(ending)).path


async def _save_text(path: Path, text: str) -> None:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise DecodeError("the image of the answer is no base64", body=text[:4096]) from None
    async with writing(path) as file:
        await file.write(data)
