"""The catalogue against both lists of endpoints: the page's (README.md section 4) and the vendor's document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.arguments import least
from tests.contract import document, page
from tests.openapi import ROWS, Key, Operation, key, operations
from zhipu_async import AsyncZhipuAI
from zhipu_async.catalogue import Row
from zhipu_async.realtime import Realtime


class Listed(NamedTuple):
    """An endpoint of the page's list."""

    verb: str
    """"" where the page names none."""
    path: str
    request: str
    mode: set[str]
    """S plain answer, E events, T task, B binary."""

    def __str__(self) -> str:
        return f"{self.verb} {self.path}"


def lines() -> list[tuple[str, str, str]]:
    """The first three cells of each row of the page's list; [] where the page is not at hand."""
    readme = page("README.md")
    section = readme.read_text(encoding="utf-8").partition("\n## 4. ")[2].partition("\n## ")[0] if readme else ""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return [(first, second, third) for first, second, third, *_ in cells[2:]]


def _of_row(endpoints: str, request: str, mode: str) -> Iterator[Listed]:
    """``POST/GET `/jobs`, GET `/jobs/{id}`, POST `.../cancel``` are four; a verb holds until the next one."""
    verbs, last = [""], ""
    modes = set(re.findall(r"\b[SETB]\b", mode.partition("(")[0]))
    for named, path in re.findall(r"([A-Z/]*)\s*`([^`]+)`", re.sub(r"\(.*?\)", "", endpoints)):
        verbs = named.split("/") if named else verbs
        path = last + path.removeprefix("...") if path.startswith("...") else path
        if path.count("{") > last.count("{") or not last:
            last = path
        for verb in verbs:
            yield Listed(verb, path, request, modes)


LINES = lines()
LIST = [found for cells in LINES for found in _of_row(*cells)]
REALTIME = "/realtime"
EXTRAS = {key("GET", "{url}"): "files of other hosts, at the addresses that answers name"}
"""What the catalogue holds beyond both lists, and why."""

each = pytest.mark.parametrize("endpoint", [found for found in LIST if found.path != REALTIME], ids=str)
operation = pytest.mark.parametrize("operation", operations(), ids=str)


def of(endpoint: Listed) -> list[Row]:
    """The rows of the catalogue that an entry of the list means; one that ends in dots means all that begin so."""
    if endpoint.path.endswith("..."):
        return [row for row in ROWS.values() if row.path.startswith(endpoint.path.removesuffix("..."))]
    verb, path = key(endpoint.verb, endpoint.path)
    return [row for (other, there), row in ROWS.items() if there == path and verb in ("", other)]


@pytest.mark.skipif(not LIST, reason="the contract is not at hand")
def test_the_list_is_read_whole() -> None:
    """All rows of the page's table are read, those with several paths as several endpoints."""
    assert len(LINES) == 40
    assert all(list(_of_row(*cells)) for cells in LINES)
    assert len(LIST) == 48
    assert {str(found) for found in LIST} >= {
        "POST /chat/completions",
        "POST /assistant/conversation/list",
        "POST /fine_tuning/jobs",
        "GET /fine_tuning/jobs",
        "GET /fine_tuning/jobs/{id}",
        "POST /fine_tuning/jobs/{id}/cancel",
        "GET /fine_tuning/jobs/{id}/events",
        "POST /api/v1/agents/conversation",
        " /api/zrag/retrieval/retrieve",
        "GET /api/monitor/usage/quota/limit",
        "WSS /realtime",
    }
    assert next(found for found in LIST if found.path == "/audio/speech").mode == {"B", "E"}


@each
def test_the_page_is_covered(endpoint: Listed) -> None:
    """Each endpoint of the page, the legacy ones too, is in the catalogue with its verb and root."""
    assert of(endpoint)


@pytest.mark.parametrize("endpoint", [found for found in LIST if found.verb not in ("", "WSS")], ids=str)
def test_modes(endpoint: Listed) -> None:
    """What streams has events, what makes a task is never doubled, what is binary comes as a file, and nothing else."""
    modes = endpoint.mode
    for row in of(endpoint):
        described = row.method.endpoint
        assert described.creates or "T" not in modes
        if row.path == "/assistant" or not row.path.startswith("/assistant"):  # one row, of which the first streams
            assert (row.events is not None) == ("E" in modes)
        assert (described.binary is not None) == ("B" in modes)


