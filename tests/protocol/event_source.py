"""The event stream rules of the WHATWG HTML standard (9.2.5 and 9.2.6), written out for comparison.

It takes the whole input at once, decodes first and splits afterwards: the other way round than the decoder under test.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Message(NamedTuple):
    """A dispatched event."""

    event: str
    data: str
    id: str
    retry: int | None


def messages(stream: bytes) -> list[Message]:
    """The events of a whole stream.

    ``retry`` is what a dispatched message is given when the reconnection time was set after the message before.
    """
    text = stream.decode("utf-8", "replace")  # "UTF-8 decode": errors become U+FFFD ...
    text = text.removeprefix("\ufeff")  # ... and one leading byte order mark is stripped
    *lines, _unfinished = re.split("\r\n|\n|\r", text)  # a line without its end is never processed

    dispatched: list[Message] = []
    data = event_type = last_event_id = ""
    reconnection_time: int | None = None

    def process(field: str, value: str) -> None:
        nonlocal data, event_type, last_event_id, reconnection_time
        if field == "event":
            event_type = value
        elif field == "data":
            data += value + "\n"
        elif field == "id":
            if "\0" not in value:
                last_event_id = value
        elif field == "retry" and value and all("0" <= digit <= "9" for digit in value):
            reconnection_time = int(value)
        # otherwise the field is ignored

    for line in lines:
        if line == "":  # dispatch the event
            if data == "":
                event_type = ""
                continue
            data = data.removesuffix("\n")
            dispatched.append(Message(event_type or "message", data, last_event_id, reconnection_time))
            data = event_type = ""
            reconnection_time = None
        elif line.startswith(":"):
            pass  # ignore the line
        elif ":" in line:
            field, value = line.split(":", 1)
            process(field, value.removeprefix(" "))
        else:
            process(line, "")
    return dispatched  # an event without its blank line is discarded
