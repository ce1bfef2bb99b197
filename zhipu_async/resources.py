"""The API on one page: every endpoint, one line each (README.md section 4).

A second name beside the first is the one that users of the official SDK know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .binding import Downloading, Events, Group, Paged, Resource, Speaking, Streaming, Unary
from .later import LaterModule, later
from .protocol.chunks import CHAT
from .protocol.folds import AGENT, AGENT_EVENTS, APPLICATION, ASSISTANT, SEARCH_TOOL, TRANSCRIPTION, speech
from .types import account as ac
from .types import agents as ag
from .types import application_invoke as ai
from .types import applications as ap
from .types import assistant as at
from .types import audio as au
from .types import batches as ba
from .types import chat as ch
from .types import documents as do
from .types import files as fi
from .types import finetuning as ft
from .types import images as im
from .types import knowledge as kn
from .types import knowledge_agent as ka
from .types import knowledge_documents as kd
from .types import models as mo
from .types import retrieval as rt
from .types import tasks as ta
from .types import texts as tx
from .types import videos as vi
from .types import web as we

if TYPE_CHECKING:
    from . import structured, tool_runs
else:
    structured, tool_runs = LaterModule(".structured"), LaterModule(".tool_runs")

_KNOWLEDGE = "/api/llm-application/open/knowledge"
_DOCUMENT = "/api/llm-application/open/document"
_APPLICATION = "/api/llm-application/open"

# fmt: off


class Completions(Resource):
    """Answers of a model (chat.md)."""

    create = Streaming("POST", "/chat/completions", ch.ChatRequest, ch.ChatStreamRequest, ch.ChatEitherRequest, ch.ChatCompletion, CHAT)
    run_tools = later(lambda: tool_runs.RunTools(Completions.create.endpoint, tool_runs.ToolRunRequest))
    parse = later(lambda: structured.Parse(Completions.create.endpoint, structured.ParseRequest))


class AsyncCompletions(Resource):
    """Answers that are fetched later (async_tasks.md): ``await client.wait(task)``."""

    create = Unary("POST", "/async/chat/completions", ch.AsyncChatRequest, ta.ChatTask, creates=True)
    retrieve = retrieve_completion_result = Unary("GET", "/async-result/{id}", ta.AsyncResultRequest, ta.AsyncResult, failed="report")


class Chat(Resource):
    """Conversations."""

    completions = Group(Completions)
    async_completions = asyncCompletions = Group(AsyncCompletions)


class Images(Resource):
    """Images from text (media.md section 1)."""

    generate = generations = Unary("POST", "/images/generations", im.ImageRequest, im.ImageList, creates=True)
    generate_async = async_generations = Unary("POST", "/async/images/generations", im.AsyncImageRequest, ta.ImageTask, creates=True)
    retrieve = retrieve_images_result = AsyncCompletions.retrieve


class Videos(Resource):
    """Videos from text and pictures (media.md section 2)."""

    generate = generations = Unary("POST", "/videos/generations", vi.VideoRequest, ta.VideoTask, creates=True)
    retrieve = retrieve_videos_result = AsyncCompletions.retrieve


class Transcriptions(Resource):
    """Speech to text (media.md section 3)."""

    create = Streaming("POST", "/audio/transcriptions", au.TranscriptionRequest, au.TranscriptionStreamRequest, au.TranscriptionEitherRequest, au.Transcription, TRANSCRIPTION, form=True)


class Audio(Resource):
    """Speech (media.md sections 3 and 4)."""

    transcriptions = Group(Transcriptions)
    speech = Speaking("POST", "/audio/speech", au.SpeechRequest, au.SpeechStreamRequest, au.SpeechEitherRequest, "audio", speech)
    customization = Downloading("POST", "/audio/customization", au.SpeechCustomizationRequest, "audio", form=True)


class Voices(Resource):
    """Cloned voices (media.md section 5)."""

    clone = Unary("POST", "/voice/clone", au.VoiceCloneRequest, au.VoiceClone, creates=True)
    list = Unary("GET", "/voice/list", au.VoiceListRequest, au.VoiceList)
    delete = Unary("POST", "/voice/delete", au.VoiceDeleteRequest, au.VoiceDeleted)


class LayoutParsing(Resource):
    """Documents to Markdown (media.md section 6)."""

    create = Unary("POST", "/layout_parsing", do.LayoutParsingRequest, do.LayoutParsing)


class OCR(Resource):
    """Handwriting to text (media.md section 6)."""

    handwriting = handwriting_ocr = Unary("POST", "/files/ocr", do.HandwritingRequest, do.Handwriting, form=True, failed="raise")


class Embeddings(Resource):
    """Texts to vectors (data.md section 1)."""

    create = Unary("POST", "/embeddings", tx.EmbeddingRequest, tx.EmbeddingResponse)


class Rerank(Resource):
    """Documents by how well they answer a query (data.md section 2)."""

    create = Unary("POST", "/rerank", tx.RerankRequest, tx.RerankResponse)


class Tokenizer(Resource):
    """Tokens of a conversation, counted (data.md section 3)."""

    create = Unary("POST", "/tokenizer", tx.TokenizerRequest, tx.TokenizerResponse)


class Moderations(Resource):
    """Content safety (data.md section 4)."""

    create = Unary("POST", "/moderations", tx.ModerationRequest, tx.ModerationResponse)


class WebSearch(Resource):
    """Searches of the web (data.md section 5)."""

    search = web_search = Unary("POST", "/web_search", we.WebSearchRequest, we.WebSearchResponse)


class WebReader(Resource):
    """Web pages as Markdown or text (data.md section 6)."""

    read = web_reader = Unary("POST", "/reader", we.ReaderRequest, we.ReaderResponse)


class Tools(Resource):
    """The older web search, by the model ``web-search-pro`` (data.md section 5)."""

    web_search = Streaming("POST", "/tools", we.SearchToolRequest, we.SearchToolStreamRequest, we.SearchToolEitherRequest, we.SearchToolResponse, SEARCH_TOOL)


class Files(Resource):
    """Uploaded files (data.md section 7)."""

    create = upload = Unary("POST", "/files", fi.FileUploadRequest, fi.FileObject, form=True, creates=True)
    list = Paged("GET", "/files", fi.FileListRequest, fi.FileList, fi.FileObject)
    delete = Unary("DELETE", "/files/{file_id}", fi.FileDeleteRequest, fi.FileDeleted)
    content = Downloading("GET", "/files/{file_id}/content", fi.FileContentRequest, "file")


class FileParser(Resource):
    """Documents to text (data.md section 8): ``await client.wait(task)``, or ``create_sync``."""

    create = Unary("POST", "/files/parser/create", do.ParserCreateRequest, do.ParserTask, form=True, creates=True, failed="raise")
    result = content = Unary("GET", "/files/parser/result/{task_id}/{format_type}", do.ParserResultRequest, do.ParserResult, failed="report")
    create_sync = Unary("POST", "/files/parser/sync", do.ParserSyncRequest, do.ParserResult, form=True, creates=True, failed="raise")


class Batches(Resource):
    """Many calls in one file, done within a day (data.md section 9): ``await client.wait(batch)``."""

    create = Unary("POST", "/batches", ba.BatchCreateRequest, ba.Batch, creates=True, failed="report")
    retrieve = Unary("GET", "/batches/{batch_id}", ba.BatchRetrieveRequest, ba.Batch, failed="report")
    list = Paged("GET", "/batches", ba.BatchListRequest, ba.BatchList, ba.Batch)
    cancel = Unary("POST", "/batches/{batch_id}/cancel", ba.BatchCancelRequest, ba.Batch, failed="report")


class Models(Resource):
    """The models of the platform."""

    list = Paged("GET", "/models", mo.ModelsRequest, mo.ModelList, mo.Model)


class Agents(Resource):
    """The vendor's ready-made agents (data.md section 11)."""

    invoke = Streaming("POST", "/api/v1/agents", ag.AgentRequest, ag.AgentStreamRequest, ag.AgentEitherRequest, ag.AgentResponse, AGENT, creates=True, failed="raise")
    async_result = Unary("POST", "/api/v1/agents/async-result", ag.AgentAsyncResultRequest, ag.AgentResponse, failed="report")
    conversation = Unary("POST", "/api/v1/agents/conversation", ag.AgentConversationRequest, ag.AgentConversation)


