"""What a test has the service answer: a short vocabulary over the answers of the simulator."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Self

from zhipu_async.simulator import Answer, Delivery, HangUp, Refusal, Reply, SeenRequest, ToolCall

Give = Answer | Callable[[SeenRequest], Answer]
"""An answer, or a function that makes it of the request."""

_CUT_TEXT: Final = "This answer is long enough to be cut off before it comes to its end."
_CUT_BYTES: Final = 40
"""Bytes of a plain answer that arrive before it is cut off."""


class _Planned:
    """An answer in its place in the script."""

    def __init__(self, give: Give, times: int | None, name: str) -> None:
        self.give = give
        self.times = times
        self.left = times
        self.name = name


class Script:
    """Answers in order, each for one request unless `times` says otherwise (None: for all from there on).

    Every verb returns the script, so that they can be written in a row: `script.refuses("1302").answers("Hello")`.
    """

    def __init__(self) -> None:
        self._planned: deque[_Planned] = deque()

    def answers(
        self,
        text: str,
        *,
        reasoning: str | None = None,
        after: float = 0.0,
        finish_reason: str | None = None,
        times: int | None = 1,
    ) -> Self:
        """The model says `text`, plain or as a stream, as it is asked, `after` seconds."""
        delivery = Delivery(head_after=after) if after else None
        reply = Reply(text, reasoning=reasoning, finish_reason=finish_reason, times=times, delivery=delivery)
        return self._plan(reply, times, f"answers({text!r})")

    def streams(self, *pieces: str, pause: float = 0.0, after: float = 0.0, times: int | None = 1) -> Self:
        """The model says these pieces, an event for each, with `pause` seconds between two events.

        The same, joined, is the answer to a request that asks for no stream.
        """
        delivery = Delivery(head_after=after, pause=pause)
        reply = Reply(pieces=pieces, times=times, delivery=delivery)
        return self._plan(reply, times, f"streams({', '.join(map(repr, pieces))})")

    def calls_tool(self, name: str, /, **arguments: Any) -> Self:
        """The model wants this tool called, with these arguments. Of several calls at once: `gives(Reply(...))`."""
        said = ", ".join([repr(name), *(f"{key}={value!r}" for key, value in arguments.items())])
        return self._plan(Reply(None, tool_calls=[ToolCall(name, arguments)]), 1, f"calls_tool({said})")

    def refuses(
        self,
        code: str | int,
        *,
        status: int | None = None,
        message: str | None = None,
        retry_after: float | None = None,
        times: int | None = 1,
    ) -> Self:
        """The service refuses with this code and the HTTP status that belongs to it; `retry_after` is in seconds.

        ValueError for a code that the service does not have, unless a `status` is given.
        """
        headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
        return self._plan(Refusal(code, status, message, times=times, headers=headers), times, f"refuses({code!r})")

    def cuts_after(self, events: int, text: str = _CUT_TEXT, *, times: int | None = 1) -> Self:
        """The connection breaks after so many events of a stream that says `text`; a plain answer breaks half-way."""

        def cut(request: SeenRequest) -> Answer:
            where: dict[str, Any] = {"stops_after": events} if request.stream else {"stops_at": _CUT_BYTES}
            delivery = Delivery(pause=0.0, then="close", **where)  # a reset may take away what was written before
            return Reply(text, delivery=delivery)

        return self._plan(cut, times, f"cuts_after({events})")

    def hangs_up(self, *, reset: bool = False, times: int | None = 1) -> Self:
        """The connection is closed, or reset, without an answer."""
        return self._plan(HangUp(reset=reset, times=times), times, "hangs_up()")

    def gives(self, answer: Give, *, times: int | None = 1) -> Self:
        """Any answer that the simulator knows (`Reply`, `Json`, `Frames`, ...), or a function that makes one.

        An answer that says itself how many times it is given need not be told again. TypeError for what is neither.
        """
        if not isinstance(answer, Answer) and not callable(answer):
            raise TypeError(f"{answer!r} is no answer: give a Reply, Json, ..., or use answers() for a text")
        if isinstance(answer, Answer) and times == 1:
            times = answer.times
        return self._plan(answer, times, f"gives({answer!r})")

    def take(self, request: SeenRequest) -> Answer | None:
        """The answer to this request, used up by one; None where the script is at its end.

        TypeError where a function of the script gave none.
        """
        if not self._planned:
            return None
        planned = self._planned[0]
        if planned.left is not None:
            planned.left -= 1
            if planned.left <= 0:
                self._planned.popleft()
        answer = planned.give(request) if callable(planned.give) else planned.give
        if not isinstance(answer, Answer):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"{planned.name} gave {answer!r}, not a Reply or another answer")
        return answer

    @property
    def left(self) -> list[str]:
        """The answers that nobody asked for, as they were written. Those for any number of requests never count."""
        return [
            planned.name if planned.left == planned.times else f"{planned.name}, {planned.left} of {planned.times}"
            for planned in self._planned
            if planned.left is not None
        ]

    def _plan(self, give: Give, times: int | None, name: str) -> Self:
        if times is not None and times < 1:
            raise ValueError(f"times must be at least 1, or None for all from here on, not {times}")
        self._planned.append(_Planned(give, times, name))
        return self
