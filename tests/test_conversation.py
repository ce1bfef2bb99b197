"""Conversations: what they hold is what is sent, to the letter, and it survives files, forks and forgetting."""

from __future__ import annotations

import copy
import json
import os
import pickle
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import Serve
from zhipu_async import (
    AssistantMessage,
    ChatCompletion,
    ConfigError,
    Conversation,
    ImagePart,
    SystemMessage,
    TextPart,
    Thinking,
    ToolCall,
    ToolMessage,
    ToolRunResult,
    Usage,
    UserMessage,
    ZhipuError,
)
from zhipu_async.conversation import FORMAT
from zhipu_async.simulator import Reply, Scenario, SeenRequest
from zhipu_async.simulator import ToolCall as SimulatedCall
from zhipu_async.types.chat import ChatMessage, Choice
from zhipu_async.types.tools import FunctionCall

# ---------------------------------------------------------------- any conversation

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
parts = st.one_of(
    st.builds(TextPart, texts),
    st.builds(ImagePart.from_bytes, st.binary(max_size=20), st.just("image/png")),
    st.fixed_dictionaries({"type": st.just("input_audio"), "input_audio": st.dictionaries(texts, texts)}),
)
calls = st.builds(
    ToolCall,
    id=st.sampled_from(["call_1", "call_2", None]),
    function=st.builds(FunctionCall, texts, texts),
    type=st.sampled_from(["function", "unheard_of", "web_search"]),
)
extra = st.dictionaries(
    texts.filter(lambda name: name not in ("role", "tool_calls", "tool_call_id")), values, max_size=2
)
usages = st.none() | st.builds(
    Usage,
    prompt_tokens=st.none() | st.integers(0, 9),
    completion_tokens=st.integers(0, 9),
    total_tokens=st.integers(0, 9),
)


@st.composite
def replies(draw: st.DrawFn) -> list[Any]:
    """A reply and the results of its calls, in any order."""
    message = draw(
        st.builds(
            ChatMessage,
            content=st.none() | texts,
            reasoning_content=st.none() | texts,
            tool_calls=st.none() | st.lists(calls, max_size=3),
        )
    )
    reply = ChatCompletion(choices=[Choice(message=message)], usage=draw(usages))
    ids = [call.id or "" for call in reply.tool_calls if call.type != "web_search"]
    return [reply, *(ToolMessage(content=draw(texts), tool_call_id=name) for name in draw(st.permutations(ids)))]


users = st.builds(UserMessage, texts | st.lists(parts, max_size=3))
roles = st.sampled_from(["system", "user", "assistant", "developer"])


@st.composite
def plain(draw: st.DrawFn) -> list[Any]:
    """A message as an object, with whatever else in it."""
    return [{"role": draw(roles), **draw(extra)}]


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """What any sequence of things said makes."""
    conversation = Conversation(draw(st.none() | texts), clear_thinking=draw(st.sampled_from([None, True, False])))
    turns: list[list[Any]] = draw(st.lists(users.map(lambda message: [message]) | replies() | plain(), max_size=6))
    last = draw(st.just([]) | replies())
    for said in (*turns, last[: draw(st.integers(0, len(last)))]):
        for one in said:
            conversation.add(one)
    return conversation


def said_in(messages: Any) -> list[Any]:
    """Messages as the JSON that is sent."""
    found: list[Any] = json.loads(msgspec.json.encode(messages))
    return found


@given(conversations())
def test_saving_and_loading_changes_nothing(conversation: Conversation) -> None:
    """The text holds all: messages, order, settings and tokens; written again it is the same text."""
    text = conversation.to_json()
    for given_text in (text, text.encode(), b"\xef\xbb\xbf" + text.encode()):
        again = Conversation.from_json(given_text)
        assert again == conversation
        assert said_in(again.messages) == said_in(conversation.messages)
        assert (again.usage, again.prompt_tokens, again.thinking) == (
            conversation.usage,
            conversation.prompt_tokens,
            conversation.thinking,
        )
        assert again.to_json() == text