@each
def test_request_types(endpoint: Listed) -> None:
    """What is sent as a form is a form, what is JSON is none."""
    for row in of(endpoint):
        if endpoint.request in ("JSON", "multipart"):
            assert row.method.endpoint.form == (endpoint.request == "multipart")
        elif endpoint.request in ("-", "query"):
            assert not row.method.endpoint.form
            assert row.verb in ("GET", "DELETE")


@pytest.mark.skipif(not LIST, reason="the contract is not at hand")
def test_realtime_is_beside_the_catalogue() -> None:
    """The WebSocket of the list is ``client.realtime``."""
    assert [found.verb for found in LIST if found.path == REALTIME] == ["WSS"]
    assert isinstance(AsyncZhipuAI(api_key="key").realtime, Realtime)


@pytest.mark.skipif(document() is None, reason="the contract is not at hand")
def test_the_document_has_what_it_is_known_to_have() -> None:
    """The document is read whole: 53 paths, and a verb or more for each."""
    assert len({found.path for found in operations()}) == len((document() or {})["paths"]) == 53
    assert len(operations()) == 59


@operation
def test_the_document_is_covered(operation: Operation) -> None:
    """Each verb of each path of the document is in the catalogue."""
    assert operation.key in ROWS


@operation
def test_urls(operation: Operation) -> None:
    """A call goes to the document's URL: its server, its root and its path, with the caller's values in it."""
    row = ROWS[operation.key]
    server = (document() or {})["servers"][0]["url"].rstrip("/")
    names = re.findall(r"\{(\w+)\}", row.path)
    values = {name: f"v{place}" for place, name in enumerate(names)}
    call = row.method.call(**least(row) | values)
    client = AsyncZhipuAI(api_key="key", base_url="bigmodel")
    url = client._sender.request(call).url.partition("?")[0]
    path = next(path for path, item in (document() or {})["paths"].items() if operation.item in item.values())
    for value in values.values():
        path = re.sub(r"\{\w+\}", value, path, count=1)
    assert url == server + path


@operation
def test_media_types(operation: Operation) -> None:
    """Forms are forms, streams have events, files are files, as the document says."""
    described = ROWS[operation.key].method.endpoint
    assert described.form == (operation.request[0] == "multipart/form-data")
    answers = operation.item["responses"]["200"]["content"]
    if "text/event-stream" in answers and operation.verb != "GET":
        assert described.chunk is not None
    assert (described.binary is not None) == (not {"application/json", "text/event-stream"} & set(answers))


@pytest.mark.skipif(not LIST, reason="the contract is not at hand")
def test_nothing_else_is_in_the_catalogue() -> None:
    """Every row of the catalogue is in one of the lists, or among the extras that have a reason."""
    known: set[Key] = {found.key for found in operations()} | {
        key(row.verb, row.path) for found in LIST for row in of(found)
    }
    assert set(ROWS) - known == set(EXTRAS)


def test_repeats_are_as_the_contract_says() -> None:
    """What is sent with POST creates something, but for what errors.md section 5 calls repeatable and its like."""
    posts = {row.name for row in ROWS.values() if row.verb == "POST"}
    creating = {row.name for row in ROWS.values() if row.method.endpoint.creates}
    assert creating <= posts
    assert posts - creating == REPEATABLE


REPEATABLE = {
    # chat, embeddings, rerank, tokenizer, moderation, search, reader
    "chat.completions.create", "embeddings.create", "rerank.create", "tokenizer.create", "moderations.create",
    "web_search.search", "tools.web_search", "web_reader.read", "knowledge.search", "knowledge.search_multimodal",
    # as chat is: an answer and nothing that stays
    "audio.transcriptions.create", "audio.speech", "audio.customization", "layout_parsing.create", "ocr.handwriting",
    "knowledge.chat",
    # questions that are asked with POST
    "agents.async_result", "agents.conversation", "assistant.list", "assistant.conversations", "applications.slices",
    "applications.file_states", "knowledge.documents.images",
    # done twice is done
    "voice.delete", "batches.cancel", "fine_tuning.jobs.cancel",
}  # fmt: skip
"""POSTs that may be sent again after a lost answer."""
