"""What stands in pictures and documents: layout parsing and OCR (contract page media.md, section 6)."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from zhipu_async.simulator.chat_request import Text
from zhipu_async.simulator.media_bytes import is_picture, picture_size, png
from zhipu_async.simulator.operation import Asked, Result, Rows, Truth, Turn, of_form, unfit
from zhipu_async.simulator.routes import Endpoint
from zhipu_async.simulator.stage import Stage
from zhipu_async.simulator.text import IMAGE_TOKENS, words
from zhipu_async.simulator.validation import illegal, missing

_MB: Final = 1024 * 1024
_PICTURE_LIMIT: Final = 10 * _MB
_DOCUMENT_LIMIT: Final = 50 * _MB
_PAGES_LIMIT: Final = 100
_PAGE: Final = re.compile(rb"/Type\s*/Page\b(?!s)")
_DOCUMENT_SIGN: Final = b"%PDF"
_TABLE: Final = "| page | words |\n| --- | --- |\n| {page} | {words} |"
_LINE_HEIGHT: Final = 40
_CROP: Final = (320, 180)
_Language = Literal[
    "CHN_ENG", "AUTO", "ENG", "JAP", "KOR", "FRE", "SPA", "POR", "GER", "ITA", "RUS", "DAN", "DUT", "MAL", "SWE", "IND",
    "POL", "ROM", "TUR", "GRE", "HUN", "THA", "VIE", "ARA", "HIN",
]  # fmt: skip


class LayoutRequest(Asked, frozen=True):
    """A document by its address, or with its data in base64."""

    model: Text
    file: Text
    return_crop_images: bool = False
    need_layout_visualization: bool = False
    start_page_id: Annotated[int, Meta(ge=1)] = 1
    end_page_id: Annotated[int, Meta(ge=1)] = _PAGES_LIMIT

    def __post_init__(self) -> None:
        if self.end_page_id < self.start_page_id:
            raise unfit("end_page_id")
        try:
            data = self.data
        except ValueError:
            raise unfit("file") from None
        is_document = data.startswith(_DOCUMENT_SIGN)
        if len(data) > (_DOCUMENT_LIMIT if is_document else _PICTURE_LIMIT) or self.pages > _PAGES_LIMIT:
            raise unfit("file")

    @property
    def data(self) -> bytes:
        """The document itself; empty for one at an address. Raises ValueError for what is no base64."""
        if self.file.startswith(("http://", "https://")):
            return b""
        head, comma, data = self.file.partition(",")
        return b64decode(data if comma else head, validate=True)

    @property
    def pages(self) -> int:
        """How many pages it has: a picture has one."""
        return max(1, len(_PAGE.findall(self.data))) if self.file else 1


class OcrRequest(Asked, frozen=True):
    """The texts of a form with a picture of handwriting."""

    tool_type: Literal["hand_write"]
    language_type: _Language = "CHN_ENG"
    probability: Truth = "false"


def parse(asked: LayoutRequest, turn: Turn) -> Result:
    """The document as Markdown, and where on its pages each part of it stands."""
    data, pages = asked.data, asked.pages
    width, height = picture_size(data)
    source = asked.file.rsplit("/", 1)[-1] if not data else f"a document of {len(data)} bytes"
    chosen = range(asked.start_page_id, min(asked.end_page_id, pages) + 1)
    details = [_page(page, source, asked, turn, (width, height)) for page in chosen]
    markdown = "\n\n".join(str(part["content"]) for page in details for part in page)
    prompt, completion = IMAGE_TOKENS * len(chosen), len(words(markdown))
    answer: dict[str, Any] = {
        **turn.head,
        "model": asked.model,
        "md_results": markdown,
        "layout_details": details,
        "data_info": {"num_pages": pages, "pages": [{"width": width, "height": height} for _ in range(pages)]},
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }
    if asked.need_layout_visualization:
        pictures = [turn.publish(png(f"{source} {page}", width, height), "image/png", "page.png") for page in chosen]
        answer["layout_visualization"] = pictures
    return answer


def _page(page: int, source: str, asked: LayoutRequest, turn: Turn, size: tuple[int, int]) -> list[dict[str, Any]]:
    """The parts of a page, one of each kind from the top to the bottom."""
    crop = f"crop of page {page}"
    if asked.return_crop_images:
        crop = turn.publish(png(f"{source} {page}", *_CROP), "image/png", "crop.png")
    contents = {
        "text": f"# Page {page} of {source}",
        "formula": "$$E = mc^2$$",
        "table": _TABLE.format(page=page, words=len(words(source))),
        "image": f"![{crop}]({crop})",
    }
    return [
        {
            "index": index,
            "label": label,
            "bbox_2d": [0.1, index / 5, 0.9, index / 5 + 0.125],
            "content": content,
            "height": size[1],
            "width": size[0],
        }
        for index, (label, content) in enumerate(contents.items(), 1)
    ]


def recognise(asked: OcrRequest, turn: Turn) -> Result:
    """The words of a picture, line by line. What is no picture fails under HTTP 200."""
    upload = turn.request.upload("file")
    if upload is None:
        return missing("file")
    if not upload.size:
        return illegal("file")
    answer: dict[str, Any] = {"task_id": turn.id}
    data = upload.read()
    if not is_picture(data):
        message = "The file is not a picture that can be read"
        return {**answer, "message": message, "status": "failed", "words_result_num": 0, "words_result": []}
    width, height = picture_size(data)
    lines = (f"A picture of {width} x {height} pixels", f"{len(data)} bytes", upload.filename)
    results = [
        {
            "location": {"left": 0, "top": _LINE_HEIGHT * line, "width": width, "height": _LINE_HEIGHT},
            "words": text,
        }
        | ({"probability": {"average": 0.97, "variance": 0.001, "min": 0.91}} if asked.probability == "true" else {})
        for line, text in enumerate(lines)
    ]
    found = {"words_result_num": len(results), "words_result": results}
    return {**answer, "message": "success", "status": "succeeded", **found}


def endpoints(stage: Stage) -> tuple[Endpoint, ...]:
    """The rows of layout parsing and OCR."""
    rows = Rows(stage)
    return (
        rows.row("POST", "/layout_parsing", LayoutRequest, parse, models=("glm-ocr",)),
        rows.row("POST", "/files/ocr", OcrRequest, recognise, arguments=of_form),
    )
