"""The commands. Exit codes: 0 done, 1 the service or the network failed, 2 wrong use or settings, 130 Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from ..client import AsyncZhipuAI
from ..errors import ConfigError
from ..models import Kind
from ..simulator import Simulator
from ..types.models import ModelList
from ..version import VERSION
from . import batches, files, known_models, media, speech
from . import demo as demonstration
from . import endpoints as endpoint_list
from .conversation import Conversation, as_json, interact, question_of
from .embed import embed
from .run import run as run_many
from .shared import AsJSON, BaseURL, Seconds, at_terminal, client_of, exit_codes, piped
from .terminal import Display, console, say, tolerate_odd_encodings

MODEL = "glm-4.7-flash"
"""Free, thinks, and streams tool calls (chat.md section 6), so that any account can ask it."""
VISION_MODEL = "glm-4.6v-flash"
"""The same for questions with images."""

app = typer.Typer(
    help="Talk to the GLM models of Zhipu AI and Z.ai. The key is taken from ZHIPU_API_KEY or ZAI_API_KEY.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they print local variables, and a key may be among them
)

Model = Annotated[str, typer.Option(help="Model id.")]


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


@app.command()
def chat(
    question: Annotated[
        str | None, typer.Argument(help="What to ask; - reads standard input. Left out: a session at a terminal.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help=f"Model id. Default: {MODEL}, with images {VISION_MODEL}.", show_default=False)
    ] = None,
    system: Annotated[str | None, typer.Option(help="Instructions for the whole conversation.")] = None,
    image: Annotated[list[str] | None, typer.Option(help="An image by path or URL. May be repeated.")] = None,
    thinking: Annotated[
        bool | None, typer.Option("--thinking/--no-thinking", help="Whether to think first. Default: the model's.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Most tokens of thinking and answer together.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0.0 to 1.0.")] = None,
    usage: Annotated[bool, typer.Option("--usage", help="Say how many tokens and seconds it took.")] = False,
    json_wanted: AsJSON = False,
    base_url: BaseURL = None,
    timeout: Seconds = None,
) -> None:
    """Ask a model. The answer goes to standard output; thinking, usage and errors go to standard error."""
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
    async with client:
        question = await question_of(text, images)
        if not json_wanted:
            display = Display(console(), console(stderr=True))
            await conversation.show(client, question, display, with_usage=usage)
            return
        async with await conversation.ask(client, question) as stream:
            say(console(), f"{as_json(await stream.until_done())}\n")


@app.command()
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

    async def fetch() -> ModelList:
        async with client_of(base_url, timeout) as client:
            return await client.models.list()

    with exit_codes():
        if known:
            known_models.show(kind, as_json=json_wanted)
            return
        if kind is not None:
            raise ConfigError("--kind goes with --known: the platform does not say of which kind a model is")
        found = asyncio.run(fetch())
        if json_wanted:
            say(console(), f"{msgspec.json.encode(found).decode()}\n")
            return
        table = Table("model", "owned by", box=None, pad_edge=False, header_style="dim")
        for model in found.data:
            table.add_row(model.id, model.owned_by or "")
        console().print(table)


@app.command()
def endpoints(
    holds: Annotated[str | None, typer.Argument(help="Only those with this text in their path or name.")] = None,
    json_wanted: Annotated[bool, typer.Option("--json", help="Print one JSON list and nothing else.")] = False,
) -> None:
    """List every call of the client: verb, path, method and types. Needs no key and asks nobody."""
    with exit_codes():
        endpoint_list.show(holds, as_json=json_wanted)


@app.command()
def simulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve a simulated GLM service on this machine until Ctrl-C."""

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


@app.command()
def demo(
    model: Model = MODEL,
    base_url: BaseURL = None,
    simulated: Annotated[bool, typer.Option("--simulated", help="Do not use the key of the environment.")] = False,
) -> None:
    """Hold a short conversation with thinking and a streamed tool call; without a key, with a simulated service."""
    with exit_codes():
        asyncio.run(demonstration.demonstrate(model, base_url, simulated=simulated, console=console()))


for _command in (run_many, embed, media.image, media.video, speech.transcribe, speech.speak):
    app.command()(_command)
app.add_typer(files.app, name="files")
app.add_typer(batches.app, name="batch")


def _enable_line_editing() -> None:
    """Arrow keys and history at the prompt, where this Python has them."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # pyright: ignore[reportUnusedImport]


def run() -> None:
    """Run the command line and exit."""
    tolerate_odd_encodings()
    app()
