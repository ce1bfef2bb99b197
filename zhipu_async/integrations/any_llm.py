"""GLM models as a provider of any-llm: ``ZhipuProvider(api_key).acompletion(...)`` (extra ``any-llm``)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Self

from .. import errors
from ..client import AsyncZhipuAI
from ..config import key_in_environment
from ..streaming import Stream
from ..types import chat
from .thinking_levels import thinking_arguments

try:
    from any_llm import AnyLLM
    from any_llm import exceptions as theirs
    from any_llm.types.completion import (
        ChatCompletion,
        ChatCompletionChunk,
        CompletionParams,
        CreateEmbeddingResponse,
    )
    from any_llm.types.model import Model
    from any_llm.types.moderation import ModerationResponse
    from any_llm.types.rerank import RerankResponse

    from . import any_llm_shapes as shapes
except ImportError as error:
    raise ImportError("any-llm is not there, or too old: pip install 'zhipu-async[any-llm]'") from error

_NOT_THERE = (
    "n", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "service_tier",
    "prompt_cache_key",
)  # fmt: skip
"""Parameters of any-llm's that the service does not have."""

_SAME = ("temperature", "top_p", "max_tokens", "tools", "seed", "stream_options")

_ERRORS: tuple[tuple[type[errors.ZhipuError], type[theirs.AnyLLMError]], ...] = (
    (errors.ContentFilterError, theirs.ContentFilterError),
    (errors.ContextLengthError, theirs.ContextLengthExceededError),
    (errors.BadRequestError, theirs.InvalidRequestError),
    (errors.AuthenticationError, theirs.AuthenticationError),
    (errors.PermissionDeniedError, theirs.AuthenticationError),
    (errors.NotFoundError, theirs.ModelNotFoundError),
    (errors.AccountError, theirs.InsufficientFundsError),
    (errors.QuotaError, theirs.RateLimitError),
    (errors.RateLimitError, theirs.RateLimitError),
    (errors.OverloadedError, theirs.RateLimitError),
    (errors.ConfigError, theirs.InvalidRequestError),
    (errors.ZhipuError, theirs.ProviderError),
)
"""Our error, and any-llm's; the first that fits counts."""
_BY_STATUS = {502: theirs.UpstreamProviderError, 504: theirs.GatewayTimeoutError}
_UNKNOWN_MODEL = "1211"


