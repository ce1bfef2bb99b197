"""How an answer ended: what is an error for those who need a whole one, and the tokens of several together."""

from __future__ import annotations

from .errors import AnswerFiltered, StreamFailed
from .types.chat import ChatCompletion, CompletionTokensDetails, PromptTokensDetails, Usage


def check_finish(completion: ChatCompletion, *, requests: int = 1, tokens: int | None = None) -> None:
    """Raise what a finish reason means that is none of an answer (chat.md section 5).

    ``requests`` and ``tokens`` are what it took to come here, for the error; by default, this answer's own.
    """
    if completion.finish_reason == "network_error":
        raise StreamFailed(partial=completion)
    if completion.finish_reason == "sensitive":
        own = (completion.usage.total_tokens or 0) if completion.usage else 0
        raise AnswerFiltered(
            "content safety stopped the answer (finish reason sensitive): it must not be shown, and asking again is no "
            "use",
            text=completion.text,
            completion=completion,
            requests=requests,
            tokens=own if tokens is None else tokens,
        )


def add(total: Usage, more: Usage | None) -> Usage:
    """The tokens of two answers together. What neither counts stays None."""
    if more is None:
        return total
    cached, reasoning = _sum(_cached(total), _cached(more)), _sum(_reasoning(total), _reasoning(more))
    return Usage(
        prompt_tokens=_sum(total.prompt_tokens, more.prompt_tokens),
        completion_tokens=_sum(total.completion_tokens, more.completion_tokens),
        total_tokens=_sum(total.total_tokens, more.total_tokens),
        prompt_tokens_details=None if cached is None else PromptTokensDetails(cached),
        completion_tokens_details=None if reasoning is None else CompletionTokensDetails(reasoning),
    )


def _sum(one: int | None, other: int | None) -> int | None:
    return one if other is None else (one or 0) + other


def _cached(usage: Usage) -> int | None:
    return usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else None


def _reasoning(usage: Usage) -> int | None:
    return usage.completion_tokens_details.reasoning_tokens if usage.completion_tokens_details else None
