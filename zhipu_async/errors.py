"""Everything that can go wrong, as one tree.

    ZhipuError
    ├── ConfigError                     refused before anything was sent
    ├── ClientClosedError               the client was closed, or belongs to another event loop
    ├── TransportError                  no usable answer arrived
    │   ├── ConnectError  ConnectionLost  RequestTimeout  PoolTimeout  PoolFull  ResponseTooLarge
    ├── StreamError                     a stream broke; ``.partial`` holds what had arrived
    │   ├── StreamTruncated  StreamRestarted  StreamCorrupted  StreamFailed  StreamConsumed
    ├── APIError                        the service said no
    │   ├── BadRequestError (ContextLengthError)  AuthenticationError  PermissionDeniedError  NotFoundError
    │   ├── ContentFilterError  AccountError  QuotaError
    │   └── RateLimitError  OverloadedError  ServerError
    ├── DecodeError                     the answer is not what its struct says
    ├── RunError                        a run of many calls cannot go on; what is finished is kept
    │   ├── TokenBudgetSpent            it has used the tokens that it was given
    │   ├── JournalError                its journal cannot be written or read any more
    │   └── CreationUnknown             whether a batch was created cannot be learnt now
    ├── AnswerError                     the model answered, but not with what was asked for; ``.text`` is its answer
    │   ├── AnswerInvalid               it is not of the wanted type
    │   ├── AnswerTruncated             it was cut off at the limit of tokens
    │   ├── AnswerFiltered              content safety stopped it
    │   └── AnswerRefused               it is prose with nothing of the wanted kind in it
    ├── ToolError                       a run with tools cannot go on
    │   ├── ToolFailed                  a function failed; ``__cause__`` is what it raised
    │   └── ToolCallInvalid             the model made too many calls that cannot be carried out
    └── TaskError                       a piece of work that the service does later; ``.task_id`` names it
        ├── TaskFailed                  the service gave it up
        └── TaskTimeout                 it was not done in time; it goes on and can be waited for again

``str(error)`` names what happened, what it means and what to do. No error ever holds a key, a token, a header of the
request or its body. Every error pickles and copies: its text is the one positional argument, the rest are attributes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

BODY_KEPT = 4096
"""Bytes of an answer that an error keeps (errors.md section 8)."""


class AttemptRecord(msgspec.Struct, frozen=True):
    """One attempt that failed: when it began (seconds since the call began), how long it took, and why."""

    number: int
    started: float
    seconds: float
    error: str
    delay: float | None = None
    """Seconds slept before the next attempt; None after the last."""


class ZhipuError(Exception):
    """The base of all errors of this library."""

    attempts: Sequence[AttemptRecord] = ()
    """The failed attempts that led here, oldest first; empty when nothing was sent."""

    retryable: bool = False
    """Whether the same call may succeed a little later."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)

    @property
    def message(self) -> str:
        """The text without hint and location."""
        return str(self.args[0]) if self.args else ""


class ConfigError(ZhipuError):
    """A setting or an argument that cannot work; raised before anything was sent."""


class ClientClosedError(ZhipuError):
    """The client, session or stream is closed, or belongs to another event loop."""


class TransportError(ZhipuError):
    """No usable answer arrived. ``arrived`` is False only when the request provably did not reach the service."""

    retryable = True
    _arrives = True

    def __init__(self, message: str = "", *, arrived: bool | None = None, reused: bool = False) -> None:
        super().__init__(message)
        self.arrived = self._arrives if arrived is None else arrived
        self.reused = reused
        """True when the connection had served an earlier request (the idle race, README.md section 3)."""


class ConnectError(TransportError):
    """No connection could be made: name, address, TLS or proxy. Nothing was sent."""

    _arrives = False


class ConnectionLost(TransportError):
    """The connection broke before the answer was complete."""


class RequestTimeout(TransportError):
    """A clock of :class:`~zhipu_async.Timeouts` ran out; ``clock`` names it, ``seconds`` is what it was set to."""

    _clock = "total"

    def __init__(
        self, message: str = "", *, clock: str = "", seconds: float | None = None, arrived: bool | None = None
    ) -> None:
        super().__init__(message, arrived=arrived)
        self.clock = clock or self._clock
        self.seconds = seconds
        self.retryable = self.clock in ("connect", "first_byte", "first_token", "between")


