"""An operation: an endpoint that reads its arguments into a struct, refuses what is none and answers what is one."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Final, Generic, Literal, TypeAlias, TypeVar

from msgspec import Meta, Struct

from zhipu_async.simulator.codes import BUSINESS_CODES
from zhipu_async.simulator.replies import Answer, Json, Refusal
from zhipu_async.simulator.routes import MODEL_ROOTS, Endpoint
from zhipu_async.simulator.seen import SeenRequest
from zhipu_async.simulator.stage import Stage
from zhipu_async.simulator.validation import validated

API_ROOTS: Final = ("/api",)
"""Where agents, applications and the knowledge base live."""
_CHINA: Final = 8 * 3600

RequestId = Annotated[str, Meta(min_length=6, max_length=64)]
UserId = Annotated[str, Meta(min_length=6, max_length=128)]
Truth = Literal["true", "false"]
"""A boolean in a form."""
Digits = Annotated[str, Meta(pattern="^[0-9]+$")]
"""A whole number in a form or a query."""


class Asked(Struct, frozen=True, kw_only=True):
    """What every body may have: unknown fields are ignored, null is not a value."""

    request_id: RequestId = ""
    user_id: UserId = ""


class Nothing(Struct, frozen=True):
    """No arguments, or none that matter."""


T = TypeVar("T", bound=Struct)
Result: TypeAlias = Answer | Mapping[str, Any]
"""An answer; a mapping is one in JSON."""
Respond: TypeAlias = Callable[[T, "Turn"], Result]


def unfit(field: str) -> ValueError:
    """What `__post_init__` of a struct of arguments raises where the value of this field does not fit the others."""
    return ValueError(f"It does not fit - at `$.{field}`")


class Turn:
    """A request whose arguments were read, with all that an answer to it is made from."""

    def __init__(self, request: SeenRequest, stage: Stage) -> None:
        self.request = request
        self.stage = stage

    @cached_property
    def head(self) -> dict[str, Any]:
        """What an answer begins with: `id`, `created`, and the caller's `request_id` or the id again."""
        stamp = self.stage.stamps.next()
        given = self.request.get("request_id")
        return {"id": stamp.id, "created": stamp.created, "request_id": given if isinstance(given, str) else stamp.id}

    @property
    def id(self) -> str:
        """The id of the answer."""
        return str(self.head["id"])

    @property
    def local_time(self) -> str:
        """The time in China, as text without a zone."""
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self.stage.clock() + _CHINA))

    def field(self, name: str) -> str:
        """A variable part of the path."""
        return self.request.fields[name]

    def publish(self, content: bytes, media_type: str, name: str) -> str:
        """The URL under which anybody can fetch this content from now on."""
        return self.stage.public.publish(self.request, content, media_type, name)

    def is_unsafe(self, *texts: str) -> bool:
        """Whether one of the texts holds what the scenario calls an unsafe prompt."""
        return any(self.stage.scenario.unsafe_prompt in text for text in texts)


def unsafe() -> Refusal:
    """The refusal of what content safety stops."""
    return Refusal("1301", content_filter=[{"level": 1, "role": "user"}])


def in_integer_envelope(refusal: Refusal) -> Answer:
    """A refusal as the knowledge base and applications write it: an integer code, HTTP 200 (data.md section 10)."""
    message = refusal.message or BUSINESS_CODES[str(refusal.code)].message
    return Json({"code": int(refusal.code), "message": message})


def of_body(request: SeenRequest) -> Any:
    """The arguments of a request in JSON."""
    return request.body


def of_optional_body(request: SeenRequest) -> Any:
    """The arguments of a request that may have no body."""
    return request.body if request.raw else {}


def of_form(request: SeenRequest) -> Any:
    """The texts of a form; a list by its name with or without brackets."""
    return {name.removesuffix("[]"): value for name, value in request.form.items()}


def of_query(request: SeenRequest) -> Any:
    """The query of a request."""
    return dict(request.query)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[T]):
    """The check and the answer of a row."""

    stage: Stage
    kind: type[T]
    answer: Respond[T]
    models: Collection[str] | None = None
    """The models there are, beside those that the scenario adds; None: any."""
    arguments: Callable[[SeenRequest], Any] = of_body
    refuse: Callable[[Refusal], Answer] | None = None
    """Another envelope for what is refused."""

    def check(self, request: SeenRequest) -> Answer | None:
        """What the service refuses in a request."""
        asked = self._read(request)
        return asked if isinstance(asked, Answer) else None

    def respond(self, request: SeenRequest) -> Answer:
        """The answer; to what would be refused, where nothing is checked, an empty one."""
        asked = self._read(request)
        if isinstance(asked, Answer):
            return Json({})
        result = self.answer(asked, Turn(request, self.stage))
        if isinstance(result, Refusal) and self.refuse:
            return self.refuse(result)
        return result if isinstance(result, Answer) else Json(result)

    def _read(self, request: SeenRequest) -> T | Answer:
        asked: T | Refusal = validated(self.arguments(request), self.kind)
        if not isinstance(asked, Refusal) and self.models is not None:
            model = str(getattr(asked, "model", "")).lower()
            if model not in self.models and model not in map(str.lower, self.stage.scenario.models):
                asked = Refusal("1211")
        return self.refuse(asked) if isinstance(asked, Refusal) and self.refuse else asked


@dataclass(frozen=True, slots=True)
class Rows:
    """Makes rows of the route table from operations that have a stage, roots and an envelope in common."""

    stage: Stage
    roots: tuple[str, ...] = MODEL_ROOTS
    refuse: Callable[[Refusal], Answer] | None = None

    def row(
        self,
        method: str,
        path: str,
        kind: type[T],
        answer: Respond[T],
        *,
        models: Collection[str] | None = None,
        arguments: Callable[[SeenRequest], Any] = of_body,
    ) -> Endpoint:
        """A row; `kind` is the struct of its arguments, `answer` the function that answers them."""
        operation = Operation(
            stage=self.stage, kind=kind, answer=answer, models=models, arguments=arguments, refuse=self.refuse
        )
        return Endpoint(method, path, operation.respond, operation.check, self.roots)
