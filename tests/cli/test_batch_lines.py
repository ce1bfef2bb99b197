"""What is wrong with the lines of a batch, told before they are uploaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from zhipu_async.cli import batch_lines
from zhipu_async.cli.batch_lines import Checked, check_lines
from zhipu_async.errors import ConfigError

from .batch_files import CHAT, EMBEDDINGS, call, without, write

pytestmark = pytest.mark.heavy


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)


def test_lines_in_order() -> None:
    """Lines of one model and endpoint are counted; blank ones, and the kind of line end, do not matter."""
    lines = [json.dumps(call(f"request-{place}")) + "\r" for place in range(3)]
    path = write("in.jsonl", lines[0], "", *lines[1:], " ")
    assert check_lines(path, None) == Checked(3, "glm-4.6", CHAT)
    assert check_lines(path, CHAT) == Checked(3, "glm-4.6", CHAT)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "no JSON: "),
        ("\xff".encode("latin-1"), "no JSON: "),
        ('{"custom_id":"a\xff"}'.encode("latin-1"), "no JSON: "),
        ("[" * 100_000, "no JSON: "),
        ("[]", "no JSON object"),
        ("null", "no JSON object"),
        (without("custom_id"), "custom_id is missing"),
        (call(""), 'custom_id is "", not a text of its own'),
        (call() | {"custom_id": 7}, "custom_id is 7, not a text of its own"),
        (call(), 'custom_id "request-1" is that of line 1 already'),
        (without("method"), 'method is missing: "POST"'),
        (call(method="GET"), 'method is "GET", not POST'),
        (without("url"), "url is missing, like /v4/chat/completions"),
        (call(url=7), "url is 7, not a path"),
        (call(url="/api/paas/v4/chat/completions"), "it begins with /v4/, without host and /api/paas"),
        (call(url="https://open.bigmodel.cn/v4/chat/completions"), "it begins with /v4/"),
        (call(url=EMBEDDINGS), f'url is "{EMBEDDINGS}", that of line 1 is "{CHAT}": a batch has one url'),
        (without("body"), "body is missing"),
        (call(body=[]), "body is [], not an object"),
        (call(body={}), "body.model is missing"),
        (call(body={"model": ""}), 'body.model is "", not a model id'),
        (call(body={"model": "glm-5"}), 'model is "glm-5", that of line 1 is "glm-4.6": a batch has one model'),
    ],
)
def test_faulty_lines(line: Mapping[str, Any] | str | bytes, fault: str) -> None:
    """A fault is told with the number of its line, as a person counts them."""
    path = write("in.jsonl", call(), "", line)
    with pytest.raises(ConfigError) as caught:
        check_lines(path, None)
    first, *told = str(caught.value).splitlines()
    assert first == "'in.jsonl' cannot become a batch:"
    assert all(text.startswith("  line 3: ") for text in told)
    assert any(fault in text for text in told)


def test_all_faults_are_counted_and_the_first_are_told() -> None:
    """Of many faults the first ten are listed."""
    with pytest.raises(ConfigError) as caught:
        check_lines(write("in.jsonl", *["{"] * 25), None)
    told = str(caught.value).splitlines()[1:]
    assert [text.split(":")[0].strip() for text in told[:-1]] == [f"line {place}" for place in range(1, 11)]
    assert told[-1] == "  and 15 more"


def test_a_byte_order_mark() -> None:
    """A file that begins with a byte order mark is told so: the service would not find JSON in its first line."""
    with pytest.raises(ConfigError, match="line 1: the file begins with a byte order mark"):
        check_lines(write("in.jsonl", b"\xef\xbb\xbf" + json.dumps(call()).encode()), None)


def test_a_file_of_blank_lines() -> None:
    """A file without a call is none."""
    with pytest.raises(ConfigError, match="has no line with a call in it"):
        check_lines(write("in.jsonl", "", " "), None)


@pytest.mark.parametrize(("url", "most"), [(CHAT, 50_000), (EMBEDDINGS, 10_000)])
def test_too_many_lines(url: str, most: int) -> None:
    """As many lines as the endpoint takes are in order, and one more is not."""
    body = {"model": "m"}
    lines = [json.dumps(call(str(place), url=url, body=body)) for place in range(most + 1)]
    assert check_lines(write("in.jsonl", *lines[:most]), None).lines == most
    with pytest.raises(ConfigError, match=f"has {most + 1:,} calls; a batch of {url} takes {most:,}"):
        check_lines(write("in.jsonl", *lines), None)


def test_a_file_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file above the limit is refused before it is read."""
    path = write("in.jsonl", "x" * 1000)
    assert batch_lines.MOST_BYTES == 100 * 1024 * 1024
    monkeypatch.setattr(batch_lines, "MOST_BYTES", 1000)
    with pytest.raises(ConfigError, match="is larger than 100 MB: split it"):
        check_lines(path, None)
