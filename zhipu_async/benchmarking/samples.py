"""One request of a benchmark: from the chunks that arrived, and when, to a sample."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from ..errors import APIError, StreamFailed, ZhipuError
from ..protocol.chunks import says_something
from ..telemetry import is_refusal
from ..types.chat import ChatCompletionChunk, Usage

Arrived = tuple[float, ChatCompletionChunk]
"""A chunk, and the second at which it was received."""


class Sample(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One request as it was measured. Times are seconds since its load began."""

    planned: float
    """When it was due: latencies count from here. With a fixed concurrency, the moment before it was sent."""
    sent: float
    first_token: float | None = None
    """When the first chunk with output came, thinking included."""
    first_output: float | None = None
    """When the first chunk with output other than thinking came."""
    ended: float
    """When the last chunk with a choice in it came, which has the finish reason; or the error."""
    gaps: list[float] = []
    """Seconds between chunks with output."""
    prompt_tokens: int = 0
    """As the service counted them."""
    cached_tokens: int = 0
    """Of the prompt, those that the service took from a cache."""
    output_tokens: int = 0
    """As the service counted them, thinking included; where it did not, the chunks."""
    reasoning_tokens: int = 0
    counted: bool = True
    """Whether the service counted the tokens."""
    attempts: int = 1
    """More than one only where the client may repeat; all are in the latency."""
    finish_reason: str | None = None
    error: str | None = None
    """The class of the error, with the service's code; None for a request that was answered."""
    message: str | None = None
    """What that error says."""
    refused: bool = False
    """Whether the error is a refusal for load, quota or account: HTTP 429."""


def sample_of(
    arrived: Sequence[Arrived], error: ZhipuError | None, *, began: float, planned: float, sent: float, ended: float
) -> Sample:
    """A request by its chunks and the error that ended it. ``began``: the second from which the other times count, and
    that is taken from those of the chunks. ``ended``: where it failed."""
    spoken = [(moment - began, chunk) for moment, chunk in arrived if says_something(chunk)]
    failure = error or _unusable(arrived, spoken)
    if failure is not None:
        code = failure.code if isinstance(failure, APIError) else None
        return Sample(
            planned=planned,
            sent=sent,
            ended=ended,
            error=f"{type(failure).__name__} {code}" if code else type(failure).__name__,
            message=str(failure) or None,
            refused=is_refusal(failure),
        )
    usage = next((chunk.usage for _, chunk in reversed(arrived) if chunk.usage is not None), None)
    prompt, cached, output, reasoning = _tokens(usage)
    moments = [moment for moment, _ in spoken]
    return Sample(
        planned=planned,
        sent=sent,
        first_token=moments[0],
        first_output=next((moment for moment, chunk in spoken if _is_output(chunk)), None),
        ended=next(moment for moment, chunk in reversed(arrived) if chunk.choices) - began,
        gaps=[later - earlier for earlier, later in pairwise(moments)],
        prompt_tokens=prompt,
        cached_tokens=cached,
        output_tokens=output or len(spoken),
        reasoning_tokens=reasoning,
        counted=bool(output),
        finish_reason=next(
            (
                choice.finish_reason
                for _, chunk in reversed(arrived)
                for choice in chunk.choices
                if choice.finish_reason
            ),
            None,
        ),
    )


def _unusable(arrived: Sequence[Arrived], spoken: Sequence[Arrived]) -> ZhipuError | None:
    """The error of a stream that came to its end and is no answer all the same."""
    reasons = [choice.finish_reason for _, chunk in arrived for choice in chunk.choices]
    if "network_error" in reasons:
        return StreamFailed()
    return None if spoken else StreamFailed("the stream has no output in it")


def _is_output(chunk: ChatCompletionChunk) -> bool:
    """Whether a chunk holds something else than thinking."""
    return any(
        choice.delta.content or choice.delta.tool_calls or choice.delta.audio is not None for choice in chunk.choices
    )


def _tokens(usage: Usage | None) -> tuple[int, int, int, int]:
    """Prompt, cached, output and reasoning."""
    if usage is None:
        return 0, 0, 0, 0
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return (
        usage.prompt_tokens or 0,
        (prompt and prompt.cached_tokens) or 0,
        usage.completion_tokens or 0,
        (completion and completion.reasoning_tokens) or 0,
    )
