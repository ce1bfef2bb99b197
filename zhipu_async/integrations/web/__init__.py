"""What web services need of this library, whatever their framework: ``.starlette`` and ``.aiohttp_web`` build on it."""

from .frames import DONE, KEEP_ALIVE, Event, frame
from .health import Readiness
from .problems import PROBLEMS, Problem, problem_of
from .relay import Channel, Ended, Relay, Relayed, RelayOptions, Source

__all__ = [
    "DONE",
    "KEEP_ALIVE",
    "PROBLEMS",
    "Channel",
    "Ended",
    "Event",
    "Problem",
    "Readiness",
    "Relay",
    "RelayOptions",
    "Relayed",
    "Source",
    "frame",
    "problem_of",
]
