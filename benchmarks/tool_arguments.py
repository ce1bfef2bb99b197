"""A tool call whose arguments come in 5,000 to 40,000 pieces: CPU of the events, and of reading ``call.partial`` too.

    python -m benchmarks.tool_arguments

Chunks are decoded beforehand. Linear work doubles with the pieces; reading everything anew after each piece, as
a partial parser without state must, is shown for 1,000 and 2,000.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

from zhipu_async.protocol.events import ChatEvents
from zhipu_async.protocol.partial import PartialJSON
from zhipu_async.types.chat import ChatCompletionChunk, ChunkChoice, Delta
from zhipu_async.types.events import ToolCallDelta
from zhipu_async.types.tools import FunctionCallDelta
from zhipu_async.types.tools import ToolCallDelta as Fragment

SIZES = (5_000, 10_000, 20_000, 40_000)
ANEW = (1_000, 2_000)
TIMES = 5

Read = Callable[[ChatEvents, ChatCompletionChunk], None]


def chunks(pieces: int) -> list[ChatCompletionChunk]:
    """A call of five characters a piece: half of them a long text, half numbers and objects in a list."""
    text = (
        '{"text": "' + "word " * (pieces // 2) + '", "more": [' + '{"a": 12345, "b": null}, ' * (pieces // 10) + "0]}"
    )
    parts = [text[place : place + 5] for place in range(0, len(text), 5)]
    first = Fragment(index=0, id="call", type="function", function=FunctionCallDelta("write"))
    fragments = [first, *(Fragment(index=0, function=FunctionCallDelta(None, part)) for part in parts)]
    return [ChatCompletionChunk(choices=[ChunkChoice(delta=Delta(tool_calls=[one]))]) for one in fragments]


def events_alone(events: ChatEvents, chunk: ChatCompletionChunk) -> None:
    """Nobody looks at the call."""
    events.feed(chunk)


def with_partial(events: ChatEvents, chunk: ChatCompletionChunk) -> None:
    """The object is read after every piece."""
    for event in events.feed(chunk):
        if isinstance(event, ToolCallDelta):
            _ = event.call.partial.value


def anew(events: ChatEvents, chunk: ChatCompletionChunk) -> None:
    """All that has come is parsed anew after every piece."""
    for event in events.feed(chunk):
        if isinstance(event, ToolCallDelta):
            PartialJSON().feed(event.call.arguments)


def seconds(read: Read, given: list[ChatCompletionChunk], times: int = TIMES) -> float:
    """CPU of one call, the best of some."""
    best = float("inf")
    for _ in range(times):
        gc.collect()
        events, began = ChatEvents(), time.process_time()
        for chunk in given:
            read(events, chunk)
        best = min(best, time.process_time() - began)
    return best


def main() -> None:
    """One table."""
    print(f"{'pieces':>7} {'events':>11} {'ratio':>6} {'with partial':>13} {'ratio':>6} {'us a piece':>11}")
    before: tuple[float, float] | None = None
    for size in SIZES:
        given = chunks(size)
        alone, both = seconds(events_alone, given), seconds(with_partial, given)
        ratios = (f"{alone / before[0]:.2f}", f"{both / before[1]:.2f}") if before else ("", "")
        each = both / len(given) * 1e6
        print(f"{len(given):7} {alone * 1e3:8.1f} ms {ratios[0]:>6} {both * 1e3:10.1f} ms {ratios[1]:>6} {each:11.2f}")
        before = alone, both
    small, large = (seconds(anew, chunks(size), 1) for size in ANEW)
    print(
        f"parsed anew after each piece: {small:.2f} s for {ANEW[0]}, {large:.2f} s for {ANEW[1]} ({large / small:.1f})"
    )


main()
