"""A list that comes in pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import Any, Generic, Protocol, TypeVar, cast

from .types.base import Request
from .types.paging import next_page

T_co = TypeVar("T_co", covariant=True)
Page = TypeVar("Page")
Item = TypeVar("Item")


class PageLike(Protocol[T_co]):
    """An answer that is one page of a list."""

    @property
    def items(self) -> list[Any]:
        """Its elements."""
        ...

    def following(self, request: Request) -> Request | None:
        """The request for the page after this one, which answered ``request``; None at the end."""
        ...


class Pages(Coroutine[Any, Any, Page], Generic[Page, Item]):
    """``await`` it for the first page, iterate it with ``async for`` for the elements of all, or use :meth:`pages`.

    Nothing is asked before, and a page is asked for when the one before it has been used up. A coroutine in every
    respect: it fits ``asyncio.create_task`` and ``gather``.
    """

    def __init__(self, ask: Callable[[Request], Coroutine[Any, Any, Page]], request: Request) -> None:
        self._ask = ask
        self._request = request
        self._asking: Coroutine[Any, Any, Page] | None = None

    async def __aiter__(self) -> AsyncIterator[Item]:
        async for page in self.pages():
            for item in cast(PageLike[Item], page).items:
                yield item

    async def pages(self) -> AsyncIterator[Page]:
        """The pages, one after another, to the end or to one that is as the page before it.

        DecodeError where they lead back to a page that was there before.
        """
        request: Request | None = self._request
        used: set[str] = set()
        before: list[Any] = []
        while request is not None:
            page = await self._ask(request)
            if not hasattr(page, "following"):
                raise TypeError("with_raw_response gives one page, as it came: await it")
            items = list(cast(PageLike[Item], page).items)
            if items and items == before:
                return
            yield page
            request, before = next_page(page, request, used), items

    def _coroutine(self) -> Coroutine[Any, Any, Page]:
        if self._asking is None:
            self._asking = self._ask(self._request)
        return self._asking

    def __await__(self) -> Generator[Any, Any, Page]:
        return self._coroutine().__await__()

    def send(self, value: Any) -> Any:
        """As of any coroutine."""
        return self._coroutine().send(value)

    def throw(self, *error: Any) -> Any:
        """As of any coroutine."""
        return self._coroutine().throw(*error)

    def close(self) -> None:
        """As of any coroutine."""
        if self._asking is not None:
            self._asking.close()
