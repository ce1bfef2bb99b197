"""The picture: in each format, with axes that have units, and a way out where it cannot be drawn."""

from __future__ import annotations

import importlib
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from zhipu_async import ConfigError
from zhipu_async.benchmarking import Closed, Open, plot

from .test_comparison import report

drawn = pytest.mark.skipif(
    find_spec("matplotlib") is None and os.environ.get("REQUIRE_EXTRAS") != "1", reason="needs matplotlib"
)


@drawn
@pytest.mark.heavy
@pytest.mark.parametrize(("form", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".PDF", b"%PDF")])
def test_formats(form: str, magic: bytes) -> None:
    """A picture is a file of its format, of some substance."""
    picture = plot.draw(report(1), form)
    assert picture.startswith(magic)
    assert len(picture) > 10_000


@drawn
@pytest.mark.heavy
def test_a_picture_says_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Axes have units, lines have names, loads are on the axis, and failures are told."""
    import matplotlib as mpl

    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "none")  # texts, not outlines
    both = report(1, failed=20, loads=(Closed(1), Closed(8), Closed(32)))
    seen = texts(plot.draw(both, ".svg"))
    assert {"glm-4.6", "Throughput", "output tokens per second", "Time to first token", "seconds"} <= seen
    assert {"milliseconds", "requests at the same time", "p50", "p90", "p99", "1", "8", "32", "20% failed"} <= seen
    both.loads += report(2, model="glm-5", loads=(Closed(1), Closed(8), Closed(32))).loads
    both.loads[-1].cut_short = True
    seen = texts(plot.draw(both, ".svg"))
    assert {"glm-4.6", "glm-5", "glm-4.6, glm-5"} <= seen
    assert any("CUT SHORT" in text for text in seen)
    assert "requests per second" in texts(plot.draw(report(1, loads=(Open(2.0),)), ".svg"))


def texts(picture: bytes) -> set[str]:
    """The texts of an SVG."""
    return set(re.findall(r"<text[^>]*>([^<]*)</text>", picture.decode()))


@drawn
@pytest.mark.heavy
def test_loads_without_an_answer_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where everything failed no panel has a scale, but says so; a report without loads is refused."""
    monkeypatch.setitem(importlib.import_module("matplotlib").rcParams, "svg.fonttype", "none")  # texts, not outlines
    found = re.findall(r"<text[^>]*>([^<]*)</text>", plot.draw(report(1, failed=100), ".svg").decode())
    assert found.count("no answers") == 4
    assert not {"0.0", "0.2", "1.0"} & set(found)
    assert "no answers" not in texts(plot.draw(report(1, failed=99), ".svg"))
    with pytest.raises(ConfigError, match="nothing was measured"):
        plot.draw(report(1, loads=()))


def test_without_matplotlib_there_is_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where matplotlib is missing, the error names the extra that brings it."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigError, match=r"zhipu-async\[plot\]"):
        plot.check(Path("a.png"))


@pytest.mark.parametrize("name", ["a.gif", "a", "png"])
def test_other_formats_are_refused(name: str) -> None:
    """A name that is none of a picture is refused, with those that are."""
    with pytest.raises(ConfigError, match=r"\.png, \.svg, \.pdf"):
        plot.check(Path(name))
