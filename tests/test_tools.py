"""Functions as tools: made, called, offered to the service; what they give as the content of a message."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import datetime
import enum
import functools
import inspect
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
import pydantic
import pytest

from zhipu_async import ConfigError, FunctionDefinition, FunctionTool, MCPServer, MCPTool, PythonTool, tool
from zhipu_async.tools import InvalidArguments, Toolbox, content_of
from zhipu_async.types.tools import Retrieval, RetrievalTool, WebSearch, WebSearchTool


@tool
def add(a: float, b: float = 1.0) -> float:
    """Add numbers."""
    return a + b


@tool(name="say-hello", description="Greet somebody.", timeout=2)
async def hello(name: str) -> str:
    """Not told: there is a description."""
    return f"hello {name}"


# ---------------------------------------------------------------- made and called


def test_a_tool_is_the_function_that_it_was() -> None:
    """It can be called, awaited and asked for its signature as before; and knows what the service is told."""
    assert isinstance(add, PythonTool)
    assert add(1) == 2
    assert (add.__name__, add.__doc__, add.name) == ("add", "Add numbers.", "add")
    assert str(inspect.signature(add)) == "(a: 'float', b: 'float' = 1.0) -> 'float'"
    assert repr(add) == "<tool add>"
    assert asyncio.run(hello("you")) == "hello you"
    assert (hello.name, hello.timeout) == ("say-hello", 2)
    assert msgspec.to_builtins(hello.definition) == {
        "type": "function",
        "function": {
            "name": "say-hello",
            "description": "Greet somebody.",
            "parameters": {
                "type": "object",
                "properties": {"name": {"type": "string"}},
                "required": ["name"],
                "additionalProperties": False,
            },
        },
    }


def test_a_tool_of_a_tool() -> None:
    """A tool can be made anew under another name."""
    other = tool(name="plus")(add)
    assert (other.name, other(2, 3)) == ("plus", 5)
    assert other.function is add.function
    assert add.name == "add"


@tool(name="fetch", description="Fetch it.", timeout=3)
async def look(what: str, unit: str = "C") -> str:
    """Not told."""
    return f"{what} in {unit}"


FILLED = functools.partial(look, unit="F")
MADE_ANEW: dict[str, tuple[Any, str, str, float | None]] = {
    "as it is": (look, "fetch", "Fetch it.", 3),
    "with another time-out": (tool(timeout=9)(look), "fetch", "Fetch it.", 9),
    "with another description": (tool(description="Get it.")(look), "fetch", "Get it.", 3),
    "under another name": (tool(name="get")(look), "get", "Fetch it.", 3),
    "filled in": (FILLED, "fetch", "Fetch it.", 3),
    "filled in and made anew": (tool(name="get", timeout=9)(FILLED), "get", "Fetch it.", 9),
    "made anew and filled in": (functools.partial(tool(name="get")(look), unit="K"), "get", "Fetch it.", 3),
    "filled in twice": (functools.partial(tool(FILLED), what="it"), "fetch", "Fetch it.", 3),
}


@pytest.mark.parametrize(("given", "name", "description", "timeout"), MADE_ANEW.values(), ids=MADE_ANEW)
async def test_what_is_not_given_anew_stays(given: Any, name: str, description: str, timeout: float | None) -> None:
    """A tool made of a tool, or of a partial of one, has its name, description and time-out; and runs."""
    (made,) = Toolbox([given]).functions.values()
    assert (made.name, made.signature.description, made.timeout) == (name, description, timeout)
    assert inspect.iscoroutinefunction(made.function), "it does not go to a thread"
    arguments = {"what": "it"} if "what" in made.signature.schema["properties"] else {}
    assert (await made.run(arguments)).startswith("it in ")
    assert ("unit" in made.signature.schema["properties"]) == (not isinstance(made.function, functools.partial))


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), True, "1"])
def test_a_timeout_is_a_number_of_seconds(timeout: Any) -> None:
    """Anything else is a ConfigError when the tool is made."""
    with pytest.raises(ConfigError, match="timeout must be"):
        tool(name="f", timeout=timeout)(lambda: None)


def test_arguments_that_do_not_fit() -> None:
    """Decoding tells what is wrong with the text of a model."""
    assert add.decode('{"a": 1}') == {"a": 1.0}
    with pytest.raises(InvalidArguments, match="missing required field `a`"):
        add.decode("{}")


class Counter:
    """Counts."""

    def __init__(self) -> None:
        self.count = 0

    def up(self, by: int) -> int:
        self.count += by
        return self.count

    async def later(self, by: int) -> int:
        await asyncio.sleep(0)
        return self.up(by)

    async def __call__(self, by: int) -> int:
        return self.up(by)


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that does not know whether what it wraps is async."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def positions(a: int, b: int = 7, /, *, by: int = 0) -> list[int]:
    return [a, b, by]


@pytest.mark.parametrize(
    "function",
    [
        Counter().up,
        Counter().later,
        Counter(),
        functools.partial(Counter().up),
        functools.partial(Counter().later),
        functools.partial(Counter()),
        logged(Counter().up),
        logged(Counter().later),
    ],
    ids=["method", "async method", "object", "partial", "async partial", "object, partial", "wrapped", "async wrapped"],
)
async def test_every_kind_of_function_runs(function: Any) -> None:
    """Sync or async, method, object, partial or wrapped: the result is the result."""
    assert await PythonTool(function, name="up").run({"by": 3}) == 3


async def test_parameters_by_place() -> None:
    """Parameters that take no keyword are given by place, with their defaults where one is left out."""
    assert await PythonTool(positions).run({"a": 1, "by": 2}) == [1, 7, 2]
    assert await PythonTool(positions).run({"b": 1, "a": 2}) == [2, 1, 0]


async def test_where_functions_run() -> None:
    """A plain function runs in a thread of its own, with the context of its caller; an async one on the loop."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    variable.set("set")

    def plain() -> tuple[str, str]:
        return threading.current_thread().name, variable.get()

    async def waiting() -> tuple[str, str]:
        return threading.current_thread().name, variable.get()

    assert await PythonTool(plain).run({}) == ("zhipu_async tool", "set")
    assert await PythonTool(waiting).run({}) == ("MainThread", "set")


