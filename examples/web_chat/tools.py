"""What the model may call: a calculator, a clock, and a book that it can search. All are harmless and real."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec

from zhipu_async import tool

BOOK = Path(__file__).parent.parent / "data" / "tao_te_ching.txt"

SIGNS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


@tool
async def calculate(expression: Annotated[str, "numbers, + - * / ** and brackets"]) -> float:
    """Calculate."""
    if len(expression) > 200:
        raise ValueError("at most 200 characters")
    return round(_value(ast.parse(expression, mode="eval").body), 10)


def _value(term: ast.expr) -> float:
    """What a model wrote is never given to eval()."""
    match term:
        case ast.Constant(value=int() | float() as number):
            return float(number)  # of whole numbers 9**9**9 would take years
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in SIGNS:
            result = SIGNS[type(sign)](_value(left), _value(right))
            if isinstance(result, float):
                return result
    raise ValueError(f"{ast.unparse(term)}: only numbers, + - * / ** and brackets")


class Clock(msgspec.Struct):
    time: str
    day: str
    zone: str


@tool
async def current_time(zone: Annotated[str, "of the IANA database, for example Asia/Shanghai"]) -> Clock:
    """The time and day somewhere now."""
    now = datetime.now(ZoneInfo(zone))
    return Clock(f"{now:%H:%M}", f"{now:%Y-%m-%d}", zone)


class Sentence(msgspec.Struct):
    chapter: int
    text: str


@tool
async def search_book(word: Annotated[str, "one English word"]) -> list[Sentence]:
    """Sentences of the Tao Te Ching with a word, at most four."""
    wanted = re.compile(rf"\b{re.escape(word.strip())}", re.IGNORECASE)
    lines = [line.split("\t") for line in BOOK.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    found = [Sentence(int(chapter), text) for chapter, text in lines if wanted.search(text)]
    if not found:
        raise LookupError(f"no sentence with {word!r}")  # the model is told
    return found[:4]


TOOLS = [calculate, current_time, search_book]
