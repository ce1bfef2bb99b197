"""An agent in the terminal: it thinks, looks up the weather, calculates and answers, and one sees it do so.

At a terminal it answers what is typed there, until Ctrl-D; Ctrl-C stops an answer. Otherwise it is asked three
questions. The weather is sample data. (The simulated model finds cities and sums in questions, and no more.)
"""

import ast
import asyncio
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Annotated

import msgspec
from service import connect

from zhipu_async import (
    AsyncZhipuAI,
    CallReturned,
    ContentDelta,
    Conversation,
    ReasoningDelta,
    ToolCallDelta,
    ToolCallStarted,
    ToolEvent,
    TurnFinished,
    UserMessage,
    ZhipuError,
    tool,
)
from zhipu_async.simulator import Pace, Reply, Scenario, SeenRequest
from zhipu_async.simulator import ToolCall as Call

QUESTIONS = (
    "How much warmer is it in Cairo than in Oslo?",
    "How many degrees Fahrenheit is that? I think 23 * 9 / 5.",
    "And is the sun shining in Atlantis?",
)

# ---------------------------------------------------------------- the tools


class Weather(msgspec.Struct):
    celsius: int
    sky: str


SAMPLES = {"Cairo": Weather(27, "clear"), "Lima": Weather(19, "fog"), "Oslo": Weather(4, "rain")}


@tool
async def get_weather(city: Annotated[str, "its English name"]) -> Weather:
    """The weather of a city now."""
    await asyncio.sleep(0.2)  # here a weather service would be asked
    if city not in SAMPLES:
        raise LookupError(f"no weather is known of {city}, only of {', '.join(SAMPLES)}")  # the model is told
    return SAMPLES[city]


@tool
def calculate(expression: Annotated[str, "numbers, + - * / ** and brackets"]) -> float:
    """Calculate."""
    return value(ast.parse(expression, mode="eval").body)


SIGNS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: float.__add__,
    ast.Sub: float.__sub__,
    ast.Mult: float.__mul__,
    ast.Div: float.__truediv__,
    ast.Pow: float.__pow__,
}


def value(term: ast.expr) -> float:
    """What a model wrote is never given to eval()."""
    match term:
        case ast.Constant(value=int() | float() as number):
            return float(number)  # of whole numbers 9**9**9 would take years
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -value(inner)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in SIGNS:
            return SIGNS[type(sign)](value(left), value(right))
        case _:
            raise ValueError(f"{ast.unparse(term)}: only numbers, + - * / ** and brackets")


# ---------------------------------------------------------------- what one sees

COLOURS = {"you": "1;32", "thinking": "2", "call": "36", "result": "2;36", "glm": ""}
CONTROLS = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)])  # a model must not steer the terminal


class Screen:
    """Writes beside headings what comes piece by piece."""

    def __init__(self) -> None:
        self._colours = COLOURS if sys.stdout.isatty() and "NO_COLOR" not in os.environ else {}
        self._section: object = None
        self._empty = True

    def show(self, event: ToolEvent) -> None:
        match event:
            case ReasoningDelta(text=text):
                self.write("thinking", text)
            case ContentDelta(text=text):
                self.write("glm", text)
            case ToolCallStarted(position=position, name=name):
                self.write("call", f"{name} ", position)
            case ToolCallDelta(position=position, arguments=arguments):
                self.write("call", arguments, position)
            case CallReturned(call=call, content=content, seconds=seconds):
                asked = f"{call.function.name} {call.function.arguments}"
                self.write("result", f"{asked} gives {content} ({seconds:.1f} s)", object())
            case TurnFinished():
                self.end()
            case _:
                pass

    def write(self, heading: str, text: str, which: object = None) -> None:
        if self._section != (heading, which):
            self.end()
            self._section, self._empty = (heading, which), True
            print(self.heading(heading), end="")
        if self._empty:
            text = text.lstrip("\n")  # GLM often begins with line breaks
        self._empty = self._empty and not text
        lines = [self._painted(heading, line) if line else "" for line in text.translate(CONTROLS).split("\n")]
        print(("\n" + " " * 10).join(lines), end="", flush=True)

    def heading(self, heading: str) -> str:
        return self._painted(heading, heading.ljust(10))

    def end(self) -> None:
        if self._section is not None:
            print()
        self._section = None

    def _painted(self, heading: str, text: str) -> str:
        colour = self._colours.get(heading)
        return f"\x1b[{colour}m{text}\x1b[0m" if colour else text


