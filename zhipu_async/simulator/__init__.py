"""A local GLM service for tests, demos and benchmarks: it answers like the real one, or as a scenario says."""

from zhipu_async.simulator.application import SERVICE, Service, application
from zhipu_async.simulator.authentication import DEFAULT_KEY
from zhipu_async.simulator.codes import BUSINESS_CODES
from zhipu_async.simulator.forms import Upload
from zhipu_async.simulator.realtime import Talk
from zhipu_async.simulator.replies import (
    DONE,
    Answer,
    Delivery,
    Download,
    ErrorFrame,
    Frames,
    HangUp,
    Json,
    Later,
    Raw,
    Refusal,
    Reply,
    ToolCall,
    not_found,
    page,
    version_not_found,
)
from zhipu_async.simulator.scenario import Case, OverloadPhase, Pace, Scenario
from zhipu_async.simulator.seen import Connections, SeenRequest
from zhipu_async.simulator.server import Simulator

__all__ = [
    "BUSINESS_CODES",
    "DEFAULT_KEY",
    "DONE",
    "SERVICE",
    "Answer",
    "Case",
    "Connections",
    "Delivery",
    "Download",
    "ErrorFrame",
    "Frames",
    "HangUp",
    "Json",
    "Later",
    "OverloadPhase",
    "Pace",
    "Raw",
    "Refusal",
    "Reply",
    "Scenario",
    "SeenRequest",
    "Service",
    "Simulator",
    "Talk",
    "ToolCall",
    "Upload",
    "application",
    "not_found",
    "page",
    "version_not_found",
]
