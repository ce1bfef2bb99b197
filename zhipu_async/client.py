"""AsyncZhipuAI: joins protocol and transport; one attribute per resource."""

from __future__ import annotations

import ssl as tls
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload
from urllib.parse import urlsplit

from . import config, resources
from .binding import Downloading, Group
from .config import Auth, KeySource, Limits, RetryPolicy, Timeouts, hidden, hidden_mapping
from .dispatch import Dispatcher, RawResponse, Settings
from .errors import ConfigError
from .protocol import codec
from .protocol.endpoint import HTTPRequest
from .protocol.foreign_marks import check_response_type
from .runs import Runs
from .statistics import ModelStatistics, Snapshot
from .telemetry import Hook, Observer, Telemetry
from .transport.admission import Admission, Concurrency, Lane
from .transport.credentials import Credentials
from .transport.injected import InjectedSession
from .transport.pool import SessionPool
from .transport.target import take_proxy_apart
from .types.files import FetchRequest
from .version import VERSION

if TYPE_CHECKING:
    from aiohttp import BaseConnector, ClientSession

    from .realtime import Realtime
    from .types.agents import AgentResponse
    from .types.base import Standing
    from .types.batches import Batch
    from .types.documents import ParserResult, ParserTask
    from .types.tasks import AsyncResult, AsyncTask

T = TypeVar("T")

_DEFAULT_HEADERS = {"Accept": "application/json", "User-Agent": f"zhipu-async/{VERSION}"}


