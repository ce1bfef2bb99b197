"""Web search, the page reader, and the search tool that came before them (data.md sections 5 and 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from .base import Request, Response
from .chat import SensitiveWordCheck
from .messages import Message

# ---------------------------------------------------------------- search


class WebSearchRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """Search the web: ``POST /web_search``."""

    search_query: str
    """At most 70 characters."""
    search_engine: str
    """``search_std``, ``search_pro``, ``search_pro_sogou``, ``search_pro_quark``; ``search-prime`` on Z.ai."""
    search_intent: bool | None = None
    """Whether to find out first if a search is wanted; open.bigmodel.cn lists it as required: send it there."""
    count: int | None = None
    """1 to 50 results, 10 by the service's default; 10, 20, 30, 40 or 50 for ``search_pro_sogou``."""
    search_domain_filter: str | None = None
    """The one domain to search in."""
    search_recency_filter: Literal["oneDay", "oneWeek", "oneMonth", "oneYear", "noLimit"] | None = None
    content_size: Literal["medium", "high"] | None = None
    """How much of each page to return."""
    request_id: str | None = None
    """6 to 64 characters, unique per call."""
    user_id: str | None = None
    """6 to 128 characters."""
    include_image: bool | None = None
    """Known to the official SDK, without a documented effect, as the two below."""
    location: str | None = None
    sensitive_word_check: SensitiveWordCheck | Mapping[str, Any] | None = None


class SearchIntent(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """What the service made of the query; ``intent`` is SEARCH_ALL, SEARCH_NONE or SEARCH_ALWAYS."""

    index: int | None = None
    """The round of the search; with the older tool only."""
    query: str | None = None
    intent: str | None = None
    keywords: str | None = None


class SearchResult(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A page that was found. Any text may be empty."""

    index: int | None = None
    """The round of the search; with the older tool only."""
    title: str | None = None
    content: str | None = None
    link: str | None = None
    media: str | None = None
    """Name of the site."""
    icon: str | None = None
    refer: str | None = None
    """How texts refer to it, like ``ref_1``."""
    publish_date: str | None = None
    images: list[str] | None = None


class SearchRecommend(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A further query that the service suggests."""

    index: int | None = None
    """The round of the search."""
    query: str | None = None


class WebSearchResponse(Response, kw_only=True, omit_defaults=True, dict=True):
    """The pages in ``search_result``, the best first."""

    id: str | None = None
    request_id: str | None = None
    created: int | None = None
    """Unix seconds."""
    search_intent: list[SearchIntent] = []
    search_result: list[SearchResult] = []


# ---------------------------------------------------------------- reader


class ReaderRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """Read a web page as text: ``POST /reader``.

    ``timeout`` is the service's own limit here; how long the call may take is set by ``with_options(timeout=...)``.
    """

    url: str
    timeout: int | None = None
    """Seconds that the service may take for the page, 20 by its default; it goes into the body."""
    no_cache: bool | None = None
    return_format: Literal["markdown", "text"] | None = None
    """``markdown`` by the service's default."""
    retain_images: bool | None = None
    """True by the service's default."""
    no_gfm: bool | None = None
    """True: no GitHub flavour in the markdown."""
    keep_img_data_url: bool | None = None
    with_images_summary: bool | None = None
    with_links_summary: bool | None = None
    request_id: str | None = None
    user_id: str | None = None


class ReaderResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A page that was read."""

    content: str | None = None
    description: str | None = None
    title: str | None = None
    url: str | None = None
    external: dict[str, Any] | None = None
    """What the page loads, for example style sheets by address."""
    metadata: dict[str, Any] | None = None
    """What the page says of itself: keywords, viewport, description, ..."""
    images: dict[str, Any] | None = None
    """With ``with_images_summary``."""
    links: dict[str, Any] | None = None
    """With ``with_links_summary``."""
    published_time: str | None = msgspec.field(name="publishedTime", default=None)


class ReaderResponse(Response, kw_only=True, omit_defaults=True, dict=True):
    """The page in ``reader_result``."""

    id: str | None = None
    request_id: str | None = None
    created: int | None = None
    """Unix seconds."""
    model: str | None = None
    reader_result: ReaderResult | None = None

    @property
    def text(self) -> str:
        """The page's content, "" when there is none."""
        return (self.reader_result.content if self.reader_result else None) or ""


# ---------------------------------------------------------------- the older search tool


class SearchToolParameters(Request, kw_only=True, frozen=True, omit_defaults=True):
    """Search the web for what a conversation needs: ``POST /tools``, which :class:`WebSearchRequest` replaced."""

    model: str
    """``web-search-pro``."""
    messages: Sequence[Message | Mapping[str, Any]]
    scope: str | None = None
    location: str | None = None
    recent_days: int | None = None
    """1 to 30: no older pages."""
    request_id: str | None = None


class SearchToolRequest(SearchToolParameters, kw_only=True, frozen=True, omit_defaults=True):
    __doc__ = SearchToolParameters.__doc__

    stream: Literal[False] | None = None


class SearchToolStreamRequest(SearchToolParameters, kw_only=True, frozen=True, omit_defaults=True):
    __doc__ = SearchToolParameters.__doc__

    stream: Literal[True]


class SearchToolEitherRequest(SearchToolParameters, kw_only=True, frozen=True, omit_defaults=True):
    __doc__ = SearchToolParameters.__doc__

    stream: bool | None


class SearchCall(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A step of the search; ``type`` (search_intent, search_result, search_recommend) names the list that it holds."""

    id: str | None = None
    type: str | None = None
    index: int | None = None
    search_intent: list[SearchIntent] | None = None
    search_result: list[SearchResult] | None = None
    search_recommend: list[SearchRecommend] | None = None


class SearchMessage(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """The steps of the search, in an answer or in a chunk of one."""

    role: str | None = None
    tool_calls: list[SearchCall] | None = None


class SearchChoice(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The one answer of a search."""

    index: int = 0
    finish_reason: str | None = None
    message: SearchMessage = msgspec.field(default_factory=SearchMessage)


class SearchToolResponse(Response, kw_only=True, omit_defaults=True, dict=True):
    """The steps of the search in ``choices``; the properties gather what they found."""

    id: str | None = None
    request_id: str | None = None
    created: int | None = None
    """Unix seconds."""
    model: str | None = None
    choices: list[SearchChoice] = []

    @property
    def _calls(self) -> list[SearchCall]:
        return [call for choice in self.choices for call in choice.message.tool_calls or []]

    @property
    def search_intent(self) -> list[SearchIntent]:
        """What the service made of the conversation, over all steps."""
        return [found for call in self._calls for found in call.search_intent or []]

    @property
    def search_result(self) -> list[SearchResult]:
        """The pages that were found, over all steps."""
        return [found for call in self._calls for found in call.search_result or []]

    @property
    def search_recommend(self) -> list[SearchRecommend]:
        """The further queries that are suggested, over all steps."""
        return [found for call in self._calls for found in call.search_recommend or []]


class SearchChunkChoice(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One choice of a chunk."""

    index: int = 0
    delta: SearchMessage = msgspec.field(default_factory=SearchMessage)
    finish_reason: str | None = None


class SearchToolChunk(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One event of a search that is streamed."""

    id: str | None = None
    created: int | None = None
    """Unix seconds."""
    choices: list[SearchChunkChoice] = []
