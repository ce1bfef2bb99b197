"""The rows of media, data, agents, knowledge and the account, in the order of the contract's pages."""

from __future__ import annotations

from zhipu_async.simulator import (
    account,
    agents,
    applications,
    assistant,
    data,
    knowledge,
    layout,
    media,
    retrieval,
    speech,
    web,
)
from zhipu_async.simulator.library import Library
from zhipu_async.simulator.routes import Endpoint
from zhipu_async.simulator.stage import Stage


def endpoints(stage: Stage) -> tuple[Endpoint, ...]:
    """The rows."""
    library = Library()
    return (
        *media.endpoints(stage),
        *speech.endpoints(stage),
        *layout.endpoints(stage),
        *data.endpoints(stage),
        *web.endpoints(stage),
        *knowledge.endpoints(stage, library),
        *retrieval.endpoints(stage, library),
        *agents.endpoints(stage),
        *assistant.endpoints(stage),
        *applications.endpoints(stage),
        *account.endpoints(stage),
    )
