"""A loopback server between a client and the service: it records what passes, or replays what was recorded."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import ExitStack
from operator import eq
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, get_args
from urllib.parse import urlsplit

import msgspec.json
from aiohttp import web

from zhipu_async.config import KEY_VARIABLES, key_and_endpoint
from zhipu_async.errors import ConfigError
from zhipu_async.simulator.wire import CLOSED
from zhipu_async.testing.exchange import Exchange, header, read_exchanges, read_header
from zhipu_async.testing.forwarding import Unreachable, forward
from zhipu_async.testing.matching import alike, essence, nearest, unlike
from zhipu_async.testing.playing import Left, Playback, play
from zhipu_async.testing.scrubbing import Scrubber, Secrets
from zhipu_async.testing.serving import LoopbackServer
from zhipu_async.testing.thread import LoopThread

Mode = Literal["none", "once", "new_episodes", "all"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)
PLACEHOLDER_KEY: Final = "00000000000000000000000000000000.0000000000000000"
"""A key for replays: it is of the right form, and nothing is asked with it."""
IGNORED: Final = ("request_id", "user_id")
_BASE_PATH: Final = "/api/paas/v4"


class Recording:
    """A file of exchanges with the service, and a server that a client asks in the service's place.

    Modes are those of vcrpy: `none` only replays; `once` records where there is no file yet, and replays otherwise;
    `new_episodes` replays what is there and records the rest; `all` asks the service for everything, and then replaces
    the file. `upstream` is the base URL of the service and `api_key` its key, by default those of the environment; both
    are needed for recording alone. `speed` scales the pauses of replays: 0 has none, 1.0 those that there were. Fields
    and query parameters in `ignored` do not count when a request is looked for.

    A request is answered by the first exchange with the same method, path, query and body that was not replayed yet;
    where `***` was recorded, any text may stand. A file is recorded by one process at a time.
    One that has none is refused, and `verify()` tells how the nearest differs. WebSockets are refused; what a client
    fetches from other addresses than the base URL's, such as made images, is not seen. An exchange is in memory.
    ConfigError for a file that is no recording, and where nothing can be recorded since key or address are missing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        mode: Mode = "none",
        upstream: str | None = None,
        api_key: str | None = None,
        speed: float = 0.0,
        scrubber: Scrubber | None = None,
        ignored: Collection[str] = IGNORED,
        thread: LoopThread | None = None,
    ) -> None:
        if mode not in MODES:
            raise ConfigError(f"unknown mode {mode!r}: use one of {', '.join(MODES)}")
        if not speed >= 0:
            raise ConfigError(f"speed must be 0 (no pauses) or more, not {speed!r}")
        self.path = Path(path)
        self.mode = mode
        self.exchanges: list[Exchange] = []
        """All that can be replayed, and what was recorded."""
        self._exists = self.path.exists() and mode != "all"
        self.records = mode in ("all", "new_episodes") or (mode == "once" and not self._exists)
        """Whether requests may reach the service."""
        self._speed = speed
        self._ignored = ignored
        self._played: set[int] = set()
        self._complaints: list[str] = []
        self._begun = 0
        self._shared = thread
        self._thread = thread
        self._stack = ExitStack()
        self._port = 0
        self._server = LoopbackServer(self._answer)
        self.api_key, base_url = _service(api_key, upstream) if self.records else (PLACEHOLDER_KEY, "")
        """The key that a client is given: the real one where something may be recorded."""
        known = [self.api_key] if self.records else []
        known += [key for name in KEY_VARIABLES if (key := os.environ.get(name, "").strip())]
        self._secrets = Secrets(scrubber, known)
        parts = urlsplit(base_url)
        self._service, self._base_path = f"{parts.scheme}://{parts.netloc}", parts.path or _BASE_PATH
        if self._exists:
            base_path = read_header(self.path)["base_path"]
            if not alike(base_path, self._base_path):  # else it is the same, with what was scrubbed
                self._base_path = base_path
            self.exchanges = read_exchanges(self.path)
        self._essences = [self._essence(exchange) for exchange in self.exchanges]

    # ------------------------------------------------------------ open and close

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._thread = self._shared or stack.enter_context(LoopThread())
            self._port = self._thread.run(self._server.open())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._stack:
            if self._thread is not None:
                self._thread.run(self._server.close())
            self._finish()

    @property
    def base_url(self) -> str:
        """The address that a client is given in the place of the service's."""
        return f"http://127.0.0.1:{self._port}{self._base_path}"

    # ------------------------------------------------------------ what happened

    @property
    def unplayed(self) -> list[Exchange]:
        """The exchanges that nobody asked for."""
        return [exchange for place, exchange in enumerate(self.exchanges) if place not in self._played]

    def complaints(self) -> list[str]:
        """What `verify` fails for: requests that are not in the file, and exchanges that could not be recorded."""
        return [*self._complaints]

    def verify(self) -> None:
        """AssertionError where a request could not be answered from the file, or recorded."""
        __tracebackhide__ = True
        if self._complaints:
            raise AssertionError("\n".join(self._complaints))

    def report(self) -> str:
        """What a failed test should tell: the complaints, and how much of the file was replayed."""
        return "\n".join([*self._complaints, f"{self!r}, {len(self._played)} of them asked for"])

    def __repr__(self) -> str:
        return f"<Recording {self.path} mode={self.mode}, {len(self.exchanges)} exchanges>"

    # ------------------------------------------------------------ a request

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
                request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return await self._find_or_forward(request, await request.read())
        except Left:
            return CLOSED
        except Exception as error:
            self._complaints.append(f"{request.method} {request.path}: {error!r}")
            raise

    async def _find_or_forward(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        if request.headers.get("Upgrade"):
            return await self._refuse(request, 501, "WebSocket sessions are not recorded: use glm_simulator for them")
        wanted = essence(
            request.method,
            self._secrets.target(request.raw_path),
            request.headers.get("Content-Type", ""),
            self._secrets.body(body),
            self._ignored,
        )
        if (place := self._find(wanted)) is not None:
            self._played.add(place)
            return await play(self.exchanges[place], request, self._speed)
        if not self.records:
            return await self._refuse(request, 404, self._missing(wanted))
        try:
            return await forward(self._server.session, self._service, request, body, self._note)
        except Unreachable as error:
            return await self._refuse(request, 502, f"{self._service} cannot be reached, nothing is recorded: {error}")

    def _find(self, wanted: dict[str, Any]) -> int | None:
        left = [place for place in range(len(self._essences)) if place not in self._played]
        return next((place for same in (eq, alike) for place in left if same(self._essences[place], wanted)), None)

    async def _refuse(self, request: web.BaseRequest, status: int, text: str) -> web.StreamResponse:
        self._complaints.append(text)
        body = msgspec.json.encode({"error": {"code": "unrecorded", "message": text}})
        playback = Playback(request)
        headers = (("Content-Type", "application/json"), ("Content-Length", str(len(body))))
        await playback.head(status, "", headers)
        await playback.piece(body)
        return await playback.end("complete")

    def _missing(self, wanted: dict[str, Any]) -> str:
        asked = f"{wanted['method']} {wanted['path']}"
        way_out = "record it with pytest --glm-record=new_episodes"
        if not self._exists:
            return f"{asked}: there is no recording {self.path}; {way_out}"
        same = sum(alike(known, wanted) for known in self._essences)
        if same:
            return f"{asked}: each of the {same} recordings in {self.path} was replayed already; {way_out}"
        if not self._essences:
            return f"{asked}: {self.path} is empty; {way_out}"
        place = nearest(wanted, self._essences)
        head = f"{asked}: not in {self.path}; the nearest is exchange {place + 1} (- recorded, + asked):"
        return f"{head}\n{unlike(self._essences[place], wanted)}\n{way_out}"

    def _essence(self, exchange: Exchange) -> dict[str, Any]:
        content_type = next((value for name, value in exchange.headers if name.lower() == "content-type"), "")
        return essence(exchange.method, exchange.target, content_type, exchange.body, self._ignored)

    # ------------------------------------------------------------ the file

    @property
    def _unfinished(self) -> Path:
        """Where a new file is written until it is complete: a recording that broke off replaces none."""
        return self.path if self._exists else self._part

    @property
    def _part(self) -> Path:
        return self.path.with_name(f"{self.path.name}.{os.getpid()}.part")

    def _header(self) -> bytes:
        return header(self._secrets.target(self._service), self._secrets.target(self._base_path))

    def _note(self, exchange: Exchange) -> None:
        """Write an exchange at once: it may have been paid for."""
        try:
            exchange = self._secrets.of(exchange)
            if not self._exists and not self._begun:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._unfinished.write_bytes(self._header())
            with self._unfinished.open("ab") as file:
                file.write(exchange.lines())
        except (OSError, ValueError) as error:
            self._complaints.append(f"{exchange.method} {exchange.target.partition('?')[0]} is not recorded: {error}")
            return
        self._begun += 1
        self.exchanges.append(exchange)
        self._essences.append(self._essence(exchange))
        self._played.add(len(self.exchanges) - 1)

    def _finish(self) -> None:
        """Search what was written before a secret was met once more, and put a new file in its place."""
        if not self._begun:
            return
        self.exchanges = [self._secrets.of(exchange) for exchange in self.exchanges]
        lines = b"".join(exchange.lines() for exchange in self.exchanges)
        head = self.path.read_bytes().partition(b"\n")[0] + b"\n" if self._exists else self._header()
        self._part.write_bytes(head + lines)
        self._part.replace(self.path)
        self._exists = True


def _service(api_key: str | None, upstream: str | None) -> tuple[str, str]:
    key, base_url = key_and_endpoint(api_key, upstream)
    if not isinstance(key, str):
        raise ConfigError("a recording is made with a key that is a text")
    return key, base_url
