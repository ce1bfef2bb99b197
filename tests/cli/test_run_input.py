"""The input of ``run``: what becomes which call, and what is wrong with it, by line."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhipu_async import AsyncZhipuAI
from zhipu_async.cli.run_calls import Reading, Template, UnfitError, body_of, endpoints, line_of
from zhipu_async.cli.run_input import Format, Input, opened, template_of
from zhipu_async.errors import ConfigError
from zhipu_async.protocol.endpoint import Call

from .batch_files import CHAT, EMBEDDINGS, call

MODEL = "glm-4.6"

SIMPLE = Reading(MODEL)


def entries(text: str | bytes, form: Format = Format.AUTO, reading: Reading = SIMPLE) -> list[tuple[str | None, Any]]:
    """Ids and bodies of an input, which is checked first."""
    data = text.encode() if isinstance(text, str) else text
    source = Input(io.BytesIO(data), "'in'", form, reading)
    source.check()
    found = [cast("tuple[str | None, Call[Any]]", entry if type(entry) is tuple else (None, entry)) for entry in source]
    assert len(found) == len(source)
    return [(identity, json.loads(body_of(asked))) for identity, asked in found]


def asked(text: str | bytes, form: Format = Format.AUTO, reading: Reading = SIMPLE) -> list[tuple[str | None, str]]:
    """Ids and prompts of an input in which every call is one question."""
    found: list[tuple[str | None, str]] = []
    for identity, body in entries(text, form, reading):
        assert body.keys() == {"model", "messages"}
        (message,) = body["messages"]
        assert message.keys() == {"role", "content"}
        found.append((identity, message["content"]))
    return found


def fault(text: str | bytes, form: Format = Format.AUTO, reading: Reading = SIMPLE) -> str:
    """What is said of an input that cannot be run."""
    with pytest.raises(ConfigError) as caught:
        entries(text, form, reading)
    return str(caught.value)


def templated(text: str, **more: Any) -> Reading:
    """A reading with a template."""
    return Reading(MODEL, template=Template(text), **more)


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize(
    ("text", "form", "expected"),
    [
        ("one\ntwo\n", Format.AUTO, [(None, "one"), (None, "two")]),
        ("\ufeffone\r\n\r\n \t\ntwo\u2028still two", Format.AUTO, [(None, "one"), (None, "two\u2028still two")]),
        ("  kept as it is \n", Format.LINES, [(None, "  kept as it is ")]),
        ('{"not":"json"}\n', Format.LINES, [(None, '{"not":"json"}')]),
        ('"hi" she said\n', Format.AUTO, [(None, '"hi" she said')]),
        ('"one"\r\n\r\n"two\\nlines"\n', Format.AUTO, [(None, "one"), (None, "two\nlines")]),
        ('\ufeff{"prompt":"你好"}\n', Format.AUTO, [(None, "你好")]),
        ('{"id":"a","prompt":"1"}\n{"custom_id":"b","prompt":"2"}', Format.AUTO, [("a", "1"), ("b", "2")]),
        ('{"custom_id":"a","id":"b","prompt":"1"}', Format.JSONL, [("a", "1")]),
        ('{"prompt":"1","temperature":null,"label":null,"model":null}', Format.JSONL, [(None, "1")]),
        ('{"id":7,"prompt":"1"}\n{"id":null,"prompt":"2"}', Format.JSONL, [("7", "1"), (None, "2")]),
        ("id,prompt\n7,one\n8,two\n", Format.CSV, [("7", "one"), ("8", "two")]),
        ("\ufeffid;text\r\n7;one, and\r\n;\r\n", Format.CSV, [("7", "one, and")]),
        ('text\tlabel\n"a ""b""\nc"\tx\n', Format.CSV, [(None, 'a "b"\nc')]),
        ("\n\n id , text ,\nx, y ,\n", Format.CSV, [("x", " y ")]),
    ],
)
def test_prompts(text: str, form: Format, expected: Sequence[tuple[str | None, str]]) -> None:
    """Each record is one question; marks, blank lines and the kind of line end do not matter."""
    assert asked(text, form) == expected


@pytest.mark.parametrize(
    ("name", "form"),
    [("a.jsonl", "json"), ("a.NDJSON", "json"), ("a.csv", "csv"), ("a.tsv", "csv"), ("a.txt", "text"), ("a", "json")],
)
def test_the_name_tells_the_format(tmp_path: Path, name: str, form: str) -> None:
    """An ending that is known decides; another leaves it to the beginning of the file."""
    path = tmp_path / name
    path.write_text('{"prompt":"text"}\n', encoding="utf-8")
    with opened(str(path), Format.AUTO, SIMPLE) as source:
        if form == "csv":
            with pytest.raises(ConfigError, match="has the columns"):
                source.check()
            return
        source.check()
        (found,) = source
    content = json.loads(body_of(found))["messages"][0]["content"]
    assert content == ("text" if form == "json" else '{"prompt":"text"}')


def test_a_named_format_is_stronger(tmp_path: Path) -> None:
    """What the command line says of the format stands over the file's name."""
    path = tmp_path / "a.jsonl"
    path.write_text("one\n", encoding="utf-8")
    with opened(str(path), Format.LINES, SIMPLE) as source:
        source.check()
        assert len(source) == 1


