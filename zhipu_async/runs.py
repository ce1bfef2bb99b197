"""Many calls with one client: what :class:`~zhipu_async.AsyncZhipuAI` has for runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, overload

from .config import check_count, check_seconds
from .dispatch import Dispatcher
from .errors import ConfigError
from .transport.admission import Admission, Lane

if TYPE_CHECKING:
    from .batching import BatchRun
    from .downloads import AnyPath
    from .fanout import FanOut, Leaving
    from .items import Calls, Prompts
    from .journal import Journal
    from .outcomes import RunProgress
    from .polling import Gates, Poller
    from .types.chat import ChatCompletion

T = TypeVar("T")

DEADLINE = 3600.0
"""Seconds for one call of a run, refusals included, unless said otherwise: only this ends a call that is refused."""


class Runs:
    """The part of the client that makes runs."""

    _sender: Dispatcher
    _admission: Admission
    _lane: Lane
    _gates: Gates

    @cached_property
    def _poller(self) -> Poller:
        """What waits for tasks; all clients of one pool share its gates."""
        from .polling import POLL_SECONDS, Poller

        sender, settings = self._sender, self._sender.settings
        once = replace(settings, timeout=POLL_SECONDS, retry=replace(settings.retry, retries=0))
        asker = Dispatcher(once, sender.opener, sender.telemetry, self._lane)
        return Poller(asker.send, settings.limits.polls, self._gates)

    @overload
    def fan_out(
        self,
        calls: Calls[T],
        *,
        ordered: bool = ...,
        window: int = ...,
        concurrency: int | None = ...,
        max_concurrency: int | None = ...,
        deadline: float | None = ...,
        max_retries: int | None = ...,
        retry_budget: int | None = ...,
        token_budget: int | None = ...,
        dedupe: bool = ...,
        journal: Journal | AnyPath | None = ...,
        resume: bool = ...,
        progress: Callable[[RunProgress], object] | None = ...,
        total: int | None = ...,
        leaving: Leaving = ...,
    ) -> FanOut[T]: ...
    @overload
    def fan_out(
        self,
        calls: Prompts,
        *,
        model: str,
        system: str | None = ...,
        ordered: bool = ...,
        window: int = ...,
        concurrency: int | None = ...,
        max_concurrency: int | None = ...,
        deadline: float | None = ...,
        max_retries: int | None = ...,
        retry_budget: int | None = ...,
        token_budget: int | None = ...,
        dedupe: bool = ...,
        journal: Journal | AnyPath | None = ...,
        resume: bool = ...,
        progress: Callable[[RunProgress], object] | None = ...,
        total: int | None = ...,
        leaving: Leaving = ...,
        **parameters: Any,
    ) -> FanOut[ChatCompletion]: ...
    def fan_out(
        self,
        calls: Calls[Any] | Prompts,
        *,
        ordered: bool = False,
        window: int = 1000,
        concurrency: int | None = None,
        max_concurrency: int | None = None,
        deadline: float | None = DEADLINE,
        max_retries: int | None = None,
        retry_budget: int | None = None,
        token_budget: int | None = None,
        dedupe: bool = False,
        journal: Journal | AnyPath | None = None,
        resume: bool = False,
        progress: Callable[[RunProgress], object] | None = None,
        total: int | None = None,
        leaving: Leaving = "stop",
        **parameters: Any,
    ) -> FanOut[Any]:
        """Make many calls, as many at a time as the account's limit allows, and give an outcome for each.

            async with client.fan_out(prompts, model="glm-4.6") as run:
                async for outcome in run:
                    print(outcome.id, outcome.value.text if outcome.ok else outcome.error)

        ``calls`` is an iterable, async iterable or mapping of unsent calls, such as
        ``AsyncZhipuAI.embeddings.create.call(...)``, or of prompts (``str``) with common ``parameters``: ``model``,
        ``system`` and all that ``chat.completions.create`` takes. ``(id, call)`` pairs and mappings bring ids, which
        are to be unique: a journal refuses an id that stands for two requests.
        The input may be of any length: of what was taken from it, only what is on the wire or waits to be taken from
        the run is in memory (and with ``journal`` or ``dedupe`` the ids, and with ``dedupe`` the answers).

        Parameters
        ----------
        ordered, window
            Outcomes as they come, or in the order of the input. At most ``window`` of them wait to be taken; with
            ``ordered`` that includes what is on the wire, so that one slow call holds up at most so many.
        concurrency, max_concurrency
            By default the number of calls in flight follows the service: it begins at 16, grows while calls are
            admitted and shrinks when they are refused. ``max_concurrency`` bounds it; ``concurrency`` fixes it.
            Each model has its own number. The input is taken in its order: where a thousand calls of one model wait for
            their turn, those of others behind them wait, too. Runs of one model each do not hold each other up.
        deadline
            Seconds for each call, from when it is taken up: queue, repeats and sleeps included. None: no end.
        max_retries, retry_budget
            Repeats of each call, and of all together, after failures. Refusals for load (1302, 1305 and their kin) do
            not count: such a call is asked again until ``deadline``.
        token_budget
            Tokens after which nothing more is sent; what is in flight is finished, and the iteration ends with
            TokenBudgetSpent.
        dedupe
            Send identical calls once and give each its outcome.
        journal, resume
            A file that every outcome is appended to as it comes, one JSON line each. With ``resume=True`` what stands
            there is not sent again: its outcome comes from the file (``outcome.replayed``).
        progress, total
            Called with :class:`RunProgress`, at most ten times a second; ``total`` for an input that has no length.
        leaving
            What leaving the ``async with`` early does, also by Ctrl-C: ``"stop"`` cancels what is in flight,
            ``"drain"`` sends nothing more and waits for it (and writes it to the journal).

        AuthenticationError, AccountError and QuotaError end the run: what is finished is given, then they are raised.
        Any other failure of a call is its outcome's ``error``. ConfigError for options that exclude each other.
        """
        from .fanout import FanOut, Options  # a program without runs does without their modules

        settings = self._sender.settings
        options = Options(
            ordered=ordered,
            window=window,
            concurrency=concurrency,
            token_budget=token_budget,
            dedupe=dedupe,
            leaving=leaving,
            progress=progress,
            total=total,
        )
        if retry_budget is not None:
            check_count("retry_budget", retry_budget, least=0)
        if max_concurrency is not None:
            check_count("max_concurrency", max_concurrency, least=1)
            if concurrency is not None:
                raise ConfigError("give concurrency, which fixes the calls in flight, or max_concurrency, not both")
        if concurrency is None and not settings.limits.adaptive and settings.limits.concurrency is None:
            raise ConfigError("with Limits(adaptive=False) a run needs concurrency=..., or Limits(concurrency=...)")
        retry = settings.retry if max_retries is None else replace(settings.retry, retries=max_retries)
        lane = Lane(
            self._admission,
            settings.account,
            background=True,
            most=max_concurrency if concurrency is None else concurrency,
            metered=concurrency is None,
            patient=True,
            repeats=retry_budget,
        )
        dispatcher = Dispatcher(
            replace(settings, retry=retry, deadline=check_seconds("deadline", deadline)),
            self._sender.opener,
            self._sender.telemetry,
            lane,
        )
        return FanOut(
            calls, parameters, options, send=dispatcher.whole, window=lane, journal=_journal(journal, resume=resume)
        )

    @overload
    def run_batches(
        self,
        calls: Calls[T],
        *,
        journal: Journal | AnyPath | None = ...,
        resume: bool = ...,
        timeout: float | None = ...,
        rounds: int = ...,
        progress: Callable[[RunProgress], object] | None = ...,
        metadata: Mapping[str, str] | None = ...,
    ) -> BatchRun[T]: ...
    @overload
    def run_batches(
        self,
        calls: Prompts,
        *,
        model: str,
        system: str | None = ...,
        journal: Journal | AnyPath | None = ...,
        resume: bool = ...,
        timeout: float | None = ...,
        rounds: int = ...,
        progress: Callable[[RunProgress], object] | None = ...,
        metadata: Mapping[str, str] | None = ...,
        **parameters: Any,
    ) -> BatchRun[ChatCompletion]: ...
    def run_batches(
        self,
        calls: Calls[Any] | Prompts,
        *,
        journal: Journal | AnyPath | None = None,
        resume: bool = False,
        timeout: float | None = None,
        rounds: int = 2,
        progress: Callable[[RunProgress], object] | None = None,
        metadata: Mapping[str, str] | None = None,
        **parameters: Any,
    ) -> BatchRun[Any]:
        """Have many calls answered by the vendor's batch service, mostly within a day (data.md section 9).

            async with client.run_batches(prompts, model="glm-4-flash", journal="answers.jsonl") as run:
                async for outcome in run:
                    print(outcome.id, outcome.value.text if outcome.ok else outcome.error)

        ``calls`` and ``parameters`` are those of :meth:`fan_out`; what comes back are the same outcomes, as batches
        end. Files are made of the calls, one model and endpoint each, as large as the service takes. With ``journal``
        the batches are noted before they are waited for: after a crash ``resume=True`` collects them. ``timeout`` is
        in seconds for each batch; ``rounds``, how often calls that failed in passing are sent again.
        See :class:`~zhipu_async.batching.BatchRun` for the rest.
        """
        from .batching import BatchRun

        return BatchRun(
            calls,
            parameters,
            send=self._sender.send,
            fetch=self._sender.fetch,
            wait=self._poller.wait,
            base_url=self._sender.settings.base_url,
            journal=_journal(journal, resume=resume),
            timeout=timeout,
            rounds=rounds,
            progress=progress,
            metadata=metadata,
        )


def _journal(journal: Journal | AnyPath | None, *, resume: bool) -> Journal | None:
    from .journal import Journal

    if journal is None:
        if resume:
            raise ConfigError("resume=True needs the journal of the earlier run: journal=...")
        return None
    if isinstance(journal, Journal):
        if resume:
            raise ConfigError("say resume where the journal is made: Journal(path, resume=True)")
        return journal
    return Journal(journal, resume=resume)
