"""Attempts and the sleeps between them, on tenacity. Whether and how long is decided in ``protocol.retry``."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from string import punctuation
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote, urljoin, urlsplit

from msgspec.structs import replace

from ..config import RetryPolicy
from ..errors import APIError, AttemptRecord, ConnectionLost, RequestTimeout, TransportError, ZhipuError
from ..protocol import codec, faults
from ..protocol.endpoint import HTTPRequest
from ..protocol.retry import Progress, at_once, refused, wait_before_retry
from ..telemetry import CallRecord, logger
from .admission import Lane
from .base import Exchange
from .clocks import AttemptClock
from .credentials import Credentials
from .target import PROXY_AUTHENTICATION, refused_by_proxy

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")

REDIRECTS = 3
"""Redirects followed within one attempt, and only to where the request was going anyway (scheme, host, port)."""
_FOR_ANY_HOST = ("user-agent", "accept", "accept-encoding", "accept-language", "range")
"""Headers that a file's other host may see; those of the caller's own were meant for the first."""


class Opener(Protocol):
    """What sends a request and gives its answer: the pool, or a session of the user's."""

    async def open(
        self,
        request: HTTPRequest,
        headers: Mapping[str, str],
        clock: AttemptClock,
        record: CallRecord,
        *,
        fresh: bool,
    ) -> OpenExchange: ...


class OpenExchange(Exchange, Protocol):
    """An exchange whose body can be put under clocks."""

    def limit(self, between: float | None, total: float | None = None, began: float = 0.0) -> None: ...

    def when_over(self, call: Callable[[], None]) -> None:
        """Have ``call`` made when the exchange has ended, or now if it has."""
        ...


