"""Files are written where the caller says and nowhere else, whatever the service and the prompts hold."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cli.invoking import invoke, names
from tests.servers import Conversation, byte_server
from tests.transport.sending import both_transports, client_of
from zhipu_async import AsyncZhipuAI, ConfigError, Journal, ZhipuError
from zhipu_async import downloads as saving
from zhipu_async.cli.media import Order, _path
from zhipu_async.cli.outputs import name_for
from zhipu_async.integrations.folder_journal import FolderJournal
from zhipu_async.simulator import Simulator

ESCAPES = [
    "../evil", "../../evil", "/tmp/evil-of-zhipu", "C:\\evil", "..\\evil", "a/../../evil", "\\\\host\\share\\evil",
    "evil:stream", "CON", "nul.txt", "~/evil", "%2e%2e%2fevil", ".", "..", "", "x" * 5000, "evil. ", "-rf",
]  # fmt: skip


def naming(name: str) -> Any:
    """A server that suggests a name in every way that there is."""

    async def handler(talk: Conversation) -> None:
        while await talk.request():
            quoted = name.replace("\\", "\\\\")
            await talk.answer(
                b"content",
                f"Content-Disposition: attachment; filename=\"{quoted}\"; filename*=UTF-8''{quoted}",
                f"Content-Location: {name or '/'}",
                kind="application/octet-stream",
            )

    return handler


def below(folder: Path) -> list[str]:
    """All that lies in a folder and below."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@both_transports
@pytest.mark.parametrize("name", ESCAPES, ids=lambda name: name[:20])
async def test_names_of_the_service_are_not_used(name: str, transport: str, tmp_path: Path) -> None:
    """A download is saved under the caller's path, and nothing else appears beside, above or elsewhere."""
    (inside := tmp_path / "a" / "b").mkdir(parents=True)
    async with byte_server(naming(name)) as server, client_of(server, transport) as client:
        assert await client.files.content.to_file(inside / "own.bin", "1") == inside / "own.bin"
        await client.download.to_file(inside / "other.bin", f"{server.url}/x/{name.strip('. ')[:9].encode().hex()}")
    assert below(tmp_path) == ["a", "a/b", "a/b/other.bin", "a/b/own.bin"]
    assert not os.path.exists("/tmp/evil-of-zhipu")  # noqa: ASYNC240


@pytest.mark.parametrize("path", ["a\0b", "x" * 300, "no/such/folder/a", "."])
async def test_a_path_that_cannot_be_is_refused_before_anything_is_asked(path: str, tmp_path: Path) -> None:
    """ConfigError; nothing is made."""
    async with byte_server(naming("x")) as server, client_of(server) as client:
        with pytest.raises(ConfigError):
            await client.files.content.to_file(f"{tmp_path}/{path}", "1")
        assert server.requests == []
    assert names(tmp_path) == []


async def test_a_planted_part_file_is_not_written_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should somebody guess the random name of the unfinished file and put a link there, the link's target stays."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    monkeypatch.setattr(saving.secrets, "token_hex", lambda _: "0")
    (tmp_path / ".a.0.part").symlink_to(victim)
    async with byte_server(naming("x")) as server, client_of(server) as client:
        with pytest.raises(ConfigError):
            await client.files.content.to_file(tmp_path / "a", "1")
    assert victim.read_bytes() == b"precious"
    assert names(tmp_path) == [".a.0.part", "victim"]


async def test_files_are_as_private_as_the_process_says(tmp_path: Path) -> None:
    """A new file has the permissions of the umask, while it is written too; it is never wider than that."""
    modes: set[int] = set()

    def look(_: int, __: int | None) -> None:
        modes.update(stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob(".*.part"))

    before = os.umask(0o077)
    try:
        async with byte_server(naming("x")) as server, client_of(server) as client:
            await client.files.content.to_file(tmp_path / "a", "1", progress=look)
        async with Journal(tmp_path / "j.jsonl"):
            pass
    finally:
        os.umask(before)
    assert modes == {0o600}
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "j.jsonl")} == {0o600}


# ---------------------------------------------------------------- the command line


RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.text(max_size=300), st.sampled_from(ESCAPES), st.from_regex(r"[./\\:\0\n -]{0,9}\w{0,90}")))
def test_any_prompt_makes_a_plain_name(prompt: str) -> None:
    """One part, no dots or dashes before it, nothing that Windows reserves or a shell reads, and short enough."""
    name = str(name_for(prompt, ".png"))
    assert not set(name) & set("/\\:*?\"<>|\0\n\r\t ~$`'&;")
    assert name[0] not in ".-"
    assert Path(name).name == name
    assert not RESERVED.fullmatch(name.partition(".")[0])
    assert len(name.encode()) <= 255
    assert name.isprintable()


@pytest.mark.parametrize(
    "url", ["http://h/../../x.png", "http://h/x.png/..", "http://h/x.sh", "http://h/.bashrc", "http://h/x.PNG%00.sh",
            "http://h/x.jpg\\..\\y", "", "data:,x", "http://h/x.webp?y=/../z"]
)  # fmt: skip
def test_an_address_gives_an_ending_of_images_alone(url: str) -> None:
    """A name of ours may take the ending of what was made: one of four, and never another folder or name."""
    order = Order("image", Path("a-cat.png"), False, False, None, False, None)
    path = _path(order, url)
    assert path.parent == Path()
    assert path.stem == "a-cat"
    assert path.suffix in (".png", ".jpg", ".jpeg", ".webp")


async def test_nothing_is_overwritten_without_being_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a file, nor what a link points at, nor a link that leads nowhere; nothing is asked for, no part is left."""
    (tmp_path / "a").write_bytes(b"precious")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    async with Simulator() as sim:
        monkeypatch.setenv("ZHIPU_API_KEY", sim.api_key)
        monkeypatch.setenv("ZHIPU_BASE_URL", sim.base_url)
        for name in ("a", "link", "dangling"):
            for command in (("files", "get", "1"), ("image", "a cat"), ("speak", "Hello")):
                done = await invoke(*command, "--out", tmp_path / name)
                assert (done.code, "--force" in done.errors) == (2, True), done.errors
        assert sim.requests == []
    assert names(tmp_path) == ["a", "dangling", "link"]
    assert (tmp_path / "a").read_bytes() == b"precious"


# ---------------------------------------------------------------- journals and the simulator


async def test_a_folder_of_journals_writes_no_file_but_its_own(tmp_path: Path) -> None:
    """Ids that look like paths are ids; other files, and what links lead to, stay as they are."""
    outside = tmp_path / "outside.jsonl"
    outside.write_bytes(b"precious\n")
    (folder := tmp_path / "journals").mkdir()
    (folder / "other.jsonl").symlink_to(outside)
    async with Simulator() as sim, AsyncZhipuAI(sim.api_key, base_url=sim.base_url) as client:
        journal = FolderJournal(folder)
        await journal.open()
        create = type(client).chat.completions.create
        calls = {
            name: create.call(model="glm-4.6", messages=[{"role": "user", "content": "Hello"}]) for name in ESCAPES[:8]
        }
        async with client.fan_out(list(calls.items()), journal=journal) as run:
            assert {outcome.id async for outcome in run} == set(calls)
        await journal.close()
    assert outside.read_bytes() == b"precious\n"
    assert names(tmp_path) == ["journals", "outside.jsonl"]
    own = [name for name in names(folder) if name != "other.jsonl"]
    assert len(own) == 1
    assert re.fullmatch(r"[0-9a-f]{16}\.jsonl", own[0])


@pytest.mark.parametrize("name", [name for name in ESCAPES if name])
async def test_the_simulator_keeps_uploads_in_its_own_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under numbers, whatever their names are, and an id that looks like a path finds nothing."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with Simulator() as sim, AsyncZhipuAI(sim.api_key, base_url=sim.base_url, max_retries=0) as client:
        await client.files.create(file=(f"{name}.jsonl", b'{"custom_id":"1"}\n'), purpose="batch")
        folder, file = below(tmp_path)
        assert re.fullmatch(r"zhipu-simulator-\w+/\d{6}", file)
        for identity in ("../../etc/passwd", "000001", f"../{folder}/000001"):
            with pytest.raises(ZhipuError):
                await client.files.content(identity)
    assert names(tmp_path) == []
