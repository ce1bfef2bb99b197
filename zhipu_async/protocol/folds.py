"""The kinds of streams beside chat: what their events are, and what folds them (streaming.md section 8).

Only streams that were recorded with one id in all chunks are held to it; how the ids of the others behave is not known.
"""

from __future__ import annotations

from ..types.agents import AgentChunk, AgentResponse
from ..types.application_invoke import ApplicationChunk, ApplicationResponse
from ..types.assistant import AssistantChunk, AssistantCompletion
from ..types.audio import SpeechAudio, SpeechChunk, Transcription, TranscriptionChunk
from ..types.knowledge_agent import AgentStreamEvent, KnowledgeAnswer
from ..types.web import SearchToolChunk, SearchToolResponse
from . import fold_agents as agents
from . import fold_applications as applications
from . import fold_assistants as assistants
from . import fold_media as media
from .chunks import StreamKind

TRANSCRIPTION: StreamKind[TranscriptionChunk, Transcription] = StreamKind(
    TranscriptionChunk,
    media.TranscriptionAccumulator,
    media.transcription_says_something,
    media.transcription_is_final,
    one_id=False,
)

SPEECH: StreamKind[SpeechChunk, SpeechAudio] = StreamKind(
    SpeechChunk, media.SpeechAccumulator, media.speech_says_something, media.speech_is_final
)

SPEECH_HEX: StreamKind[SpeechChunk, SpeechAudio] = StreamKind(
    SpeechChunk, lambda: media.SpeechAccumulator("hex"), media.speech_says_something, media.speech_is_final
)


def speech(encode_format: str | None) -> StreamKind[SpeechChunk, SpeechAudio]:
    """The kind of a stream of sound that was asked for in this encoding: the pieces themselves do not tell."""
    return SPEECH_HEX if encode_format == "hex" else SPEECH


SEARCH_TOOL: StreamKind[SearchToolChunk, SearchToolResponse] = StreamKind(
    SearchToolChunk, media.SearchToolAccumulator, media.search_says_something, media.search_is_final
)

AGENT: StreamKind[AgentChunk, AgentResponse] = StreamKind(
    AgentChunk,
    agents.AgentAccumulator,
    agents.agent_says_something,
    agents.agent_is_final,
    agents.agent_fault,
    one_id=False,
)

AGENT_EVENTS: StreamKind[AgentStreamEvent, KnowledgeAnswer] = StreamKind(
    AgentStreamEvent,
    agents.KnowledgeAccumulator,
    agents.event_says_something,
    agents.event_is_final,
    agents.event_fault,
    one_id=False,
)

ASSISTANT: StreamKind[AssistantChunk, AssistantCompletion] = StreamKind(
    AssistantChunk,
    assistants.AssistantAccumulator,
    assistants.assistant_says_something,
    assistants.assistant_is_final,
    assistants.assistant_fault,
    one_id=False,
)

APPLICATION: StreamKind[ApplicationChunk, ApplicationResponse] = StreamKind(
    ApplicationChunk,
    applications.ApplicationAccumulator,
    applications.application_says_something,
    applications.application_is_final,
    applications.application_fault,
    one_id=False,
)
