"""What happens in a simulation, as frozen data: scripted answers, limits, overload, pace."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal

from zhipu_async.simulator.authentication import DEFAULT_KEY
from zhipu_async.simulator.replies import Answer
from zhipu_async.simulator.seen import SeenRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast the model speaks, in seconds. A plain answer takes as long as its stream would."""

    first_token: float = 0.0
    per_chunk: float = 0.0
    per_upload_block: float = 0.0
    """How slowly the service reads files: a rest after each 64 KB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverloadPhase:
    """A time in which requests are refused at random, in seconds from the first request."""

    start: float = 0.0
    duration: float = inf
    probability: float = 1.0
    code: str = "1305"


@dataclass(frozen=True, slots=True)
class Case:
    """Answers for the requests of one kind, consumed in order like `Scenario.replies`."""

    when: Callable[[SeenRequest], bool]
    replies: Sequence[Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The script of a simulation. Without anything set, the simulator answers as the contract says.

    A request is first checked as the service would (key, fields), then held against limits and overload; only then
    does it take the next answer: of the first case that wants it, else of `replies`, else the default one.
    """

    replies: Sequence[Answer] | Callable[[SeenRequest], Answer | None] = ()
    """Answers in order, one for each request whatever its path; or a function, where None means the default one."""
    cases: Sequence[Case] = ()
    """Asked before `replies`; a case whose answers are used up no longer applies."""
    api_keys: Collection[str] | None = (DEFAULT_KEY,)
    """The keys that are accepted, raw or as a token made from them; None: any."""
    models: Collection[str] = ()
    """Models that exist beside those of chat.md section 6."""
    checks: bool = True
    """Whether keys and fields are checked. False: every request gets to its answer."""
    concurrency_limit: int | None = None
    """Requests of one model that may be in flight; one more is refused with `limit_code` (errors.md section 7)."""
    concurrency_by_model: Mapping[str, int | None] = field(default_factory=dict[str, "int | None"])
    """Limits of single models, by lower-case id, in the place of `concurrency_limit`."""
    limit_code: str = "1302"
    release_lag: float = 0.0
    """Seconds for which the slot of a finished request stays taken."""
    overload: Sequence[OverloadPhase] = ()
    pace: Pace = field(default_factory=Pace)
    """For answers that have no delivery of their own."""
    task_seconds: float | Callable[[SeenRequest], float] = 0.05
    """Seconds from the creation of a task (or parser task) to its end; or a function of the creating request."""
    task_failure: Mapping[str, Any] | Callable[[SeenRequest], Mapping[str, Any] | None] | None = None
    """Tasks end as `FAIL` with these fields, like `error`, or with none; or a function, where None means success."""
    batch_seconds: float = 0.2
    """Seconds from the creation of a batch to its end."""
    batch_end: Literal["completed", "failed", "expired"] = "completed"
    """How batches end whose lines are in order; of one that expires, half of the lines are done."""
    seed: int = 0
    """Of the random choices: overload and ids."""
    unsafe_prompt: str = "[unsafe prompt]"
    """A prompt with this text is refused with 1301."""
    unsafe_answer: str = "[unsafe answer]"
    """A prompt with this text gets an answer that content safety stops half-way (finish_reason `sensitive`)."""

    def __post_init__(self) -> None:
        if isinstance(self.api_keys, str):  # of which every letter would be a key
            raise TypeError("api_keys is a collection of keys: give a tuple or a list, also of one")