def test_a_column_of_ids() -> None:
    """--id-column names the field in which the id is, in CSV and JSON."""
    reading = Reading(MODEL, id_column="key")
    assert asked("key,id,text\nk,i,hi\n", Format.CSV, reading) == [("k", "hi")]
    assert asked('{"key":"k","id":"i","prompt":"hi"}', Format.JSONL, reading) == [("k", "hi")]


# ---------------------------------------------------------------- templates


@pytest.mark.parametrize(
    ("template", "text", "form", "expected"),
    [
        ("Say: {line}", "hi\nho", Format.LINES, ["Say: hi", "Say: ho"]),
        ("Say: {line}", '"hi"', Format.JSONL, ["Say: hi"]),
        ("{a}{b}{a}", "a,b\n1,2", Format.CSV, ["121"]),
        ("{Review Text}!", "Review Text,n\ngood,1", Format.CSV, ["good!"]),
        ('{{"t": {t}}}', '{"t":"x"}', Format.JSONL, ['{"t": x}']),
        ("{{{t}}}", '{"t":"{t}"}', Format.JSONL, ["{{t}}"]),
        ("{n} {yes} {list}", '{"n":1.5,"yes":true,"list":[1,"é"]}', Format.JSONL, ['1.5 true [1,"é"]']),
        ("{prompt}", '{"prompt":"x","label":3,"messages":[]}', Format.JSONL, ["x"]),
        ("{url}", '{"url":"u","method":"m","body":"b"}', Format.JSONL, ["u"]),
    ],
)
def test_templates(template: str, text: str, form: Format, expected: list[str]) -> None:
    """{name} is what the record has under the name; with a template a record is nothing but data."""
    assert [prompt for _, prompt in asked(text, form, templated(template))] == expected


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("no name", "no {name}"),
        ("{{x}}", "no {name}"),
        ("{x} }", "character 5 of the template, '}', has no other"),
        ("{ {x}", "character 1 of the template, '{', has no other"),
        ("{x", "character 1"),
    ],
)
def test_wrong_templates(template: str, reason: str) -> None:
    """A template that cannot be meant is refused with the place."""
    with pytest.raises(ConfigError) as caught:
        Template(template)
    assert reason in str(caught.value)


@given(before=st.text(), value=st.text(), after=st.text())
def test_any_text_can_be_a_template(before: str, value: str, after: str) -> None:
    """With braces doubled, any text comes out as it went in, and so does any value."""

    def escaped(text: str) -> str:
        return text.replace("{", "{{").replace("}", "}}")

    template = Template(f"{escaped(before)}{{a name}}{escaped(after)}")
    assert template.names == ("a name",)
    assert template.fill({"a name": value, "other": 1}) == before + value + after


def test_a_template_from_a_file(tmp_path: Path) -> None:
    """@FILE reads the template; the end of its last line is no part of it."""
    path = tmp_path / "t.txt"
    path.write_bytes("\ufeffRate:\n{text}\r\n".encode())
    template = template_of(f"@{path}")
    assert template is not None
    assert template.fill({"text": "x"}) == "Rate:\nx"
    assert template_of(None) is None
    path.write_bytes(b"\xff{x}")
    with pytest.raises(ConfigError, match="not UTF-8"):
        template_of(f"@{path}")
    with pytest.raises(ConfigError, match="cannot read"):
        template_of("@missing.txt")


# ---------------------------------------------------------------- what the command line says


def test_the_command_line_stands_over_the_lines() -> None:
    """Model and parameters that were given replace those of each line; others stay."""
    reading = Reading("glm-5", parameters={"temperature": 0.5})
    lines = [
        {"prompt": "hi", "temperature": 1.0, "top_p": 0.5, "model": "glm-4"},
        {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5},
        call(),
    ]
    found = [body for _, body in entries("\n".join(map(json.dumps, lines)), reading=reading)]
    assert [(body["model"], body["temperature"]) for body in found] == [("glm-5", 0.5)] * 3
    assert (found[0]["top_p"], found[1]["max_tokens"]) == (0.5, 5)


