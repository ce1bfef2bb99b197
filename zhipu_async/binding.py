"""An endpoint as a typed method: its signature is the constructor of its request struct, captured, never written twice.

    class Embeddings(Resource):
        create = Unary("POST", "/embeddings", EmbeddingRequest, EmbeddingList)

``Embeddings.create.call(model=...)`` on the class builds an unsent :class:`Call`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Generic, Literal, ParamSpec, Protocol, Self, TypeVar, cast, overload

from msgspec.structs import replace

from .downloads import AnyPath, Binary, Download, writing
from .errors import ConfigError
from .pages import Pages
from .protocol.chunks import StreamKind
from .protocol.endpoint import Call, Endpoint
from .streaming import Stream
from .types.base import Request

P = ParamSpec("P")
S = ParamSpec("S")
E = ParamSpec("E")
T = TypeVar("T")
C = TypeVar("C")
R = TypeVar("R")
Item = TypeVar("Item")
M = TypeVar("M")


class Sender(Protocol):
    """What sends calls: the client, for its resources."""

    def send(self, call: Call[T]) -> Coroutine[Any, Any, T]:
        """The whole answer."""
        ...

    def open(self, call: Call[R], kind: StreamKind[C, R]) -> Coroutine[Any, Any, Stream[C, R]]:
        """The answer as a stream, once its first token has arrived."""
        ...

    def fetch(self, call: Call[Any], consume: Callable[[Download], Awaitable[T]]) -> Coroutine[Any, Any, T]:
        """What ``consume`` makes of the file that answers."""
        ...

    @property
    def raw_sender(self) -> Sender:
        """The same, but every answer comes as status, headers and body bytes."""
        ...


class Bound(Protocol):
    """What a method is bound to."""

    @property
    def _sender(self) -> Sender: ...


class Resource:
    """A group of endpoints, bound to a client."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    @property
    def with_raw_response(self) -> Any:
        """The same resource with methods that give a ``RawResponse``: what no struct has a field for is in its body."""
        return type(self)(self._sender.raw_sender)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(name for name in dir(self) if not name.startswith('_'))}>"


Child = TypeVar("Child", bound=Resource)


class Group(Generic[Child]):
    """A resource inside another, as an attribute."""

    def __init__(self, kind: type[Child]) -> None:
        self.kind = kind

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = getattr(self, "_name", name)  # a second name is an alias

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> type[Child]: ...
    @overload
    def __get__(self, instance: Any, owner: type[Any]) -> Child: ...
    def __get__(self, instance: Any, owner: type[Any]) -> Child | type[Child]:
        if instance is None:
            return self.kind
        children: dict[str, Child] = instance.__dict__
        if self._name not in children:
            children[self._name] = self.kind(instance._sender)
        return children[self._name]


class Method(Generic[P, T, M]):
    """What all kinds of endpoints share: ``Resource.method`` on the class, ``resource.method(...)`` of type ``M``."""

    _name = "create"

    def __init__(self, endpoint: Endpoint[T], request: Callable[P, Request], *wider: Callable[..., Request]) -> None:
        self.endpoint = endpoint
        self.request = request
        """The struct of the arguments."""
        self._wider = wider

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = vars(self).get("_name", f"{owner.__name__}.{name}")  # a second name is an alias

    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call[T]:
        """The call with these arguments, not sent. TypeError for a name that it does not have."""
        try:
            return Call(self.endpoint, self.request(*args, **kwargs))
        except TypeError as error:
            raise TypeError(f"{self._name}(): {error}") from None

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(self, instance: Bound, owner: type[Any]) -> M: ...
    def __get__(self, instance: Bound | None, owner: type[Any]) -> Self | M:
        if instance is None:
            return self
        method = self.bound(instance._sender)  # pyright: ignore[reportPrivateUsage]
        return cast(M, described(method, self._name, self.request, *self._wider))

    def bound(self, sender: Sender) -> Any:
        """The method that sends its calls through ``sender``."""
        raise TypeError(f"{type(self).__name__} is no kind of endpoint")


