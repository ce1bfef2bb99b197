"""A stand-in for the model, for who has no key: it thinks, calls the page's tools and says what they told it."""

from __future__ import annotations

import json
from typing import Any

from zhipu_async.simulator import Pace, Reply, Scenario, SeenRequest, ToolCall

SLOW_READER = "How do I keep a slow reader from filling the memory of my asyncio server?"
BOOK = "What does the Tao Te Ching say about water?"
TIME = "上海现在几点？适合给客户打电话吗？"
SUM = "2,480 people drink 1.7 litres a day each. How many cubic metres is that a year?"

QUESTIONS = (TIME, BOOK, SLOW_READER, SUM)
"""What the page proposes."""

CODE_THOUGHTS = """\
The user wants back-pressure. In asyncio that is a bounded queue, or awaiting the writer: both make the producer wait.
I should show the smallest program that is right, say what bounds the memory, and name the trap: put_nowait."""

CODE_ANSWER = """\
Make the producer **wait for the reader**. A queue with a bound does that: `put` rests as long as the queue is full, \
so at most `maxsize` items are in memory.

```python
import asyncio


async def produce(queue: asyncio.Queue) -> None:
    async for block in read_from_upstream():
        await queue.put(block)  # rests while the reader is behind
    await queue.put(None)


async def consume(queue: asyncio.Queue, writer: asyncio.StreamWriter) -> None:
    while (block := await queue.get()) is not None:
        writer.write(block)
        await writer.drain()  # rests while the browser is behind


async def relay(writer: asyncio.StreamWriter) -> None:
    queue = asyncio.Queue(maxsize=16)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(produce(queue))
        tasks.create_task(consume(queue, writer))
```

### What bounds the memory

| Place | Bound | Who waits |
|---|---|---|
| the queue | 16 blocks | the producer, in `put` |
| the socket | its high-water mark | the consumer, in `drain` |
| the service upstream | its TCP window | the model's own server |

Two traps:

1. `put_nowait` does *not* wait: it raises `QueueFull`, and code that swallows that loses text.
2. A task without a `TaskGroup` goes on when its partner fails."""


def say(request: SeenRequest) -> Reply:
    """The answer to a request: by the last question, and by what the tools have told since."""
    messages: list[dict[str, Any]] = request.get("messages")
    asked = max(place for place, message in enumerate(messages) if message["role"] == "user")
    question = messages[asked]["content"]
    told = [message["content"] for message in messages[asked:] if message["role"] == "tool"]
    if any(text.startswith("error:") for text in told):
        return Reply(f"That did not work: {told[-1].removeprefix('error:').strip()}")
    for words, answer in ANSWERS:
        if any(word in question.lower() for word in words):
            return answer(told[0] if told else None)
    return Reply(UNKNOWN[1 if any("一" <= letter <= "鿿" for letter in question) else 0], reasoning=question[:200])


def about_time(told: str | None) -> Reply:
    if told is None:
        thoughts = "用户问上海的时间，并想知道现在打电话是否合适。先查一下当地时间，再看是不是工作时间。"
        call = ToolCall("current_time", {"zone": "Asia/Shanghai"})
        return Reply(None, reasoning=thoughts, tool_calls=[call])
    clock = json.loads(told)
    at_work = "09:00" <= clock["time"] < "18:00"
    advice = "正好是**工作时间**，可以打。" if at_work else "**不在工作时间**（9:00–18:00），最好先发一条消息。"
    return Reply(
        f"上海现在是 **{clock['time']}**（{clock['day']}，北京时间）。{advice}\n\n"
        "打电话之前可以：\n\n1. 想好三句话以内的来意；\n2. 准备好合同编号，例如 `GLM-2026-11`；\n"
        "3. 先问一句：“现在方便吗？”"
    )


def about_water(told: str | None) -> Reply:
    if told is None:
        thoughts = "There is a tool that searches the book. One word is enough: water."
        return Reply(None, reasoning=thoughts, tool_calls=[ToolCall("search_book", {"word": "water"})])
    found = json.loads(told)
    quotes = "\n\n".join(f"> {each['text']}\n> — *chapter {each['chapter']}*" for each in found)
    return Reply(
        f"Water is the book's image of **strength that does not push**. I found it {len(found)} times in the sentences "
        f"that I can search:\n\n{quotes}\n\nThe whole book is at [Project Gutenberg](https://www.gutenberg.org/ebooks/216)."
    )


def about_code(told: str | None) -> Reply:
    return Reply(CODE_ANSWER, reasoning=CODE_THOUGHTS)


def about_sums(told: str | None) -> Reply:
    if told is None:
        thoughts = "Litres a day, times the people, times the days of a year; a thousand litres are a cubic metre."
        return Reply(
            None, reasoning=thoughts, tool_calls=[ToolCall("calculate", {"expression": "2480 * 1.7 * 365 / 1000"})]
        )
    return Reply(
        f"About **{float(told):,.0f} m³** a year:\n\n- 2,480 people × 1.7 l = 4,216 l a day\n"
        "- × 365 days = 1,538,840 l\n- ÷ 1,000 l per m³\n\n"
        "That is a little more than *half* of an Olympic swimming pool (2,500 m³)."
    )


ANSWERS = (
    (("几点", "time"), about_time),
    (("water", "tao"), about_water),
    (("asyncio", "reader"), about_code),
    (("cubic", "litres"), about_sums),
)
UNKNOWN = (
    "I am a **simulated** model, and I know the four questions on the first page. With a key in `ZHIPU_API_KEY`, a "
    "real one answers here.",
    "我是**模拟**的模型，只会回答首页上的四个问题。设置 `ZHIPU_API_KEY` 之后，这里由真正的 GLM 来回答。",
)

SHOW = Scenario(replies=say, pace=Pace(first_token=0.4, per_chunk=0.015))
"""Seconds, about as the real service has them."""
