"""A conversation as a value: what was said, as it is sent. It counts, forks, saves and loads, and asks nobody."""

from __future__ import annotations

import copy
import errno
import os
import secrets
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias, cast

import msgspec

from .errors import ConfigError
from .finish import add
from .protocol import tolerant
from .protocol.codec import encode_json
from .protocol.sse import BOM
from .structured import TOOL, Parsed
from .tool_runs import ToolRunResult
from .tools import content_of
from .types.chat import ChatCompletion, Thinking, Usage
from .types.messages import (
    AssistantMessage,
    Message,
    Part,
    SystemMessage,
    ToolMessage,
    UserMessage,
    refuse_bytes,
    sendable,
)
from .types.tools import ToolCall

FORMAT = "zhipu_async.conversation"
VERSION = 1
"""Of the saved form. Members that a reader does not know do not make a new version."""

_SERVED = ("mcp", "web_search", "retrieval")
"""Types of calls that the service carries out itself: they need no result (chat.md section 4)."""

_Plain: TypeAlias = dict[str, Any]


class _Saved(msgspec.Struct, kw_only=True):
    """The members of the saved form that this version knows."""

    format: str
    version: Annotated[int, msgspec.Meta(ge=1)]
    clear_thinking: bool | None = None
    usage: Usage
    prompt_tokens: Annotated[int, msgspec.Meta(ge=0)]
    messages: list[_Plain]