class _Strange(BaseException):
    """Not even an Exception."""


@pytest.mark.parametrize(
    "error", [ValueError("no"), _Strange("odd"), KeyError("k"), ExceptionGroup("two", [OSError()])]
)
async def test_what_a_function_raises(error: BaseException) -> None:
    """It is raised as it is, from the thread too."""

    def fails() -> None:
        raise error

    async def fails_later() -> None:
        raise error

    for function in (fails, fails_later):
        with pytest.raises(type(error)) as caught:
            await PythonTool(function).run({})
        assert caught.value is error


async def test_stop_iteration_from_a_thread() -> None:
    """An exception that no future can hold is told as another."""

    def stops() -> None:
        raise StopIteration("x")

    with pytest.raises(RuntimeError, match=r"the function raised StopIteration\('x'\)"):
        await PythonTool(stops).run({})


async def test_a_function_that_is_left_behind() -> None:
    """Cancelling does not wait for a thread; what the thread gives later is lost without a sound."""
    began, release, ended = threading.Event(), threading.Event(), threading.Event()

    def hangs() -> str:
        began.set()
        release.wait(10)
        ended.set()
        return "late"

    running = asyncio.create_task(PythonTool(hangs).run({}))
    while not began.is_set():  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not ended.is_set()
    release.set()
    assert await asyncio.to_thread(ended.wait, 10)
    await asyncio.sleep(0.01)


