"""Tasks that are created by one call and fetched by another: chat, images and videos (async_tasks.md)."""

from __future__ import annotations

from collections.abc import Mapping

from .base import Failure, Request, Response, State
from .chat import ChatAnswer, ChatCompletion
from .images import GeneratedImage

_STATES: Mapping[str, State] = {"SUCCESS": "done", "FAIL": "failed"}


def state_of(status: str | None, states: Mapping[str, State], *, results: bool = False) -> State:
    """Where work with this ``status`` stands: unknown texts run on; without a text, results say that it is done."""
    if not status:
        return "done" if results else "running"
    return states.get(status, "running")


class AsyncTask(Response, kw_only=True, omit_defaults=True, dict=True):
    """A task that the service has taken up. Fetch its result by ``id``, not by ``request_id``."""

    id: str
    request_id: str | None = None
    """The caller's, or made by the service."""
    model: str | None = None
    task_status: str | None = None
    """PROCESSING, SUCCESS, FAIL, or what is new."""

    @property
    def state(self) -> State:
        """Where the task stood when it was created: running as a rule."""
        return state_of(self.task_status, _STATES)

    @property
    def failure(self) -> tuple[str | None, str]:
        """(None, ""): at its creation nothing is said of why a task failed."""
        return None, ""


class ChatTask(AsyncTask, kw_only=True, omit_defaults=True, dict=True):
    """A conversation that is being answered: seconds to minutes."""


class ImageTask(AsyncTask, kw_only=True, omit_defaults=True, dict=True):
    """An image that is being made: 5 to 30 seconds."""


class VideoTask(AsyncTask, kw_only=True, omit_defaults=True, dict=True):
    """A video that is being made: one to several minutes."""


class AsyncResultRequest(Request, frozen=True, omit_defaults=True):
    """Look how a task stands and take its result; the number of looks counts as requests."""

    id: str
    """The task's ``id``."""


class AsyncResult(ChatAnswer, kw_only=True, omit_defaults=True, dict=True):
    """How a task stands and, once it is done, what came of it: one form for all kinds (async_tasks.md section 2).

    Chat is in the fields of a completion, videos are in ``video_result`` (URLs live about a day), images in
    ``image_result`` (30 days): download at once.
    """

    task_status: str | None = None
    """PROCESSING, SUCCESS, FAIL, or what is new."""
    image_result: list[GeneratedImage] | None = None
    error: Failure | str | None = None
    """Why it failed; the place is not documented, see :attr:`failure`."""
    message: str | None = None
    """What the service says of the state. The model's message is ``completion.message``."""

    @property
    def state(self) -> State:
        """Running, done or failed; a result without a status is done (async_tasks.md section 3)."""
        results = bool(self.choices or self.video_result or self.image_result)
        return state_of(self.task_status, _STATES, results=results)

    @property
    def failure(self) -> tuple[str | None, str]:
        """Code and reason of a task that failed, from ``error``, ``message`` or ``content_filter``; else (None, "")."""
        if self.state != "failed":
            return None, ""
        error = Failure(message=self.error) if isinstance(self.error, str) else self.error or Failure()
        return error.code, error.message or self.message or self._filtered

    @property
    def _filtered(self) -> str:
        where = [f"{found.role or 'unknown role'} (level {found.level})" for found in self.content_filter or ()]
        return f"content safety intervened: {', '.join(where)}" if where else ""

    @property
    def urls(self) -> list[str]:
        """The addresses of all images and videos, [] when there are none."""
        return [made.url for made in (*(self.image_result or ()), *(self.video_result or ())) if made.url]

    @property
    def url(self) -> str | None:
        """The address of the first image or video."""
        return next(iter(self.urls), None)

    @property
    def completion(self) -> ChatCompletion:
        """The answer as ``chat.completions.create`` would have given it; it shares its parts with this result."""
        completion = ChatCompletion(**{name: getattr(self, name) for name in ChatAnswer.__struct_fields__})
        vars(completion).update(vars(self))
        return completion
