"""A conversation with a model: what was said so far, and how the next question is asked."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ..attachments import ImagePart
from ..client import AsyncZhipuAI
from ..errors import ConfigError, ZhipuError
from ..streaming import Stream
from ..types.chat import ChatCompletion, ChatCompletionChunk, Thinking
from ..types.messages import Message, Part, SystemMessage, TextPart, UserMessage
from .terminal import Display, complain, console, say, tokens_and_time

PROMPT = "> "
LEAVE = "/exit"
_NOTES = {
    "length": "cut off: the limit of tokens was reached",
    "sensitive": "stopped by content safety",
    "model_context_window_exceeded": "cut off: the context of the model is full",
}
"""What to say about a finish reason that is not a natural end (chat.md section 5)."""


@dataclass
class Conversation:
    """Questions and answers so far. A question that failed is forgotten, so that it can be asked again."""

    model: str
    system: str | None = None
    thinking: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    messages: list[Message] = field(default_factory=list[Message])

    def __post_init__(self) -> None:
        if self.system is not None:
            self.messages.append(SystemMessage(self.system))

    async def ask(self, client: AsyncZhipuAI, question: UserMessage) -> Stream[ChatCompletionChunk, ChatCompletion]:
        """The answer to ``question`` as a stream; nothing is added to the conversation yet."""
        thinking = self.thinking
        return await client.chat.completions.create(
            model=self.model,
            messages=[*self.messages, question],
            thinking=None if thinking is None else Thinking(type="enabled" if thinking else "disabled"),
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            stream=True,
        )

    async def show(
        self, client: AsyncZhipuAI, question: UserMessage, display: Display, *, with_usage: bool
    ) -> ChatCompletion:
        """Ask, show the answer as it comes, and remember both."""
        reply = await display.show(await self.ask(client, question))
        self.messages += [question, reply.message]
        aside = console(stderr=True)
        if note := _NOTES.get(reply.finish_reason or ""):
            say(aside, f"({note})\n", "yellow")
        if with_usage:
            say(aside, f"{tokens_and_time(reply.usage, reply.timing)}\n", "dim")
        return reply


async def question_of(text: str, images: Sequence[str]) -> UserMessage:
    """The user's message; an image is a URL or a path. ConfigError for a file that cannot be read or is no image."""
    if not images:
        return UserMessage(text)
    parts: list[Part] = [await _image(place) for place in images]
    return UserMessage([*parts, TextPart(text)])


async def _image(place: str) -> ImagePart:
    if place.startswith(("http://", "https://", "data:")):
        return ImagePart.from_url(place)
    return await ImagePart.from_file(place)


def as_json(reply: ChatCompletion) -> str:
    """An answer for programs: text, reasoning, finish reason, usage (tokens), timing (seconds)."""
    fields: dict[str, Any] = {
        "id": reply.id,
        "model": reply.model,
        "text": reply.text,
        "reasoning": reply.reasoning,
        "finish_reason": reply.finish_reason,
        "usage": reply.usage,
        "timing": reply.timing,
    }
    return msgspec.json.encode(fields).decode()


def interact(client: AsyncZhipuAI, conversation: Conversation, images: Sequence[str], *, with_usage: bool) -> None:
    """Ask what is typed until ``/exit`` or the end of input. Ctrl-C stops an answer, and at the prompt the session.

    The loop runs only while an answer is awaited, so that the prompt is a plain ``input()`` with its line editing.
    """
    display = Display(console(), console(stderr=True))
    say(console(stderr=True), f"{conversation.model} at {client.base_url}. {LEAVE} or Ctrl-D ends.\n", "dim")
    with asyncio.Runner() as runner:
        try:
            while (line := _typed()) is not None:
                if not line:
                    continue
                try:
                    question = runner.run(question_of(line, images))
                    runner.run(conversation.show(client, question, display, with_usage=with_usage))
                    images = ()
                except KeyboardInterrupt:
                    say(console(stderr=True), "(stopped)\n", "yellow")
                except ConfigError:
                    raise
                except ZhipuError as error:
                    complain(error)
        finally:
            runner.run(client.close())


def _typed() -> str | None:
    """The next line without surrounding blanks; None at the end."""
    aside = not sys.stdout.isatty()
    if aside:  # the answers go elsewhere: the prompt must not be among them
        say(console(stderr=True), PROMPT)
    try:
        line = input("" if aside else PROMPT).strip()
    except EOFError:
        say(console(stderr=True), "\n")
        return None
    return None if line == LEAVE else line