class Conversation:
    """What was said so far, for the next question.

        conversation = Conversation("You are a patient teacher.")
        conversation.user("What is 17 * 19?")
        reply = await client.chat.completions.create(model="glm-4.7", messages=conversation.messages)
        conversation.add(reply)

    Replies are kept as they came, reasoning to the letter: a turn with tool calls needs its reasoning back, and
    preserved thinking that of all turns (chat.md section 3). ``clear_thinking=False`` asks for the latter, with
    ``thinking=conversation.thinking`` in each call. What is given is copied, and never changed.

    ConfigError, and nothing is added, for what the service would refuse (chat.md section 2): a result without its call,
    anything else while calls wait for their results, and what JSON cannot hold.
    """

    def __init__(self, system: str | None = None, *, clear_thinking: bool | None = None) -> None:
        self.clear_thinking = clear_thinking
        """What to ask of the service: False keeps the reasoning of earlier turns, None is its default."""
        self.usage = Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0)
        """Tokens of all replies that were added, and of a run's or parse's other requests."""
        self.prompt_tokens = 0
        """Tokens of the last reply's prompt: how long the conversation was when it was last sent."""
        self._messages: list[_Plain] = []
        self._unknown: _Plain = {}
        if system is not None:
            self._extend([SystemMessage(system)])

    # ------------------------------------------------------------ what to send

    @property
    def messages(self) -> tuple[Mapping[str, Any], ...]:
        """What was said, as JSON objects in their order: ``messages=conversation.messages``.

        What is said later does not change it, so that a call can be made now and sent whenever.
        """
        return tuple(self._messages)

    @property
    def thinking(self) -> Thinking | None:
        """What ``clear_thinking`` says, as the parameter of a call; None, which is not sent, where it says nothing."""
        return None if self.clear_thinking is None else Thinking(clear_thinking=self.clear_thinking)

    @property
    def pending(self) -> list[ToolCall]:
        """Calls of the last reply that wait for their results: nothing else can be added before."""
        return _waiting(self._messages)

    # ------------------------------------------------------------ what is said

    def user(self, content: str | Sequence[Part | Mapping[str, Any]]) -> None:
        """Add what the user says: text, or parts (texts, images, ...) for models that see or hear."""
        self._extend([UserMessage(content)])

    def add(self, reply: ChatCompletion | ToolRunResult | Parsed[Any] | Message | Mapping[str, Any]) -> None:
        """Add a reply: an answer (``stream.result`` too), all that a run with tools said, or what ``parse`` found; or
        any single message, which costs no tokens.

        A run is one that went on from this conversation, with more messages after it or none: those are added too.
        """
        if isinstance(reply, ToolRunResult):
            self._extend(self._new_in(reply))
            self._count(reply.usage, reply.completion)
        elif isinstance(reply, Parsed):
            self._extend(_parsed(reply))
            self._count(reply.usage, reply.completion)
        elif isinstance(reply, ChatCompletion):
            self._extend([reply.message])
            self._count(reply.usage, reply)
        else:
            self._extend([reply])

    def tool_result(self, call: ToolCall | str, content: Any) -> None:
        """Answer a call, or the call of an id. Text is sent as it is, anything else as JSON."""
        identity = sendable(call if isinstance(call, str) else call.id)
        try:
            self._extend([ToolMessage(content=content_of(content), tool_call_id=identity or "")])
        except TypeError as error:
            raise ConfigError(f"the result of {identity!r} cannot be sent: {error}") from None

    def _count(self, usage: Usage | None, last: ChatCompletion) -> None:
        self.usage = add(self.usage, usage)
        if last.usage is not None and last.usage.prompt_tokens is not None:
            self.prompt_tokens = last.usage.prompt_tokens

    def _new_in(self, result: ToolRunResult) -> list[Message | Mapping[str, Any]]:
        """The messages of a run that come after this conversation's."""
        known = len(self._messages)
        earlier, new = result.messages[:known], result.messages[known:]
        same = len(earlier) == known and all(
            given is ours or _plain(given) == ours for given, ours in zip(earlier, self._messages, strict=True)
        )
        if not same:
            raise ConfigError("the run did not go on from this conversation: start it with its .messages")
        if not new:
            raise ConfigError("the run holds nothing that the conversation does not have: it was added before")
        return new

    def _extend(self, new: Iterable[Message | Mapping[str, Any]]) -> None:
        """Add messages, or none of them."""
        grown = self._messages[:]
        waiting = _waiting(grown)
        for message in new:
            plain = _plain(message)
            waiting = _after(plain, waiting, f"messages[{len(grown)}]")
            grown.append(plain)
        self._messages = grown

    # ------------------------------------------------------------ shorter and twice

    @property
    def turns(self) -> int:
        """How many turns it has: each begins with what the user says after a reply."""
        return len(self._turns())

    def drop_oldest(self, turns: int = 1) -> None:
        """Forget the oldest turns, whole: no call loses its result. System messages at the beginning stay.

        ConfigError for all turns: the last one stays. The tokens stay counted. The reasoning of these turns goes with
        them, and with it that part of preserved thinking.
        """
        starts = self._turns()
        if not 0 <= turns < max(len(starts), 1):
            raise ConfigError(f"cannot drop {turns} of {len(starts)} turns: the last one stays")
        if turns:
            self._messages = [*self._messages[: starts[0]], *self._messages[starts[turns] :]]

    def _turns(self) -> list[int]:
        """Where turns begin; whatever follows the first system messages begins one too."""
        roles = [message["role"] for message in self._messages]
        first = next((place for place, role in enumerate(roles) if role != "system"), len(roles))
        return [
            place
            for place in range(first, len(roles))
            if place == first or (roles[place] == "user" and roles[place - 1] != "user")
        ]

    def fork(self) -> Self:
        """A copy that goes its own way, its counted tokens included."""
        return copy.deepcopy(self)

    # ------------------------------------------------------------ as JSON

    def to_json(self) -> str:
        """The conversation as JSON for :meth:`from_json`, indented for people."""
        known = {
            "format": FORMAT,
            "version": VERSION,
            "clear_thinking": self.clear_thinking,
            "usage": self.usage,
            "prompt_tokens": self.prompt_tokens,
        }
        data = encode_json({**known, **self._unknown, "messages": self._messages})
        return msgspec.json.format(data, indent=2).decode() + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The conversation that :meth:`to_json` wrote. Members that are unknown here are kept.

        ConfigError for one that a later version wrote, for another format, and for damage; it says which and where.
        """
        return cls._read(text, "the text")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file, which is never half written: a crash leaves the old one. Blocks; OSError as of ``open``.

        The file holds all that was said, pictures too, and is no more private than others.
        """
        _replace(Path(os.path.realpath(path)), self.to_json().encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The conversation in a file; raises as :meth:`from_json`, and OSError as of ``open``. Blocks."""
        return cls._read(Path(path).read_bytes(), repr(os.fspath(path)))

    @classmethod
    def _read(cls, text: str | bytes, place: str) -> Self:
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        try:
            members = msgspec.json.decode(data.removeprefix(BOM))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigError(f"{place} is damaged, or no conversation: it is no JSON ({error})") from None
        if not tolerant.is_object(members) or members.get("format") != FORMAT:
            raise ConfigError(f'{place} is no saved conversation: its "format" is not {FORMAT!r}')
        version = members.get("version")
        if isinstance(version, int) and version > VERSION:
            raise ConfigError(
                f"{place} was saved by a later version of zhipu_async: it is of format version {version}, and this one "
                f"reads up to {VERSION}: update zhipu_async"
            )
        try:
            saved = msgspec.convert(members, _Saved)
            conversation = cls(clear_thinking=saved.clear_thinking)
            conversation._extend(saved.messages)
        except (msgspec.ValidationError, ConfigError) as error:
            raise ConfigError(f"{place} is damaged: {error}") from None
        conversation.usage, conversation.prompt_tokens = saved.usage, saved.prompt_tokens
        conversation._unknown = {name: members[name] for name in members if name not in _Saved.__struct_fields__}
        return conversation

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if isinstance(other, Conversation) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Conversation of {len(self._messages)} messages, {self.usage.total_tokens} tokens>"


def _plain(message: Message | Mapping[str, Any]) -> _Plain:
    """A message as the JSON object that is sent: a copy."""
    if not isinstance(message, (SystemMessage, UserMessage, AssistantMessage, ToolMessage, Mapping)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(
            f"{type(message).__name__} cannot be added: give a ChatCompletion (of a stream, stream.result), what a run "
            "or parse gave when it was awaited, or a message; text of the user with .user(text)"
        )
    refuse_bytes([message])
    plain: _Plain = msgspec.json.decode(encode_json(message))
    if not isinstance(plain.get("role"), str):
        raise ConfigError(f"a message without a role cannot be added: it has {', '.join(plain) or 'nothing'}")
    return plain


def _after(plain: _Plain, waiting: list[ToolCall], place: str) -> list[ToolCall]:
    """The calls that wait for their results after a message; ConfigError where it cannot come (chat.md section 2)."""
    wait = ", ".join(f"{call.function.name} ({call.id})" for call in waiting)
    if plain["role"] == "tool":
        found = next((call for call in waiting if (call.id or "") == _answered(plain)), None)
        if found is None:
            told = f"those that wait are {wait}" if wait else "none waits for one"
            raise ConfigError(f"{place} is a result of the call {_answered(plain)!r}, but {told}")
        return [call for call in waiting if call is not found]
    if waiting:
        raise ConfigError(
            f"{place} is of the {plain['role']}, but calls wait for their results: {wait}; add them first, "
            "with .tool_result(call, content)"
        )
    return _calls(plain, place)


def _waiting(messages: Sequence[_Plain]) -> list[ToolCall]:
    """The calls of the last reply that have no result yet."""
    reply = next((place for place in reversed(range(len(messages))) if messages[place]["role"] != "tool"), None)
    waiting: list[ToolCall] = []
    for place in range(len(messages) if reply is None else reply, len(messages)):
        waiting = _after(messages[place], waiting, f"messages[{place}]")
    return waiting


def _calls(plain: _Plain, place: str) -> list[ToolCall]:
    """The calls of a reply that need a result."""
    given = plain.get("tool_calls") if plain["role"] == "assistant" else None
    try:
        calls = tolerant.convert(given or [], list[ToolCall], [])
    except ValueError as error:
        raise ConfigError(f"{place}: its tool_calls are not calls: {error}") from None
    if len(calls) < len(given or []):
        raise ConfigError(f"{place}: its tool_calls are not calls")
    return [call for call in calls if call.type not in _SERVED]


def _answered(plain: _Plain) -> str:
    return str(plain.get("tool_call_id") or "")


def _parsed(parsed: Parsed[Any]) -> list[Message]:
    """A parsed answer as messages: the function that stands for the answer has taken it."""
    message = parsed.completion.message
    calls = cast("Sequence[ToolCall]", message.tool_calls or ())
    taken = [call.id or "" for call in calls if call.function.name == TOOL]
    return [message, *(ToolMessage(content="accepted", tool_call_id=identity) for identity in taken)]


def _replace(path: Path, data: bytes) -> None:
    """Put a file in the place of the one at ``path``, whose permissions it keeps."""
    mode = None
    with suppress(FileNotFoundError):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # a folder, a pipe, a device
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, "it is write-protected", str(path))
    part = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb") as file:
            if mode is not None:
                part.chmod(stat.S_IMODE(mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