class PoolTimeout(RequestTimeout):
    """No connection of the pool became free in time. Nothing was sent."""

    _arrives = False
    _clock = "pool"


class PoolFull(TransportError):
    """The pool is in use and as many calls as it allows are waiting already. Nothing was sent."""

    retryable = False
    _arrives = False


class ResponseTooLarge(TransportError):
    """The answer is larger than the limit, measured after decompression."""

    retryable = False


class StreamError(ZhipuError):
    """A stream did not end as it should. ``partial`` is the folded result so far, ``raw`` a bounded piece of it."""

    _told = ""

    def __init__(self, message: str | None = None, *, partial: Any = None, raw: str | None = None) -> None:
        super().__init__(self._told if message is None else message)
        self.partial = partial
        self.raw = raw


class StreamTruncated(StreamError):
    """The stream ended before its finish reason, or in the middle of a frame (streaming.md section 4)."""

    retryable = True


class StreamRestarted(StreamError):
    """Two answers were mixed into one stream: content came under a second response id (streaming.md section 6)."""

    retryable = True


class StreamCorrupted(StreamError):
    """A frame cannot be decoded or is larger than the limit."""

    retryable = True


class StreamFailed(StreamError):
    """The model broke off inside the service: finish reason ``network_error`` (chat.md section 5)."""

    retryable = True
    _told = "the model broke off inside the service (finish reason network_error)"


class StreamConsumed(StreamError):
    """The stream was read to its end or closed already, or two tasks read it at the same time."""


class APIError(ZhipuError):
    """The service answered with an error (errors.md).

    ``status`` is the HTTP status (200 for errors inside streams and gateway envelopes), ``code`` the business code as
    text or None, ``meaning`` and ``hint`` explain the code, ``request_id``, ``log_id`` and ``trace_id`` identify the
    call for the vendor's support, ``body`` is the answer, at most 4 KiB of it.
    """

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 0,
        code: str | None = None,
        meaning: str | None = None,
        hint: str | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
        request_id: str | None = None,
        log_id: str | None = None,
        trace_id: str | None = None,
        method: str | None = None,
        url: str | None = None,
        body: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.meaning = meaning
        self.hint = hint
        self.retryable = retryable
        self.retry_after = retry_after
        """Seconds that the service asked to wait, or None."""
        self.request_id = request_id
        self.log_id = log_id
        self.trace_id = trace_id
        self.method = method
        self.url = url
        """Endpoint without query."""
        self.body = body

    @property
    def status_code(self) -> int:
        """``status``, under the name that other clients have for it."""
        return self.status

    def __str__(self) -> str:
        code = f"code {self.code}, " if self.code else ""
        text = f"{self.message or 'no message'} [{code}HTTP {self.status}]"
        if self.meaning:
            text += f" ({self.meaning})"
        if self.url:
            text += f" at {self.method} {self.url}" if self.method else f" at {self.url}"
        ids = [f"{name} {value}" for name, value in (("request", self.request_id), ("log", self.log_id)) if value]
        if ids:
            text += f" [{', '.join(ids)}]"
        if len(self.attempts) > 1:
            text += f" after {len(self.attempts)} attempts"
        return f"{text}: {self.hint}" if self.hint else text


class BadRequestError(APIError):
    """The request is wrong as it stands: 400, 1210 to 1215, 1221, 1222, 1231."""


class ContextLengthError(BadRequestError):
    """The prompt is longer than the model's context: 1261."""


class AuthenticationError(APIError):
    """The key or token was refused: 401, 1000 to 1005."""


class PermissionDeniedError(APIError):
    """The key may not use this API or model: 403, 1220."""


class NotFoundError(APIError):
    """No such path, file or job: 404, or the gateway's answer for an unknown route."""


class ContentFilterError(APIError):
    """Input or output was stopped by content safety: 1300, 1301."""

    content_filter: Sequence[Mapping[str, Any]] = ()
    """``[{"role": "user", "level": 1}]``, level 0 (most severe) to 3."""


