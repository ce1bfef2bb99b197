"""Which recorded exchange answers a request where secrets were replaced."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.testing.services import ask, recorder, written
from zhipu_async.testing import Recording, Scrubber
from zhipu_async.testing.matching import alike, essence, unlike

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize(
    ("known", "wanted", "same"),
    [
        ("***", "", True),
        ("***", "any\nthing", True),
        ("a *** b", "a secret b", True),
        ("a *** b", "a *** b", True),
        ("a *** b", "a  b", True),
        ("a *** b", "a b", False),
        ("a *** b", "a secret c", False),
        ("a *** b", "b secret b", False),
        ("***a***b***", "xaxbx", True),
        ("***a***b***", "xbxax", False),
        ("aba***ba", "ababa", True),
        ("aba***ba", "aba", False),  # no letter counts twice
        ("******", "x", True),
        ("a.c***", "abc", False),  # a text, no pattern
        ("secret", "***", False),  # what was recorded counts
        ({"a": [{"b": "x***"}, 1]}, {"a": [{"b": "xyz"}, 1]}, True),
        ({"a": [{"b": "x***"}, 1]}, {"a": [{"b": "xyz"}, 2]}, False),
        ({"a": "***"}, {"a": "x", "b": "y"}, False),
        ({"a": "***", "b": "y"}, {"a": "x"}, False),
        (["***"], ["x", "y"], False),
        (["***", "y"], ["x"], False),
        ("***", 7, False),
        ("***", ["x"], False),
    ],
)
def test_any_text_may_stand_where_a_secret_was_recorded(known: Any, wanted: Any, same: bool) -> None:
    """At any depth `***` stands for a text of any length; all else has to be equal."""
    assert alike(known, wanted) == same


def test_only_what_differs_is_shown() -> None:
    """The diff to the nearest has no lines for secrets, and of a long file only the length and a hash."""

    def of(team: str, word: str, file: str) -> dict[str, Any]:
        form = f'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\n{team}{file}\r\n--b--\r\n'
        return essence("POST", f"/x?team={team}&word={word}", "multipart/form-data; boundary=b", form.encode(), ())

    shown = unlike(of("***", "one", "x" * 5000), of("platform", "two", "x" * 5000))
    assert '-      "one"' in shown
    assert '+      "two"' in shown
    assert "***" not in shown
    assert "xxx" not in shown
    assert shown.count("sha256") <= 1


async def test_a_request_with_a_secret_is_found_again(tmp_path: Path) -> None:
    """The value of a secret header that stands elsewhere, too, is no obstacle to the replay, however long a text is.

    A request that differs in another place is refused.
    """
    team = "X-Team: platform"
    requests: list[tuple[str, str]] = [
        ("/x", "What does the platform team do?"),
        ("/x?q=the-platform", "It is about the platform."),
        ("/platform/x", "platform " * 1000),
    ]
    scrubber = Scrubber(headers=["X-Team"])

    async def use(recording: Recording, path: str, text: str) -> int:
        body = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()
        kind = "Content-Type: application/json"
        return (await ask(recording.base_url, path, body, headers=[kind, team])).status

    async with written(*[[OK]] * 3) as service:
        with recorder(tmp_path / "r.jsonl", service.url, scrubber=scrubber) as recording:
            assert [await use(recording, *one) for one in requests] == [200] * 3
    assert "platform" not in await asyncio.to_thread((tmp_path / "r.jsonl").read_text)
    with Recording(tmp_path / "r.jsonl", scrubber=scrubber) as replay:
        assert [await use(replay, *one) for one in reversed(requests)] == [200] * 3
        assert replay.complaints() == []
        assert await use(replay, *requests[0]) == 404
        assert await use(replay, "/x", "What does the platform crew do?") == 404
    again, other = replay.complaints()
    assert "each of the 1 recordings" in again
    assert "+" in other
