"""Agents of the platform: ``POST /api/v1/agents`` and what belongs to it (data.md section 11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import msgspec

from .base import Failure, Request, Response, State
from .chat import Folded, SensitiveWordCheck, Usage

# ---------------------------------------------------------------- requests


class AgentPart(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A part of a message: the field of the name that ``type`` says is set."""

    type: Literal["text", "file_id", "file_url", "image_url"]
    text: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    image_url: str | None = None


class AgentMessage(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What is said to an agent: text, one part, or several."""

    content: str | AgentPart | Mapping[str, Any] | Sequence[AgentPart | Mapping[str, Any]]
    role: Literal["system", "user", "assistant"] = msgspec.field(default_factory=lambda: "user")


class TranslationSuggestion(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """For the strategy ``general``."""

    suggestion: str | None = None
    """Style, terms, and the like."""


class TranslationReasons(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """For the strategy ``cot``."""

    reason_lang: Literal["from", "to"] | None = None
    """The language that reasons are given in; the service's default is ``to``."""


class TranslationConfig(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Settings of the strategies that have some."""

    general: TranslationSuggestion | Mapping[str, Any] | None = None
    cot: TranslationReasons | Mapping[str, Any] | None = None


class TranslationVariables(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What ``general_translation`` takes."""

    source_lang: str | None = None
    """``auto`` (the service's default), ``zh-CN``, ``en`` ..."""
    target_lang: str | None = None
    """``zh-CN`` is the service's default."""
    glossary: str | None = None
    """Id of a list of terms."""
    strategy: Literal["general", "paraphrase", "two_step", "three_step", "reflection", "cot"] | None = None
    strategy_config: TranslationConfig | Mapping[str, Any] | None = None


class TemplateVariables(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What ``vidu_template_agent`` takes."""

    template: str
    """``french_kiss``, ``bodyshake``, ``sexy_me``."""


class AgentParameters(Request, kw_only=True, frozen=True, omit_defaults=True):
    """Give an agent something to do.

    Some agents answer at once, others with an ``async_id`` to be asked for; data.md section 11 names them. An agent
    that fails says so in an answer of HTTP 200.
    """

    agent_id: str
    """For example ``general_translation``."""
    messages: Sequence[AgentMessage | Mapping[str, Any]]
    custom_variables: TranslationVariables | TemplateVariables | Mapping[str, Any] | None = None
    """What this agent takes beside messages."""
    conversation_id: str | None = None
    """Goes on with a conversation."""
    request_id: str | None = None
    user_id: str | None = None
    sensitive_word_check: SensitiveWordCheck | Mapping[str, Any] | None = None


class AgentRequest(AgentParameters, kw_only=True, frozen=True, omit_defaults=True):
    __doc__ = AgentParameters.__doc__

    stream: Literal[False] | None = None


class AgentStreamRequest(AgentParameters, kw_only=True, frozen=True, omit_defaults=True):
    __doc__ = AgentParameters.__doc__

    stream: Literal[True]


class AgentEitherRequest(AgentParameters, kw_only=True, frozen=True, omit_defaults=True):
    __doc__ = AgentParameters.__doc__

    stream: bool | None


class AgentAsyncResultRequest(Request, frozen=True, omit_defaults=True):
    """Look how the work of an agent stands."""

    agent_id: str
    async_id: str | None = None
    """What ``invoke`` answered. ``intelligent_education_correction_polling`` is asked with ``custom_variables``
    instead."""
    conversation_id: str | None = None
    """Known to the official SDK, without a documented effect, as the one below."""
    custom_variables: Mapping[str, Any] | None = None


class SlidePage(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A page of slides."""

    position: float | None = None
    """Its number."""
    width: float | None = None
    """Centimetres."""
    height: float | None = None
    """Centimetres."""


class SlidesVariables(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What of the slides is wanted."""

    include_pdf: bool | None = None
    pages: Sequence[SlidePage | Mapping[str, Any]] | None = None


class AgentConversationRequest(Request, kw_only=True, frozen=True, omit_defaults=True):
    """What came of a conversation with ``slides_glm_agent``, the only agent that has this."""

    agent_id: str
    conversation_id: str
    custom_variables: SlidesVariables | Mapping[str, Any] | None = None


# ---------------------------------------------------------------- answers

_STATES: Mapping[str, State] = {"success": "done", "failed": "failed"}


class AgentUsage(Usage, kw_only=True, omit_defaults=True, gc=False):
    """Tokens, and calls of tools where the agent counts them."""

    total_calls: int | None = None


class AgentContent(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A part of what an agent said, typed; fields of new kinds of parts are in the raw ``content``."""

    type: str | None = None
    """text, file_url, image_url, audio_url, video_url, or what is new."""
    text: str | None = None
    file_url: str | None = None
    image_url: str | None = None
    audio_url: str | None = None
    video_url: str | None = None
    tag_cn: str | None = None
    """What it is, in Chinese."""
    tag_en: str | None = None
    """What it is, in English."""

    @property
    def url(self) -> str | None:
        """The address of a file, image, sound or video."""
        return self.file_url or self.image_url or self.audio_url or self.video_url


class AgentAnswer(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A message of an agent. Its ``content`` is raw, for each agent has a form of its own; ``parts`` are typed."""

    role: str | None = None
    content: str | dict[str, Any] | list[Any] | None = None
    """Text, an object, or a list of objects."""

    @property
    def parts(self) -> list[AgentContent]:
        """The content as parts, new structs each time; text is a part ``text``."""
        content = self.content
        parts = content if isinstance(content, list) else [] if content is None else [content]
        return [_part(part) for part in parts]

    @property
    def text(self) -> str:
        """The text of all parts, "" when there is none."""
        return self.content if isinstance(self.content, str) else "".join(part.text or "" for part in self.parts)


def _part(part: Any) -> AgentContent:
    """A part as far as it has the documented fields; what is not text there is left out."""
    if isinstance(part, dict):
        members = cast("dict[str, Any]", part)
        return AgentContent(
            **{name: members[name] for name in AgentContent.__struct_fields__ if isinstance(members.get(name), str)}
        )
    return AgentContent(type="text", text=part if isinstance(part, str) else None)


class AgentChoice(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A result: ``messages`` as documented, ``message`` or ``delta`` from some agents. ``answers`` looks at all."""

    index: int = 0
    finish_reason: str | None = None
    """stop, length, sensitive, network_error, or what is new."""
    messages: list[AgentAnswer] | None = None
    message: AgentAnswer | list[AgentAnswer] | None = None
    delta: AgentAnswer | list[AgentAnswer] | None = None

    @property
    def answers(self) -> list[AgentAnswer]:
        """The messages, wherever they stand."""
        for found in (self.messages, self.message, self.delta):
            if found:
                return found if isinstance(found, list) else [found]
        return []


class AgentOutput(Response, kw_only=True, omit_defaults=True, dict=True):
    """What answers of agents and histories of conversations share."""

    agent_id: str | None = None
    conversation_id: str | None = None
    choices: list[AgentChoice] = []
    error: Failure | None = None

    @property
    def text(self) -> str:
        """The text of the first choice's messages, "" when there is none."""
        return "".join(answer.text for answer in self._answers)

    @property
    def urls(self) -> list[str]:
        """The addresses of files, images, sounds and videos in the first choice."""
        return [part.url for answer in self._answers for part in answer.parts if part.url]

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended."""
        return self.choices[0].finish_reason if self.choices else None

    @property
    def failure(self) -> tuple[str | None, str]:
        """Code and message of work that failed, as far as the service says."""
        return (self.error.code, self.error.message or "") if self.error else (None, "")

    @property
    def _answers(self) -> list[AgentAnswer]:
        return self.choices[0].answers if self.choices else []


class AgentResponse(AgentOutput, Folded, kw_only=True, omit_defaults=True, dict=True):
    """What an agent answered, as it came or folded from a stream, or how its work stands."""

    id: str | None = None
    request_id: str | None = None
    async_id: str | None = None
    """Of work that goes on: ask for its result with this."""
    created: int | None = None
    """Unix seconds."""
    status: str | None = None
    """pending, success, failed, or what is new; agents that answer at once may leave it out."""
    usage: AgentUsage | None = None

    @property
    def state(self) -> State:
        """Where the work stands. Without a status an error means failed, and a whole answer done."""
        if self.status:
            return _STATES.get(self.status, "running")
        if self.failure != (None, ""):
            return "failed"
        return "done" if self.choices and self.complete else "running"


class AgentConversation(AgentOutput, kw_only=True, omit_defaults=True, dict=True):
    """What came of a conversation: mostly files and pictures, in ``urls``."""


# ---------------------------------------------------------------- chunks


class AgentChunk(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One event of a stream: ``choices[].answers`` holds what it adds. It may carry an error beside an answer."""

    id: str | None = None
    request_id: str | None = None
    agent_id: str | None = None
    conversation_id: str | None = None
    async_id: str | None = None
    created: int | None = None
    status: str | None = None
    choices: list[AgentChoice] = []
    usage: AgentUsage | None = None
    error: Failure | None = None
