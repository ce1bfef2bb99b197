"""An answer of a GLM model as it comes, as pydantic-ai's events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic_ai.messages import ModelResponseStreamEvent
from pydantic_ai.models import StreamedResponse

from ..errors import StreamConsumed, ZhipuError
from ..streaming import Stream
from ..types.chat import ChatCompletion, ChatCompletionChunk
from ..types.events import (
    ChatEvent,
    ContentDelta,
    Finished,
    ReasoningDelta,
    ToolCallDelta,
    ToolCallDone,
    ToolCallStarted,
)
from .pydantic_ai_errors import check_complete, errors_as_theirs
from .pydantic_ai_messages import FINISH_REASONS, THINKING_ID, details, speech, usage


@dataclass
class ZhipuStreamedResponse(StreamedResponse):
    """An answer as it comes, as pydantic-ai's events."""

    _stream: Stream[ChatCompletionChunk, ChatCompletion]
    _model_name: str
    _provider_name: str
    _provider_url: str
    _timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))
    _named: set[int] = field(default_factory=set[int], init=False)
    """The calls whose function is known."""
    _left: bool = field(default=False, init=False)

    async def close_stream(self) -> None:
        """Close the connection; a task that waits for what comes is at the end."""
        self._left = True
        await self._stream.close()

    def get_stream_cancel_errors(self) -> tuple[type[BaseException], ...]:
        """What may come of closing the connection while it is read."""
        return (ZhipuError,)

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        with errors_as_theirs(self._model_name, in_stream=True):
            try:
                async for event in self._stream.events():
                    for mapped in self._mapped(event):
                        yield mapped
            except StreamConsumed:
                if not self._left:
                    raise

    def _mapped(self, event: ChatEvent) -> Iterator[ModelResponseStreamEvent]:
        manager = self._parts_manager
        match event:
            case Finished(result=result):
                self._finish(result)
                check_complete(result)
                for part in speech(result, self._provider_name):
                    yield manager.handle_part(vendor_part_id="speech", part=part)
            case ReasoningDelta(choice=0, text=text):
                yield from manager.handle_thinking_delta(
                    vendor_part_id=THINKING_ID, id=THINKING_ID, content=text, provider_name=self._provider_name
                )
            case ContentDelta(choice=0, text=text):
                yield from manager.handle_text_delta(vendor_part_id="text", content=text)
            case ToolCallStarted(choice=0, position=position, id=id, name=name) if name:
                self._named.add(position)
                yield from manager.handle_tool_call_delta_events(
                    vendor_part_id=position, tool_name=name, tool_call_id=id
                )
            case ToolCallDelta(choice=0, position=position, arguments=arguments) if position in self._named:
                yield from manager.handle_tool_call_delta_events(vendor_part_id=position, args=arguments)
            case ToolCallDone(choice=0, position=position, call=call) if position not in self._named:
                if call.type == "function":  # its name came late
                    yield manager.handle_tool_call_part(
                        vendor_part_id=position,
                        tool_name=call.function.name,
                        args=call.function.arguments,
                        tool_call_id=call.id,
                    )
            case _:
                pass

    def _finish(self, result: ChatCompletion) -> None:
        self._model_name = result.model or self._model_name
        self._usage = usage(result)
        self.provider_response_id = result.id
        self.provider_details = details(result)
        self.finish_reason = FINISH_REASONS.get(result.finish_reason)

    @property
    def model_name(self) -> str:
        """The model's id as it was served."""
        return self._model_name

    @property
    def provider_name(self) -> str:
        """The provider's name."""
        return self._provider_name

    @property
    def provider_url(self) -> str:
        """The client's endpoint."""
        return self._provider_url

    @property
    def timestamp(self) -> datetime:
        """When the stream was opened here; the service's own time is in ``provider_details``."""
        return self._timestamp