class Assistant(Resource):
    """The older assistants (data.md section 12)."""

    conversation = Streaming("POST", "/assistant", at.AssistantRequest, at.AssistantStreamRequest, at.AssistantEitherRequest, at.AssistantCompletion, ASSISTANT, creates=True, failed="raise")
    list = query_support = Unary("POST", "/assistant/list", at.AssistantListRequest, at.AssistantList)
    conversations = query_conversation_usage = Paged("POST", "/assistant/conversation/list", at.ConversationListRequest, at.ConversationList, at.AssistantConversation)


class KnowledgeDocuments(Resource):
    """The documents of a knowledge base (data.md section 10)."""

    upload = create = Unary("POST", f"{_DOCUMENT}/upload_document/{{knowledge_id}}", kd.DocumentUploadRequest, kd.DocumentUploadResponse, form=True, creates=True)
    upload_urls = Unary("POST", f"{_DOCUMENT}/upload_url", kd.DocumentUploadURLRequest, kd.DocumentUploadResponse, creates=True)
    list = Paged("GET", _DOCUMENT, kd.DocumentListRequest, kd.DocumentListResponse, kd.KnowledgeDocument)
    get = retrieve = Unary("GET", f"{_DOCUMENT}/{{document_id}}", kd.DocumentDetailRequest, kd.DocumentDetailResponse)
    delete = Unary("DELETE", f"{_DOCUMENT}/{{document_id}}", kd.DocumentDeleteRequest, kd.DocumentDeleteResponse)
    images = Unary("POST", f"{_DOCUMENT}/slice/image_list/{{document_id}}", kd.DocumentImagesRequest, kd.DocumentImagesResponse)
    embed = Unary("POST", f"{_DOCUMENT}/embedding/{{document_id}}", kd.DocumentEmbedRequest, kd.DocumentEmbedResponse, creates=True)


