"""Knowledge bases and their documents, kept as long as the simulator runs (contract page data.md, section 10)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import asdict

from zhipu_async.simulator.chat_request import Text
from zhipu_async.simulator.data import page
from zhipu_async.simulator.library import EMBEDDED, EMBEDDING, USUAL_SIZE, Base, Document, Library, text_of, unfit
from zhipu_async.simulator.media_bytes import png
from zhipu_async.simulator.operation import (
    API_ROOTS,
    Digits,
    Nothing,
    Result,
    Rows,
    Truth,
    Turn,
    in_integer_envelope,
    of_form,
    of_optional_body,
    of_query,
)
from zhipu_async.simulator.routes import Endpoint
from zhipu_async.simulator.stage import Stage
from zhipu_async.simulator.storage import absent
from zhipu_async.simulator.validation import illegal, missing

_ROOT: Final = "/llm-application/open"
_CAPACITY: Final = {"word_num": 10_000_000, "length": 100_000_000}
_PICTURE: Final = (320, 180)

EmbeddingId: TypeAlias = Literal[3, 11, 12]
EmbeddingModel: TypeAlias = Literal["Embedding-2", "Embedding-3", "Embedding-3-pro"]
Background: TypeAlias = Literal["blue", "red", "orange", "purple", "sky", "green", "yellow"]
Icon: TypeAlias = Literal["question", "book", "seal", "wrench", "tag", "horn", "house"]
Size: TypeAlias = Annotated[int, Meta(ge=20, le=2000)]


class CreateRequest(Struct, frozen=True):
    """A new knowledge base."""

    embedding_id: EmbeddingId
    name: Text
    embedding_model: EmbeddingModel = "Embedding-3"
    contextual: Literal[0, 1] = 0
    description: str = ""
    background: Background = "blue"
    icon: Icon = "question"


class EditRequest(Struct, frozen=True):
    """What changes in a knowledge base."""

    embedding_id: EmbeddingId | UnsetType = UNSET
    embedding_model: EmbeddingModel | UnsetType = UNSET
    contextual: Literal[0, 1] | UnsetType = UNSET
    name: Text | UnsetType = UNSET
    description: str | UnsetType = UNSET
    background: Background | UnsetType = UNSET
    icon: Icon | UnsetType = UNSET
    callback_url: str | UnsetType = UNSET
    callback_header: dict[str, str] | UnsetType = UNSET


class PageQuery(Struct, frozen=True):
    """A page of a list."""

    page: Digits = "1"
    size: Digits = "10"

    def cut(self, items: Sequence[Any]) -> Mapping[str, Any]:
        """The elements of this page."""
        start = (max(int(self.page), 1) - 1) * int(self.size)
        return {"list": items[start : start + int(self.size)], "total": len(items)}


class DocumentsQuery(PageQuery, frozen=True, kw_only=True):
    """A page of the documents of a base, or of those with a word in their names."""

    knowledge_id: str
    word: str = ""


class UploadRequest(Struct, frozen=True):
    """The texts of a form with documents."""

    knowledge_type: Literal["1", "2", "3", "5", "6", "7"] | UnsetType = UNSET
    custom_separator: str | list[str] = "\n"
    sentence_size: Digits = str(USUAL_SIZE)
    parse_image: Truth = "false"
    callback_url: str = ""
    callback_header: str = ""
    word_num_limit: Digits | UnsetType = UNSET
    req_id: str = ""


class Address(Struct, frozen=True):
    """A page of the web that becomes a document."""

    url: Text
    knowledge_type: Literal[1, 2, 3, 5, 6, 7]
    custom_separator: tuple[str, ...] = ("\n",)
    sentence_size: Size = USUAL_SIZE


class AddressRequest(Struct, frozen=True):
    """Pages of the web that become documents."""

    knowledge_id: Text
    upload_detail: Annotated[list[Address], Meta(min_length=1)]


class EmbedRequest(Struct, frozen=True):
    """Whom to tell when a document has been embedded again."""

    callback_url: str = ""
    callback_header: dict[str, str] = {}


def succeeded(turn: Turn, data: Any = UNSET) -> Mapping[str, Any]:
    """The envelope of a success; its time is in milliseconds."""
    envelope = {"code": 200, "message": "请求成功", "timestamp": int(turn.stage.clock() * 1000)}
    return envelope if data is UNSET else {"data": data, **envelope}


class Knowledge:
    """What is done with bases and documents."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def create(self, asked: CreateRequest, turn: Turn) -> Result:
        """A new base."""
        said = asdict(asked)
        del said["embedding_model"]
        base = Base(id=turn.id, **said)
        self._library.bases[base.id] = base
        return succeeded(turn, {"id": base.id})

    def edit(self, asked: EditRequest, turn: Turn) -> Result:
        """Change what was said about a base."""
        base = self._library.bases.get(turn.field("id"))
        if base is None:
            return absent("knowledge base", turn.field("id"))
        for name in Base.__slots__:
            if (value := getattr(asked, name, UNSET)) is not UNSET:
                setattr(base, name, value)
        return succeeded(turn)

    def detail(self, asked: Nothing, turn: Turn) -> Result:
        """A base with the number and length of its documents."""
        base = self._library.bases.get(turn.field("id"))
        return absent("knowledge base", turn.field("id")) if base is None else succeeded(turn, self._described(base))

    def _described(self, base: Base) -> Mapping[str, Any]:
        documents = self._library.of(base.id)
        return {
            **{name: getattr(base, name) for name in Base.__slots__},
            "document_size": len(documents),
            "length": sum(document.tokens for document in documents),
            "word_num": sum(len(document.text) for document in documents),
        }

    def list(self, asked: PageQuery, turn: Turn) -> Result:
        """A page of the bases, the newest first."""
        return succeeded(turn, asked.cut([self._described(base) for base in reversed(self._library.bases.values())]))

    def delete(self, asked: Nothing, turn: Turn) -> Result:
        """Forget a base and its documents."""
        gone = self._library.remove_base(turn.field("id"))
        return succeeded(turn) if gone else absent("knowledge base", turn.field("id"))

    def capacity(self, asked: Nothing, turn: Turn) -> Result:
        """What is used of what the account may have."""
        documents = self._library.documents.values()
        used = {
            "word_num": sum(len(document.text) for document in documents),
            "length": sum(document.tokens for document in documents),
        }
        return succeeded(turn, {"used": used, "total": _CAPACITY})

    def upload(self, asked: UploadRequest, turn: Turn) -> Result:
        """Files that become documents; some of them may fail."""
        base = turn.field("id")
        if base not in self._library.bases:
            return absent("knowledge base", base)
        files = [upload for upload in turn.request.uploads if upload.name in ("files", "files[]")]
        if not files:
            return missing("files")
        if not 20 <= int(asked.sentence_size) <= 2000:
            return illegal("sentence_size")
        separators = [asked.custom_separator] if isinstance(asked.custom_separator, str) else asked.custom_separator
        kind = None if asked.knowledge_type is UNSET else int(asked.knowledge_type)
        done: list[Mapping[str, str]] = []
        failed: list[Mapping[str, str]] = []
        for file in files:
            content = file.read()
            text = text_of(file.filename, content)
            reason = unfit(file.filename, content, kind)
            if asked.word_num_limit is not UNSET and len(text) > int(asked.word_num_limit):
                reason = reason or f"The file has more than {asked.word_num_limit} characters"
            if reason:
                failed.append({"fileName": file.filename, "failReason": reason})
                continue
            url = turn.publish(content, file.content_type or "application/octet-stream", file.filename)
            pictures = asked.parse_image == "true"
            document = self._add(
                turn, base, file.filename, url, text, kind, separators, int(asked.sentence_size), pictures
            )
            done.append({"documentId": document.id, "fileName": file.filename})
        return succeeded(turn, {"successInfos": done, "failedInfos": failed})

    def upload_addresses(self, asked: AddressRequest, turn: Turn) -> Result:
        """Pages of the web that become documents; what is no address fails."""
        if asked.knowledge_id not in self._library.bases:
            return absent("knowledge base", asked.knowledge_id)
        done: list[Mapping[str, str]] = []
        failed: list[Mapping[str, str]] = []
        for one in asked.upload_detail:
            if not one.url.startswith(("http://", "https://")):
                failed.append({"url": one.url, "failReason": "This is no address of the web"})
                continue
            title, text = page(one.url)
            document = self._add(
                turn,
                asked.knowledge_id,
                title,
                one.url,
                text,
                one.knowledge_type,
                one.custom_separator,
                one.sentence_size,
            )
            done.append({"documentId": document.id, "url": one.url})
        return succeeded(turn, {"successInfos": done, "failedInfos": failed})

    def _add(self, turn: Turn, *said: Any) -> Document:
        document = Document(turn.stage.stamps.next().id, *said)
        self._library.documents[document.id] = document
        return document

    def documents(self, asked: DocumentsQuery, turn: Turn) -> Result:
        """A page of documents, the newest first."""
        if asked.knowledge_id not in self._library.bases:
            return absent("knowledge base", asked.knowledge_id)
        found = [each for each in reversed(self._library.of(asked.knowledge_id)) if asked.word in each.name]
        return succeeded(turn, asked.cut([_document(each) for each in found]))

    def document(self, asked: Nothing, turn: Turn) -> Result:
        """A document: the first look after it came, or was embedded again, finds it being embedded."""

        def look(document: Document) -> Any:
            shown = _document(document)
            document.looks_left = max(0, document.looks_left - 1)
            return shown

        return self._at(turn, look)

    def delete_document(self, asked: Nothing, turn: Turn) -> Result:
        """Forget a document."""

        def delete(document: Document) -> Any:
            del self._library.documents[document.id]
            return UNSET

        return self._at(turn, delete)

    def embed_again(self, asked: EmbedRequest, turn: Turn) -> Result:
        """Embed a document again: the next look finds it at that."""

        def begin(document: Document) -> Any:
            document.looks_left = 1
            return UNSET

        return self._at(turn, begin)

    def pictures(self, asked: Nothing, turn: Turn) -> Result:
        """The pictures of a document that was uploaded with `parse_image`: one for each slice."""

        def published(document: Document) -> Any:
            slices = document.slices if document.has_pictures else ()
            pictures = [
                {
                    "text": f"【示意图序号_{number}】",
                    "cos_url": turn.publish(png(text, *_PICTURE), "image/png", "picture.png"),
                }
                for number, text in enumerate(slices, 1)
            ]
            return {"images": pictures}

        return self._at(turn, published)

    def _at(self, turn: Turn, respond: Callable[[Document], Any]) -> Result:
        document = self._library.documents.get(turn.field("id"))
        return absent("document", turn.field("id")) if document is None else succeeded(turn, respond(document))


