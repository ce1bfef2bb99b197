"""The route table: which requests the service answers (contract page README.md, section 4).

Each module of endpoints offers its rows, each an `Endpoint` of routes.py, as `endpoints(stage)`; here they are joined.
"""

from __future__ import annotations

from zhipu_async.simulator import batches, parser, realtime, services, storage, tasks
from zhipu_async.simulator.chat import Chat, models
from zhipu_async.simulator.routes import Endpoint, Routes
from zhipu_async.simulator.stage import Stage


def endpoints(stage: Stage) -> tuple[Endpoint, ...]:
    """The table."""
    chat = Chat(stage.scenario)
    rows = (
        Endpoint("POST", "/chat/completions", chat.respond, chat.check),
        Endpoint("GET", "/models", models),
        *tasks.endpoints(stage.tasks, chat, stage.stamps),
        *storage.endpoints(stage.files, stage.public),
        *parser.endpoints(parser.Parser(stage)),
        *services.endpoints(stage),
    )
    # Lines of a batch may ask whatever stands above.
    return (*rows, *realtime.endpoints(), *batches.endpoints(batches.Batches(stage, Routes(rows))))