# ---------------------------------------------------------------- the conversation


async def answer(client: AsyncZhipuAI, conversation: Conversation, question: str, screen: Screen) -> None:
    """Answer a question, and keep it with all that it took. A question that fails, or is stopped, is forgotten."""
    try:
        async with client.chat.completions.run_tools(
            model="glm-4.7-flash",
            messages=[*conversation.messages, UserMessage(question)],
            tools=[get_weather, calculate],
            stream=True,
            tool_stream=True,
        ) as run:
            async for event in run:
                screen.show(event)
        conversation.add(run.result)
        if run.result.ended != "answer":
            print(f"(no answer: {run.result.ended})")
    except ZhipuError as error:
        print(f"\nerror: {error}")
    finally:
        screen.end()


def questions(screen: Screen) -> Iterator[str]:
    """What is typed, or what was prepared."""
    if not sys.stdin.isatty():
        for question in QUESTIONS:
            screen.write("you", question)
            screen.end()
            yield question
        return
    while True:
        try:
            question = input(screen.heading("you")).strip()
        except (EOFError, KeyboardInterrupt):
            break
        if question:
            yield question
    print()


def main() -> None:
    conversation = Conversation("You have tools for the weather and for sums: use them. Answer in a sentence.")
    screen, stack = Screen(), AsyncExitStack()
    with asyncio.Runner() as runner:  # the loop rests while somebody types
        client = runner.run(stack.enter_async_context(connect(SERVICE)))
        try:
            for question in questions(screen):
                try:
                    runner.run(answer(client, conversation, question, screen))
                except KeyboardInterrupt:
                    print("(stopped)")
        finally:
            runner.run(stack.aclose())
    print(f"{len(conversation.messages)} messages, {conversation.usage.total_tokens} tokens")


# ---------------------------------------------------------------- without a key


def simulated(request: SeenRequest) -> Reply:
    """A stand-in for the model: it says what the tools really told it."""
    messages = request.get("messages")
    asked = max(place for place, message in enumerate(messages) if message["role"] == "user")
    question = messages[asked]["content"]
    told = [message["content"] for message in messages[asked:] if message["role"] == "tool"]
    weather = [json.loads(content) for content in told if content.startswith("{")]
    if not told:
        calls = [Call("get_weather", {"city": city}) for city in re.findall(r"\bin ([A-Z]\w+)", question)]
        calls += [Call("calculate", {"expression": term}) for term in re.findall(r"\(?\d[\d\s()+*/.-]*[\d)]", question)]
        if calls:
            return Reply(None, reasoning="I have tools for that.", tool_calls=calls)
        return Reply("Ask me for the weather in a city, or for a sum.", reasoning="No city and no sum.")
    if told[-1].startswith("error"):
        return Reply("I cannot tell: " + told[-1].rpartition(": ")[2] + ".")
    if len(weather) == len(told) == 2:
        difference = "{} - {}".format(*(each["celsius"] for each in weather))
        call = Call("calculate", {"expression": difference})
        return Reply(None, reasoning="Two temperatures:\nI need their difference.", tool_calls=[call])
    if weather and len(weather) == len(told):
        return Reply(" ".join(f"It is {each['celsius']} °C ({each['sky']})." for each in weather))
    return Reply(f"\nIt makes {float(told[-1]):g} degrees.", reasoning="That is the answer.")


SERVICE = Scenario(replies=simulated, pace=Pace(first_token=0.1, per_chunk=0.005))

if __name__ == "__main__":
    main()