_HANGING = """
import asyncio, threading
from zhipu_async import tool

@tool
def hang() -> str:
    threading.Event().wait()

async def main():
    try:
        async with asyncio.timeout(0.1):
            await hang.run({})
    except TimeoutError:
        print("left behind", flush=True)

asyncio.run(main())
"""


def test_a_program_ends_beside_a_function_that_hangs() -> None:
    """A thread that never returns does not hold the program up."""
    run = subprocess.run([sys.executable, "-c", _HANGING], capture_output=True, text=True, timeout=30, check=False)
    assert (run.stdout, run.stderr, run.returncode) == ("left behind\n", "", 0)


def test_a_loop_that_ended_is_not_called() -> None:
    """A thread that returns after its loop has ended raises nothing."""
    began, release = threading.Event(), threading.Event()

    def late() -> None:
        began.set()
        release.wait(10)

    async def main() -> None:
        running = asyncio.create_task(PythonTool(late).run({}))
        await asyncio.to_thread(began.wait, 10)
        running.cancel()

    asyncio.run(main())
    thread = next(thread for thread in threading.enumerate() if thread.name == "zhipu_async tool")
    release.set()
    thread.join(10)
    assert not thread.is_alive()


async def test_one_tool_runs_many_times_at_once() -> None:
    """A tool holds nothing of its calls."""
    barrier = threading.Barrier(5)

    def meet(number: int) -> int:
        barrier.wait(10)
        return number

    meeting = PythonTool(meet)
    assert await asyncio.gather(*(meeting.run({"number": number}) for number in range(5))) == list(range(5))


# ---------------------------------------------------------------- results


class Colour(enum.Enum):
    RED = "red"


class Loud(enum.StrEnum):
    YES = "YES"


@dataclasses.dataclass
class Point:
    x: int
    at: datetime.date


class Model(pydantic.BaseModel):
    x: int
    at: datetime.date = datetime.date(2026, 11, 21)


class Text(str):
    __slots__ = ()


class Own(Mapping[str, int]):
    """A mapping that is no dict."""

    def __getitem__(self, key: str) -> int:
        return len(key)

    def __iter__(self) -> Any:
        return iter(["a", "bc"])

    def __len__(self) -> int:
        return 2


CONTENTS: dict[str, tuple[Any, str]] = {
    "text": ("hello\n", "hello\n"),
    "no text": ("", ""),
    "a kind of text": (Text("hello"), "hello"),
    "an enum of texts": (Loud.YES, "YES"),
    "None": (None, "null"),
    "a number": (1.5, "1.5"),
    "a bool": (True, "true"),
    "a large int": (10**30, "1" + "0" * 30),
    "a dict": ({"城市": "北京", 1: None}, '{"城市":"北京","1":null}'),
    "a list of structs": ([Point(1, datetime.date(2026, 11, 21))], '[{"x":1,"at":"2026-11-21"}]'),
    "a set": ({"a"}, '["a"]'),
    "an enum": ({"colour": Colour.RED}, '{"colour":"red"}'),
    "bytes": (b"\x00", '"AA=="'),
    "a model of pydantic's": ({"m": Model(x=1)}, '{"m":{"x":1,"at":"2026-11-21"}}'),
    "a mapping": (Own(), '{"a":1,"bc":2}'),
    "a view": ({"a": 1}.keys(), '["a"]'),
    "a deque": (deque([1, 2]), "[1,2]"),
    "a range": (range(3), "[0,1,2]"),
    "NaN": (float("nan"), "null"),
}


@pytest.mark.parametrize(("result", "content"), CONTENTS.values(), ids=CONTENTS)
def test_content(result: Any, content: str) -> None:
    """Text is sent as it is, everything else as JSON."""
    assert content_of(result) == content
    assert type(content_of(result)) is str