@given(st.lists(replies(), max_size=4), texts)
def test_replies_are_sent_back_to_the_letter(turns: list[list[Any]], system: str) -> None:
    """Reasoning, text and arguments of calls are those of the replies, in their order; so are results."""
    conversation = Conversation(system)
    expected: list[Any] = [SystemMessage(system)]
    for turn in turns:
        for one in turn:
            conversation.add(one)
            expected.append(one.message if isinstance(one, ChatCompletion) else one)
    assert said_in(conversation.messages) == said_in(expected)
    reasoning = [
        message.get("reasoning_content") for message in conversation.messages if message["role"] == "assistant"
    ]
    assert reasoning == [turn[0].choices[0].message.reasoning_content or None for turn in turns]


@given(st.lists(usages))
def test_tokens_add_up(reported: list[Usage | None]) -> None:
    """The sum of what replies tell; the prompt is that of the last one that tells it."""
    conversation = Conversation()
    for usage in reported:
        conversation.add(ChatCompletion(usage=usage))
    told = [usage for usage in reported if usage is not None]
    assert conversation.usage.total_tokens == sum(usage.total_tokens or 0 for usage in told)
    assert conversation.usage.prompt_tokens == sum(usage.prompt_tokens or 0 for usage in told)
    assert conversation.usage.completion_tokens == sum(usage.completion_tokens or 0 for usage in told)
    prompts = [usage.prompt_tokens for usage in told if usage.prompt_tokens is not None]
    assert conversation.prompt_tokens == (prompts[-1] if prompts else 0)


@given(conversations())
def test_a_fork_goes_its_own_way(conversation: Conversation) -> None:
    """A fork is equal to what it came from, and shares nothing that can change; copies and pickles are like it."""
    before = conversation.to_json()
    fork = conversation.fork()
    assert fork == conversation == copy.copy(conversation) == pickle.loads(pickle.dumps(conversation))
    for call in fork.pending:
        fork.tool_result(call, "done")
    fork.user("another way")
    fork.add(ChatCompletion(usage=Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2)))
    for message in fork.messages:
        message.update(content="changed")  # type: ignore[attr-defined]
    fork.usage.total_tokens = -1
    assert conversation.to_json() == before
    assert fork != conversation


@given(conversations(), st.integers(0, 8))
def test_forgetting_takes_whole_turns(conversation: Conversation, turns: int) -> None:
    """What is left is the system messages at the beginning and the end of what was said, with every call's result."""
    before = said_in(conversation.messages)
    there = conversation.turns
    if turns and turns >= there:
        with pytest.raises(ConfigError, match=rf"cannot drop {turns} of {there} turns"):
            conversation.drop_oldest(turns)
        assert said_in(conversation.messages) == before
        return
    conversation.drop_oldest(turns)
    after = said_in(conversation.messages)
    head = next((place for place, message in enumerate(before) if message["role"] != "system"), len(before))
    assert conversation.turns == there - turns
    assert after[:head] == before[:head]
    assert after[head:] == before[len(before) - len(after) + head :]
    if turns:
        assert after[head]["role"] == "user"
    assert Conversation.from_json(conversation.to_json()) == conversation  # no result without its call


@pytest.mark.parametrize(
    ("roles", "left"),  # s(ystem), u(ser), a(ssistant); what is left when turns are dropped one by one
    [
        ("", []),
        ("s", []),
        ("u", []),
        ("ua", []),
        ("suaua", ["sua"]),
        ("ssuuauu", ["ssuu"]),
        ("saua", ["sua"]),
        ("uasauaa", ["uaa"]),
        ("uauaua", ["uaua", "ua"]),
    ],
)
def test_a_turn_begins_with_the_user(roles: str, left: list[str]) -> None:
    """It lasts until the user speaks again after another; what comes before the user is one too."""
    names = {"s": "system", "u": "user", "a": "assistant"}
    conversation = Conversation()
    for number, role in enumerate(roles):
        conversation.add({"role": names[role], "content": str(number)})
    assert conversation.turns == len(left) + (len(roles.lstrip("s")) > 0)
    for expected in left:
        conversation.drop_oldest()
        assert "".join(message["role"][0] for message in conversation.messages) == expected
    assert all(message["content"] for message in conversation.messages)
    with pytest.raises(ConfigError, match="the last one stays"):
        conversation.drop_oldest()