class AccountError(APIError):
    """The account cannot pay or is not active: 1100 (retried once), 1110 to 1113, 1121, 1309, 1311, 1313 to 1315."""


class QuotaError(APIError):
    """A plan's quota is used up: 1304, 1308, 1310, 1316 to 1321. Never slept on."""

    reset_text: str | None = None
    """The reset time as the service wrote it."""
    reset_at: datetime | None = None
    """The same as an aware datetime, best effort: the service names no zone, UTC+8 is assumed."""


class RateLimitError(APIError):
    """Too many calls at once: 1302, 1303, 1701, other 429."""


class OverloadedError(APIError):
    """The model is overloaded: 1305, 1312, 503."""


class ServerError(APIError):
    """The service failed: 5xx, 1120, 1200, 1230, 1234."""


class DecodeError(ZhipuError):
    """The answer is not what its struct says. ``body`` is the answer, at most 4 KiB of it."""

    def __init__(self, message: str = "", *, body: str | None = None) -> None:
        super().__init__(message)
        self.body = body


class RunError(ZhipuError):
    """A run of many calls cannot go on. What is finished is kept."""


class TokenBudgetSpent(RunError):
    """A run used ``tokens``, and its ``budget`` was less: what was in flight was finished, the rest was not sent."""

    def __init__(self, message: str = "", *, budget: int = 0, tokens: int = 0) -> None:
        super().__init__(message)
        self.budget = budget
        self.tokens = tokens


class JournalError(RunError):
    """The journal cannot be written or read any more. What it holds stays: a run can go on from it."""


class CreationUnknown(RunError):
    """Whether a batch was created cannot be learnt now: it may be paid for already, so it is not created again."""


class AnswerError(ZhipuError):
    """The model answered, but not with what was asked for: ``text`` of ``completion``, after ``requests``, in all for
    ``tokens``."""

    def __init__(
        self, message: str = "", *, text: str = "", completion: Any = None, requests: int = 1, tokens: int = 0
    ) -> None:
        super().__init__(message)
        self.text = text
        self.completion = completion
        self.requests = requests
        self.tokens = tokens


class AnswerInvalid(AnswerError):
    """The answer is not of the wanted type, also after it was asked for again. The message is the validator's."""


class AnswerTruncated(AnswerError):
    """The answer was cut off: finish reason ``length`` or ``model_context_window_exceeded`` (chat.md section 5)."""


class AnswerFiltered(AnswerError):
    """Content safety stopped the answer: finish reason ``sensitive``. Do not show its text (chat.md section 5)."""


class AnswerRefused(AnswerError):
    """The answer is prose that holds nothing of the wanted kind: the model did not do what it was asked."""


class ToolError(ZhipuError):
    """A run with tools cannot go on: for a call of ``tool``, with ``arguments`` as the model wrote them."""

    def __init__(self, message: str = "", *, tool: str = "", arguments: str = "") -> None:
        super().__init__(message)
        self.tool = tool
        self.arguments = arguments


class ToolFailed(ToolError):
    """A function raised, ran too long, or gave what JSON cannot carry, and the run was told to stop for that."""


class ToolCallInvalid(ToolError):
    """The model made too many calls of unknown functions or with unfit arguments."""


class TaskError(ZhipuError):
    """A task did not come to its result. ``task_id`` is its number, ``answer`` the last that was heard of it.

    ``code`` and ``reason`` are what the service said of a failure, None and "" where it said nothing; ``seconds`` is
    how long the task was waited for, where that was limited.
    """

    def __init__(
        self,
        message: str = "",
        *,
        task_id: str | None = None,
        answer: Any = None,
        code: str | None = None,
        reason: str = "",
        seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.task_id = task_id
        self.answer = answer
        self.code = code
        self.reason = reason
        self.seconds = seconds


class TaskFailed(TaskError):
    """The service accepted the task and failed in it, under HTTP 200 (errors.md section 2)."""


class TaskTimeout(TaskError):
    """The task was not done within ``seconds``. It was not cancelled: wait again for the same task."""