_circle: list[Any] = []
_circle.append(_circle)
NO_CONTENTS: dict[str, Any] = {
    "an object": object(),
    "an object within": {"a": [object()]},
    "a file": sys.stdin,
    "a generator": (item for item in [1]),
    "a class": Point,
    "a class of pydantic's": Model,
    "a circle": _circle,
    "text that is not Unicode": "\ud800",
    "the same within": ["\ud800"],
    "keys that are pairs": {(1, 2): 3},
}


@pytest.mark.parametrize("result", NO_CONTENTS.values(), ids=NO_CONTENTS)
def test_no_content(result: Any) -> None:
    """What JSON cannot carry is a TypeError that says so."""
    with pytest.raises(TypeError, match=r"the result cannot be written as JSON: ."):
        content_of(result)


# ---------------------------------------------------------------- several tools


SCHEMA = {"type": "function", "function": {"name": "look_up", "description": "-", "parameters": {"type": "object"}}}
STRUCT = FunctionTool(function=FunctionDefinition(name="ask", description="-", parameters={"type": "object"}))
HALF = FunctionTool(function=MappingProxyType({"name": "half", "description": "-", "parameters": {}}))
SEARCH = WebSearchTool(web_search=WebSearch(search_engine="search_std", enable=True))
RETRIEVAL = RetrievalTool(retrieval=Retrieval(knowledge_id="1"))
MCP = MCPTool(mcp=MCPServer(server_label="s"))


def test_a_toolbox_of_all_kinds() -> None:
    """Functions are known by name and offered as their schemas; what else is given is offered as it is."""
    box = Toolbox([add, hello, len_of, SCHEMA, STRUCT, HALF, SEARCH, RETRIEVAL, MCP, {"type": "web_search"}])
    assert list(box.functions) == ["add", "say-hello", "len_of"]
    assert box.foreign == {"look_up", "ask", "half"}
    assert box.names == ["add", "say-hello", "len_of", "ask", "half", "look_up"]
    assert box.offered[3:] == [SCHEMA, STRUCT, HALF, SEARCH, RETRIEVAL, MCP, {"type": "web_search"}]
    assert box.offered[0] == add.definition
    assert box.offered[3] is SCHEMA


def len_of(texts: Annotated[list[str], "whose lengths"]) -> list[int]:
    return [len(text) for text in texts]


TWICE: dict[str, list[Any]] = {
    "the same function": [add, add],
    "a function and its tool": [len_of, PythonTool(len_of)],
    "by another name": [add, tool(name="add")(len_of)],
    "a function and a schema": [tool(name="look_up")(len_of), SCHEMA],
    "two schemas": [SCHEMA, FunctionTool(function={"name": "look_up"})],
}


@pytest.mark.parametrize("tools", TWICE.values(), ids=TWICE)
def test_two_tools_of_one_name(tools: list[Any]) -> None:
    """A model could not tell them apart: ConfigError, with the way out."""
    with pytest.raises(ConfigError, match=r"two tools are called '\w+': give one of them another name with @tool"):
        Toolbox(tools)


NO_TOOLS: dict[str, tuple[Any, str]] = {
    "None": (None, "tools must be a list of functions and tools, not NoneType"),
    "a function": (len_of, "tools must be a list of functions and tools, not function"),
    "a tool": (add, "tools must be a list of functions and tools, not PythonTool"),
    "a schema": (SCHEMA, "tools must be a list of functions and tools, not dict"),
    "a name": ("add", "tools must be a list of functions and tools, not str"),
    "names": (["add"], "'add' is no tool: give a function, or a tool as the service takes it"),
    "a class": ([Point], "Point is a class"),
    "a function without annotations": ([lambda x: x], "'<lambda>' is no name"),
    "a thing": ([object()], "is no tool"),
}


@pytest.mark.parametrize(("tools", "said"), NO_TOOLS.values(), ids=NO_TOOLS)
def test_what_is_no_tool(tools: Any, said: str) -> None:
    """A ConfigError says what is expected."""
    with pytest.raises(ConfigError, match=said):
        Toolbox(tools)
