"""Sends the requests of a benchmark and takes the times."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from types import MappingProxyType
from typing import Any

from ..client import AsyncZhipuAI
from ..config import Limits, check_count, check_seconds
from ..errors import APIError, ConfigError, ConnectError, ZhipuError
from .measures import check_limits, summarise
from .report import Report, begun, load_report
from .samples import Arrived, Sample, sample_of
from .workload import Closed, Load, Open, Prompts, Synthetic

REQUESTS = 100
"""Of a load, where neither a number nor a time is given."""
REST = 1.0
"""Seconds for which a place of a closed load stays empty after a refusal."""
FUTILE = 200
"""Requests that fail one after the other, with no answer between them, end a load: it would only do harm."""


def undisturbed_client(*, max_retries: int = 0, adaptive: bool = False, **settings: Any) -> AsyncZhipuAI:
    """A client that sends when it is told to: it repeats nothing, holds nothing back, opens any number of connections.

    So refusals are counted rather than hidden, and latencies are those of the service. ``settings``: of AsyncZhipuAI.
    """
    limits = Limits(adaptive=adaptive, connections=None)
    return AsyncZhipuAI(max_retries=max_retries, limits=limits, **settings)


_DEFAULTS: Mapping[str, Any] = MappingProxyType({"max_tokens": 128})
"""Parameters of prompts that have none of their own."""
_UNTOLD = ("extra_headers", "extra_query")
"""Parameters that may hold a secret, and are in no report."""


class Benchmark:
    """Measures models under loads, one after the other: ``report = await benchmark.run()``.

    ``requests`` and ``duration`` (seconds in which requests begin; those under way are waited for) end a load, the
    first that is reached; 100 requests where neither is given. ``warmup`` requests before each load open connections
    and are not counted: by default its concurrency, or its requests of one second. ``max_tokens``: by default that of
    each prompt, else 128. ``parameters`` are further ones of ``chat.completions.create``, over those of the prompts.
    ``goodput``: limits in seconds by ``ttft``, ``ttfo``, ``tpot`` or ``e2el``. ``seed``: of the arrival times.

    Answers are streamed, whatever ``parameters`` and prompts say. The client's own settings count:
    :func:`undisturbed_client` makes one that does not disturb. When :meth:`run` is cancelled, ``report`` holds what was
    measured so far. It runs once.
    """

    def __init__(
        self,
        client: AsyncZhipuAI,
        *,
        models: Sequence[str],
        loads: Sequence[Load],
        prompts: Prompts | None = None,
        requests: int | None = None,
        duration: float | None = None,
        warmup: int | None = None,
        max_tokens: int | None = None,
        parameters: Mapping[str, Any] | None = None,
        goodput: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> None:
        check_seconds("duration", duration)
        for name, count, least in (("requests", requests, 1), ("warmup", warmup, 0), ("max_tokens", max_tokens, 1)):
            if count is not None:
                check_count(name, count, least=least)
        if isinstance(models, str) or not models or not all(models):
            raise ConfigError("models must be a list of model ids")
        if not loads or len({type(load) for load in loads}) > 1:
            raise ConfigError("loads must be a list of Closed or of Open, not of both")
        self._client = client
        self._models = list(dict.fromkeys(models))
        self._loads = list(dict.fromkeys(loads))
        self._prompts = prompts or Synthetic()
        self._requests = REQUESTS if requests is None and duration is None else requests
        self._duration = duration
        self._warmup = warmup
        self._limits = check_limits(dict(goodput or {}))
        self._seed = seed
        limit = {} if max_tokens is None else {"max_tokens": max_tokens}
        self._parameters: dict[str, Any] = {
            "stream_options": {"include_usage": True},  # other servers of GLM send usage only when asked
            **limit,
            **(parameters or {}),
        }
        if "stream" in (self._parameters.get("extra_body") or {}):
            raise ConfigError("extra_body must not hold stream: answers are streamed, as their times are measured")
        self._number = 0
        self._run: _LoadRun | None = None
        self._title = ""
        self.report: Report = begun(self._settings())
        """What was measured so far."""

    def _settings(self) -> dict[str, Any]:
        return {
            "base_url": self._client.base_url,
            "models": self._models,
            "prompts": dict(self._prompts.described),
            "requests": self._requests,
            "duration": self._duration,
            "warmup": self._warmup,
            "parameters": {name: value for name, value in self._parameters.items() if name not in _UNTOLD},
            "defaults": dict(_DEFAULTS),
            "goodput": dict(self._limits),
            "seed": self._seed,
        }

    @property
    def progress(self) -> tuple[str, int, int | None]:
        """What is measured now, how many of its requests have ended, and of how many."""
        run = self._run
        return ("", 0, None) if run is None else (self._title, len(run.samples), run.wanted)

    async def run(self) -> Report:
        """Measure, and give the report. Raises what says that nothing can be measured: an error of the warm-up that
        repeating does not change, such as a wrong key or model; ConfigError for parameters that cannot be sent, and for
        a benchmark that has run."""
        if self._run is not None:
            raise ConfigError("this benchmark has run, and its report is full: make another Benchmark")
        for model in self._models:
            for place, load in enumerate(self._loads):
                run = self._run = _LoadRun(self._client, load, partial(self._next, model), self._requests)
                self._title = f"{model}, {load.label}"
                warmup = load.warmup if self._warmup is None else self._warmup
                await run.warm_up(warmup)
                cpu = time.process_time()
                finished = False
                try:
                    await run.measure(self._duration, Random(f"{self._seed}/{model}/{place}"))
                    finished = True
                finally:
                    cpu = time.process_time() - cpu
                    if run.samples:
                        self._add(model, load, run, warmup, cpu, cut_short=not finished)
        return self.report

    def _next(self, model: str) -> dict[str, Any]:
        """The parameters of the next request."""
        number, self._number = self._number, self._number + 1
        given, over = self._prompts.arguments(number), self._parameters
        arguments = {**_DEFAULTS, **given, **over, "model": model}
        arguments.pop("stream", None)
        if (body := given.get("extra_body")) is not None and "extra_body" in over:
            arguments["extra_body"] = {**body, **over["extra_body"]}
        return arguments

    def _add(self, model: str, load: Load, run: _LoadRun, warmup: int, cpu: float, *, cut_short: bool) -> None:
        seconds = max((sample.ended for sample in run.samples), default=0.0)
        self.report.loads.append(
            load_report(
                model,
                load,
                seconds=seconds,
                wanted=self._requests,
                unfinished=run.started - len(run.samples),
                cut_short=cut_short,
                gave_up=run.gave_up,
                warmup=warmup,
                client_cpu=min(cpu / seconds, 1.0) if seconds > 0 else 0.0,
                summary=summarise(run.samples, seconds, self._limits),
                samples=run.samples,
            )
        )


class _LoadRun:
    """The requests of one model under one load."""

    def __init__(
        self, client: AsyncZhipuAI, load: Load, arguments: Callable[[], dict[str, Any]], wanted: int | None
    ) -> None:
        self._client = client
        self._load = load
        self._arguments = arguments
        self._clock = asyncio.get_running_loop().time
        self._began = 0.0
        self.wanted = wanted
        self.samples: list[Sample] = []
        self.started = 0
        self._failures = 0
        """In a row."""

    async def warm_up(self, count: int) -> None:
        """Send requests that are not counted, all at once."""
        if count:
            for error, _ in await asyncio.gather(*(self._ask(self._arguments(), []) for _ in range(count))):
                if isinstance(error, ConnectError) or (isinstance(error, APIError) and not error.retryable):
                    raise error

    async def measure(self, duration: float | None, chance: Random) -> None:
        """Send the requests, for at most ``duration`` seconds, and wait for their ends."""
        self._began = self._clock()
        until = math.inf if duration is None else duration
        try:
            async with asyncio.TaskGroup() as tasks:
                if isinstance(self._load, Closed):
                    for _ in range(self._load.concurrency):
                        tasks.create_task(self._work(until))
                else:
                    await self._dispatch(tasks, self._load, until, chance)
        except BaseExceptionGroup as group:  # wrong use, which all of them meet alike
            raise group.exceptions[0] from None

    async def _work(self, until: float) -> None:
        """One of those that are in flight at any time. After a refusal it rests: requests that come back at once would
        all be spent on refusals."""
        while not self._all_started and self._now() < until:
            self.started += 1
            arguments = self._arguments()
            if (await self._request(arguments, self._now())).refused:
                await asyncio.sleep(REST)

    async def _dispatch(self, tasks: asyncio.TaskGroup, load: Open, until: float, chance: Random) -> None:
        """Start each request when it is due, whatever became of those before."""
        for due in load.arrivals(chance):
            if self._all_started or due >= until:
                return
            arguments = self._arguments()  # before it is due, as making a long prompt takes its time
            await asyncio.sleep(due - self._now())
            self.started += 1
            tasks.create_task(self._request(arguments, due))

    @property
    def gave_up(self) -> bool:
        """Whether so many failed that no more were sent."""
        return self._failures >= FUTILE

    @property
    def _all_started(self) -> bool:
        return self.gave_up or (self.wanted is not None and self.started >= self.wanted)

    def _now(self) -> float:
        return self._clock() - self._began

    async def _request(self, arguments: Mapping[str, Any], planned: float) -> Sample:
        """Send a request that was due then, and keep its times."""
        sent = self._now()
        arrived: list[Arrived] = []
        error, attempts = await self._ask(arguments, arrived)
        sample = sample_of(arrived, error, began=self._began, planned=planned, sent=sent, ended=self._now())
        sample.attempts = attempts
        self.samples.append(sample)
        self._failures = 0 if sample.error is None else self._failures + 1
        return sample

    async def _ask(self, arguments: Mapping[str, Any], arrived: list[Arrived]) -> tuple[ZhipuError | None, int]:
        """Send a request and note when its chunks come. Its error, if it is not of wrong use, and its attempts."""
        clock = self._clock
        try:
            stream = await self._client.chat.completions.create(**arguments, stream=True)
            async with stream:
                async for chunk in stream:
                    arrived.append((clock(), chunk))
        except ConfigError:
            raise
        except ZhipuError as error:
            return error, max(1, len(error.attempts))
        return None, stream.timing.attempts