@given(conversations())
@settings(max_examples=20)
def test_what_is_sent_does_not_change_later(conversation: Conversation) -> None:
    """The messages of a call that was made are those of that moment."""
    sent: Any = conversation.messages
    before = said_in(sent)
    for call in conversation.pending:
        conversation.tool_result(call, "done")
    conversation.user("more")
    assert said_in(sent) == before
    assert len(conversation.messages) > len(sent)
    with pytest.raises(AttributeError):  # rather than a change that is lost
        sent.append({"role": "user", "content": "by the way"})


# ---------------------------------------------------------------- what is given


def test_what_was_given_is_not_looked_at_again() -> None:
    """Objects of the caller's are copied: neither side sees what the other does to its own later."""
    part = {"type": "text", "text": "What is this?"}
    content: list[Any] = [part, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]
    message = {"role": "user", "content": content, "added_later": {"by": ["somebody"]}}
    before = copy.deepcopy(message)
    conversation = Conversation()
    conversation.add(message)
    conversation.user(content)
    assert message == before
    part["text"] = "changed"
    content.clear()
    assert said_in(conversation.messages) == [before, {"role": "user", "content": before["content"]}]


def test_a_picture_comes_back_as_it_was(tmp_path: Path) -> None:
    """Parts with data URLs go through a file unchanged."""
    picture = ImagePart.from_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    conversation = Conversation()
    conversation.user([picture, TextPart("What is this?")])
    conversation.save(tmp_path / "talk.json")
    parts = Conversation.load(tmp_path / "talk.json").messages[0]["content"]
    assert parts == [
        {"type": "image_url", "image_url": {"url": picture.image_url.url}},
        {"type": "text", "text": "What is this?"},
    ]


@pytest.mark.parametrize(
    ("clear", "sent"), [(None, None), (False, Thinking(clear_thinking=False)), (True, Thinking(clear_thinking=True))]
)
def test_preserved_thinking_is_asked_for_when_it_is_wanted(clear: bool | None, sent: Thinking | None) -> None:
    """``thinking`` says what was wanted and nothing more, also after a file."""
    conversation = Conversation(clear_thinking=clear)
    assert conversation.thinking == Conversation.from_json(conversation.to_json()).thinking == sent


NAN = {"role": "user", "content": [{"type": "text", "text": float("nan")}]}


@pytest.mark.parametrize(
    ("given_thing", "told"),
    [
        ("Hello", r"str cannot be added.*\.user\(text\)"),
        (None, "NoneType cannot be added"),
        ([{"role": "user", "content": "Hi"}], "list cannot be added"),
        (b"bytes", "bytes cannot be added"),
        ({"content": "Hi"}, "without a role .* content"),
        ({}, "without a role"),
        ({"role": 7}, "without a role"),
        ({"role": "user", "content": "\ud800"}, "not Unicode"),
        ({"role": "user", "content": b"abc"}, "decode it to str"),
        (UserMessage([{"type": "text", "text": bytearray(b"abc")}]), "decode it to str"),
        (UserMessage((TextPart(b"abc"),)), "decode it to str"),  # type: ignore[arg-type]
        (NAN, "not a finite number"),
        ({"role": "user", "content": {1, 2}, "more": object()}, "cannot be written as JSON"),
        ({"role": "assistant", "tool_calls": "get_weather"}, "tool_calls are not calls"),
        ({"role": "assistant", "tool_calls": ["get_weather"]}, "tool_calls are not calls"),
        ({"role": "assistant", "tool_calls": 7}, "tool_calls are not calls"),
    ],
)
def test_what_cannot_be_a_message_is_refused(given_thing: Any, told: str) -> None:
    """ConfigError says what it is, and the conversation stays as it was."""
    conversation = Conversation("Be brief.")
    before = conversation.to_json()
    with pytest.raises(ConfigError, match=told):
        conversation.add(given_thing)
    assert conversation.to_json() == before


