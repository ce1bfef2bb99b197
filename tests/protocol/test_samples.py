"""The wire samples of streaming.md: the same chunks and the same result however the bytes are cut."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .expected import SAMPLES, Expected, sample
from .feeding import Reading, at_every_split, by_byte, contract, examples, read, splits

CRLF = {"LF": b"\n", "CRLF": b"\r\n", "CR": b"\r"}


def check(pieces: bytes | Iterable[bytes], expected: Expected) -> None:
    """Reading gives what is expected."""
    assert read(pieces) == Reading(
        expected.whole_chunks, expected.result, expected.failure is None, expected.failure, 0, None
    )


@pytest.mark.parametrize("name", SAMPLES)
def test_whole(name: str) -> None:
    """A sample fed whole gives its chunks and its result."""
    check(sample(name), SAMPLES[name])


@pytest.mark.parametrize("name", SAMPLES)
def test_byte_by_byte(name: str) -> None:
    """A sample fed byte by byte gives its chunks and its result."""
    check(by_byte(sample(name)), SAMPLES[name])


@pytest.mark.parametrize("name", SAMPLES)
def test_at_every_split(name: str) -> None:
    """A sample in two pieces, cut anywhere, gives its chunks and its result."""
    for pieces in at_every_split(sample(name)):
        check(pieces, SAMPLES[name])


@pytest.mark.parametrize("name", SAMPLES)
@examples(60)
@given(st.data())
def test_at_random_splits(name: str, data: st.DataObject) -> None:
    """A sample in any pieces gives its chunks and its result."""
    check(data.draw(splits(sample(name))), SAMPLES[name])


@pytest.mark.parametrize("end", CRLF.values(), ids=CRLF)
@pytest.mark.parametrize("name", ["S1", "S7_interleaved"])
def test_any_line_ends(name: str, end: bytes) -> None:
    """A sample with other line ends, a byte order mark and comments gives the same, whole and cut."""
    stream = b"\xef\xbb\xbf: hello\n\n" + sample(name).replace(b"\n\ndata", b"\n\n: ping\n\nid: 1\ndata")
    stream = stream.replace(b"\n", end)
    check(stream, SAMPLES[name])
    check(by_byte(stream), SAMPLES[name])
    for pieces in at_every_split(stream):
        check(pieces, SAMPLES[name])


@pytest.mark.parametrize("name", SAMPLES)
def test_cut_off_anywhere(name: str) -> None:
    """A sample that ends early gives its whole frames; it is complete when a finish reason came and nothing is torn."""
    stream, expected = sample(name), SAMPLES[name]
    ends = [match.end() for match in re.finditer(rb"^data: .*$", stream, re.MULTILINE)]
    finished = [bool(chunk.get("finish_reason")) for chunk in expected.chunks]
    for length in range(len(stream)):
        frames = sum(end <= length for end in ends)
        torn = stream[ends[frames - 1] if frames else 0 : length].strip(b"\n")
        reading = read(stream[:length])
        assert reading.chunks == expected.whole_chunks[:frames]
        assert reading.complete == (not torn and any(finished[:frames]))
        assert (reading.failure or "").startswith("" if reading.complete else "StreamTruncated: ")


def test_samples_are_those_of_the_contract() -> None:
    """The samples kept here are, byte for byte, those that streaming.md shows."""
    page = contract("streaming.md").read_text(encoding="utf-8")
    shown = {block.encode() for block in re.findall(r"^```\w*\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)}
    kept = [*(name for name in SAMPLES if len(name) == 2), "error_event", "error_frame", "gateway_frame", "glued"]
    assert [name for name in kept if sample(name) not in shown] == []
    assert len(re.findall(r"^S\d\. ", page, re.MULTILINE)) == len({name[:2] for name in SAMPLES})
