"""GLM models for pydantic-ai's agents: ``Agent(ZhipuModel("glm-4.6", client=client))`` (extra ``pydantic-ai``)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..client import AsyncZhipuAI
from ..config import Timeouts
from ..models import find
from ..types.chat import ResponseFormat
from ..types.tools import FunctionDefinition, FunctionTool, Tool
from .thinking_levels import thinking_arguments

try:
    from pydantic_ai.exceptions import UserError
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse, check_allow_model_requests
    from pydantic_ai.profiles import InlineDefsJsonSchemaTransformer, ModelProfile
    from pydantic_ai.providers import Provider
    from pydantic_ai.settings import ModelSettings, ToolOrOutput

    from .pydantic_ai_errors import check_complete, errors_as_theirs
    from .pydantic_ai_messages import FINISH_REASONS, conversation, details, parts, usage
    from .pydantic_ai_stream import ZhipuStreamedResponse
except ImportError as error:
    raise ImportError("pydantic-ai is not there, or too old: pip install 'zhipu-async[pydantic-ai]'") from error

if TYPE_CHECKING:
    from pydantic_ai import RunContext
    from pydantic_ai.profiles import ModelProfileSpec

# ---------------------------------------------------------------- tables

_SETTINGS = {
    **dict.fromkeys(("max_tokens", "temperature", "top_p", "seed", "timeout", "extra_headers", "extra_body")),
    "stop_sequences": "stop",
}
"""pydantic-ai's settings, and the argument of a chat call that each is, where it has another name."""

_OUR_PREFIX = "zhipu_"
_TOLD_OTHERWISE = {"zhipu_clear_thinking", "zhipu_tools", "zhipu_tool_stream"}
"""Settings of ours that are not simply an argument without the prefix."""


class ZhipuModelSettings(ModelSettings, total=False):
    """Settings of GLM models, beside pydantic-ai's own; the struct ``ChatParameters`` says what each takes."""

    zhipu_clear_thinking: bool
    """False keeps the thinking of earlier turns (preserved thinking); the general endpoint's default is True."""
    zhipu_reasoning_effort: str
    """Over what ``thinking`` asks for."""
    zhipu_do_sample: bool
    zhipu_tool_stream: bool
    """Stream the arguments of tool calls in pieces; by default where a model is known to do so."""
    zhipu_tools: Sequence[Tool | Mapping[str, Any]]
    """The service's own tools: web search, retrieval, MCP servers. What they found is in ``provider_details``."""
    zhipu_request_id: str
    zhipu_user_id: str
    zhipu_sensitive_word_check: Mapping[str, Any]
    zhipu_meta: Mapping[str, Any]
    zhipu_watermark_enabled: bool


class ZhipuProvider(Provider[AsyncZhipuAI]):
    """What pydantic-ai asks about the service behind a client. The client stays its owner's."""

    def __init__(self, client: AsyncZhipuAI) -> None:
        self._client = client

    @property
    def name(self) -> str:
        """``zai`` or ``zhipuai``: the names under which the two platforms' prices are known."""
        return "zai" if f".{urlsplit(self.base_url).hostname}".endswith(".z.ai") else "zhipuai"

    @property
    def base_url(self) -> str:
        """The client's endpoint."""
        return self._client.base_url

    @property
    def client(self) -> AsyncZhipuAI:
        """The client, as it was given."""
        return self._client

    @staticmethod
    def model_profile(model_name: str) -> ModelProfile:
        """What a model can do, from the table of documented models; one that is not in it can do everything."""
        info = find(model_name)
        tools = info is None or info.tools is not False
        objects = info is None or info.kind == "text"
        inputs = ("text", "image", "video", "file", "audio") if info is None else info.inputs
        profile = ModelProfile(
            supports_tools=tools,
            supports_forced_tool_choice=False,  # only `auto` is documented
            supports_json_object_output=objects,
            supports_json_schema_output=objects,  # as JSON mode, with the schema in the instructions
            native_output_requires_schema_in_instructions=True,
            default_structured_output_mode="tool" if tools else "prompted",
            supports_thinking=info is None or bool(info.thinking_types),
            thinking_always_enabled=info is not None and info.thinking == "always",
            thinking_enabled_by_default=info is not None and bool(info.thinking_types),
            supports_image_input="image" in inputs,
            supports_video_input="video" in inputs,
            supports_document_input="file" in inputs,
            supports_audio_file_input="audio" in inputs,
            may_tokenize_special_tokens_in_content=True,  # as pydantic-ai has it for Z.ai
        )
        if info is not None and info.context is not None:
            profile["context_window"] = info.context
        if model_name.lower().startswith("glm-5.3"):  # writes objects as text where a schema refers to `$defs`
            profile["json_schema_transformer"] = InlineDefsJsonSchemaTransformer
        return profile


def _clocks(timeout: Any) -> Any:
    """The phases of an ``httpx.Timeout`` as our clocks, where None is no limit too; anything else as it is."""
    if not all(hasattr(timeout, phase) for phase in ("connect", "read", "write", "pool")):
        return timeout
    # `read` is the time without any byte, before the head as after it; nothing here takes the time of sending alone
    return Timeouts(connect=timeout.connect, pool=timeout.pool, first_byte=timeout.read, between=timeout.read)


# ---------------------------------------------------------------- the model