# ---------------------------------------------------------------- calls and results


def asked_for(*names: str | None, kind: str = "function") -> AssistantMessage:
    """A reply with calls of these ids."""
    return AssistantMessage(
        content="", tool_calls=[ToolCall(id=name, type=kind, function=FunctionCall("look", "{}")) for name in names]
    )


@pytest.mark.parametrize(
    ("before", "refused", "told"),
    [
        ([], ToolMessage(content="1", tool_call_id="a"), r"messages\[0\] is a result of .*'a', but none waits"),
        ([asked_for("a")], ToolMessage(content="1", tool_call_id="b"), r"'b', but those that wait are look \(a\)"),
        ([asked_for("a")], {"role": "tool", "content": "1"}, r"call '', but those that wait"),
        ([asked_for("a")], UserMessage("And?"), r"messages\[1\] is of the user, but .* look \(a\).*tool_result"),
        ([asked_for("a")], ChatCompletion(), "of the assistant, but calls wait"),
        (
            [asked_for("a", "b"), ToolMessage(content="1", tool_call_id="b")],
            SystemMessage("x"),
            r"results: look \(a\);",
        ),
        (
            [asked_for("a"), ToolMessage(content="1", tool_call_id="a")],
            ToolMessage(content="2", tool_call_id="a"),
            r"messages\[2\] .* none waits",
        ),
        (
            [asked_for("a"), ToolMessage(content="1", tool_call_id="a"), UserMessage("And?")],
            ToolMessage(content="1", tool_call_id="a"),
            "none waits",
        ),
        ([asked_for("a", kind="web_search")], ToolMessage(content="1", tool_call_id="a"), "none waits"),
    ],
)
def test_what_the_service_would_refuse_is_not_added(before: list[Any], refused: Any, told: str) -> None:
    """Calls and results belong together (chat.md section 2); what does not fit is named, with its place."""
    conversation = Conversation()
    for message in before:
        conversation.add(message)
    saved = conversation.to_json()
    with pytest.raises(ConfigError, match=told):
        conversation.add(refused)
    assert conversation.to_json() == saved


@pytest.mark.parametrize("ids", [("a", "b"), ("a", "a"), (None, None), ("a", None)])
def test_each_call_has_one_result_in_any_order(ids: tuple[str | None, ...]) -> None:
    """Calls are answered by their id; calls of one id, or of none, are answered as often as they came."""
    conversation = Conversation()
    conversation.add(asked_for(*ids))
    for left, name in zip((1, 0), reversed(ids), strict=True):
        conversation.tool_result(ToolCall(id=name), {"degrees": 21})
        assert len(conversation.pending) == left
    with pytest.raises(ConfigError, match="none waits"):
        conversation.tool_result(ids[0] or "", "once more")
    conversation.user("Thanks.")
    assert [message["content"] for message in conversation.messages[1:]] == ['{"degrees":21}'] * 2 + ["Thanks."]


def test_a_lone_surrogate_of_the_model_is_no_obstacle() -> None:
    """U+FFFD stands for it in what is sent; its call takes a result by the id that it came with."""
    call = ToolCall(id="c\ud83d", function=FunctionCall("look", '{"at": "\ud83d"}'))
    reply = ChatCompletion(choices=[Choice(message=ChatMessage(content="\ud83d", tool_calls=[call]))])
    talk = Conversation()
    talk.add(reply)
    assert [call.id for call in talk.pending] == ["c\ufffd"]
    talk.tool_result(reply.tool_calls[0], "blue")
    assert talk.pending == []
    assert Conversation.from_json(talk.to_json()) == talk
    assert reply.text == "\ud83d"


