"""The commands. Exit codes: 0 done, 1 the service or the network failed, 2 wrong use or settings, 130 Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ..config import without_keys
from ..errors import ConfigError
from ..models import CHAT, Kind
from ..version import VERSION
from . import batches, bench, files, known_models, media, speech
from .doctor import doctor
from .embed import embed
from .run import run as run_many
from .shared import (
    AsJSON,
    BaseURL,
    MaxTokens,
    Seconds,
    System,
    Temperature,
    Thinks,
    at_terminal,
    client_of,
    complain_of_full_disk,
    examples,
    exit_codes,
    model_option,
    piped,
)
from .terminal import Display, console, say, tolerate_odd_encodings

if TYPE_CHECKING:
    from ..client import AsyncZhipuAI
    from ..types.models import ModelList
    from .conversation import Conversation

MODEL = "glm-4.7-flash"
"""Free, thinks, and streams tool calls (chat.md section 6), so that any account can ask it."""
VISION_MODEL = "glm-4.6v-flash"
"""The same for questions with images."""
READER_GONE = 141
"""128 and the number of SIGPIPE: how other programs end whose output goes to one that has seen enough."""


class Commands(TyperGroup):
    """The commands in the order of :data:`COMMANDS`, by which their panels stand, too."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for _, name, *_ in COMMANDS]

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if isinstance(said := getattr(error, "message", None), str):  # of wrong use, with the word that is wrong
                vars(error)["message"] = without_keys(said)
            raise


