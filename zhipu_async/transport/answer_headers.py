"""Headers of an answer, read when somebody asks: most answers are used without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multidict import MultiMapping


class AnswerHeaders(Mapping[str, str]):
    """A mapping with names in lower case, made of what came; of a repeated header the last. Pickles as a dict."""

    __slots__ = ("_came", "_made")

    def __init__(self, came: MultiMapping[str]) -> None:
        self._came = came
        self._made: dict[str, str] | None = None

    @property
    def _all(self) -> dict[str, str]:
        if self._made is None:
            self._made = {name.lower(): value for name, value in self._came.items()}
        return self._made

    def __getitem__(self, name: str) -> str:
        if self._made is None and name == name.lower():
            return self._came.getall(name)[-1]
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __repr__(self) -> str:
        return repr(self._all)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self._all,)