def test_calls_wait_after_loading_too() -> None:
    """``pending`` gives calls that can be carried out, with arguments as text however they came."""
    conversation = Conversation()
    conversation.user("Look.")
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": {"at": "the sky"}}}
    conversation.add({"role": "assistant", "tool_calls": [call]})
    (pending,) = Conversation.from_json(conversation.to_json()).pending
    assert (pending.id, pending.function) == ("a", FunctionCall("look", '{"at":"the sky"}'))
    assert conversation.messages[1]["tool_calls"] == [call]


def test_results_are_text_or_json() -> None:
    """A result that JSON cannot carry is refused, and the call still waits."""
    conversation = Conversation()
    conversation.add(asked_for("a"))
    with pytest.raises(ConfigError, match="the result of 'a' cannot be sent"):
        conversation.tool_result("a", object())
    conversation.tool_result("a", "夜")
    assert conversation.messages[-1]["content"] == "夜"


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_two_in_a_row_are_no_mistake(role: str) -> None:
    """The service takes several messages of one role, so they can be added."""
    conversation = Conversation()
    for _ in range(2):
        conversation.add({"role": role, "content": "again"})
    assert len(conversation.messages) == 2


# ---------------------------------------------------------------- files


def conversation_file(**changes: Any) -> str:
    """A saved conversation with members changed; None leaves one out."""
    members = {
        "format": FORMAT,
        "version": 1,
        "usage": {"total_tokens": 3},
        "prompt_tokens": 1,
        "messages": [{"role": "user", "content": "Hi"}],
        **changes,
    }
    return json.dumps({name: value for name, value in members.items() if value is not None})