@dataclass(init=False)
class ZhipuModel(Model[AsyncZhipuAI]):
    """A GLM model for ``pydantic_ai.Agent``.

    ``client`` sends the requests: its connections, limits, time-outs and retries hold, it may serve many models at
    once, and it is closed by who made it. Errors come as pydantic-ai's, with the client's error as ``__cause__``. What
    pydantic-ai's types have no place for (finish reason in the service's words, request id, web pages found ...) is in
    ``provider_details`` of the answer. ``timeout`` may be an ``httpx.Timeout``, but for its ``write``.

    The finish reason ``network_error`` is a ModelServerError: such an answer failed. ``sensitive`` is pydantic-ai's
    ``content_filter``, which lets pass what text there was, as with other providers, although the service says that it
    is not to be shown: ``capabilities=[RaiseContentFilterError()]`` of the agent, or ``fallback_on=ContentFilterError``
    of a FallbackModel, are against that.

    Thinking is kept in the history and sent back unchanged, as interleaved and preserved thinking need it. The service
    does not let a tool be forced: ``tool_choice`` takes ``auto``, ``none`` and ``ToolOrOutput``.
    """

    _relocates_tool_files = True
    unsupported_settings = frozenset({
        "top_k", "parallel_tool_calls", "presence_penalty", "frequency_penalty", "logit_bias", "service_tier"
    })  # fmt: skip

    _model_name: str = field(repr=False)
    _provider: Provider[AsyncZhipuAI] = field(repr=False)

    def __init__(
        self,
        model_name: str,
        *,
        client: AsyncZhipuAI,
        settings: ModelSettings | None = None,
        profile: ModelProfileSpec | None = None,
    ) -> None:
        self._model_name = model_name
        self._provider = ZhipuProvider(client)
        super().__init__(settings=settings, profile=profile)

    @property
    def client(self) -> AsyncZhipuAI:
        """The client, as it was given."""
        return self._provider.client

    @property
    def base_url(self) -> str:
        """The client's endpoint."""
        return self._provider.base_url

    @property
    def model_name(self) -> str:
        """The model's id."""
        return self._model_name

    @property
    def system(self) -> str:
        """The provider's name."""
        return self._provider.name

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """One answer, whole."""
        with errors_as_theirs(self.model_name):
            client, arguments, _ = await self._call(messages, model_settings, model_request_parameters, stream=False)
            completion = await client.chat.completions.create(stream=None, **arguments)
            check_complete(completion)
            found = parts(completion, self.system)
        return ModelResponse(
            parts=found,
            usage=usage(completion),
            model_name=completion.model or self.model_name,
            provider_name=self.system,
            provider_url=self.base_url,
            provider_response_id=completion.id,
            provider_details=details(completion),
            finish_reason=FINISH_REASONS.get(completion.finish_reason),
        )

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """One answer as it comes; leaving the context closes the connection."""
        with errors_as_theirs(self.model_name):
            client, arguments, parameters = await self._call(
                messages, model_settings, model_request_parameters, stream=True
            )
            stream = await client.chat.completions.create(stream=True, **arguments)
        async with stream:
            response = ZhipuStreamedResponse(parameters, stream, self.model_name, self.system, self.base_url)
            response.provider_response_id = stream.result.id
            yield response

    # ------------------------------------------------------------ what is asked

    async def _call(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        *,
        stream: bool,
    ) -> tuple[AsyncZhipuAI, dict[str, Any], ModelRequestParameters]:
        """The client, the arguments of the call, and the parameters as pydantic-ai prepared them."""
        check_allow_model_requests()
        prepared, parameters = self.prepare_request(model_settings, model_request_parameters)
        settings: Mapping[str, Any] = prepared or {}
        instructions = self._get_instruction_parts(messages, parameters) or ()
        arguments: dict[str, Any] = {
            "model": self.model_name,
            "messages": await conversation(messages, instructions),
        }
        if parameters.thinking is not None:
            arguments |= thinking_arguments(self.model_name, parameters.thinking)
        for name, value in settings.items():
            if name in _SETTINGS:
                arguments[_SETTINGS[name] or name] = _clocks(value) if name == "timeout" else value
            elif name.startswith(_OUR_PREFIX) and name not in _TOLD_OTHERWISE:
                arguments[name.removeprefix(_OUR_PREFIX)] = value
        if (clear := settings.get("zhipu_clear_thinking")) is not None:
            arguments["thinking"] = {**arguments.get("thinking", {}), "clear_thinking": clear}
        if tools := [*self._tools(settings, parameters), *settings.get("zhipu_tools", ())]:
            arguments["tools"] = tools
            info = find(self.model_name)
            if stream and settings.get("zhipu_tool_stream", bool(info and info.tool_stream)):
                arguments["tool_stream"] = True
        if parameters.output_mode == "native" or (
            parameters.output_mode == "prompted" and self.profile.get("supports_json_object_output", False)
        ):
            arguments["response_format"] = ResponseFormat(type="json_object")
        client, retries = self.client, settings.get("max_retries")
        return client if retries is None else client.with_options(max_retries=retries), arguments, parameters

    def _tools(self, settings: Mapping[str, Any], parameters: ModelRequestParameters) -> Iterator[FunctionTool]:
        """The functions that the model may call: a choice among them is made by what is offered."""
        choice, offered = settings.get("tool_choice"), parameters.declared_tool_defs
        if choice not in (None, "auto"):
            if choice in ("none", []):
                choice = ToolOrOutput(function_tools=[])
            if not isinstance(choice, ToolOrOutput):
                raise UserError(
                    f"tool_choice={choice!r} forces a tool, which the service does not support: only 'auto', 'none' "
                    "and ToolOrOutput work with ZhipuModel"
                )
            if choice.function_tools and not offered.keys() & {*choice.function_tools}:
                raise UserError(f"tool_choice names no tool that there is: {choice.function_tools}")
            wanted = {*choice.function_tools, *(tool.name for tool in parameters.output_tools)}
            offered = {name: tool for name, tool in offered.items() if name in wanted}
        for tool in offered.values():
            schema = tool.parameters_json_schema
            yield FunctionTool(
                function=FunctionDefinition(name=tool.name, description=tool.description or "", parameters=schema)
            )