def test_lines_bring_their_own_model() -> None:
    """Without --model each line says its own; one that does not is a fault."""
    assert entries('{"prompt":"hi","model":"glm-4"}', reading=Reading())[0][1]["model"] == "glm-4"
    assert "line 1: no model: give --model" in fault("hi", reading=Reading())


def test_a_system_prompt() -> None:
    """--system stands before each conversation, and not twice where a line has the same; another is a fault."""
    reading = Reading(MODEL, system="Be brief.")
    system = {"role": "system", "content": "Be brief."}
    user = {"role": "user", "content": "hi"}
    lines: list[Any] = ["hi", {"messages": [user]}, {"messages": [system, user]}, call()]
    bodies = [body for _, body in entries("\n".join(map(json.dumps, lines)), Format.JSONL, reading)]
    assert [body["messages"] for body in bodies] == [[system, user]] * 4
    other = {"messages": [{"role": "system", "content": "Rhyme."}, user]}
    assert "line 1: messages begins with instructions of its own" in fault(json.dumps(other), reading=reading)


# ---------------------------------------------------------------- batch lines


def test_a_line_of_a_batch_is_the_call_it_says() -> None:
    """Its url decides the endpoint; the body goes out as it stands, unknown fields and nulls too."""
    body = {"model": "embedding-3", "input": ["a", "b"], "dimensions": 256, "new": {"x": [1]}, "user": None}
    line = {"custom_id": "e-1", "method": "POST", "url": EMBEDDINGS, "body": body}
    assert entries(json.dumps(line), reading=Reading()) == [("e-1", body)]


numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
names = st.sampled_from(["temperature", "tools", "timeout", "extra_body", "new"]) | st.text()
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(more=st.dictionaries(names, json_values), identity=st.text(min_size=1))
def test_lines_go_round(more: dict[str, Any], identity: str) -> None:
    """Read as a call and written as a line again, a line says what it said: id, url and any body."""
    body = {**more, "model": MODEL, "messages": [{"role": "user", "content": "hi"}], "stream": False}
    line = {"custom_id": identity, "method": "POST", "url": CHAT, "body": body}
    found, asked_for = Reading().record(json.loads(json.dumps(line)))
    assert found == identity
    assert json.loads(line_of(identity, asked_for)) == line


def test_urls() -> None:
    """Lines can ask for what takes and gives JSON; not for uploads, lists, or paths with an id in them."""
    urls = endpoints().keys()
    assert urls >= {CHAT, EMBEDDINGS, "/v4/rerank", "/v4/images/generations", "/v4/moderations", "/api/v1/agents"}
    assert not urls & {"/v4/files", "/v4/audio/transcriptions", "/v4/models", "/api/zrag/agent/chat"}
    assert not [url for url in urls if "{" in url]