app = typer.Typer(
    cls=Commands,
    help="Talk to the GLM models of Zhipu AI and Z.ai. The key is taken from ZHIPU_API_KEY or ZAI_API_KEY.",
    epilog=examples(
        "zhipu-async demo                    # needs no key",
        'zhipu-async chat "Why is the sky blue?"',
        "zhipu-async doctor                  # when it does not work",
        "zhipu-async --install-completion    # Tab then completes options and models",
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they print local variables, and a key may be among them
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(VERSION)
        raise typer.Exit


@app.callback()
def settings(
    debug: Annotated[bool, typer.Option("--debug", help="Log what the client does to standard error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if debug:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        parent = logging.getLogger("zhipu_async")
        parent.addHandler(handler)
        parent.setLevel(logging.DEBUG)


def chat(
    question: Annotated[
        str | None,
        typer.Argument(
            metavar="QUESTION", help="What to ask; - reads standard input. Left out: a session at a terminal."
        ),
    ] = None,
    model: Annotated[
        str | None,
        model_option(f"Model id. Default: {MODEL}, with images {VISION_MODEL}.", kinds=CHAT, show_default=False),
    ] = None,
    system: System = None,
    image: Annotated[
        list[str] | None, typer.Option(metavar="FILE|URL", help="An image by path or URL. May be repeated.")
    ] = None,
    thinking: Thinks = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    usage: Annotated[bool, typer.Option("--usage", help="Say how many tokens and seconds it took.")] = False,
    json_wanted: AsJSON = False,
    base_url: BaseURL = None,
    timeout: Seconds = None,
) -> None:
    """Ask a model. The answer goes to standard output; thinking, usage and errors go to standard error."""
    from .conversation import Conversation, interact

    images = image or []
    with exit_codes():
        text = piped() if question == "-" or (question is None and not at_terminal()) else question
        if text is not None and not text.strip():
            raise ConfigError("the question is empty")
        if text is None and json_wanted:
            raise ConfigError("--json answers one question: give it as an argument or on standard input")
        conversation = Conversation(
            model or (VISION_MODEL if images else MODEL), system, thinking, max_tokens, temperature
        )
        client = client_of(base_url, timeout)
        if text is None:
            _enable_line_editing()
            interact(client, conversation, images, with_usage=usage)
        else:
            asyncio.run(_ask_once(client, conversation, text, images, json_wanted, usage))


async def _ask_once(
    client: AsyncZhipuAI, conversation: Conversation, text: str, images: list[str], json_wanted: bool, usage: bool
) -> None:
    from .conversation import as_json, question_of

    async with client:
        question = await question_of(text, images)
        if not json_wanted:
            display = Display(console(), console(stderr=True))
            await conversation.show(client, question, display, with_usage=usage)
            return
        async with await conversation.ask(client, question) as stream:
            say(console(), f"{as_json(await stream.until_done())}\n")


def models(
    known: Annotated[
        bool, typer.Option("--known", help="What is documented of each model, without asking; ? marks a weak source.")
    ] = False,
    kind: Annotated[Kind | None, typer.Option(help="With --known: only models of this kind.")] = None,
    json_wanted: AsJSON = False,
    base_url: BaseURL = None,
    timeout: Seconds = None,
) -> None:
    """List the models of the platform. A model that is missing here may be usable all the same."""

    async def fetch(client: AsyncZhipuAI) -> ModelList:
        async with client:
            return await client.models.list()

    from rich.table import Table

    with exit_codes():
        if known:
            known_models.show(kind, as_json=json_wanted)
            return
        if kind is not None:
            raise ConfigError("--kind goes with --known: the platform does not say of which kind a model is")
        found = asyncio.run(fetch(client_of(base_url, timeout)))
        if json_wanted:
            import msgspec

            say(console(), f"{msgspec.json.encode(found).decode()}\n")
            return
        table = Table("model", "owned by", box=None, pad_edge=False, header_style="dim")
        for model in found.data:
            table.add_row(model.id, model.owned_by or "")
        console().print(table)


def endpoints(
    holds: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="Only those with this text in their path or name.")
    ] = None,
    json_wanted: Annotated[bool, typer.Option("--json", help="Print one JSON list and nothing else.")] = False,
) -> None:
    """List every call of the client: verb, path, method and types. Needs no key and asks nobody."""
    from . import endpoints as endpoint_list

    with exit_codes():
        endpoint_list.show(holds, as_json=json_wanted)


def simulate(
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8080,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve a simulated GLM service on this machine until Ctrl-C."""
    from ..simulator import Simulator

    async def serve() -> None:
        async with Simulator(host=host, port=port, record=False) as simulator:
            out = console()
            say(out, "a simulated GLM service, until Ctrl-C:\n", "dim")
            say(out, f"export ZHIPU_BASE_URL={simulator.base_url}\nexport ZHIPU_API_KEY={simulator.api_key}\n")
            await asyncio.Event().wait()

    with exit_codes():
        try:
            asyncio.run(serve())
        except OSError as error:
            say(console(stderr=True), f"error: cannot listen on {host}:{port}: {error.strerror or error}\n", "red")
            raise typer.Exit(1) from None


def demo(
    model: Annotated[str, model_option(kinds=CHAT)] = MODEL,
    base_url: BaseURL = None,
    simulated: Annotated[bool, typer.Option("--simulated", help="Do not use the key of the environment.")] = False,
) -> None:
    """Hold a short conversation with thinking and a streamed tool call; without a key, with a simulated service."""
    from . import demo as demonstration

    with exit_codes():
        asyncio.run(demonstration.demonstrate(model, base_url, simulated=simulated, console=console()))


_TALK, _MAKE, _MANY, _FILES, _TOOLS = "Talk", "Make", "Many", "Files", "Tools"
COMMANDS: tuple[tuple[Any, ...], ...] = (
    # panel, name, what it does, examples
    (_TALK, "chat", chat,
     'zhipu-async chat "Why is the sky blue?"', "git diff | zhipu-async chat - --system 'Review this change.'",
     'zhipu-async chat --image photo.jpg "What is this?"', "zhipu-async chat"),
    (_TALK, "demo", demo, "zhipu-async demo --simulated"),
    (_MAKE, "image", media.image, 'zhipu-async image "a fox in the snow" --out fox.png --size 1280x1280'),
    (_MAKE, "video", media.video,
     'zhipu-async video "waves at night" --out waves.mp4', "zhipu-async video --image first.png --image last.png"),
    (_MAKE, "speak", speech.speak, 'zhipu-async speak "Good morning" --out hello.wav'),
    (_MAKE, "transcribe", speech.transcribe, "zhipu-async transcribe meeting.mp3 --hotword GLM"),
    (_MAKE, "embed", embed,
     "zhipu-async embed --file texts.txt > vectors.jsonl", 'zhipu-async embed --query "pets" cat dog stone'),
    (_MANY, "run", run_many,
     'zhipu-async run cities.csv -o answers.jsonl --template "The river of {city}?"',
     "zhipu-async run cities.csv -o answers.jsonl --resume"),
    (_MANY, "batch", batches.app, "zhipu-async batch run calls.jsonl"),
    (_MANY, "bench", bench.app, "zhipu-async bench --model glm-4.6 --concurrency 1,4,8 --requests 160"),
    (_FILES, "files", files.app, "zhipu-async files upload calls.jsonl --purpose batch"),
    (_TOOLS, "doctor", doctor,
     "zhipu-async doctor", "zhipu-async doctor --base-url zai --ask glm-4.6,glm-4.7-flash"),
    (_TOOLS, "models", models, "zhipu-async models", "zhipu-async models --known --kind vision"),
    (_TOOLS, "endpoints", endpoints, "zhipu-async endpoints audio"),
    (_TOOLS, "simulate", simulate, "zhipu-async simulate --port 8080"),
)  # fmt: skip
"""Every command with its panel, and lines for the end of its help that can be typed as they stand."""

for _panel, _name, _command, *_lines in COMMANDS:
    if isinstance(_command, typer.Typer):
        app.add_typer(_command, name=_name, rich_help_panel=_panel, epilog=examples(*_lines))
    else:
        app.command(_name, rich_help_panel=_panel, epilog=examples(*_lines))(_command)


def _enable_line_editing() -> None:
    """Arrow keys and history at the prompt, where this Python has them."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # pyright: ignore[reportUnusedImport]


def run() -> None:
    """Run the command line and exit; with 141, as a shell shows it, when nobody reads the output any more."""
    tolerate_odd_encodings()
    if os.environ.get("NO_COLOR"):  # else the help would still be bold and dim
        from typer import rich_utils

        rich_utils.COLOR_SYSTEM = None
    try:
        app(prog_name="zhipu-async")  # also for python -m zhipu_async
    except OSError as error:  # of help, which is written outside of the commands
        complain_of_full_disk(error)
        raise SystemExit(2) from None
    except SystemExit as end:
        if end.code == 1 and getattr(end.__context__, "errno", None) == errno.EPIPE:
            raise SystemExit(READER_GONE) from None
        raise