class ZhipuProvider(AnyLLM):
    """Zhipu AI and Z.ai as a provider of any-llm.

        llm = ZhipuProvider(api_key="...", unified_exceptions=True)
        answer = await llm.acompletion("glm-4.6", [{"role": "user", "content": "Hello"}], reasoning_effort="high")

    any-llm finds its own providers by name and has no way to add one: make this class yourself, and use what it
    inherits. ``api_key``, ``api_base`` (a URL or ``"zai"``, ``"bigmodel-coding"`` ...) and further keywords are those
    of :class:`~zhipu_async.AsyncZhipuAI`; without a key the environment is asked as there. ``client`` shares one that
    you have, and is closed by you; else call ``aclose()`` at the end, or enter the provider with ``async with``.

    Arguments of ours go along with any-llm's: ``thinking=``, ``do_sample=``, ``extra_body=`` ... What any-llm's types
    have no field for is beside their fields. A parameter that the service does not have is an
    UnsupportedParameterError, a forced tool among them; an answer of a given type is asked for as a JSON object, with
    the schema in a system message. With ``unified_exceptions=True`` errors are any-llm's, with the client's as
    ``original_exception``; else the client's.
    """

    PROVIDER_NAME = "zhipu"
    PROVIDER_DOCUMENTATION_URL = "https://docs.bigmodel.cn"
    ENV_API_KEY_NAME = "ZHIPU_API_KEY"
    ENV_API_BASE_NAME = "ZHIPU_BASE_URL"

    SUPPORTS_COMPLETION = True
    SUPPORTS_COMPLETION_STREAMING = True
    SUPPORTS_COMPLETION_REASONING = True
    SUPPORTS_COMPLETION_IMAGE = True
    SUPPORTS_COMPLETION_PDF = True
    SUPPORTS_EMBEDDING = True
    SUPPORTS_MODERATION = True
    SUPPORTS_RERANK = True
    SUPPORTS_LIST_MODELS = True
    SUPPORTS_RESPONSES = False
    SUPPORTS_BATCH = False
    TIMEOUT_SUPPORT = "native"
    MAX_RETRIES_SUPPORT = "native"

    client: AsyncZhipuAI

    def __init__(
        self,
        api_key: str | None = None,
        api_base: str | None = None,
        *,
        client: AsyncZhipuAI | None = None,
        **options: Any,
    ) -> None:
        self._shared = client
        if client is not None and (api_key or api_base or options.keys() - {"unified_exceptions"}):
            raise errors.ConfigError("a client brings its own key, endpoint and settings")
        super().__init__(api_key, api_base, **options)

    def _verify_and_set_api_key(self, api_key: str | None = None) -> str | None:
        if api_key or self._shared is not None or key_in_environment():
            return api_key
        raise theirs.MissingApiKeyError(self.PROVIDER_NAME, self.ENV_API_KEY_NAME)

    def _resolve_api_base(self, api_base: str | None = None) -> str | None:
        return api_base  # the client reads the environment itself

    def _init_client(self, api_key: str | None = None, api_base: str | None = None, **kwargs: Any) -> None:
        self.client = self._shared or AsyncZhipuAI(api_key, base_url=api_base, **kwargs)

    async def aclose(self) -> None:
        """Close the client, unless it was given."""
        if self._shared is None:
            await self.client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # ------------------------------------------------------------ calls

    async def _acompletion(
        self, params: CompletionParams, **kwargs: Any
    ) -> ChatCompletion | AsyncIterator[ChatCompletionChunk]:
        arguments = self._convert_completion_params(params, **kwargs)
        if params.stream:
            return _Chunks(await self.client.chat.completions.create(stream=True, **arguments))
        answer = await self.client.chat.completions.create(stream=None, **arguments)
        return self._convert_completion_response(answer)

    async def _aembedding(self, model: str, inputs: str | list[str], **kwargs: Any) -> CreateEmbeddingResponse:
        arguments = self._convert_embedding_params(inputs, **kwargs)
        return self._convert_embedding_response(await self.client.embeddings.create(model=model, **arguments))

    async def _arerank(self, model: str, query: str, documents: list[str], **kwargs: Any) -> RerankResponse:
        arguments = self._convert_rerank_params(model, query, documents, **kwargs)
        return self._convert_rerank_response(await self.client.rerank.create(**arguments))

    async def _amoderation(
        self,
        model: str,
        input: str | list[str] | list[dict[str, Any]],
        **kwargs: Any,
    ) -> ModerationResponse:
        kwargs.pop("include_raw", None)  # it is always included
        items: Any = input if isinstance(input, str) else [_item(each) for each in input]
        return shapes.moderated(
            await self.client.moderations.create(model=model or "moderation", input=items, **kwargs), model
        )

    async def _alist_models(self, **kwargs: Any) -> Sequence[Model]:
        return self._convert_list_models_response(await self.client.models.list(**kwargs))

    # ------------------------------------------------------------ shapes

    @staticmethod
    def _convert_completion_params(params: CompletionParams, **kwargs: Any) -> dict[str, Any]:
        for name in _NOT_THERE:
            if getattr(params, name) is not None:
                raise theirs.UnsupportedParameterError(name, ZhipuProvider.PROVIDER_NAME)
        if params.parallel_tool_calls is False:
            raise theirs.UnsupportedParameterError("parallel_tool_calls", ZhipuProvider.PROVIDER_NAME)
        arguments: dict[str, Any] = {
            "model": params.model_id,
            **{name: value for name in _SAME if (value := getattr(params, name)) is not None},
        }
        if params.max_completion_tokens is not None:
            arguments["max_tokens"] = params.max_completion_tokens
        if params.user is not None:
            arguments["user_id"] = params.user
        if params.stop is not None:
            arguments["stop"] = [params.stop] if isinstance(params.stop, str) else params.stop
        if params.tool_choice == "none":
            arguments.pop("tools", None)
        elif params.tool_choice not in (None, "auto"):
            raise theirs.UnsupportedParameterError(
                "tool_choice", ZhipuProvider.PROVIDER_NAME, "Only 'auto' and 'none'."
            )
        if params.reasoning_effort not in (None, "auto"):
            arguments |= thinking_arguments(params.model_id, params.reasoning_effort)
        schema = shapes.schema_of(params.response_format)
        if schema is not None:
            arguments["response_format"] = {"type": "json_object"}
        elif params.response_format is not None:
            arguments["response_format"] = params.response_format
        return {**arguments, "messages": shapes.conversation(params.messages, schema), **kwargs}

    @staticmethod
    def _convert_completion_response(response: chat.ChatCompletion) -> ChatCompletion:
        return shapes.completion(response)

    @staticmethod
    def _convert_completion_chunk_response(response: chat.ChatCompletionChunk, **kwargs: Any) -> ChatCompletionChunk:
        return shapes.ChunkShapes().chunk(response)

    @staticmethod
    def _convert_embedding_params(params: Any, **kwargs: Any) -> dict[str, Any]:
        return {"input": params, **kwargs}

    @staticmethod
    def _convert_embedding_response(response: Any) -> CreateEmbeddingResponse:
        return shapes.embeddings(response)

    @staticmethod
    def _convert_rerank_params(model: str, query: str, documents: list[str], **kwargs: Any) -> dict[str, Any]:
        return {"model": model, "query": query, "documents": documents, **kwargs}

    @staticmethod
    def _convert_rerank_response(response: Any) -> RerankResponse:
        return shapes.reranked(response)

    @staticmethod
    def _convert_list_models_response(response: Any) -> Sequence[Model]:
        return shapes.models(response)

    @staticmethod
    def _classify_exception(exception: Exception) -> type[theirs.AnyLLMError] | None:
        if isinstance(exception, errors.APIError) and exception.code == _UNKNOWN_MODEL:
            return theirs.ModelNotFoundError
        if isinstance(exception, errors.ServerError) and exception.status in _BY_STATUS:
            return _BY_STATUS[exception.status]
        return next((unified for kind, unified in _ERRORS if isinstance(exception, kind)), None)


def _item(item: str | dict[str, Any]) -> dict[str, Any]:
    return {"type": "text", "text": item} if isinstance(item, str) else item


class _Chunks:
    """The chunks of a stream, as any-llm's. Closing it, or dropping it, closes the connection."""

    def __init__(self, stream: Stream[chat.ChatCompletionChunk, chat.ChatCompletion]) -> None:
        self._stream = stream
        self._shapes = shapes.ChunkShapes()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChatCompletionChunk:
        return self._shapes.chunk(await self._stream.__anext__())

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.close()
