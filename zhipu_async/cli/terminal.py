"""What a person sees: an answer while it streams, errors, and where tokens and time went."""

from __future__ import annotations

import io
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from ..errors import ZhipuError
from ..streaming import Stream
from ..telemetry import Timing
from ..types.chat import ChatCompletion, ChatCompletionChunk, Usage
from ..types.events import ChatEvent, ContentDelta, ReasoningDelta, ToolCallDelta, ToolCallStarted

_CONTROLS = dict.fromkeys(code for code in (*range(32), *range(127, 160)) if code not in (9, 10))
"""Characters that a model must not send to a terminal: escape sequences move the cursor and rename windows."""


class CarefulConsole(Console):
    """A console that writes the texts of tables to a terminal without control characters."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(text.translate(_CONTROLS) if self.is_terminal else text, **options)


def console(*, stderr: bool = False) -> Console:
    """A console on standard output or error; in a pipe, and with NO_COLOR, it writes no escape sequence at all."""
    plain = CarefulConsole(stderr=stderr, color_system=None, markup=False, emoji=False, highlight=False)
    # rich alone would still write bold and dim with NO_COLOR
    return plain if plain.no_color else CarefulConsole(stderr=stderr, markup=False, emoji=False, highlight=False)


def tolerate_odd_encodings() -> None:
    """Make standard output replace what its encoding cannot say, rather than raise in the middle of an answer."""
    output: object = sys.stdout
    if isinstance(output, io.TextIOWrapper):
        output.reconfigure(errors="backslashreplace")


class Display:
    """Shows answers as they stream: the text on one console; thinking and tool calls, with a heading, on ``aside``.

    With a ``gutter`` of so many columns every section has a heading there, and its lines stand beside it; without one
    the text comes bare. The consoles may be the same.
    """

    def __init__(self, text: Console, aside: Console, *, gutter: int = 0) -> None:
        self._text = text
        self._aside = aside
        self._gutter = gutter
        self._tools: dict[tuple[int, int], str] = {}
        self._section: object = None
        self._console = text
        self._empty = True
        self._line_open = False

    async def show(self, stream: Stream[ChatCompletionChunk, ChatCompletion]) -> ChatCompletion:
        """Show a stream to its end and give its result. Raises what the stream raises; what came before is shown."""
        self._tools.clear()
        async with stream:
            try:
                async for event in stream.events():
                    self._show(event)
            finally:
                self._leave()
            return await stream.until_done()

    def line(self, heading: str, text: str, style: str = "", text_style: str = "") -> None:
        """Show one line that does not come from the stream."""
        self._write(object(), self._aside, heading, text, style, text_style)
        self._leave()

    def _show(self, event: ChatEvent) -> None:
        match event:
            case ContentDelta(text=text):
                self._write("text", self._text, "glm" if self._gutter else "", text, "bold magenta", "")
            case ReasoningDelta(text=text):
                self._write("thinking", self._aside, "thinking", text, "dim", "dim")
            case ToolCallStarted(position=position, name=name, choice=choice):
                self._tools[choice, position] = name
                self._write((choice, position), self._aside, "tool", f"{name} ", "cyan", "bold cyan")
            case ToolCallDelta(position=position, arguments=arguments, choice=choice):
                if self._section != (choice, position):  # the service goes back to a call that it began before
                    name = self._tools.get((choice, position), "")
                    self._write((choice, position), self._aside, "tool", f"{name} ", "cyan", "bold cyan")
                self._write((choice, position), self._aside, "tool", arguments, "cyan", "cyan")
            case _:
                pass

    def _write(self, section: object, console: Console, heading: str, text: str, style: str, text_style: str) -> None:
        if section != self._section:
            self._leave()
            self._section, self._console, self._empty = section, console, True
            if heading:
                say(console, heading.ljust(self._gutter) if self._gutter else f"{heading}: ", style)
                self._line_open = True
        if self._empty:  # GLM often begins with line breaks
            text = text.lstrip("\n")
        if not text:
            return
        indent = " " * self._gutter
        if not (self._empty or self._line_open):
            text = indent + text
        ends = text.endswith("\n")
        say(console, text.removesuffix("\n").replace("\n", f"\n{indent}") + "\n" * ends, text_style)
        self._empty, self._line_open = False, not ends

    def _leave(self) -> None:
        """End the section and its last line."""
        if self._line_open:
            say(self._console, "\n")
        self._section, self._line_open = None, False


def say(console: Console, text: str, style: str = "") -> None:
    """Write ``text`` as it is, at once and without wrapping; a terminal gets no control characters from it."""
    if console.is_terminal:
        console.out(text.translate(_CONTROLS), style=style or None, end="", highlight=False)
    else:  # rich would leave out some characters, carriage returns among them
        console.file.write(text)
        console.file.flush()


_COMMAND_WORDS = {
    "pass api_key=..., or set ": "set ",
    "; None switches a clock off": "",
    "client.models.list() names": "zhipu-async models lists",
}
"""What errors tell those who write Python, and what a command line has in its place."""


def in_words_of_the_command_line(text: str) -> str:
    """The text of an error without the words of Python."""
    for python, command in _COMMAND_WORDS.items():
        text = text.replace(python, command)
    return text


def complain(error: ZhipuError) -> None:
    """Say on standard error what went wrong and what can be done."""
    text = in_words_of_the_command_line(str(error)) or type(error).__name__
    say(console(stderr=True), f"error: {text}\n", "red")


def tokens_and_time(usage: Usage | None, timing: Timing | None) -> str:
    """One line: ``12 prompt + 34 completion tokens (20 thinking), first token 0.41 s, total 1.90 s``."""
    parts: list[str] = []
    if usage is not None:
        details = usage.completion_tokens_details
        thinking = f" ({details.reasoning_tokens} thinking)" if details and details.reasoning_tokens else ""
        parts.append(f"{usage.prompt_tokens or 0} prompt + {usage.completion_tokens or 0} completion tokens{thinking}")
    if timing is not None:
        parts += [
            f"{name} {seconds:.2f} s"
            for name, seconds in (("first token", timing.first_token), ("total", timing.total))
            if seconds is not None
        ]
        if timing.attempts > 1:
            parts.append(f"{timing.attempts} attempts")
    return ", ".join(parts) or "no usage was sent"