ORPHAN = [{"role": "user", "content": "Hi"}, {"role": "tool", "content": "1", "tool_call_id": "a"}]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "damaged, or no conversation: it is no JSON"),
        (conversation_file()[:-20], "damaged, or no conversation: it is no JSON"),
        (b"\xff" + conversation_file().encode(), "it is no JSON"),
        (conversation_file().replace("Hi", "\ud800"), "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ("[]", "no saved conversation"),
        ('{"messages": []}', f"no saved conversation: its \"format\" is not '{FORMAT}'"),
        (conversation_file(format="another"), "no saved conversation"),
        (conversation_file(version=2), "later version of zhipu_async.* format version 2.* reads up to 1: update"),
        (conversation_file(version=2, messages={}), "later version"),
        (conversation_file(version=0), r"damaged: .*\$\.version"),
        (conversation_file(version="1"), r"damaged: .*\$\.version"),
        (conversation_file(version=None), "damaged: .*missing required field `version`"),
        (conversation_file(messages=None), "damaged: .*missing required field `messages`"),
        (conversation_file(messages={}), r"damaged: .*\$\.messages"),
        (conversation_file(messages=["Hi"]), r"damaged: .*\$\.messages\[0\]"),
        (conversation_file(messages=[{"content": "Hi"}]), "damaged: a message without a role"),
        (conversation_file(messages=ORPHAN), r"damaged: messages\[1\] is a result of the call 'a'"),
        (conversation_file(usage=None), "damaged: .*missing required field `usage`"),
        (conversation_file(usage={"total_tokens": "3"}), r"damaged: .*\$\.usage\.total_tokens"),
        (conversation_file(prompt_tokens=-1), r"damaged: .*\$\.prompt_tokens"),
        (conversation_file(clear_thinking="no"), r"damaged: .*\$\.clear_thinking"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(text: str | bytes, told: str, tmp_path: Path) -> None:
    """Damage, another format and a later version are ConfigErrors that name the file, and the place in it."""
    with pytest.raises(ConfigError, match=f"(?s)^the text is .*{told}|^the text was .*{told}"):
        Conversation.from_json(text)
    path = tmp_path / "talk.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigError, match=r"talk\.json' (is|was) "):
        Conversation.load(path)


@given(st.integers(0, len(conversation_file())), st.characters())
def test_no_damage_raises_anything_else(place: int, letter: str) -> None:
    """Whatever is lost or overwritten in a file, it loads or is a ConfigError."""
    text = conversation_file(messages=[{"role": "user", "content": "Hi"}, said_in(asked_for("a"))])
    for damaged in (text[:place], text[:place] + letter + text[place + 1 :]):
        try:
            loaded = Conversation.from_json(damaged)
        except ConfigError:
            continue
        assert Conversation.from_json(loaded.to_json()) == loaded


def test_what_a_later_version_adds_is_kept() -> None:
    """Members of the file and of messages that are not known here are written again."""
    messages = [{"role": "user", "content": "Hi", "mood": "good"}]
    text = conversation_file(title="Greetings", messages=messages)
    conversation = Conversation.from_json(text)
    conversation.user("Are you there?")
    again = json.loads(conversation.fork().to_json())
    assert again["title"] == "Greetings"
    assert again["messages"][:1] == messages


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full leaves the old file, its permissions and nothing beside it."""
    path = tmp_path / "talk.json"
    conversation = Conversation("Be brief.")
    conversation.save(path)
    path.chmod(0o600)
    before = path.read_bytes()
    conversation.user("Hello")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            conversation.save(path)
    assert (path.read_bytes(), [*tmp_path.iterdir()]) == (before, [path])

    conversation.save(str(path))
    assert Conversation.load(str(path)) == conversation
    assert (path.stat().st_mode & 0o777, [*tmp_path.iterdir()]) == (0o600, [path])


def test_a_link_is_followed(tmp_path: Path) -> None:
    """Saving to a link changes the file that it leads to."""
    (tmp_path / "link.json").symlink_to(tmp_path / "talk.json")
    Conversation("One.").save(tmp_path / "link.json")
    Conversation("Two.").save(tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert Conversation.load(tmp_path / "talk.json") == Conversation("Two.")


@pytest.mark.skipif(os.name == "nt", reason="there are no pipes in folders")
@pytest.mark.parametrize("where", ["folder", "missing/talk.json", "pipe"])
def test_a_path_that_cannot_be_a_file_is_an_oserror(where: str, tmp_path: Path) -> None:
    """What ``open`` would say, and nothing is left behind; what is no regular file is not replaced."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    before = {path.name: path.stat().st_mode for path in tmp_path.iterdir()}
    with pytest.raises(OSError, match=r"talk\.json|folder|pipe"):
        Conversation().save(tmp_path / where)
    assert {path.name: path.stat().st_mode for path in tmp_path.iterdir()} == before
    with pytest.raises(FileNotFoundError):
        Conversation.load(tmp_path / "missing.json")


def test_a_write_protected_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permission to write in the folder is not taken for permission to replace the file."""
    path = tmp_path / "talk.json"
    Conversation("One.").save(path)

    def protected(*_: object) -> bool:  # as it is for anybody but root
        return False

    monkeypatch.setattr("os.access", protected)
    with pytest.raises(PermissionError, match=r"write-protected.*talk\.json"):
        Conversation("Two.").save(path)
    assert Conversation.load(path) == Conversation("One.")


# ---------------------------------------------------------------- with a service


async def test_a_conversation_with_preserved_thinking(serve: Serve) -> None:
    """Plain and streamed replies are sent back with their reasoning, unchanged, and ``clear_thinking`` false."""
    said = [Reply("\n323.", reasoning="\n\n17 * 19 ... \u2028"), Reply("646.", reasoning="twice"), Reply("好。")]
    client, sim = await serve(Scenario(replies=said))
    talk = Conversation("Be brief.", clear_thinking=False)
    talk.user("What is 17 * 19?")
    talk.add(await client.chat.completions.create(model="glm-4.7", messages=talk.messages, thinking=talk.thinking))
    talk.user("Twice that?")
    stream = await client.chat.completions.create(
        model="glm-4.7", messages=talk.messages, thinking=talk.thinking, stream=True
    )
    talk.add(await stream.until_done())
    talk.user("谢谢")
    reply = await client.chat.completions.create(model="glm-4.7", messages=talk.messages, thinking=talk.thinking)
    talk.add(reply)
    assert sim.requests[-1].body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is 17 * 19?"},
        {"role": "assistant", "content": "\n323.", "reasoning_content": "\n\n17 * 19 ... \u2028"},
        {"role": "user", "content": "Twice that?"},
        {"role": "assistant", "content": "646.", "reasoning_content": "twice"},
        {"role": "user", "content": "谢谢"},
    ]
    assert [request.body["thinking"] for request in sim.requests] == [{"clear_thinking": False}] * 3
    assert reply.usage is not None
    assert talk.prompt_tokens == reply.usage.prompt_tokens
    assert repr(talk) == f"<Conversation of 7 messages, {talk.usage.total_tokens} tokens>"


def look(at: str) -> str:
    """Look at something."""
    return f"{at} is blue"


def looking(request: SeenRequest) -> Reply:
    """A model that looks before it answers."""
    if request.body["messages"][-1]["role"] == "tool":
        return Reply("Blue.", reasoning="it says so")
    return Reply(
        "", reasoning="look first", tool_calls=[SimulatedCall("look", {"at": name}) for name in ("sky", "sea")]
    )


@pytest.mark.parametrize("stream", [None, True])
async def test_a_run_with_tools_is_added_whole(serve: Serve, stream: bool | None) -> None:
    """The question of the run, its calls, results and answer are added, and the tokens of all its requests."""
    client, sim = await serve(Scenario(replies=looking))
    talk = Conversation("Be brief.")
    results: list[ToolRunResult] = []
    for question in ("What colour has the sky?", "And now?"):
        result = await client.chat.completions.run_tools(
            model="glm-4.7", messages=[*talk.messages, UserMessage(question)], tools=[look], stream=stream
        )
        talk.add(result)
        results.append(result)
    roles = ["user", "assistant", "tool", "tool", "assistant"]
    assert [message["role"] for message in talk.messages] == ["system", *roles, *roles]
    assert talk.messages[3]["content"] == "sky is blue"
    assert talk.messages[2]["reasoning_content"] == "look first"
    assert len(sim.requests) == 4
    assert sim.requests[-1].body["messages"] == said_in(talk.messages[:-1])
    assert talk.pending == []
    assert talk.usage.total_tokens == sum(result.usage.total_tokens or 0 for result in results)
    last = results[-1].completion.usage
    assert last is not None
    assert last.prompt_tokens == talk.prompt_tokens > 0
    assert (last.total_tokens or 0) < (results[-1].usage.total_tokens or 0)


async def test_a_run_can_be_added_to_a_copy(serve: Serve) -> None:
    """A conversation that was loaded takes the run that the saved one began."""
    client, _ = await serve(Scenario(replies=looking))
    talk = Conversation()
    talk.user("What colour has the sky?")
    result = await client.chat.completions.run_tools(model="glm-4.7", messages=talk.messages, tools=[look])
    loaded = Conversation.from_json(talk.to_json())
    loaded.add(result)
    talk.add(result)
    assert loaded == talk
    assert len(loaded.messages) == 5


async def test_a_run_of_another_conversation_is_refused(serve: Serve) -> None:
    """A run that began elsewhere, or was added already, changes nothing."""
    client, _ = await serve(Scenario(replies=looking))
    talk, other = Conversation(), Conversation("Another.")
    talk.user("What colour has the sky?")
    result = await client.chat.completions.run_tools(model="glm-4.7", messages=talk.messages, tools=[look])
    longer, longest = talk.fork(), talk.fork()
    longer.user("And?")
    longest.add(result)
    longest.user("And?")
    for wrong in (other, longer, longest):
        before = wrong.to_json()
        with pytest.raises(ConfigError, match="did not go on from this conversation"):
            wrong.add(result)
        assert wrong.to_json() == before
    talk.add(result)
    with pytest.raises(ConfigError, match="added before"):
        talk.add(result)


def test_a_run_is_added_whole_or_not_at_all() -> None:
    """Of a run that holds something that cannot come there, nothing is added, and no tokens are counted."""
    talk = Conversation("Be brief.")
    before = talk.to_json()
    new = [UserMessage("Hello"), ToolMessage(content="1", tool_call_id="a")]
    messages: list[Any] = [*talk.messages, *new]
    completion = ChatCompletion(usage=Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2))
    with pytest.raises(ConfigError, match=r"messages\[2\] is a result"):
        talk.add(ToolRunResult(completion, messages, "answer", 1, Usage(total_tokens=2)))
    assert talk.to_json() == before


async def test_calls_that_are_left_to_the_caller_wait(serve: Serve) -> None:
    """A run that ends with a call of the caller's leaves it pending; answered, the next run goes on."""
    client, _ = await serve(Scenario(replies=looking))
    talk = Conversation()
    talk.user("What colour has the sky?")
    schema = {"type": "object", "properties": {"at": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "look", "description": "Look.", "parameters": schema}}
    result = await client.chat.completions.run_tools(model="glm-4.7", messages=talk.messages, tools=[tool])
    talk.add(result)
    assert [call.id for call in talk.pending] == [call.id for call in result.pending]
    for call in result.pending:
        talk.tool_result(call, "blue")
    result = await client.chat.completions.run_tools(model="glm-4.7", messages=talk.messages, tools=[tool])
    talk.add(result)
    assert (result.ended, talk.messages[-1]["content"]) == ("answer", "Blue.")


@pytest.mark.parametrize("mode", ["json", "tool"])
async def test_a_parsed_answer_is_a_reply(serve: Serve, mode: Any) -> None:
    """The last answer is added, with the tokens of all questions; one that came as a call has its result."""
    wrong, right = {"value": "many"}, {"value": 3}
    replies = [
        Reply(msgspec.json.encode(value).decode())
        if mode == "json"
        else Reply("", reasoning="hm", tool_calls=[SimulatedCall("give_answer", value)])
        for value in (wrong, right)
    ]
    client, _ = await serve(Scenario(replies=[*replies, Reply("You are welcome.")]))
    talk = Conversation()
    talk.user("How many?")
    parsed = await client.chat.completions.parse(int, model="glm-4.7", messages=talk.messages, mode=mode)
    talk.add(parsed)
    assert (parsed.value, parsed.requests, talk.usage.total_tokens) == (3, 2, parsed.usage.total_tokens)
    assert parsed.completion.usage is not None
    assert talk.prompt_tokens == parsed.completion.usage.prompt_tokens
    assert [message["role"] for message in talk.messages] == [
        "user",
        "assistant",
        *(["tool"] if mode == "tool" else []),
    ]
    talk.user("Thanks.")
    talk.add(await client.chat.completions.create(model="glm-4.7", messages=talk.messages))


async def test_what_failed_is_not_in_it(serve: Serve) -> None:
    """A question asked on a fork is forgotten with it."""
    client, _ = await serve(Scenario(replies=[Reply("Here I am.")]))
    talk = Conversation()
    asked = talk.fork()
    asked.user("Hello?")
    with pytest.raises(ZhipuError):
        await client.chat.completions.create(model="no-such-model", messages=asked.messages)
    assert talk == Conversation()
    assert talk != "no conversation"