def _document(document: Document) -> Mapping[str, Any]:
    return {
        "id": document.id,
        "knowledge_type": document.kind or 1,
        "custom_separator": [*document.separators],
        "sentence_size": document.size,
        "length": document.tokens,
        "word_num": len(document.text),
        "name": document.name,
        "url": document.url,
        "embedding_stat": EMBEDDING if document.looks_left else EMBEDDED,
        "failInfo": {"embedding_code": 0, "embedding_msg": ""},
    }


def endpoints(stage: Stage, library: Library) -> tuple[Endpoint, ...]:
    """The rows of bases and documents."""
    kept, rows = Knowledge(library), Rows(stage, API_ROOTS, in_integer_envelope)
    bases, documents = f"{_ROOT}/knowledge", f"{_ROOT}/document"
    return (
        rows.row("POST", bases, CreateRequest, kept.create),
        rows.row("GET", bases, PageQuery, kept.list, arguments=of_query),
        rows.row("GET", f"{bases}/capacity", Nothing, kept.capacity, arguments=of_query),
        rows.row("GET", f"{bases}/{{id}}", Nothing, kept.detail, arguments=of_query),
        rows.row("PUT", f"{bases}/{{id}}", EditRequest, kept.edit),
        rows.row("DELETE", f"{bases}/{{id}}", Nothing, kept.delete, arguments=of_query),
        rows.row("POST", f"{documents}/upload_document/{{id}}", UploadRequest, kept.upload, arguments=of_form),
        rows.row("POST", f"{documents}/upload_url", AddressRequest, kept.upload_addresses),
        rows.row("GET", documents, DocumentsQuery, kept.documents, arguments=of_query),
        rows.row("POST", f"{documents}/slice/image_list/{{id}}", Nothing, kept.pictures, arguments=of_query),
        rows.row("POST", f"{documents}/embedding/{{id}}", EmbedRequest, kept.embed_again, arguments=of_optional_body),
        rows.row("GET", f"{documents}/{{id}}", Nothing, kept.document, arguments=of_query),
        rows.row("DELETE", f"{documents}/{{id}}", Nothing, kept.delete_document, arguments=of_query),
    )
