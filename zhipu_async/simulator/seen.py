"""What the simulator saw: requests, and the connections they came on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zhipu_async.simulator.forms import Fields, Upload
from zhipu_async.simulator.shapes import is_object, objects


@dataclass(slots=True, eq=False)
class SeenRequest:
    """One request as it arrived, and how it ended. Times are seconds of the event loop's clock."""

    number: int
    """Its place among all requests, from 0."""
    connection: int
    """The connection it came on, from 1 in the order of opening; 0 where connections are not counted."""
    method: str
    path: str
    query: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    received_at: float
    raw: bytes = field(default=b"", repr=False)
    """The body; empty where it is a form."""
    body: Any = field(default=None, repr=False)
    """The parsed JSON, or None."""
    form: Fields = field(default_factory=Fields, repr=False)
    """The texts of a multipart/form-data body by name, a list where a name came more than once."""
    uploads: Sequence[Upload] = ()
    """The files of a multipart/form-data body, in their order."""
    events: list[Any] = field(default_factory=list[Any], repr=False)
    """What came over a WebSocket, event by event: parsed JSON, None for what is none."""
    fields: Mapping[str, str] = field(default_factory=dict[str, str])
    """The variable parts of the path, by name."""
    status: int | None = None
    """The HTTP status that was written; None as long as none was."""
    ended_at: float | None = None
    """When the answer had been written, or the connection was gone."""
    closed_by_peer: bool = False
    """Whether the peer closed the connection before the answer was complete."""
    scheme: str = "http"
    """How the request came: `http` or `https`."""

    def get(self, name: str, default: Any = None) -> Any:
        """The field of the body with this name, or `default` where the body does not have it.

        The body is a JSON object, or a form: there the values are texts.
        """
        return self.body.get(name, default) if is_object(self.body) else self.form.get(name, default)

    def upload(self, name: str) -> Upload | None:
        """The first file of a form with this name."""
        return next((upload for upload in self.uploads if upload.name == name), None)

    @property
    def origin(self) -> str:
        """The address that it was sent to, in the form `http://127.0.0.1:PORT`."""
        return f"{self.scheme}://{self.headers.get('Host', 'localhost')}"

    @property
    def model(self) -> str:
        """The model asked for, in lower case as it is served; "" where there is none."""
        model = self.get("model")
        return model.lower() if isinstance(model, str) else ""

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages of a chat as they came; [] where there are none."""
        return objects(self.get("messages"))

    @property
    def prompt(self) -> str:
        """What the last message of a user says, its text parts joined by spaces; "" where there is none.

        Without messages it is the field `prompt`, or `input`, where that is a text.
        """
        said = [message.get("content") for message in self.messages if message.get("role") == "user"]
        if not self.messages:
            said = [value for name in ("input", "prompt") if isinstance(value := self.get(name), str)]
        content = said[-1] if said else ""
        texts = [content, *(part.get("text") for part in objects(content))]
        return " ".join(text for text in texts if isinstance(text, str))

    @property
    def stream(self) -> bool:
        """Whether a stream was asked for."""
        return self.get("stream") is True or self.form.get("stream") == "true"


class Connections:
    """How many connections the simulator has had."""

    opened: int
    """Connections so far."""
    open: int
    """Connections now."""

    def __init__(self) -> None:
        self.opened = 0
        self.open = 0
        self._numbers: dict[object, int] = {}

    def number(self, protocol: object) -> int:
        """The number of a connection, from 1 in the order of opening; 0 if it was not counted."""
        return self._numbers.get(protocol, 0)

    def made(self, protocol: object) -> None:
        """Count a connection that was opened."""
        self.opened += 1
        self.open += 1
        self._numbers[protocol] = self.opened

    def lost(self, protocol: object) -> None:
        """Count a connection that is gone."""
        if self._numbers.pop(protocol, None) is not None:
            self.open -= 1
