"""The names, parameters and positions that users of the official SDKs know."""

from __future__ import annotations

import inspect
from functools import reduce
from typing import Any

import pytest

from zhipu_async import AsyncZhipuAI
from zhipu_async.binding import Method
from zhipu_async.catalogue import rows

CHAT = (
    "model messages request_id user_id do_sample temperature top_p max_tokens seed stop sensitive_word_check tools "
    "tool_choice meta extra response_format thinking watermark_enabled"
)
PARSING = "file file_type tool_type"

OFFICIAL: dict[str, tuple[str, str]] = {
    # the SDKs' name: (our first name, the parameters that the SDKs have)
    "chat.completions.create": ("chat.completions.create", f"{CHAT} stream tool_stream"),
    "chat.asyncCompletions.create": ("chat.async_completions.create", CHAT),
    "chat.asyncCompletions.retrieve_completion_result": ("chat.async_completions.retrieve", "id"),
    "images.generations": (
        "images.generate",
        "prompt model n quality response_format size style sensitive_word_check user request_id user_id "
        "watermark_enabled",
    ),
    "images.async_generations": (
        "images.generate_async", "prompt model quality size request_id user_id watermark_enabled",
    ),
    "images.retrieve_images_result": ("chat.async_completions.retrieve", "id"),
    "videos.generations": (
        "videos.generate",
        "model prompt image_url quality with_audio size duration fps style aspect_ratio off_peak movement_amplitude "
        "sensitive_word_check request_id user_id watermark_enabled",
    ),
    "videos.retrieve_videos_result": ("chat.async_completions.retrieve", "id"),
    "audio.speech": (
        "audio.speech",
        "model input voice response_format watermark_enabled sensitive_word_check request_id user_id encode_format "
        "speed volume stream",
    ),
    "audio.customization": (
        "audio.customization",
        "model input voice_text voice_data response_format sensitive_word_check request_id user_id watermark_enabled",
    ),
    "audio.transcriptions.create": (
        "audio.transcriptions.create",
        "file model file_base64 prompt hotwords request_id user_id stream temperature sensitive_word_check",
    ),
    "voice.clone": ("voice.clone", "voice_name text input file_id request_id model"),
    "voice.list": ("voice.list", "voice_type voice_name request_id"),
    "voice.delete": ("voice.delete", "voice request_id"),
    "files.create": ("files.create", "file purpose knowledge_id sentence_size"),
    "files.list": ("files.list", "purpose limit after order"),
    "files.delete": ("files.delete", "file_id"),
    "files.content": ("files.content", "file_id"),
    "file_parser.create": ("file_parser.create", PARSING),
    "file_parser.content": ("file_parser.result", "task_id format_type"),
    "file_parser.create_sync": ("file_parser.create_sync", PARSING),
    "batches.create": (
        "batches.create", "completion_window endpoint input_file_id metadata auto_delete_input_file",
    ),
    "batches.retrieve": ("batches.retrieve", "batch_id"),
    "batches.list": ("batches.list", "after limit"),
    "batches.cancel": ("batches.cancel", "batch_id"),
    "agents.invoke": (
        "agents.invoke", "agent_id request_id stream messages user_id custom_variables sensitive_word_check",
    ),
    "agents.async_result": ("agents.async_result", "agent_id async_id conversation_id custom_variables"),
    "assistant.conversation": (
        "assistant.conversation",
        "assistant_id messages model stream conversation_id attachments metadata request_id user_id",
    ),
    "assistant.query_support": ("assistant.list", "assistant_id_list request_id user_id"),
    "assistant.query_conversation_usage": (
        "assistant.conversations", "assistant_id page page_size request_id user_id",
    ),
    "web_search.web_search": (
        "web_search.search",
        "request_id search_engine search_query user_id sensitive_word_check count search_domain_filter "
        "search_recency_filter content_size search_intent include_image location",
    ),
    "web_reader.web_reader": (
        "web_reader.read",
        "url request_id user_id no_cache return_format retain_images no_gfm keep_img_data_url with_images_summary "
        "with_links_summary",
    ),
    "tools.web_search": ("tools.web_search", "model request_id stream messages scope location recent_days"),
    "ocr.handwriting_ocr": ("ocr.handwriting", "file tool_type language_type probability"),
    "layout_parsing.create": (
        "layout_parsing.create",
        "model file return_crop_images need_layout_visualization start_page_id end_page_id request_id user_id",
    ),
    "moderations.create": ("moderations.create", "model input"),
    "embeddings.create": (
        "embeddings.create", "input model dimensions encoding_format user request_id sensitive_word_check",
    ),
    "fine_tuning.jobs.create": (
        "fine_tuning.jobs.create", "model training_file hyperparameters suffix request_id validation_file",
    ),
    "fine_tuning.jobs.retrieve": ("fine_tuning.jobs.retrieve", "fine_tuning_job_id"),
    "fine_tuning.jobs.list": ("fine_tuning.jobs.list", "after limit"),
    "fine_tuning.jobs.cancel": ("fine_tuning.jobs.cancel", "fine_tuning_job_id"),
    "fine_tuning.jobs.list_events": ("fine_tuning.jobs.events", "fine_tuning_job_id after limit"),
    "knowledge.create": ("knowledge.create", "embedding_id name description background icon"),
    "knowledge.modify": ("knowledge.edit", "knowledge_id embedding_id name description background icon"),
    "knowledge.query": ("knowledge.list", "page size"),
    "knowledge.delete": ("knowledge.delete", "knowledge_id"),
    "knowledge.used": ("knowledge.capacity", ""),
    "knowledge.document.create": ("knowledge.documents.upload", "knowledge_id custom_separator sentence_size"),
    "knowledge.document.list": ("knowledge.documents.list", "knowledge_id page"),
    "knowledge.document.retrieve": ("knowledge.documents.get", "document_id"),
    "knowledge.document.delete": ("knowledge.documents.delete", "document_id"),
}  # fmt: skip
"""Left out: what belongs to paths that the contract does not have (``fine_tuning.jobs.delete``,
``fine_tuning.models.delete``, ``knowledge.document.edit``, the knowledge base as it was below ``paas/v4`` with its
``customer_identifier``, ``bucket_id``, ``upload_detail`` and ``purpose``), and the SDKs' own switches
(``disable_strict_validation``, ``timeout_override``)."""

