"""Pictures and films (contract page media.md, sections 1 and 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, UnsetType

from zhipu_async.simulator.chat_request import Text
from zhipu_async.simulator.media_bytes import mp4, png
from zhipu_async.simulator.operation import Asked, Result, Rows, Turn, unfit, unsafe
from zhipu_async.simulator.routes import Endpoint
from zhipu_async.simulator.stage import Stage

_NEW: Final = "glm-image"
_PICTURES: Final = (_NEW, "cogview-4-250304", "cogview-4", "cogview-3-flash", "cogview-3-plus", "cogview-3")
_SIDES: Final = range(512, 2049)
_NEW_PROMPT_LENGTH: Final = 1000
_FILM_PROMPT_LENGTH: Final = 512
_COVER: Final = (320, 180)
_HARMLESS: Final = [{"role": "assistant", "level": 3}]

_WIDE: Final = ("1024x1024", "1920x1080", "1080x1920", "2048x1080", "3840x2160")
_SMALL: Final = ("1280x720",)
_FULL: Final = ("1920x1080",)
_FRAMES: Final = (30, 60)
_NEWER: Final = ("1280x720", "720x1280", *_WIDE)
_OLDER: Final = ("720x480", "1280x960", "960x1280", *_WIDE)

_FILMS: Final[Mapping[str, Mapping[str, tuple[Any, ...]]]] = {
    "cogvideox-3": {"size": _NEWER, "fps": _FRAMES, "duration": (5, 10), "pictures": (0, 1, 2)},
    "cogvideox-2": {"size": _OLDER, "fps": _FRAMES, "pictures": (0, 1)},
    "cogvideox-flash": {"size": _OLDER, "fps": _FRAMES, "pictures": (0, 1)},
    "viduq1-text": {"size": _FULL, "duration": (5,), "pictures": (0,)},
    "viduq1-image": {"size": _FULL, "duration": (5,), "pictures": (1,)},
    "vidu2-image": {"size": _SMALL, "duration": (4,), "pictures": (1,)},
    "viduq1-start-end": {"size": _FULL, "duration": (5,), "pictures": (1, 2)},
    "vidu2-start-end": {"size": (*_SMALL, "480x360"), "duration": (4,), "pictures": (1, 2)},
    "vidu2-reference": {"size": _SMALL, "duration": (4,), "pictures": (1, 2, 3)},
}
"""What a model takes; a field that is not listed may have any value of the struct. The first is the usual one."""
_USUAL_SECONDS: Final = 6
_NEED_PROMPT: Final = frozenset({"viduq1-text", "vidu2-reference"})


class PictureRequest(Asked, frozen=True):
    """A picture to be made."""

    model: Text
    prompt: Text
    quality: Literal["hd", "standard"] | UnsetType = UNSET
    size: Annotated[str, Meta(pattern="^[0-9]{3,4}x[0-9]{3,4}$")] = ""
    watermark_enabled: bool = True

    def __post_init__(self) -> None:
        new = self.model.lower() == _NEW
        if new and self.quality == "standard":
            raise unfit("quality")
        if new and len(self.prompt) > _NEW_PROMPT_LENGTH:
            raise unfit("prompt")
        width, height = self.pixels
        if (
            not (width in _SIDES and height in _SIDES)
            or width % (step := 32 if new else 16)
            or height % step
            or width * height > 2 ** (22 if new else 21)
        ):
            raise unfit("size")

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height."""
        width, _, height = (self.size or ("1280x1280" if self.model.lower() == _NEW else "1024x1024")).partition("x")
        return int(width), int(height)


class FilmRequest(Asked, frozen=True):
    """A film to be made from words, from pictures, or from both."""

    model: Text
    prompt: str = ""
    image_url: Text | Annotated[list[Text], Meta(min_length=1)] | UnsetType = UNSET
    quality: Literal["speed", "quality"] = "speed"
    with_audio: bool = False
    watermark_enabled: bool = True
    size: str = ""
    fps: int = 0
    duration: int = 0
    style: Literal["general", "anime"] = "general"
    aspect_ratio: Literal["16:9", "9:16", "1:1"] = "16:9"
    movement_amplitude: Literal["auto", "small", "medium", "large"] = "auto"

    def __post_init__(self) -> None:
        known = _FILMS.get(self.model.lower(), {})
        given = {"size": self.size, "fps": self.fps, "duration": self.duration}
        for field, value in given.items():
            if value and value not in known.get(field, (value,)):
                raise unfit(field)
        pictures = self.image_url if isinstance(self.image_url, list) else [self.image_url] if self.image_url else []
        if len(pictures) not in known.get("pictures", (len(pictures),)):
            raise unfit("image_url")
        if len(pictures) == 2 and "fps" in known and self.quality != "speed":
            raise unfit("quality")
        if len(self.prompt) > _FILM_PROMPT_LENGTH:
            raise unfit("prompt")
        if not self.prompt and (not pictures or self.model.lower() in _NEED_PROMPT):
            raise unfit("prompt")


def _picture_url(asked: PictureRequest, turn: Turn) -> dict[str, str]:
    return {"url": turn.publish(png(asked.prompt, *asked.pixels), "image/png", "picture.png")}


def draw(asked: PictureRequest, turn: Turn) -> Result:
    """A picture that is ready at once."""
    if turn.is_unsafe(asked.prompt):
        return unsafe()
    head = turn.head
    return {
        "id": head["id"],
        "request_id": head["request_id"],
        "created": head["created"],
        "data": [_picture_url(asked, turn)],
        "content_filter": _HARMLESS,
    }


def draw_later(asked: PictureRequest, turn: Turn) -> Result:
    """A task that draws."""
    return _task(turn, asked.prompt, lambda: {"image_result": [_picture_url(asked, turn)]})


def film(asked: FilmRequest, turn: Turn) -> Result:
    """A task that makes a film: with its cover."""
    lengths = _FILMS.get(asked.model.lower(), {}).get("duration", (_USUAL_SECONDS,))
    duration = asked.duration or int(lengths[0])

    def result() -> Mapping[str, Any]:
        content = mp4(duration)
        words = asked.prompt or str(asked.image_url)
        cover = turn.publish(png(words, *_COVER), "image/png", "cover.png")
        return {"video_result": [{"url": turn.publish(content, "video/mp4", "film.mp4"), "cover_image_url": cover}]}

    return _task(turn, asked.prompt, result)


def _task(turn: Turn, prompt: str, result: Callable[[], Mapping[str, Any]]) -> Result:
    return unsafe() if turn.is_unsafe(prompt) else turn.stage.tasks.create(turn.request, result)


def endpoints(stage: Stage) -> tuple[Endpoint, ...]:
    """The rows of pictures and films."""
    rows = Rows(stage)
    return (
        rows.row("POST", "/images/generations", PictureRequest, draw, models=_PICTURES),
        rows.row("POST", "/async/images/generations", PictureRequest, draw_later, models=(_NEW,)),
        rows.row("POST", "/videos/generations", FilmRequest, film, models=_FILMS),
    )
