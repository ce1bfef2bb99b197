"""Docstrings of three styles, and of none."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhipu_async.protocol.docstrings import read_docstring

from .feeding import examples

DOCSTRINGS: dict[str, tuple[str, str, dict[str, str]]] = {
    "none": ("", "", {}),
    "one line": ("Say hello.", "Say hello.", {}),
    "prose": (
        "Say hello.\n\nReturns\nand notes: there are none.\n  Args: neither",
        "Say hello.\n\nReturns\nand notes: there are none.\n  Args: neither",
        {},
    ),
    "Google's": (
        """Look up.

        More words.

        Args:
            city (str): the city,
                in any language
            days (dict[str, int], optional): days to come
            **more: the rest
            unit:
                of temperature

        Returns:
            str: not told

        Raises:
            ValueError: neither
        """,
        "Look up.\n\nMore words.",
        {
            "city": "the city, in any language",
            "days": "days to come",
            "more": "the rest",
            "unit": "of temperature",
        },
    ),
    "Google's, with other names and blank lines": (
        "Look up.\n\nArguments:\n  city: where: there\n\n  days: how many\n  and a line without a colon\n",
        "Look up.",
        {"city": "where: there", "days": "how many and a line without a colon"},
    ),
    "Google's, with words after the section": (
        "Look up.\n\nArgs:\n  city: where\n\nMore words.\n\nExample:\n  city: this is none",
        "Look up.\n\nMore words.",
        {"city": "where"},
    ),
    "two sections of parameters": (
        "Args:\n  a: first\nKeyword Args:\n  b: second",
        "",
        {"a": "first", "b": "second"},
    ),
    "Sphinx's": (
        """Look up.

        :param city: the city,
            in any language
        :param int days: days to come
        :type city: str
        :returns: not told
            at all
        :raises ValueError: neither
        :keyword unit: of temperature
        """,
        "Look up.",
        {"city": "the city, in any language", "days": "days to come", "unit": "of temperature"},
    ),
    "numpy's": (
        """Look up.

        Parameters
        ----------
        city : str
            The city,
            in any language.

        x, y : float, optional
            Coordinates.
        unit
            Of temperature.

        Returns
        -------
        str
            Not told.

        Notes
        -----
        Neither.
        """,
        "Look up.",
        {
            "city": "The city, in any language.",
            "x": "Coordinates.",
            "y": "Coordinates.",
            "unit": "Of temperature.",
        },
    ),
    "a rule that is none of numpy's": ("Title\n-----\nArgs\n\nWords.", "Title\n-----\nArgs\n\nWords.", {}),
}


@pytest.mark.parametrize(("text", "about", "told"), DOCSTRINGS.values(), ids=DOCSTRINGS)
def test_docstring(text: str, about: str, told: dict[str, str]) -> None:
    """The description without its sections, and what the sections say of parameters."""
    assert read_docstring(inspect.cleandoc(text)) == (about, told)


_LINES = st.sampled_from(
    [
        "",
        "Args:",
        "Parameters",
        "----------",
        "Returns:",
        "Returns",
        ":param a: x",
        ":returns: y",
        "a: x",
        "a : int",
        "  b",
        "    c (int): z",
        "        more",
        ":",
        "-",
        "---",
        "\t",
        "**a, *b : int",
        ":param:",
        "Args :",
    ]
)


@examples(300)
@given(st.lists(_LINES, max_size=12))
def test_any_lines(lines: list[str]) -> None:
    """Whatever the lines are, they are read: names are identifiers, and every word told was in the text."""
    about, told = read_docstring("\n".join(lines))
    words = set(" ".join(lines).split())
    assert set(about.split()) <= words
    assert set(" ".join(told.values()).split()) <= words
    assert all(name.isidentifier() for name in told)