OWN = {
    "files.upload", "images.retrieve", "videos.retrieve", "knowledge.documents.create", "knowledge.documents.retrieve",
    "chat.async_completions.retrieve_completion_result", "chat.asyncCompletions.retrieve",
    *(f"knowledge.document.{name}" for name in ("upload", "upload_urls", "get", "images", "embed")),
}  # fmt: skip
"""Second names that come of a second name of a group, or that speak for themselves."""

POSITIONAL: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("chat.asyncCompletions.retrieve_completion_result", ("t",), {"id": "t"}),
    ("images.retrieve_images_result", ("t",), {"id": "t"}),
    ("videos.retrieve_videos_result", ("t",), {"id": "t"}),
    ("files.delete", ("f",), {"file_id": "f"}),
    ("files.content", ("f",), {"file_id": "f"}),
    ("file_parser.content", ("t", "text"), {"task_id": "t", "format_type": "text"}),
    ("batches.retrieve", ("b",), {"batch_id": "b"}),
    ("batches.cancel", ("b",), {"batch_id": "b"}),
    ("agents.async_result", ("a", "x"), {"agent_id": "a", "async_id": "x"}),
    ("assistant.query_conversation_usage", ("a", 2, 5), {"assistant_id": "a", "page": 2, "page_size": 5}),
    ("fine_tuning.jobs.retrieve", ("j",), {"fine_tuning_job_id": "j"}),
    ("fine_tuning.jobs.cancel", ("j",), {"fine_tuning_job_id": "j"}),
    ("fine_tuning.jobs.list_events", ("j",), {"fine_tuning_job_id": "j"}),
    ("knowledge.create", (3, "n"), {"embedding_id": 3, "name": "n"}),
    ("knowledge.modify", ("k", 11), {"knowledge_id": "k", "embedding_id": 11}),
    ("knowledge.delete", ("k",), {"knowledge_id": "k"}),
    ("knowledge.document.list", ("k",), {"knowledge_id": "k"}),
    ("knowledge.document.retrieve", ("d",), {"document_id": "d"}),
    ("knowledge.document.delete", ("d",), {"document_id": "d"}),
]


def found(name: str, where: Any = AsyncZhipuAI) -> Any:
    """What stands under a dotted name, on the class or on a client."""
    return reduce(getattr, name.split("."), where)


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_names(name: str) -> None:
    """A name of the official SDKs is a method of the client; on the class it is the same object as our first name."""
    first, _ = OFFICIAL[name]
    assert isinstance(found(name), Method)
    assert found(name) is found(first)
    assert callable(found(name, AsyncZhipuAI(api_key="key")))
    assert first in {row.name for row in rows()}


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_parameters(name: str) -> None:
    """The parameters that the official SDKs have under this name are keywords of ours."""
    shown = inspect.signature(found(name, AsyncZhipuAI(api_key="key"))).parameters
    assert set(OFFICIAL[name][1].split()) <= set(shown)


@pytest.mark.parametrize(("name", "values", "named"), POSITIONAL, ids=[name for name, *_ in POSITIONAL])
def test_official_positions(name: str, values: tuple[Any, ...], named: dict[str, Any]) -> None:
    """What the official SDKs take by position means the same here."""
    assert found(name).call(*values) == found(name).call(**named)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("assistant.conversation", {"assistant_id": "a", "messages": [], "stream": True, "request_id": "r-00000"}),
        ("agents.async_result", {"agent_id": "a", "custom_variables": {"trace_id": "t"}}),
    ],
)
def test_what_the_official_examples_leave_out(name: str, arguments: dict[str, Any]) -> None:
    """Calls of the official examples and tests without a field that the vendor's document requires can be made."""
    assert found(name).call(**arguments)


def test_groups_under_two_names() -> None:
    """A group has one resource, whichever of its names is used."""
    client = AsyncZhipuAI(api_key="key")
    assert client.chat.asyncCompletions is client.chat.async_completions
    assert client.knowledge.document is client.knowledge.documents


def test_no_alias_is_without_a_reason() -> None:
    """Each second name of the catalogue is one of the official SDKs' or in the short list of our own."""
    aliases = {alias for row in rows() for alias in row.aliases}
    assert aliases - set(OFFICIAL) == OWN