class Knowledge(Resource):
    """Knowledge bases and what is found in them (data.md section 10)."""

    documents = document = Group(KnowledgeDocuments)
    create = Unary("POST", _KNOWLEDGE, kn.KnowledgeCreateRequest, kn.KnowledgeCreateResponse, creates=True)
    list = query = Paged("GET", _KNOWLEDGE, kn.KnowledgeListRequest, kn.KnowledgeListResponse, kn.KnowledgeBase)
    get = Unary("GET", f"{_KNOWLEDGE}/{{knowledge_id}}", kn.KnowledgeDetailRequest, kn.KnowledgeDetailResponse)
    edit = modify = Unary("PUT", f"{_KNOWLEDGE}/{{knowledge_id}}", kn.KnowledgeEditRequest, kn.KnowledgeEditResponse)
    delete = Unary("DELETE", f"{_KNOWLEDGE}/{{knowledge_id}}", kn.KnowledgeDeleteRequest, kn.KnowledgeDeleteResponse)
    capacity = used = Unary("GET", f"{_KNOWLEDGE}/capacity", kn.KnowledgeCapacityRequest, kn.KnowledgeCapacityResponse)
    search = Unary("POST", f"{_KNOWLEDGE}/retrieve", rt.KnowledgeRetrieveRequest, rt.KnowledgeRetrieveResponse)
    search_multimodal = Unary("POST", "/api/zrag/retrieval/retrieve", rt.MultimodalRetrieveRequest, rt.MultimodalRetrieveResponse)
    chat = Events("POST", "/api/zrag/agent/chat", ka.KnowledgeAgentRequest, ka.KnowledgeAnswer, AGENT_EVENTS)


class Applications(Resource):
    """Applications made in the vendor's console (openapi.json)."""

    variables = Unary("GET", f"{_APPLICATION}/v2/application/{{app_id}}/variables", ap.ApplicationVariablesRequest, ap.ApplicationVariables)
    upload = Unary("POST", f"{_APPLICATION}/v2/application/file_upload", ap.ApplicationUploadRequest, ap.ApplicationUpload, form=True, creates=True)
    file_states = Unary("POST", f"{_APPLICATION}/v2/application/file_stat", ap.ApplicationFileStatRequest, ap.ApplicationFileStat)
    create_conversation = Unary("POST", f"{_APPLICATION}/v2/application/{{app_id}}/conversation", ap.ApplicationConversationRequest, ap.ApplicationConversation, creates=True)
    invoke = Streaming("POST", f"{_APPLICATION}/v3/application/invoke", ai.ApplicationRequest, ai.ApplicationStreamRequest, ai.ApplicationEitherRequest, ai.ApplicationResponse, APPLICATION, creates=True, failed="raise")
    slices = Unary("POST", f"{_APPLICATION}/v2/application/slice_info", ap.ApplicationSlicesRequest, ap.ApplicationSlices)
    suggestions = Unary("GET", f"{_APPLICATION}/history_session_record/{{app_id}}/{{conversation_id}}", ap.ApplicationSuggestionsRequest, ap.ApplicationSuggestions)


class Account(Resource):
    """What is left of a coding plan (errors.md section 7)."""

    quota = Unary("GET", "/api/monitor/usage/quota/limit", ac.QuotaRequest, ac.Quota)


class FineTuningJobs(Resource):
    """Fine-tuning, as the older SDK had it."""

    create = Unary("POST", "/fine_tuning/jobs", ft.FineTuningCreateRequest, ft.FineTuningJob, creates=True, failed="report")
    list = Paged("GET", "/fine_tuning/jobs", ft.FineTuningListRequest, ft.FineTuningJobList, ft.FineTuningJob)
    retrieve = Unary("GET", "/fine_tuning/jobs/{fine_tuning_job_id}", ft.FineTuningRetrieveRequest, ft.FineTuningJob, failed="report")
    cancel = Unary("POST", "/fine_tuning/jobs/{fine_tuning_job_id}/cancel", ft.FineTuningCancelRequest, ft.FineTuningJob, failed="report")
    events = list_events = Paged("GET", "/fine_tuning/jobs/{fine_tuning_job_id}/events", ft.FineTuningEventsRequest, ft.FineTuningEventList, ft.FineTuningEvent)


class FineTuning(Resource):
    """Models trained further."""

    jobs = Group(FineTuningJobs)