class RetryingTransport:
    """Implements :class:`~.base.Transport`: the first attempt runs bare, tenacity is asked after a first failure."""

    def __init__(self, opener: Opener, credentials: Credentials, policy: RetryPolicy, lane: Lane) -> None:
        self._opener = opener
        self._credentials = credentials
        self._policy = policy
        self._lane = lane

    async def send(self, request: HTTPRequest, receive: Callable[[Exchange], Awaitable[T]], record: CallRecord) -> T:
        """What ``receive`` makes of the answer. The error in the end is the last attempt's own, with the history."""
        call = _CallUnderWay(self._credentials, self._policy, self._lane, request, record)
        try:
            try:
                return await self.attempt(call, receive)
            except ZhipuError as error:
                if not call.goes_on_after(error):
                    raise
                return await self._again(call, receive, error)
        except ZhipuError as failure:
            told = call.refusal if _unsent(failure) and call.refusal is not None else failure
            told.attempts = tuple(call.history)
            record.fail(told)
            try:
                if told is failure:
                    raise
                raise told from None
            finally:
                del told
        except Exception as error:  # of the user's key source or session
            record.fail(error)
            raise
        except BaseException:
            record.fail(None)
            raise
        finally:
            call.refusal = None  # its traceback knows this call: together they would wait for the garbage collector

    async def _again(self, call: _CallUnderWay, receive: Callable[[Exchange], Awaitable[T]], first: ZhipuError) -> T:
        from tenacity import AsyncRetrying

        failures: list[ZhipuError] = [first]
        # The traceback of an error keeps frames: no stream may stand in them, nor the error itself. So tenacity, which
        # keeps what it raises, is told of a failure by a result.
        answer: list[T] = []
        begun = False
        del first

        async def attempt() -> bool:
            nonlocal begun
            if not begun:  # the first failure was decided on before
                begun = True
                return True
            failures.clear()
            try:
                answer.append(await self.attempt(call, receive))
            except ZhipuError as error:
                failures.append(error)
                return call.goes_on_after(error)
            return False

        retrying = AsyncRetrying(retry=_goes_on, wait=call.wait, sleep=asyncio.sleep)
        try:
            await retrying(attempt)
            if failures:
                raise failures.pop()
            return answer.pop()
        finally:
            failures.clear()
            retrying.iter_state.reset()  # its list of its own methods: a cycle, with the request in it

    async def attempt(self, call: _CallUnderWay, receive: Callable[[Exchange], Awaitable[T]]) -> T:
        """One attempt; the idle race is repeated at once on a fresh connection and counts as the same attempt."""
        call.begin()
        try:
            return await self._once(call, receive, fresh=call.request.creates or not call.request.repeatable)
        except TransportError as error:
            if not at_once(error, creates=call.request.creates) or not call.sendable_after(error):
                raise
            logger.debug("%s: the idle connection was closed; once more on a fresh one", call.request.endpoint)
        return await self._once(call, receive, fresh=True)

    async def _once(self, call: _CallUnderWay, receive: Callable[[Exchange], Awaitable[T]], *, fresh: bool) -> T:
        request, record = call.request, call.record
        timeouts = request.timeouts
        clock = AttemptClock(call.loop)
        clock.cap("total", timeouts.total, call.began)
        if request.stream:
            clock.cap("stream_total", timeouts.stream_total, call.began)
            clock.cap("first_token", timeouts.first_token)
        try:
            with clock:
                name = (request.model or request.endpoint).lower()
                slot = self._lane.enter_now(call.loop, name)
                if slot is None:
                    slot = await self._lane.enter(name, record, repeat=record.attempts > 1)
                if call.waits:
                    call.waits = False
                    record.sent()
                headers = request.headers
                try:
                    if request.authorized:
                        authorization = self._credentials.known() or await self._asked(call, clock)
                        headers = {**headers, "Authorization": authorization}
                    exchange = await self._opener.open(request, headers, clock, record, fresh=fresh)
                    if 300 <= exchange.status < 400:
                        exchange = await self._follow(exchange, request, headers, clock, record, fresh=fresh)
                    try:
                        exchange.limit(timeouts.between, timeouts.stream_total if request.stream else None, call.began)
                        if exchange.status >= 300:
                            raise await _refusal(exchange)
                        if exchange.status == 206 and "range" not in map(str.lower, headers):
                            raise ConnectionLost("a part came in the place of the whole (HTTP 206)")
                        answer = await receive(exchange)
                    except BaseException:
                        exchange.close()
                        raise
                except BaseException as error:
                    if isinstance(error, ZhipuError):
                        self._credentials.censor(headers, error)
                    slot.leave(error)
                    raise
                exchange.when_over(slot.leave)
                return answer
        except APIError as error:
            error.method, error.url = request.method, request.url.partition("?")[0]
            raise

    async def _asked(self, call: _CallUnderWay, clock: AttemptClock) -> str:
        """The Authorization whose key comes from the user's source, which has as long as a connection may take."""
        clock.phase("connect", call.request.timeouts.connect)
        call.asks = True
        authorization = await self._credentials.authorization()
        call.asks = False
        clock.phase(None)
        return authorization

    async def _follow(
        self,
        exchange: OpenExchange,
        request: HTTPRequest,
        headers: Mapping[str, str],
        clock: AttemptClock,
        record: CallRecord,
        *,
        fresh: bool,
    ) -> OpenExchange:
        """The answer after redirects to the same origin. Others are left as they are: the key goes nowhere else."""
        for _ in range(REDIRECTS):
            url = _redirection(request, exchange)
            if url is None:
                break
            exchange.close()
            if urlsplit(url)[:2] != urlsplit(request.url)[:2]:
                headers = {name: value for name, value in headers.items() if name.lower() in _FOR_ANY_HOST}
            request = replace(request, url=url)
            exchange = await self._opener.open(request, headers, clock, record, fresh=fresh)
        return exchange