class AsyncZhipuAI(Runs):
    """The client. Enter it with ``async with``, or call ``close()`` at the end.

    Parameters
    ----------
    api_key
        The key, or an async callable that gives the current one. Default: ``ZHIPU_API_KEY`` or ``ZHIPUAI_API_KEY``
        (open.bigmodel.cn), ``ZAI_API_KEY`` (api.z.ai).
    base_url
        ``"bigmodel"``, ``"zai"``, ``"bigmodel-coding"``, ``"zai-coding"`` or any URL. Default: the platform of the key
        that was found; ``ZHIPU_BASE_URL`` and ``ZAI_BASE_URL`` override it.
    auth
        ``"bearer"`` sends the key; ``"jwt"`` sends short-lived tokens made from it (needs PyJWT's HS256).
    root_url
        What agents, knowledge bases and the quota are below. Default: the ``/api`` of ``base_url``.
    timeout, max_retries
        Seconds or :class:`Timeouts`; repeats after the first attempt. ``retry`` gives the whole :class:`RetryPolicy`.
    limits
        Connections, waiting calls, sizes: :class:`Limits`.
    default_headers, default_query
        Added to every request.
    proxy, trust_env, ssl
        A proxy's URL; whether HTTP(S)_PROXY and NO_PROXY count (they do by default); a TLS context.
    session, connector
        An aiohttp session or connector of your own: used, never closed. It belongs to the loop that it was made on.
        Its TLS settings, headers and cookies are yours too, for every host that is asked: one with ``ssl=False``
        verifies nothing, which no setting, variable or default of this library can bring about.
    hooks
        Callables that get every telemetry event, and observers that follow each call (:mod:`.telemetry`).

    The client may be made outside a loop, used from several loops one after another or at once, and after a fork.
    Raises ConfigError for settings that cannot work, and http for the service's own hosts is one; PlainTextWarning for
    http to any other host of the public network. Neither a repr, an error, a log record nor telemetry shows the key,
    nor do the locals of this library's frames in a traceback.
    """

    account = Group(resources.Account)
    agents = Group(resources.Agents)
    applications = Group(resources.Applications)
    assistant = Group(resources.Assistant)
    audio = Group(resources.Audio)
    batches = Group(resources.Batches)
    chat = Group(resources.Chat)
    embeddings = Group(resources.Embeddings)
    file_parser = Group(resources.FileParser)
    files = Group(resources.Files)
    fine_tuning = Group(resources.FineTuning)
    images = Group(resources.Images)
    knowledge = Group(resources.Knowledge)
    layout_parsing = Group(resources.LayoutParsing)
    models = Group(resources.Models)
    moderations = Group(resources.Moderations)
    ocr = Group(resources.OCR)
    rerank = Group(resources.Rerank)
    tokenizer = Group(resources.Tokenizer)
    tools = Group(resources.Tools)
    videos = Group(resources.Videos)
    voice = Group(resources.Voices)
    web_reader = Group(resources.WebReader)
    web_search = Group(resources.WebSearch)

    download = Downloading("GET", "{url}", FetchRequest, "file")

    def __init__(
        self,
        api_key: KeySource | None = None,
        *,
        base_url: str | None = None,
        root_url: str | None = None,
        auth: Auth = "bearer",
        timeout: float | Timeouts | None = None,
        max_retries: int | None = None,
        retry: RetryPolicy | None = None,
        limits: Limits | None = None,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, str] | None = None,
        proxy: str | None = None,
        trust_env: bool = True,
        ssl: tls.SSLContext | None = None,
        session: ClientSession | None = None,
        connector: BaseConnector | None = None,
        hooks: Iterable[Hook | Observer] = (),
    ) -> None:
        api_key, proxy = hidden(api_key), hidden(proxy)
        default_headers = hidden_mapping("default_headers", default_headers)
        key, url = config.key_and_endpoint(api_key, base_url)
        limits = limits or Limits()
        settings = Settings(
            credentials=Credentials(key, auth),
            base_url=url,
            root_url=config.root_url(url) if root_url is None else config.resolve_base_url(root_url),
            timeouts=timeout if isinstance(timeout, Timeouts) else Timeouts(),
            retry=_retry(retry or RetryPolicy(), max_retries),
            limits=limits,
            timeout=_seconds(timeout),
            headers=codec.merge_headers(_DEFAULT_HEADERS, codec.check_headers(default_headers or {})),
            query=dict(default_query or {}),
        )
        if session is not None:
            if connector is not None or proxy is not None or ssl is not None:
                raise ConfigError("an injected session brings its own connector, proxy and TLS context")
            opener: SessionPool | InjectedSession = InjectedSession(session, limits)
        else:
            _check_tls(ssl)
            opener = SessionPool(limits, ssl=ssl, proxy=_check_proxy(proxy), trust_env=trust_env, connector=connector)
        config.warn_of_plain_text(url, stacklevel=2)
        self._owner = True
        self._gates = {}
        self._begin(settings, opener, Telemetry(hooks), Admission(limits))

    def _begin(
        self, settings: Settings, opener: SessionPool | InjectedSession, telemetry: Telemetry, admission: Admission
    ) -> None:
        self._admission = admission
        self._lane = Lane(admission, settings.account)
        self._sender = Dispatcher(settings, opener, telemetry, self._lane)

    # ------------------------------------------------------------ settings

    @property
    def base_url(self) -> str:
        """The endpoint in force."""
        return self._sender.settings.base_url

    def with_options(
        self,
        *,
        api_key: KeySource | None = None,
        base_url: str | None = None,
        root_url: str | None = None,
        auth: Auth | None = None,
        timeout: float | Timeouts | None = None,
        max_retries: int | None = None,
        retry: RetryPolicy | None = None,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, str] | None = None,
    ) -> Self:
        """A client with other settings that shares connections and statistics; closing it closes nothing."""
        api_key, default_headers = hidden(api_key), hidden_mapping("default_headers", default_headers)
        settings = self._sender.settings
        settings = replace(settings, credentials=settings.credentials.elsewhere(api_key, auth, base_url))
        if base_url is not None:
            url = config.resolve_base_url(base_url)
            config.warn_of_plain_text(url, stacklevel=2)
            settings = replace(settings, base_url=url, root_url=config.root_url(url))
        if root_url is not None:
            settings = replace(settings, root_url=config.resolve_base_url(root_url))
        if timeout is not None:
            timeouts = timeout if isinstance(timeout, Timeouts) else settings.timeouts
            settings = replace(settings, timeouts=timeouts, timeout=_seconds(timeout))
        settings = replace(
            settings,
            retry=_retry(retry or settings.retry, max_retries),
            headers=codec.merge_headers(settings.headers, codec.check_headers(default_headers or {})),
            query={**settings.query, **(default_query or {})},
        )
        other = type(self).__new__(type(self))
        other._owner = False
        other._gates = self._gates
        other._begin(settings, self._sender.opener, self._sender.telemetry, self._admission)
        return other

    @property
    def realtime(self) -> Realtime:
        """Sessions with a speaking model over a WebSocket: ``client.realtime.connect(...)`` (data.md section 13)."""
        from .realtime import Realtime  # its events are many: most programs need none of them

        settings = self._sender.settings
        return Realtime(self._sender.socket, settings.timeouts, settings.timeout)

    # ------------------------------------------------------------ tasks

    @overload
    async def wait(
        self,
        task: AsyncTask,
        *,
        timeout: float | None = None,
        progress: Callable[[AsyncResult], object] | None = None,
    ) -> AsyncResult: ...
    @overload
    async def wait(
        self,
        task: ParserTask,
        *,
        timeout: float | None = None,
        progress: Callable[[ParserResult], object] | None = None,
    ) -> ParserResult: ...
    @overload
    async def wait(
        self,
        task: Batch,
        *,
        timeout: float | None = None,
        progress: Callable[[Batch], object] | None = None,
    ) -> Batch: ...
    @overload
    async def wait(
        self,
        task: AgentResponse,
        *,
        timeout: float | None = None,
        progress: Callable[[AgentResponse], object] | None = None,
    ) -> AgentResponse: ...
    async def wait(
        self, task: Standing, *, timeout: float | None = None, progress: Callable[[Any], object] | None = None
    ) -> Any:
        """The result of a task that another call created, once it is done (async_tasks.md section 3).

        ``timeout`` is in seconds, None waits as long as it takes; ``progress`` is called with every answer on the way.
        A task of which only the id is at hand is made anew: ``VideoTask(id="...")``, ``Batch(id="...")``.

        TaskFailed when the service gave the task up; TaskTimeout when it was not done in time. Neither a time-out, nor
        cancelling, nor an error touches the task: it can be waited for again. Answers that say that the service is busy
        or unreachable are asked over; an unknown id, a refused key and the like end the wait. All waits of a client
        share one bounded rate of questions: :class:`Limits` ``.polls``.
        """
        return await self._poller.wait(task, timeout, progress)

    # ------------------------------------------------------------ calls without an endpoint of their own

    @overload
    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = ...,
        query: Mapping[str, Any] | None = ...,
        headers: Mapping[str, str] | None = ...,
        timeout: float | Timeouts | None = ...,
        repeatable: bool | None = ...,
        response_type: type[T],
    ) -> T: ...
    @overload
    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = ...,
        query: Mapping[str, Any] | None = ...,
        headers: Mapping[str, str] | None = ...,
        timeout: float | Timeouts | None = ...,
        repeatable: bool | None = ...,
        response_type: None = ...,
    ) -> RawResponse: ...
    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | Timeouts | None = None,
        repeatable: bool | None = None,
        response_type: type[Any] | None = None,
    ) -> Any:
        """Call any path of the service, with authentication, retries and errors.

        ``path`` is joined to the base URL, or is a whole URL of the same origin (ConfigError otherwise: the key goes
        nowhere else). ``repeatable``: whether the call creates nothing and may be repeated after a broken connection;
        by default only GET and HEAD. The answer comes as :class:`RawResponse`, or decoded into ``response_type``.
        """
        check_response_type(response_type)
        headers, query = hidden_mapping("headers", headers), hidden_mapping("query", query)
        method = method.upper()
        if not method.isascii() or not method.isalpha():
            raise ConfigError(f"{method!r} is no HTTP method")
        settings = self._sender.settings
        model: object = json.get("model") if isinstance(json, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        request = HTTPRequest(
            endpoint=f"{method} {path.partition('?')[0]}",
            method=method,
            url=self._url(path, {**settings.query, **(query or {})}),
            body=None if json is None else codec.encode_json(json),
            headers=codec.merge_headers(settings.headers, codec.check_headers(headers or {})),
            timeouts=Timeouts.of(
                settings.timeout if timeout is None else timeout, stream=False, default=settings.timeouts
            ),
            model=model if isinstance(model, str) else None,
            creates=method not in ("GET", "HEAD") if repeatable is None else not repeatable,
        )
        answer = await self._sender.raw(request)
        return answer if response_type is None else codec.decode(response_type, answer.body)

    def _url(self, path: str, query: Mapping[str, Any]) -> str:
        base = self.base_url
        if not path.isascii() or not path.isprintable() or " " in path or "#" in path:
            raise ConfigError(f"{path!r} is no path: percent-encode what is not ASCII, blanks and '#'")
        if "://" in path.partition("?")[0]:
            origin = urlsplit(base)
            if not path.startswith(f"{origin.scheme}://{origin.netloc}/"):
                raise ConfigError(f"the key must not go to another origin than {base}")
            return codec.join(path, "", query)
        if any(segment in (".", "..") for segment in path.partition("?")[0].split("/")):
            raise ConfigError(f"{path!r} leaves the base URL")
        return codec.join(base, path, query)

    # ------------------------------------------------------------ what happened

    @property
    def pool(self) -> SessionPool | InjectedSession:
        """The connections; ``client.pool.statistics()`` counts them."""
        return self._sender.opener

    def statistics(self, since: Snapshot | None = None) -> dict[str | None, ModelStatistics]:
        """Calls, errors, tokens and latencies per model since the client was made, or ``since`` an earlier answer of
        ``statistics()``; None holds calls without a model."""
        return self._sender.telemetry.statistics(since)

    def concurrency(self) -> dict[str, Concurrency]:
        """Calls in flight, waiting and allowed, per model, on the running event loop."""
        return self._admission.concurrency(self._sender.settings.account)

    # ------------------------------------------------------------ the end

    async def close(self) -> None:
        """Close the connections. An injected session or connector stays open; so does the pool of ``with_options``."""
        if self._owner:
            await self._sender.opener.close()

    aclose = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        settings = self._sender.settings if hasattr(self, "_sender") else None  # None: they were refused
        return f"<{type(self).__name__} {settings and settings.base_url} auth={settings and settings.credentials.auth}>"


def _retry(policy: RetryPolicy, max_retries: int | None) -> RetryPolicy:
    return policy if max_retries is None else replace(policy, retries=max_retries)


def _seconds(timeout: float | Timeouts | None) -> float | None:
    return None if isinstance(timeout, Timeouts) else config.check_seconds("timeout", timeout)


def _check_tls(context: object) -> None:
    if context is not None and not isinstance(context, tls.SSLContext):
        raise ConfigError("ssl must be an ssl.SSLContext; verification is not switched off by a flag")


def _check_proxy(proxy: str | None) -> str | None:
    if proxy is not None:
        take_proxy_apart(proxy)
    return proxy