def test_calls_of_other_endpoints_become_lines() -> None:
    """A call that was made in Python becomes a line that is read as the same call."""
    for made in (
        AsyncZhipuAI.embeddings.create.call(model="embedding-3", input=["a"]),
        AsyncZhipuAI.rerank.create.call(model="rerank", query="q", documents=["d"]),
        AsyncZhipuAI.web_reader.read.call(url="https://example.org", timeout=5),
        AsyncZhipuAI.agents.invoke.call(agent_id="a", messages=[{"role": "user", "content": "hi"}]),
    ):
        line = json.loads(line_of("x", made))
        identity, again = Reading().record(line)
        assert (identity, again.endpoint, body_of(again)) == ("x", made.endpoint, body_of(made))


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "no JSON: "),
        ("\xff".encode("latin-1"), "no JSON: "),
        ("[" * 100_000, "no JSON: "),
        ("[1]", "neither an object nor a text: one object or text per line"),
        ("null", "neither an object nor a text"),
        ("{}", "no prompt, messages or body in it, but nothing"),
        ('{"a":1,"b":2}', "no prompt, messages or body in it, but a, b: --template"),
        ('""', "the prompt is empty"),
        ('{"prompt":" "}', "the prompt is empty"),
        ('{"prompt":7}', "the prompt is 7, not a text"),
        ('{"prompt":"x","lable":1}', "lable is no parameter of chat: put it into extra_body, or use --template"),
        ('{"prompt":"x","extra_body":1}', "extra_body is 1, not an object"),
        ('{"prompt":"x","stream":true}', "it asks for a stream"),
        ('{"prompt":"x","model":""}', 'model is "", not a model id'),
        ('{"prompt":"x","id":""}', 'id is "", which is no id'),
        ('{"prompt":"x","id":true}', "id is true, which is no id"),
        ('{"prompt":"x","id":[1]}', "id is [1], which is no id"),
        ('{"messages":[]}', "messages is [], not a list of objects"),
        ('{"messages":"hi"}', 'messages is "hi", not a list of objects'),
        ('{"messages":["hi"]}', 'messages is ["hi"], not a list of objects'),
        (json.dumps(call(method="GET")), 'method is "GET", not POST'),
        (json.dumps(call(url="/v1/chat")), 'url is "/v1/chat": no call has it; it is like /v4/chat/completions'),
        (json.dumps(call(url=7)), "url is 7: no call has it"),
        (json.dumps(call(url="/v4/files")), 'url is "/v4/files": no call has it'),
        (json.dumps(call(body=[])), "body is [], not an object"),
        (json.dumps(call(body={"model": MODEL})), "messages is null, not a list of objects"),
        (json.dumps(call(url=EMBEDDINGS, body={"model": "embedding-3"})), "input"),
        ('{"custom_id":"a","response":{"status_code":200}}', "but custom_id, response"),
    ],
)
def test_faults(line: str | bytes, reason: str) -> None:
    """What is wrong with a line is told with its number."""
    data = line.encode() if isinstance(line, str) else line
    reading = Reading(None if b'"model"' in data else MODEL)
    said = fault(b'"good"\n\n'.replace(b'"good"', json.dumps(call("first")).encode()) + data, Format.JSONL, reading)
    assert "'in' cannot be run:\n  line 3: " in said
    assert reason in said


@pytest.mark.parametrize(
    ("text", "reading", "reason"),
    [
        ("a,b\n1,2\n", SIMPLE, "line 1 of 'in' has the columns a, b: name one 'prompt', or use --template"),
        ("a,b\n1,2\n", templated("{c}"), "line 1 of 'in' has the columns a, b: the template's 'c' is not among them"),
        ("text\nx\n", Reading(MODEL, id_column="id"), "--id-column 'id' is not among them"),
        ("\ntext,text\nx,y\n", SIMPLE, "line 2 of 'in' has the columns text, text: 'text' is there twice"),
        ("id,text\n1,x\n2\n", SIMPLE, "line 3: 1 cells in 2 columns"),
        ('id,text\n1,"x\ny"\n2,a,b\n', SIMPLE, "line 4: 3 cells in 2 columns"),
        ("id,text\n,x\n", SIMPLE, 'line 2: id is "", which is no id'),
        ('text\nx\n"open\nz\n', SIMPLE, "line 3: no CSV from here: unexpected end of data"),
        ('text\n"a"b\n', SIMPLE, "line 2: no CSV from here: "),
        ("id,text\n", SIMPLE, "'in' has nothing to run in it"),
    ],
)
def test_faults_of_csv(text: str, reading: Reading, reason: str) -> None:
    """What is wrong with a table is told with the line where its row begins, also where cells have several lines."""
    assert reason in fault(text, Format.CSV, reading)


@pytest.mark.parametrize("form", [Format.CSV, Format.LINES])
def test_other_encodings(form: Format) -> None:
    """Text that is not UTF-8 is told with its line and a way out."""
    assert "line 2: not UTF-8 text: " in fault("text\n你好\n".encode("gb18030"), form)


@pytest.mark.parametrize("text", ["", "\n \r\n", "\ufeff"])
def test_nothing_to_run(text: str) -> None:
    """An input without a record is refused."""
    assert fault(text) == "'in' has nothing to run in it"


def test_a_missing_name_of_the_template() -> None:
    """The message has the line and the names that are there; so has one for a null."""
    said = fault('{"a":1,"t":"x"}\n{"a":1,"b":2}\n{"t":null}', reading=templated("{t}"))
    assert "line 2: the template's 't' is not there; there are: a, b" in said
    assert "line 3: the template's 't' is null" in said
    assert "line 1: the template's 'column' is not there; there are: line" in fault("hi", reading=templated("{column}"))


def test_ids_are_unique() -> None:
    """A second line with an id is told with both numbers, also when one is a number and one a text."""
    lines = '{"id":1,"prompt":"a"}\n{"id":"x","prompt":"b"}\n\n{"id":"1","prompt":"c"}\n'
    assert 'line 4: the id "1" is that of line 1 already' in fault(lines)


