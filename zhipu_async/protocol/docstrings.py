"""What a docstring says of a function and of each of its parameters: Google's style, Sphinx's and numpy's."""

from __future__ import annotations

import re
from collections.abc import Iterator

_SECTION = re.compile(
    r"(Args|Arguments|Parameters|Params|Keyword Args|Keyword Arguments|Other Parameters|Returns?|Yields?|Raises|Warns|"
    r"Attributes|Examples?|Notes?|See Also|References|Todo)(:?)"
)
_OF_PARAMETERS = re.compile(r"Arg|Param|Keyword|Other")
_GOOGLE = re.compile(r"\*{0,2}(\w+)\s*(?:\(.*?\))?\s*:(?:\s+(.*))?")
_NUMPY = re.compile(r"(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?")
_SPHINX = re.compile(r":(?:param|parameter|arg|argument|key|keyword)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)")
_SPHINX_FIELD = re.compile(r":\w[^:]*:(\s.*)?")


def read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """The description (what stands in no section), and what is said of each parameter; ``text`` is what
    ``inspect.getdoc`` gives."""
    about: list[str] = []
    told: dict[str, list[str]] = {}
    section: _Section | None = None
    for line, underlined in _lines(text):
        indent, said = len(line) - len(line.lstrip()), line.strip()
        header = None if indent else _SECTION.fullmatch(said)
        if header and (underlined or header[2]):
            section = _Section(told, "numpy" if underlined else "google", bool(_OF_PARAMETERS.match(header[1])))
        elif not indent and _SPHINX_FIELD.fullmatch(said):
            section = _Section(told, "sphinx", bool(field := _SPHINX.fullmatch(said)))
            if field:
                section.begin(field[1], field[2])
        elif section is not None and (indent or not said or section.style == "numpy"):
            section.take(indent, said)
        else:
            section = None
            about.append(line)
    return "\n".join(about).strip(), {name: " ".join(filter(None, parts)) for name, parts in told.items()}


class _Section:
    """A part of a docstring, and the parameters that its last entry is of."""

    def __init__(self, told: dict[str, list[str]], style: str, of_parameters: bool) -> None:
        self.style = style
        self._told = told
        self._of_parameters = of_parameters
        self._names: list[str] = []
        self._indent: int | None = 0 if style == "numpy" else None
        """Of its entries, once there is one."""

    def begin(self, names: str, said: str) -> None:
        """An entry."""
        self._names = [name.strip(" *") for name in names.split(",")]
        self._told.update((name, [said]) for name in self._names)

    def take(self, indent: int, said: str) -> None:
        """A line: it begins an entry, or goes on with the last."""
        if not said or not self._of_parameters:
            return
        if self.style != "sphinx" and (self._indent is None or indent <= self._indent):
            self._indent = indent
            if match := (_NUMPY if self.style == "numpy" else _GOOGLE).fullmatch(said):
                self.begin(match[1], (match[2] or "") if self.style == "google" else "")
                return
        for name in self._names:
            self._told[name].append(said)


def _lines(text: str) -> Iterator[tuple[str, bool]]:
    """The lines, and whether dashes stand below, which are left out."""
    lines = text.splitlines()
    under = {number for number, line in enumerate(lines) if len(line.strip()) > 2 and set(line.strip()) == {"-"}}
    headers = {number - 1 for number in under if number and _SECTION.fullmatch(lines[number - 1])}
    for number, line in enumerate(lines):
        if number - 1 not in headers:
            yield line, number in headers
