"""Documents to text: layout parsing, handwriting (media.md section 6) and the file parser (data.md section 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from .base import Request, Response, State, Transfer
from .chat import Usage
from .tasks import state_of
from .uploads import FileInput

_STATES: Mapping[str, State] = {"succeeded": "done", "failed": "failed"}


class DocumentWork(Response, kw_only=True, omit_defaults=True, dict=True):
    """How the reading of a document stands. Failed work is an answer too: look at :attr:`state`."""

    task_id: str | None = None
    status: str | None = None
    """processing, succeeded, failed, or what is new."""
    success: bool | None = None
    """Only where the service refused the work: false, as a rule without a status (errors.md section 2)."""
    message: str | None = None

    @property
    def state(self) -> State:
        """Running, done or failed; text or an address without a status is done."""
        if self.success is False:
            return "failed"
        return state_of(self.status, _STATES, results=self._has_results)

    @property
    def failure(self) -> tuple[str | None, str]:
        """No code, and what the service said of work that failed."""
        return None, (self.message or "") if self.state == "failed" else ""

    @property
    def _has_results(self) -> bool:
        return False


# ---------------------------------------------------------------- layout parsing


class LayoutParsingRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """Read a document as Markdown, with the place of each of its parts."""

    model: str
    """``glm-ocr``."""
    file: str
    """Address or base64 of a pdf (at most 50 MB; 100 pages, on Z.ai 30) or of a jpg or png (at most 10 MB)."""
    return_crop_images: bool | None = None
    need_layout_visualization: bool | None = None
    """True: also pictures of the pages with the parts drawn in."""
    start_page_id: int | None = None
    """The first page to read, from 1; pdf only."""
    end_page_id: int | None = None
    """The last page to read; pdf only."""
    request_id: str | None = None
    """6 to 64 characters, unique per call."""
    user_id: str | None = None
    """6 to 128 characters: the end user, for abuse control."""


class LayoutDetail(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A part of a page."""

    index: int | None = None
    label: str | None = None
    """image, text, formula, table, or what is new."""
    bbox_2d: list[float] | None = None
    """Left, top, right and bottom as parts of the page's size, 0 to 1."""
    content: str | None = None
    height: int | None = None
    width: int | None = None


class PageInfo(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The size of a page."""

    width: int | None = None
    height: int | None = None


class DataInfo(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The pages of a document."""

    num_pages: int | None = None
    pages: list[PageInfo] | None = None


class LayoutParsing(Response, kw_only=True, omit_defaults=True, dict=True):
    """A document that was read: Markdown in ``md_results``, parts by page in ``layout_details``."""

    id: str | None = None
    request_id: str | None = None
    created: int | None = None
    """Unix seconds."""
    model: str | None = None
    md_results: str | None = None
    layout_details: list[list[LayoutDetail]] | None = None
    """One list for each page."""
    layout_visualization: list[str] | None = None
    """Addresses of pictures."""
    data_info: DataInfo | None = None
    usage: Usage | None = None

    @property
    def text(self) -> str:
        """The document as Markdown, "" when nothing was read."""
        return self.md_results or ""


# ---------------------------------------------------------------- handwriting


class HandwritingRequest(Transfer, kw_only=True, frozen=True, omit_defaults=True):
    """Read handwriting in a picture."""

    file: FileInput
    tool_type: str
    """``hand_write``."""
    language_type: str | None = None
    """``CHN_ENG`` (the service's default), ``AUTO``, ``ENG``, ``JAP``, ``KOR``, ``FRE``, ... (media.md section 6)."""
    probability: bool | None = None
    """True: also how sure the reading is."""


class WordsLocation(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Where words stand in the picture, in pixels."""

    left: int | None = None
    top: int | None = None
    width: int | None = None
    height: int | None = None


class WordsProbability(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How sure the reading of words is, 0 to 1."""

    average: float | None = None
    variance: float | None = None
    min: float | None = None


class Words(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A line or block that was read."""

    location: WordsLocation | None = None
    words: str | None = None
    probability: WordsProbability | None = None


class Handwriting(DocumentWork, kw_only=True, omit_defaults=True, dict=True):
    """What was read. A reading that failed is an answer too: look at :attr:`state`."""

    words_result_num: int | None = None
    """The number of lines or blocks."""
    words_result: list[Words] | None = None

    @property
    def _has_results(self) -> bool:
        return bool(self.words_result)

    @property
    def text(self) -> str:
        """The lines that were read, "" when there are none."""
        return "\n".join(found.words for found in self.words_result or () if found.words)


# ---------------------------------------------------------------- file parser


class ParserParameters(Transfer, kw_only=True, frozen=True, omit_defaults=True):
    """What the file parser is given (data.md section 8)."""

    file: FileInput
    tool_type: str
    """``lite``, ``expert`` (pdf only) or ``prime`` for a task, ``prime-sync`` for an answer at once."""
    file_type: str | None = None
    """In capitals: ``PDF``, ``DOCX``, ``PNG``, ..."""


class ParserCreateRequest(ParserParameters, kw_only=True, frozen=True, omit_defaults=True):
    """Read a document as a task that is fetched later.

    Limits: lite 50 MB; expert 100 MB; prime 100 MB for pdf, doc and ppt, 10 MB for xls and csv, 20 MB for pictures.
    """


class ParserSyncRequest(ParserParameters, kw_only=True, frozen=True, omit_defaults=True):
    """Read a document at once."""


class ParserTask(Response, kw_only=True, omit_defaults=True, dict=True):
    """A document that the parser has taken up. Fetch the result by ``task_id``."""

    task_id: str | None = None
    success: bool | None = None
    message: str | None = None

    @property
    def state(self) -> State:
        """Running, or failed when the parser did not take the document."""
        return "failed" if self.success is False else "running"

    @property
    def failure(self) -> tuple[str | None, str]:
        """No code, and what the service said when it did not take the document."""
        return None, (self.message or "") if self.state == "failed" else ""


class ParserResultRequest(Request, frozen=True, omit_defaults=True):
    """Look how a document's task stands and take the result."""

    task_id: str
    format_type: Literal["text", "download_link"]
    """The text itself, or an address to fetch it from, valid for 24 hours."""


class ParserResult(DocumentWork, kw_only=True, omit_defaults=True, dict=True):
    """How a document's task stands and, once it is done, its text or an address to fetch it from."""

    content: str | None = None
    """Only with ``format_type`` text."""
    parsing_result_url: str | None = None
    """Only with ``format_type`` download_link; valid for 24 hours."""

    @property
    def _has_results(self) -> bool:
        return bool(self.content or self.parsing_result_url)

    @property
    def text(self) -> str:
        """The document's text, "" when there is none."""
        return self.content or ""

    @property
    def url(self) -> str | None:
        """Where the result is to be fetched."""
        return self.parsing_result_url
