"""Approval: a person is asked before a model may change anything, and the model is told what was not allowed.

At a terminal that person is you; otherwise drafts may be deleted, and nothing else.
"""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from service import connect

from zhipu_async import CallDecoded, PythonTool, tool
from zhipu_async.simulator import Reply, Scenario, SeenRequest
from zhipu_async.simulator import ToolCall as Call

FILES = ("contract.txt", "draft-1.txt", "draft-2.txt")
HARMLESS = {"list_files"}


def approve(asked: CallDecoded) -> bool | str:
    """Asked before each call, with its arguments checked: True, or why not. It may be async, and take hours."""
    name, arguments = asked.call.function.name, asked.arguments
    if name in HARMLESS:
        return True
    if sys.stdin.isatty():  # everything rests meanwhile, so that questions come one by one
        return input(f"May it {name} {arguments}? [y/N] ").strip().lower() == "y" or "the user said no"
    allowed = arguments["name"].startswith("draft")
    print(f"May it {name} {arguments}?", "yes" if allowed else "no")
    return allowed or "only drafts may be deleted"


def tools_of(folder: Path) -> list[PythonTool[..., Any]]:
    """Tools for one folder alone: a model's file names are not to be trusted."""

    @tool
    def list_files() -> list[str]:
        """The names of the files in the folder."""
        return sorted(path.name for path in folder.iterdir())

    @tool
    def delete_file(name: str) -> str:
        """Delete a file of the folder."""
        if name not in list_files():
            raise FileNotFoundError(f"there is no file {name}")
        (folder / name).unlink()
        return f"{name} is deleted"

    return [list_files, delete_file]


async def tidy_up(folder: Path) -> None:
    async with connect(SERVICE) as client:
        result = await client.chat.completions.run_tools(
            model="glm-4.7-flash",
            messages=[{"role": "user", "content": "Delete all the files in my folder, please."}],
            tools=tools_of(folder),
            approve=approve,
        )
    for call in result.calls:
        outcome = "not allowed" if isinstance(call.error, PermissionError) else "done"
        print(f"{outcome}: {call.call.function.name} {call.call.function.arguments}")
    print("answer:", result.text)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in FILES:
            (folder / file).write_text("Once upon a time", encoding="utf-8")
        asyncio.run(tidy_up(folder))
        print("left:", sorted(path.name for path in folder.iterdir()))


# ---------------------------------------------------------------- without a key


def simulated(request: SeenRequest) -> Reply:
    """A stand-in for the model: it looks, deletes what it saw, and says how that went."""
    told = [message["content"] for message in request.get("messages") if message["role"] == "tool"]
    if not told:
        return Reply(None, tool_calls=[Call("list_files")])
    if len(told) == 1:
        return Reply(None, tool_calls=[Call("delete_file", {"name": file}) for file in FILES])
    refused = {text for text in told if text.startswith("error")}
    return Reply(f"I deleted {sum('is deleted' in text for text in told)} files. Not the others: {' '.join(refused)}.")


SERVICE = Scenario(replies=simulated)

main()
