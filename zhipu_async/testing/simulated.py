"""A simulated service for one test: it answers as it is told, and says what it was asked."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Self

from zhipu_async.simulator import Answer, Refusal, Scenario, SeenRequest, Simulator
from zhipu_async.testing.comparing import asked_for, differences, indented, line, listing
from zhipu_async.testing.script import Script
from zhipu_async.testing.thread import LoopThread

_LISTED: Final = 20
"""Requests in a report."""


class GLMSimulator(Script):
    """The simulator in a thread, with a script, and with assertions on the requests that it saw.

    What is not scripted is answered as the service would; with `strict=True` it is refused, and `verify()` fails. The
    scenario brings limits, pace, keys and further models, and its answers come first. `thread` is one that runs
    already; without one it has its own. Times of requests are seconds of that thread's clock.
    """

    def __init__(
        self, scenario: Scenario | None = None, *, strict: bool = False, thread: LoopThread | None = None
    ) -> None:
        super().__init__()
        self.strict = strict
        """Whether requests without a scripted answer are refused. May be set at any time."""
        scenario = scenario or Scenario()
        if not callable(scenario.replies):
            for answer in scenario.replies:
                self.gives(answer)
        self._choose = scenario.replies if callable(scenario.replies) else None
        self._rules: list[tuple[Callable[[SeenRequest], bool], Script, str]] = []
        self._unscripted: list[str] = []
        self._simulator = Simulator(replace(scenario, replies=self._answer_to))
        self._shared = thread
        self._thread = thread
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._thread = self._shared or stack.enter_context(LoopThread())
            self._thread.run(self._simulator.__aenter__())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._stack:
            if self._thread is not None:
                self._thread.run(self._simulator.__aexit__(None, None, None))

    # ------------------------------------------------------------ where it is

    @property
    def base_url(self) -> str:
        """The address that a client is given."""
        return self._simulator.base_url

    @property
    def api_key(self) -> str:
        """A key that is accepted."""
        return self._simulator.api_key

    # ------------------------------------------------------------ what it answers

    def when(self, condition: Callable[[SeenRequest], bool] | None = None, /, **fields: Any) -> Script:
        """A script for requests of one kind: `service.when(model="glm-4.6", prompt="weather").answers("Sunny")`.

        `fields` are those of `assert_called`, `condition` any function of the request. Of several kinds that a request
        is of, the first that has answers left gives one; then comes the script without a condition.
        """
        said = ", ".join(filter(None, [getattr(condition, "__name__", ""), asked_for(fields)]))
        script = Script()
        self._rules.append(
            (lambda seen: (condition is None or condition(seen)) and not differences(seen, fields), script, said)
        )
        return script

    # ------------------------------------------------------------ what it was asked

    @property
    def requests(self) -> list[SeenRequest]:
        """Every request in the order of arrival; `request.body`, `.messages`, `.prompt` and `.headers` tell of it."""
        return self._simulator.requests

    async def wait_until(self, condition: Callable[[], bool], timeout: float = 5.0) -> None:
        """Wait until a condition on what was seen is true, such as that a stream that was left is closed.

        TimeoutError after `timeout` seconds.
        """
        if self._thread is None:
            raise RuntimeError("the simulator is not open: enter it with `with`")
        await self._thread.wait(self._simulator.wait_until(condition, timeout))

    def assert_called(self, times: int | None = None, **fields: Any) -> SeenRequest:
        """The first request with these fields; AssertionError where there is none, or not `times` of them.

        `method`, `path` (its end is enough) and `prompt` (a part of the last user message, or a compiled pattern) are
        of the request, every other name is a field of its body. Values are compared with `==`.
        """
        __tracebackhide__ = True
        if times is not None and times < 1:
            raise ValueError("that there is no such request is told by assert_not_called")
        seen = [*self.requests]
        found = [request for request in seen if not differences(request, fields)]
        if found and times in (None, len(found)):
            return found[0]
        wanted = {None: "a request", 1: "one request"}.get(times, f"{times} requests")
        told = f" with {asked_for(fields)}" if fields else ""
        raise AssertionError(
            f"expected {wanted}{told}, {f'not {len(found)}' if found else 'and there was none'}\n{_seen(seen, fields)}"
        )

    def assert_called_once(self, **fields: Any) -> SeenRequest:
        """The request with these fields; AssertionError where there is none, or more than one."""
        __tracebackhide__ = True
        return self.assert_called(1, **fields)

    def assert_not_called(self, **fields: Any) -> None:
        """AssertionError where there was a request, or one with these fields."""
        __tracebackhide__ = True
        if found := [request for request in self.requests if not differences(request, fields)]:
            told = f" with {asked_for(fields)}" if fields else ""
            raise AssertionError(f"expected no request{told}\n{listing(found)}")

    def verify(self) -> None:
        """AssertionError where an answer was scripted that nobody asked for, or (strict) a request had none."""
        __tracebackhide__ = True
        if complaints := self.complaints():
            raise AssertionError("\n".join([*complaints, listing(self.requests)]))

    def complaints(self) -> list[str]:
        """What `verify` fails for, a text for each."""
        left = [f"nobody asked for {name}" for name in self.left]
        for _, script, condition in self._rules:
            left += [f"nobody asked for when({condition}).{name}" for name in script.left]
        return [*self._unscripted, *left]

    def report(self) -> str:
        """What a failed test should tell: the complaints, and the last requests."""
        return "\n".join([*self.complaints(), listing(self.requests[-_LISTED:])])

    def __repr__(self) -> str:
        return f"<GLMSimulator {self.base_url}, {len(self.requests)} requests>"

    def _answer_to(self, request: SeenRequest) -> Answer | None:
        try:
            answer = next(
                (answer for when, script, _ in self._rules if when(request) and (answer := script.take(request))), None
            )
            answer = answer or self.take(request) or (self._choose and self._choose(request))
        except Exception as error:  # in a function of the test: it must not look like a failure of the service alone
            return self._complain(f"{line(request)}: a function of the script raised {error!r}")
        if answer is None and self.strict:
            return self._complain(f"no answer is scripted for {request.method} {request.path} {_told(request)}".strip())
        return answer

    def _complain(self, text: str) -> Refusal:
        self._unscripted.append(text)
        return Refusal("1210", message=text)


def _told(request: SeenRequest) -> str:
    said = {"model": request.get("model"), "prompt": request.prompt}
    return asked_for({name: value for name, value in said.items() if value})


def _seen(seen: list[SeenRequest], fields: dict[str, Any]) -> str:
    """The requests, and for each what is not as expected."""
    if not seen:
        return listing(seen)
    head, *lines = listing(seen).splitlines()
    said = [head]
    for request, told in zip(seen, lines, strict=True):
        said += filter(None, (told, indented(differences(request, fields))))
    return "\n".join(said)
