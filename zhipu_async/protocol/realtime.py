"""Events of a realtime session to text and from frames, and the errors among them (data.md section 13)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Union

import msgspec

from ..errors import APIError, ConfigError
from ..telemetry import logger
from ..types.realtime import ClientEvent
from ..types.realtime_events import SERVER_EVENTS, ErrorEvent, RealtimeEvent, ServerEvent, UnknownEvent
from ..types.realtime_parts import ErrorDetail
from . import faults, tolerant
from .codec import encode_json, excerpt, shown

_TYPES: Mapping[str, type[ServerEvent]] = {str(kind.__struct_config__.tag): kind for kind in SERVER_EVENTS}
_decoder: msgspec.json.Decoder[ServerEvent] = msgspec.json.Decoder(Union[SERVER_EVENTS])  # noqa: UP007
_WORDS: Mapping[str, str] = {"invalid_request_error": "invalid_request"}
"""Types of errors that mean the same as a code of errors.md section 6."""


def encode(event: ClientEvent | Mapping[str, Any]) -> str:
    """The JSON text of an event; ConfigError for a mapping without a ``type``, and for what JSON cannot hold."""
    if not isinstance(event, ClientEvent):
        kind = event.get("type") if isinstance(event, Mapping) else None  # pyright: ignore[reportUnnecessaryIsInstance]
        if not isinstance(kind, str) or not kind:
            raise ConfigError("an event must be a client event, or a mapping with a type like 'response.create'")
    return encode_json(event).decode()


def decode(frame: str | bytes) -> RealtimeEvent:
    """The event of a frame: by its type, strictly first, then tolerantly (README.md section 5); else UnknownEvent."""
    try:
        return _decoder.decode(frame)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    try:
        members = tolerant.loads(frame.encode("utf-8", "replace") if isinstance(frame, str) else frame)
    except (ValueError, RecursionError):
        return UnknownEvent("", frame)
    name = members.get("type") if tolerant.is_object(members) else None
    if not isinstance(name, str):
        return UnknownEvent("", members)
    if (kind := _TYPES.get(name)) is None:
        return UnknownEvent(name, members)
    drops: list[str] = []
    try:
        event = tolerant.convert(members, kind, drops)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return UnknownEvent(name, members)
    if drops:
        logger.warning("an event %s was read without %.500s, which do not fit", name, drops)
    return event


def error_of(event: RealtimeEvent) -> APIError | None:
    """The error that an event stands for, not raised; None for all other events.

    Errors are ``error`` events, and the envelopes of errors.md section 2 that a gateway sends without a type. Whether
    the session goes on after one is the service's choice; mostly it does.
    """
    if isinstance(event, UnknownEvent):
        return faults.of_frame(event.raw, {}) if not event.type and tolerant.is_object(event.raw) else None
    if not isinstance(event, ErrorEvent):
        return None
    detail = event.error or ErrorDetail()
    code = detail.code or detail.type
    known = next(
        (word for name in (detail.code, detail.type) if (word := _WORDS.get(name or "", name)) in faults.FAULTS), code
    )
    members = {"id": event.event_id}
    body = excerpt(json.dumps(msgspec.to_builtins(event), ensure_ascii=False).encode("utf-8", "replace"))
    error = faults.make(200, known, detail.message or "", members=members, headers={}, body=body)
    error.code = shown(code)
    return error