class _CallUnderWay:
    """What a call has done so far, and tenacity's two questions about it."""

    def __init__(
        self, credentials: Credentials, policy: RetryPolicy, lane: Lane, request: HTTPRequest, record: CallRecord
    ) -> None:
        self.request = request
        self.record = record
        self.history: list[AttemptRecord] = []
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        timeouts = request.timeouts
        self.deadline = timeouts.total
        if request.stream and timeouts.stream_total is not None:
            self.deadline = min(timeouts.stream_total, math.inf if timeouts.total is None else timeouts.total)
        self._credentials = credentials
        self._policy = policy
        self._lane = lane
        self._attempt_began = self.began
        self.waits = False
        """Whether the attempt waits for its turn."""
        self.asks = False
        """Whether the attempt waits for the user's source of the key."""
        self._token_renewed = False
        self._refusals = 0
        self.refusal: ZhipuError | None = None
        """The last refusal for load, which is why the call waits again."""
        self._delay: float | None = None

    def begin(self) -> None:
        """An attempt begins."""
        if self.history:
            self._attempt_began = self.loop.time()
        self.waits, self.asks = True, False
        self.record.attempt()

    def goes_on_after(self, error: ZhipuError) -> bool:
        """Note the failure and decide; the delay is then in :meth:`wait`."""
        if self.waits and isinstance(error, RequestTimeout):
            self.record.attempts -= 1
            error.add_note("not sent: its turn did not come")
            return False
        if self.asks and isinstance(error, RequestTimeout):
            error.args = (f"the source of the key gave none: {error.message}",)
        now = self.loop.time()
        self._refusals += (refusal := refused(error))
        if refusal:
            self.refusal = error
        patient = self._lane.patient
        progress = Progress(
            attempt=len(self.history) + 1 - self._token_renewed - (self._refusals if patient else 0),
            elapsed=now - self.began,
            token_renewed=self._token_renewed,
            renewable=self._credentials.renewable,
            patient=patient,
            refusals=self._refusals,
            deadline=self.deadline,
        )
        delay = wait_before_retry(error, self._policy, progress, creates=self.request.creates, jitter=random.random())
        if delay is not None and self.deadline is not None and progress.elapsed + delay >= self.deadline:
            delay = None  # a sleep that would cross the deadline is not begun
        if delay is not None and not self.sendable_after(error):
            delay = None
            error.add_note("not repeated: a file of the request cannot be read again from its beginning")
        if delay is not None and self._lane.closing:
            delay = None
            error.add_note("not repeated: the run was stopped")
        if delay is not None and not (patient and refusal) and not self._lane.may_repeat():
            delay = None
            error.add_note("not repeated: the run's budget of repeats is used up")
        if delay is not None and isinstance(error, APIError) and faults.retry_of(error) is faults.Retry.TOKEN:
            self._token_renewed = True
            self._credentials.renew()
        seconds = now - self._attempt_began
        number = len(self.history) + 1
        self.history.append(AttemptRecord(number, self._attempt_began - self.began, seconds, _summary(error), delay))
        self.record.attempt_failed(error, seconds, delay)
        self._delay = delay
        return delay is not None

    def sendable_after(self, error: ZhipuError) -> bool:
        """Whether the body can be sent again: it can be read anew, or nothing of it was read."""
        return self.request.repeatable or (isinstance(error, TransportError) and not error.arrived)

    def wait(self, state: RetryCallState) -> float:
        """tenacity asks how long to sleep."""
        return self._delay or 0.0


def _goes_on(state: RetryCallState) -> bool:
    """tenacity asks whether to go on: what the attempt gave, which raises nothing that may be repeated."""
    outcome = state.outcome
    return outcome is not None and not outcome.failed and bool(outcome.result())


def _redirection(request: HTTPRequest, exchange: Exchange) -> str | None:
    """Where the answer sends the same request, if to where it was going anyway (scheme, host, port).

    A request without the key may go on to other hosts, but not from https to http.
    """
    keeps_method = exchange.status in (307, 308) or request.method == "GET"
    if exchange.status not in (301, 302, 303, 307, 308) or not keeps_method or not request.repeatable:
        return None
    location = quote(exchange.headers.get("location", ""), safe=punctuation, errors="surrogateescape")
    try:
        url = urljoin(request.url, location)
        here, there = urlsplit(request.url), urlsplit(url)
    except ValueError:  # no URL
        return None
    same_origin = there[:2] == here[:2]
    without_key = not request.authorized and there.scheme in ("https", here.scheme) and codec.fetchable(url)
    return url if (same_origin or without_key) and url != request.url else None


async def _refusal(exchange: Exchange) -> ZhipuError:
    """The error that an answer of 300 and above is."""
    if exchange.status == PROXY_AUTHENTICATION:
        return refused_by_proxy(exchange.status, "Proxy Authentication Required")
    try:
        body = await exchange.read_all(1024 * 1024)
    except TransportError as error:
        body = str(error).encode()
    return faults.of_response(exchange.status, exchange.headers, body) or ConnectionLost("an answer of no known kind")


def _unsent(error: ZhipuError) -> bool:
    """Whether the call's deadline came while an attempt was still waiting for its turn."""
    return isinstance(error, RequestTimeout) and error.clock == "total" and not error.arrived


def _summary(error: Exception) -> str:
    text: Any = error.message if isinstance(error, ZhipuError) else error
    code = f" {error.code or error.status}" if isinstance(error, APIError) else ""
    return f"{type(error).__name__}{code}: {text}"[:200]