def test_ten_faults_are_listed() -> None:
    """The first ten are told, the others counted; good lines between them do not matter."""
    said = fault('{"prompt":"good"}\n{\n' * 1234)
    assert [line.split(":")[0].strip() for line in said.splitlines()[1:-1]] == [f"line {2 * n}" for n in range(1, 11)]
    assert said.splitlines()[-1] == "  and 1,224 more"


def test_a_fault_far_down() -> None:
    """A broken line is found wherever it is."""
    assert "line 40000: no JSON" in fault('"x"\n' * 39_999 + '"x\n' + '"x"\n' * 100)


@pytest.mark.parametrize(
    ("reading", "line", "reason"),
    [
        (Reading(system="x"), call(url=EMBEDDINGS), f"{EMBEDDINGS} takes no --system"),
        (Reading(parameters={"max_tokens": 5}), call(url=EMBEDDINGS), f"{EMBEDDINGS} takes no --max-tokens"),
        (Reading("m"), call(url="/v4/reader", body={"url": "https://x.org"}), "/v4/reader takes no --model"),
    ],
)
def test_options_that_a_call_does_not_have(reading: Reading, line: dict[str, Any], reason: str) -> None:
    """What is said of chats is not said of other calls in silence."""
    assert f"line 1: {reason}" in fault(json.dumps(line), reading=reading)


def test_one_model_for_two_endpoints() -> None:
    """--model over lines of several endpoints cannot be meant."""
    lines = [call(), call("b", url=EMBEDDINGS, body={"model": "embedding-3", "input": "x"})]
    text = "\n".join(map(json.dumps, lines))
    assert len(entries(text, reading=Reading())) == 2
    said = fault(text, reading=Reading("glm-5"))
    assert said == (
        "--model cannot be for /chat/completions in line 1 and /embeddings in line 2 alike: say it in the lines"
    )


def test_lines_of_text_have_no_ids() -> None:
    """A column of ids cannot be in plain text."""
    assert "--id-column goes with JSON lines and CSV" in fault("hi", reading=Reading(MODEL, id_column="id"))


# ---------------------------------------------------------------- reading


class Counted(io.BytesIO):
    """A file that counts the lines that were read from it."""

    lines = 0

    def __next__(self) -> bytes:
        self.lines += 1
        return super().__next__()


def test_lines_are_read_as_they_are_needed() -> None:
    """Taking three calls of a million lines reads three lines."""
    file = Counted(b'{"prompt":"hi"}\n' * 1_000_000)
    calls = iter(Input(file, "'in'", Format.JSONL, SIMPLE))
    for _ in range(3):
        next(calls)
    assert file.lines == 3


def test_a_limit_reads_no_further() -> None:
    """With a limit, neither the check nor the run looks at what comes after it, broken or not."""
    file = Counted(b'"hi"\n\n"ho"\n' + b"{\n" * 1000)
    source = Input(file, "'in'", Format.JSONL, SIMPLE, limit=2)
    source.check()
    assert (len(source), len(list(source))) == (2, 2)
    assert file.lines <= 8


def test_a_file_that_changes_after_its_check(tmp_path: Path) -> None:
    """A line that was good when it was checked and is not any more ends the run with its number."""
    path = tmp_path / "in.jsonl"
    path.write_text('"one"\n"two"\n', encoding="utf-8")
    with opened(str(path), Format.AUTO, SIMPLE) as source:
        source.check()
        path.write_text('"one"\n{\n', encoding="utf-8")
        with pytest.raises(ConfigError, match=r"line 2 of .* has changed since it was checked: no JSON"):
            list(source)


def test_a_pipe_is_checked_as_a_whole(tmp_path: Path) -> None:
    """What can be read but once is read to its end first, and gives its calls as often as a file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b'"one"\n"two"\n',))
    writer.start()
    with opened(str(pipe), Format.AUTO, SIMPLE) as source:
        writer.join()
        source.check()
        assert (len(source), len(list(source)), len(list(source))) == (2, 2, 2)


@pytest.mark.parametrize(("place", "reason"), [("missing", "No such file"), (".", "it is a directory")])
def test_files_that_cannot_be_read(place: str, reason: str) -> None:
    """What is no file is told by its name."""
    with pytest.raises(ConfigError, match=f"cannot read '{place}': {reason}"), opened(place, Format.AUTO, SIMPLE):
        pass


def test_unfit_records_are_no_errors_of_the_library() -> None:
    """A fault of one record is caught where lines are counted: it has no number of its own."""
    with pytest.raises(UnfitError, match="the prompt is empty"):
        SIMPLE.line("")
