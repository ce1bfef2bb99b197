"""An endpoint as a typed method: its signature is the constructor of its request struct, captured, never written twice.

    class Embeddings(Resource):
        create = Unary("POST", "/embeddings", EmbeddingRequest, EmbeddingResponse)

``Embeddings.create.call(model=...)`` on the class builds an unsent :class:`Call`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar, cast, overload

from .errors import ConfigError
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


class Sender(Protocol):
    """What sends calls: the client, for its resources."""

    async def send(self, call: Call[T]) -> T:
        """The whole answer."""
        ...

    async def open(self, call: Call[R], kind: StreamKind[C, R]) -> Stream[C, R]:
        """The answer as a stream, once its first token has arrived."""
        ...

    @property
    def raw_sender(self) -> Sender:
        """The same, but every answer comes as status, headers and body bytes."""
        ...


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
        self._kind = kind

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> type[Child]: ...
    @overload
    def __get__(self, instance: Any, owner: type[Any]) -> Child: ...
    def __get__(self, instance: Any, owner: type[Any]) -> Child | type[Child]:
        if instance is None:
            return self._kind
        child = instance.__dict__[self._name] = self._kind(instance._sender)
        return child


class Unary(Generic[P, T]):
    """An endpoint that answers a struct with a struct."""

    def __init__(
        self, method: str, path: str, request: Callable[P, Request], response: type[T], *, creates: bool = False
    ) -> None:
        self.endpoint = Endpoint(method, path, response, creates=creates)
        self._request = request

    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call[T]:
        """The call with these arguments, not sent."""
        return Call(self.endpoint, self._request(*args, **kwargs))

    @overload
    def __get__(self, instance: None, owner: type[Resource]) -> Self: ...
    @overload
    def __get__(self, instance: Resource, owner: type[Resource]) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, instance: Resource | None, owner: type[Resource]) -> Self | Callable[P, Coroutine[Any, Any, T]]:
        if instance is None:
            return self
        sender = instance._sender  # pyright: ignore[reportPrivateUsage]

        def method(*args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
            return sender.send(self.call(*args, **kwargs))

        return cast(Callable[P, Coroutine[Any, Any, T]], _described(method, self._request))


class CreateMethod(Protocol[P, T, S, C, E]):
    """A method whose ``stream`` argument decides what comes back: True narrows to a stream, its absence to a struct."""

    @overload
    def __call__(self, *args: S.args, **kwargs: S.kwargs) -> Coroutine[Any, Any, Stream[C, T]]: ...
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]: ...
    @overload
    def __call__(self, *args: E.args, **kwargs: E.kwargs) -> Coroutine[Any, Any, T | Stream[C, T]]: ...


class Streaming(Generic[P, T, S, C, E]):
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
    ) -> None:
        self.endpoint = Endpoint(method, path, response, chunk=kind.chunk)
        self._request = request
        self._either_request = either_request
        self._kind = kind

    @overload
    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call[T]: ...
    @overload
    def call(self, *args: S.args, **kwargs: S.kwargs) -> Call[T]: ...
    def call(self, *args: Any, **kwargs: Any) -> Call[T]:
        """The call with these arguments, not sent. The three request types differ in the type of ``stream`` only."""
        stream = kwargs.get("stream")
        if stream is not None and not isinstance(stream, bool):
            raise ConfigError(f"stream must be True or False, not {stream!r}")
        return Call(self.endpoint, cast(Callable[..., Request], self._request)(*args, **kwargs))

    @overload
    def __get__(self, instance: None, owner: type[Resource]) -> Self: ...
    @overload
    def __get__(self, instance: Resource, owner: type[Resource]) -> CreateMethod[P, T, S, C, E]: ...
    def __get__(self, instance: Resource | None, owner: type[Resource]) -> Self | CreateMethod[P, T, S, C, E]:
        if instance is None:
            return self
        sender = instance._sender  # pyright: ignore[reportPrivateUsage]

        def method(*args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
            call = cast(Callable[..., Call[T]], self.call)(*args, **kwargs)
            return sender.open(call, self._kind) if call.stream else sender.send(call)

        return cast(CreateMethod[P, T, S, C, E], _described(method, self._request, self._either_request))


def _described(method: Callable[..., Any], request: Callable[..., Any], *wider: Callable[..., Any]) -> Any:
    """``method`` with the signature and the docstring of its request struct, for ``help`` and the editor."""
    described = cast(Any, method)
    described.__name__ = described.__qualname__ = "create"
    described.__signature__, described.__doc__ = _description(request, *wider)
    return method


@functools.lru_cache(maxsize=None)
def _description(request: Callable[..., Any], *wider: Callable[..., Any]) -> tuple[inspect.Signature, str | None]:
    """Signature and docstring; where ``wider`` annotates a parameter more widely, its annotation is shown."""
    signature = inspect.signature(request)
    annotations = {
        name: item.annotation for other in wider for name, item in inspect.signature(other).parameters.items()
    }
    parameters = [
        item.replace(annotation=annotations.get(name, item.annotation)) for name, item in signature.parameters.items()
    ]
    return signature.replace(parameters=parameters), inspect.getdoc(request)