class Unary(Method[P, T, Callable[P, Coroutine[Any, Any, T]]]):
    """An endpoint that answers a struct with a struct."""

    def __init__(
        self,
        method: str,
        path: str,
        request: Callable[P, Request],
        response: type[T],
        *,
        creates: bool = False,
        form: bool = False,
        failed: Literal["raise", "report"] | None = None,
    ) -> None:
        super().__init__(Endpoint(method, path, response, creates=creates, form=form, failed=failed), request)

    def bound(self, sender: Sender) -> Any:
        def method(*args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
            return sender.send(self.call(*args, **kwargs))

        return method


class Paged(Method[P, T, Callable[P, Pages[T, Item]]], Generic[P, T, Item]):
    """A list that comes in pages: ``await`` gives one page, ``async for`` all their elements."""

    def __init__(
        self, method: str, path: str, request: Callable[P, Request], response: type[T], item: type[Item]
    ) -> None:
        super().__init__(Endpoint(method, path, response), request)

    def bound(self, sender: Sender) -> Any:
        def method(*args: P.args, **kwargs: P.kwargs) -> Pages[T, Item]:
            call = self.call(*args, **kwargs)
            return Pages(lambda request: sender.send(replace(call, arguments=request)), call.arguments)

        return method


class Events(Method[P, T, Callable[P, Coroutine[Any, Any, Stream[C, T]]]], Generic[P, C, T]):
    """An endpoint that always answers with a stream of events."""

    def __init__(
        self, method: str, path: str, request: Callable[P, Request], response: type[T], kind: StreamKind[C, T]
    ) -> None:
        super().__init__(Endpoint(method, path, response, chunk=kind.chunk), request)
        self._kind = kind

    def bound(self, sender: Sender) -> Any:
        def method(*args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, Stream[C, T]]:
            return sender.open(self.call(*args, **kwargs), self._kind)

        return method


class CreateMethod(Protocol[P, T, S, C, E]):
    """A method whose ``stream`` argument decides what comes back: True narrows to a stream, its absence to a struct."""

    @overload
    def __call__(self, *args: S.args, **kwargs: S.kwargs) -> Coroutine[Any, Any, Stream[C, T]]: ...
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]: ...
    @overload
    def __call__(self, *args: E.args, **kwargs: E.kwargs) -> Coroutine[Any, Any, T | Stream[C, T]]: ...


class Streaming(Method[P, T, CreateMethod[P, T, S, C, E]], Generic[P, T, S, C, E]):
    """An endpoint that answers with a struct, or with a stream of events when asked with ``stream=True``."""

    def __init__(
        self,
        method: str,
        path: str,
        request: Callable[P, Request],
        stream_request: Callable[S, Request],
        either_request: Callable[E, Request],
        response: type[T],
        kind: StreamKind[C, T],
        *,
        creates: bool = False,
        form: bool = False,
        failed: Literal["raise", "report"] | None = None,
    ) -> None:
        endpoint = Endpoint(method, path, response, chunk=kind.chunk, creates=creates, form=form, failed=failed)
        super().__init__(endpoint, request, either_request)
        self._kind = kind

    @overload
    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call[T]: ...
    @overload
    def call(self, *args: S.args, **kwargs: S.kwargs) -> Call[T]: ...
    def call(self, *args: Any, **kwargs: Any) -> Call[T]:
        """The call with these arguments, not sent. The three request types differ in the type of ``stream`` only."""
        return super().call(*args, **_checked_stream(kwargs))

    def bound(self, sender: Sender) -> Any:
        make: Callable[..., Call[T]] = self.call

        def method(*args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
            call = make(*args, **kwargs)
            return sender.open(call, self._kind) if call.stream else sender.send(call)

        return method


class DownloadMethod(Generic[P]):
    """A method whose answer is a file: in memory when it is awaited, or as it arrives, or under a path."""

    def __init__(self, sender: Sender, call: Callable[P, Call[Any]]) -> None:
        self._sender = sender
        self._call = call

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, Binary]:
        """The whole file in memory."""
        return self._sender.fetch(self._call(*args, **kwargs), Download.read)

    def open(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, Download]:
        """The file as it arrives: ``async with await method.open(...) as download``, then ``async for block in it``."""
        return self._sender.fetch(self._file(*args, **kwargs), _as_it_comes)

    async def to_file(self, path: AnyPath, /, *args: P.args, **kwargs: P.kwargs) -> Path:
        """Save the file under ``path``, which appears when it is complete. ConfigError, before anything is sent, for a
        path that cannot be written."""
        call = self._file(*args, **kwargs)
        async with writing(path) as file:
            await self._sender.fetch(call, lambda download: download.write_to(file))
        return file.path

    def _file(self, *args: P.args, **kwargs: P.kwargs) -> Call[Any]:
        call = self._call(*args, **kwargs)
        if call.stream or self._sender.raw_sender is self._sender:
            raise ConfigError("stream=True asks for events, and a raw answer comes whole: await the method itself")
        return call


