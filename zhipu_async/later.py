"""What is read when it is first used: most programs use a small part of this package, and import it quickly.

    if TYPE_CHECKING:
        from . import tool_runs
    else:
        tool_runs = LaterModule(".tool_runs")


    class Completions(Resource):
        run_tools = later(lambda: tool_runs.RunTools(...))

Type checkers and editors see the module and the attribute themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar, cast

T = TypeVar("T")


class LaterModule:
    """Stands for a module of this package, which is imported when one of its names is asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._name, __package__), name)


class _Later:
    """Stands for an attribute of a class, and puts the attribute in its own place when it is first asked for."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._owner, self._name = owner, name

    def __get__(self, instance: object, owner: type[Any]) -> Any:
        made = self._make()
        made.__set_name__(self._owner, self._name)
        setattr(self._owner, self._name, made)
        return made.__get__(instance, owner)


def later(make: Callable[[], T]) -> T:
    """The descriptor that ``make`` gives, as an attribute of a class; made at the first use of the attribute."""
    return cast(T, _Later(make))