class Downloading(Method[P, Binary, DownloadMethod[P]]):
    """An endpoint that answers with a file."""

    def __init__(
        self,
        method: str,
        path: str,
        request: Callable[P, Request],
        binary: Literal["audio", "file"],
        *,
        form: bool = False,
    ) -> None:
        super().__init__(Endpoint(method, path, Binary, form=form, binary=binary), request)

    def bound(self, sender: Sender) -> Any:
        return DownloadMethod(sender, self.call)


class SpeechMethod(DownloadMethod[P], Generic[P, C, T, S, E]):
    """The same, where ``stream=True`` asks for events in place of a file."""

    def __init__(
        self, sender: Sender, call: Callable[P, Call[Any]], kind: Callable[[str | None], StreamKind[C, T]]
    ) -> None:
        super().__init__(sender, call)
        self._kind = kind

    @overload
    def __call__(self, *args: S.args, **kwargs: S.kwargs) -> Coroutine[Any, Any, Stream[C, T]]: ...
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, Binary]: ...
    @overload
    def __call__(self, *args: E.args, **kwargs: E.kwargs) -> Coroutine[Any, Any, Binary | Stream[C, T]]: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """The whole file in memory, or its stream."""
        make: Any = self._call
        call: Call[Any] = make(*args, **_checked_stream(kwargs))
        if not call.stream:
            return self._sender.fetch(call, Download.read)
        return self._sender.open(call, self._kind(getattr(call.arguments, "encode_format", None)))

    create = __call__


class Speaking(Method[P, Binary, SpeechMethod[P, C, T, S, E]], Generic[P, C, T, S, E]):
    """An endpoint that answers with a file, or with a stream of its pieces; ``kind`` is by the encoding asked for."""

    def __init__(
        self,
        method: str,
        path: str,
        request: Callable[P, Request],
        stream_request: Callable[S, Request],
        either_request: Callable[E, Request],
        binary: Literal["audio", "file"],
        kind: Callable[[str | None], StreamKind[C, T]],
    ) -> None:
        endpoint = Endpoint(method, path, Binary, binary=binary, chunk=kind(None).chunk)
        super().__init__(endpoint, request, either_request)
        self._kind = kind

    def bound(self, sender: Sender) -> Any:
        return SpeechMethod[P, C, T, S, E](sender, self.call, self._kind)


def _checked_stream(arguments: dict[str, Any]) -> dict[str, Any]:
    stream = arguments.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise ConfigError(f"stream must be True or False, not {stream!r}")
    return arguments


async def _as_it_comes(download: Download) -> Download:
    return download


def described(method: Any, name: str, request: Callable[..., Any], *wider: Callable[..., Any]) -> Any:
    """``method`` with the signature and the docstring of its request struct, for ``help`` and the editor."""
    method.__name__, method.__qualname__ = name.rpartition(".")[2], name
    method.__signature__, method.__doc__ = _description(request, *wider)
    return method


@functools.lru_cache(maxsize=None)
def _description(request: Callable[..., Any], *wider: Callable[..., Any]) -> tuple[inspect.Signature, str | None]:
    """Signature and docstring; where ``wider`` annotates a parameter more widely, its annotation is shown."""
    signature = inspect.signature(request)
    annotations = {
        name: item.annotation for other in wider for name, item in inspect.signature(other).parameters.items()
    }
    given = signature.parameters.items()
    parameters = [item.replace(annotation=annotations.get(name, item.annotation)) for name, item in given]
    return signature.replace(parameters=parameters), inspect.getdoc(request)
