"""The table of models: against the contract, and what it says about requests."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields, replace
from itertools import pairwise
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhipu_async.models import EFFORTS, MODELS, K, Kind, M, ModelInfo, find, hints, least_thinking
from zhipu_async.types.chat import ChatRequest, ResponseFormat, Thinking
from zhipu_async.types.messages import ImagePart, TextPart, UserMessage

from .contract import CHAT, document, page

PLACEHOLDERS = {"禁用仅占位"}
"""What stands among the model ids of openapi.json and is none: "disabled, only to hold the place"."""
CONTRADICTED = {"autoglm-phone": {"max_output"}, "autoglm-phone-multilingual": {"max_output"}}
"""Marked as unverified because openapi.json contradicts the page, which does not say so itself."""


def text_of(name: str) -> str:
    """A page of the contract; the test is skipped without it."""
    path = page(name)
    if path is None:
        pytest.skip(f"{name} of the contract is not at hand")
    return path.read_text(encoding="utf-8")


def schemas() -> dict[str, Any]:
    """The schemas of openapi.json; the test is skipped without it."""
    found = document()
    if found is None:
        pytest.skip("openapi.json of the contract is not at hand")
    return found["components"]["schemas"]  # type: ignore[no-any-return]


def documented_rows() -> Iterator[tuple[str, str, list[str]]]:
    """Id, its remark in parentheses, and the other cells of each row of chat.md section 6."""
    section = text_of("chat.md").partition("## 6. Models")[2].partition("\n## ")[0]
    for line in section.splitlines():
        if line.startswith("| `"):
            ids, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            for match in re.finditer(r"`([^`]+)`(?: \(([^)]*)\))?", ids):
                yield match[1], match[2] or "", cells


def tokens(text: str) -> int | None:
    """``1M``, ``128K`` or ``4095`` as a number; None for what is none."""
    match = re.match(r"(\d+)([KM]?)", text)
    return int(match[1]) * {"": 1, "K": K, "M": M}[match[2]] if match else None


def number(text: str) -> float | None:
    """The number at the start of a cell; None for a dash."""
    return None if text == "-" else float(text.split()[0])


# ---------------------------------------------------------------- the table and the contract


def test_the_table_is_that_of_the_page() -> None:
    """What chat.md section 6 says of every chat model, doubts included, is what the table says."""
    rows = list(documented_rows())
    assert len(rows) > 35
    for id, remark, (kind, context, output, temperature, top_p) in rows:
        info = MODELS[id]
        default, _, most = output.rpartition("/")
        assert (info.context, info.default_output, info.max_output) == (
            tokens(context),
            tokens(default.strip()),
            tokens(most.strip()),
        ), id
        assert (info.temperature, info.top_p) == (number(temperature), number(top_p)), id
        assert info.free == ("free" in remark), id
        assert info.platforms == (("CN",) if "CN" in remark else ("INTL",) if "INTL" in remark else ("CN", "INTL")), id
        assert info.kind == {"audio": "voice", "vision agent": "agent"}.get(name := re.split("[,:]| in", kind)[0], name)
        assert ("thinking" in kind) == (info.thinking not in (None, "never")), id
        assert ("older" in kind) == ("older" in info.note), id
        doubts = {
            field
            for field, cell in (("context", context), ("temperature", temperature), ("top_p", top_p))
            if "unverified" in cell
        } | ({"max_output"} if "model page says" in output else set())
        assert doubts | CONTRADICTED.get(id, set()) == {
            field for field in info.unverified if field in ("context", "max_output", "temperature", "top_p")
        }, id


def test_every_chat_model_of_the_table_is_on_the_page() -> None:
    """The table has no chat model that chat.md does not list, but for those with another page as their source."""
    listed = {id for id, _, _ in documented_rows()}
    chat = {info.id for info in MODELS.values() if info.kind in ("text", "vision", "voice", "role-play", "code")}
    assert chat - listed == {"glm-4-0520"}


def test_the_models_of_other_kinds_are_those_of_the_page() -> None:
    """Every id under "Other kinds" in chat.md is known, a series by each of its members."""
    bullet = re.search(r"\* Other kinds:(.*?)\n\* ", text_of("chat.md"), re.DOTALL)
    assert bullet
    ids = re.findall("`([^`]+)`", bullet[1])
    assert len(ids) == 17
    assert [id for id in ids if find(id) is None] == []


def test_no_model_is_invented() -> None:
    """Every id of the table is written somewhere in the contract."""
    written = "".join(text_of(name) for name in ("chat.md", "media.md", "data.md", "openapi.json"))
    assert {id for id in MODELS if f'"{id}"' not in written and f"`{id}`" not in written} == set()


def enumerated(schema: Any) -> Iterator[str]:
    """The model ids that a schema enumerates, at any depth."""
    if isinstance(schema, dict):
        properties = schema.get("properties")
        if isinstance(properties, dict):
            yield from properties.get("model", {}).get("enum", ())
        for value in schema.values():
            yield from enumerated(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from enumerated(value)


def test_every_enumerated_model_is_known_and_on_the_platform_of_the_document() -> None:
    """openapi.json, the document of the CN platform, enumerates no id that the table does not have for CN."""
    ids = set(enumerated(schemas())) - PLACEHOLDERS
    assert len(ids) > 40
    assert {id for id in ids if id not in MODELS or "CN" not in MODELS[id].platforms} == set()


def test_asynchronous_chat_is_that_of_the_document() -> None:
    """A model of the chat schemas can be called asynchronously exactly when the asynchronous schemas have it too."""
    for name in CHAT:
        asynchronous = set(enumerated(schemas()[f"Async{name}"]))
        for id in set(enumerated(schemas()[name])) - PLACEHOLDERS:
            assert MODELS[id].async_chat is (id in asynchronous), id


def test_dimensions_are_those_of_the_document() -> None:
    """The lengths of embedding-3 are those that the schema enumerates, the default first."""
    dimensions = schemas()["EmbeddingCreateRequest"]["properties"]["dimensions"]["enum"]
    assert MODELS["embedding-3"].dimensions == tuple(dimensions)
    assert MODELS["embedding-2"].dimensions == (1024,)


def test_the_largest_output_is_within_the_schema() -> None:
    """No documented output is larger than what max_tokens may be at all, nor a default than its maximum."""
    most = schemas()["ChatCompletionTextRequest"]["properties"]["max_tokens"]["maximum"]
    for info in MODELS.values():
        sizes = [size for size in (1, info.default_output, info.max_output, most) if size is not None]
        assert all(small <= large for small, large in pairwise(sizes)), info.id


THINKING = {
    "glm-5.3 glm-5.3-flash glm-5.3-flashx": ("always", ("low", "high", "max")),
    "glm-5.2": ("decides", EFFORTS),
    "glm-5.1 glm-5 glm-5-turbo glm-5v-turbo": ("decides", ()),
    "glm-4.7 glm-4.7-flash glm-4.7-flashx glm-4.5v": ("switched", ()),
    "glm-4.6 glm-4.6v glm-4.6v-flash glm-4.6v-flashx glm-4.5 glm-4.5-x glm-4.5-air glm-4.5-airx glm-4.5-flash": (
        "decides",
        (),
    ),
    "glm-4.1v-thinking-flash glm-4.1v-thinking-flashx": ("always", ()),
    "glm-4-plus glm-4-flash-250414 glm-4v-flash glm-4v-plus-0111 glm-4-voice charglm-4 emohaa": ("never", ()),
}
"""chat.md section 3."""


@pytest.mark.parametrize(("ids", "expected"), THINKING.items())
def test_thinking_is_that_of_the_page(ids: str, expected: tuple[str, tuple[str, ...]]) -> None:
    """How each family thinks and the efforts it takes are those of chat.md section 3."""
    assert {(info.thinking, info.efforts) for info in map(MODELS.__getitem__, ids.split())} == {expected}


def test_tools_are_those_of_the_page() -> None:
    """Vision models take tools only where chat.md section 1 says so; text models from GLM-4.6 on stream them."""
    seeing = {id for id, info in MODELS.items() if info.kind in ("vision", "agent") and info.tools}
    assert {re.sub("-flashx?$|-multilingual$", "", id) for id in seeing} == {"glm-5.3", "glm-4.6v", "autoglm-phone"}
    streaming = {re.sub("-flashx?$", "", id) for id, info in MODELS.items() if info.tool_stream}
    assert streaming == {"glm-4.6", "glm-4.7", "glm-5", "glm-5-turbo", "glm-5.1", "glm-5.2", "glm-5.3"}
    assert all(info.tools for info in MODELS.values() if info.tool_stream)


def test_the_table_holds_together() -> None:
    """Keys are the ids in lower case, kinds are known, and only fields are marked as unverified."""
    names = {field.name for field in fields(ModelInfo)} | {"thinking_types"}
    for id, info in MODELS.items():
        assert id == info.id == id.lower()
        assert set(info.unverified) <= names
        assert set(info.efforts or ()) <= set(EFFORTS)
        assert info.inputs
        assert info.outputs
    assert {info.kind for info in MODELS.values()} == set(get_args(Kind))


def test_nobody_changes_the_table() -> None:
    """Neither an entry nor the mapping can be changed."""
    with pytest.raises(FrozenInstanceError):
        MODELS["glm-4.6"].id = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        MODELS["other"] = MODELS["glm-4.6"]  # type: ignore[index]


def test_an_entry_has_a_form_in_json() -> None:
    """An entry encodes to JSON with all its fields."""
    encoded = msgspec.json.decode(msgspec.json.encode(MODELS["embedding-3"]))
    assert encoded.keys() == {field.name for field in fields(ModelInfo)}
    assert encoded["dimensions"] == [2048, 1024, 512, 256]


# ---------------------------------------------------------------- find


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("glm-4.6", "glm-4.6"),
        ("GLM-4.6", "glm-4.6"),
        ("viduq1-text", "viduq1-text"),
        ("ViduQ1-other", "viduq1-other"),
        ("vidu2-other", "vidu2-other"),
        ("glm-4.6-other", None),
        ("glm-4.6[1m]", None),
        (" glm-4.6", None),
        ("vidu3-text", None),
        ("", None),
    ],
)
def test_find(model: str, found: str | None) -> None:
    """Ids are found exactly but for their case, and the members of a documented series by its prefix."""
    info = find(model)
    assert (info.id if info else None) == found
    assert info is None or not found or not found.startswith("vidu") or info.kind == "video"


def test_a_new_member_of_a_series_is_a_video_model_of_which_nothing_else_is_known() -> None:
    """Nothing is made up about a member of viduq1-* that is not documented by itself."""
    assert find("viduq1-new") == ModelInfo(id="viduq1-new", kind="video", outputs=("video",))


# ---------------------------------------------------------------- least_thinking


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        ("glm-5.3", {"reasoning_effort": "low"}),
        ("glm-5.3-flash", {"reasoning_effort": "low"}),
        ("GLM-5.3-FlashX", {"reasoning_effort": "low"}),
        ("glm-5.2", {"thinking": {"type": "disabled"}}),
        ("glm-5-turbo", {"thinking": {"type": "disabled"}}),
        ("glm-4.7", {"thinking": {"type": "disabled"}}),
        ("glm-4.6v", {"thinking": {"type": "disabled"}}),
        ("glm-4.5v", {"thinking": {"type": "disabled"}}),
        ("glm-4.1v-thinking-flash", {}),
        ("glm-4-plus", {}),
        ("glm-4-voice", {}),
        ("emohaa", {}),
        ("autoglm-phone", {}),
        ("codegeex-4", {}),
        ("embedding-3", {}),
        ("glm-6", {}),
    ],
)
def test_least_thinking(model: str, arguments: dict[str, Any]) -> None:
    """Thinking is disabled where that works, else the effort is the least, and nothing is sent to all other models."""
    assert least_thinking(model) == arguments


def test_least_thinking_gives_arguments_of_ones_own() -> None:
    """Changing what it gave changes nothing for the next caller."""
    least_thinking("glm-4.6")["thinking"]["type"] = "enabled"
    assert least_thinking("glm-4.6") == {"thinking": {"type": "disabled"}}


# ---------------------------------------------------------------- hints

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
FILE = {"type": "file", "file": {"file_url": "https://example.com/a.pdf"}}
VIDEO = {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
TOOL = {"type": "function", "function": {"name": "f", "description": "", "parameters": {}}}


def saying(*parts: Any) -> dict[str, Any]:
    """A message with parts."""
    return {"messages": [{"role": "system", "content": "Be short"}, {"role": "user", "content": list(parts)}]}


CASES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("glm-5.3", {"thinking": {"type": "disabled"}}, ["always thinks; thinking disabled is refused"]),
    ("GLM-5.3", {"thinking": Thinking(type="disabled")}, ["always thinks; thinking disabled is refused"]),
    (
        "glm-4.1v-thinking-flash",
        {"thinking": {"type": "disabled"}},
        ["always thinks; thinking disabled is refused (unverified)"],
    ),
    ("glm-4.6", {"thinking": {"type": "adaptive"}}, ["takes thinking type enabled or disabled, not 'adaptive'"]),
    ("glm-5.3", {"thinking": {"type": "adaptive"}}, ["takes thinking type enabled, not 'adaptive'"]),
    ("glm-4-plus", {"thinking": {"type": "disabled"}}, ["does not take thinking"]),
    ("glm-4.6", {"thinking": {"type": "disabled"}}, []),
    ("glm-5.3", {"thinking": {"clear_thinking": False}}, []),
    ("codegeex-4", {"thinking": {"type": "disabled"}}, []),
    ("glm-5.3", {"reasoning_effort": "medium"}, ["takes reasoning_effort low, high, max, not 'medium'"]),
    ("glm-5.3-flash", {"reasoning_effort": "none"}, ["takes reasoning_effort low, high, max, not 'none'"]),
    ("glm-5.3", {"reasoning_effort": "high"}, []),
    ("glm-5.2", {"reasoning_effort": "minimal"}, []),
    ("glm-5.1", {"reasoning_effort": "low"}, ["does not take reasoning_effort"]),
    ("glm-4.5", {"max_tokens": 98_304}, []),
    ("glm-4.5", {"max_tokens": 98_305}, ["takes max_tokens from 1 to 98304, not 98305"]),
    ("glm-4.5", {"max_tokens": 0}, ["takes max_tokens from 1 to 98304, not 0"]),
    ("autoglm-phone", {"max_tokens": 4096}, ["takes max_tokens from 1 to 2048, not 4096 (unverified)"]),
    ("glm-4-0520", {"max_tokens": 10**9}, []),
    ("glm-4.6", {"temperature": 1.0, "top_p": 0.01}, []),
    ("glm-4.6", {"temperature": 0}, []),
    ("glm-4.6", {"temperature": 1.5}, ["takes temperature from 0 to 1, not 1.5"]),
    ("glm-4-flash-250414", {"temperature": 1.5}, ["takes temperature from 0 to 1, not 1.5"]),
    ("glm-4.6", {"temperature": -0.1}, ["takes temperature from 0 to 1, not -0.1"]),
    ("glm-4.6", {"top_p": 0}, ["takes top_p from 0.01 to 1, not 0"]),
    (
        "glm-4-plus",
        {"temperature": 0.0},
        ["may refuse temperature 0, as older models did; do_sample False asks for the same"],
    ),
    ("glm-4-plus", {"temperature": 0.0, "do_sample": False}, []),
    ("glm-4-voice", {"tools": [TOOL]}, ["does not take tools"]),
    ("glm-4.5v", {"tools": [TOOL]}, ["does not take tools"]),
    ("glm-5v-turbo", {"tools": [TOOL]}, ["does not take tools (unverified)"]),
    ("glm-4.6v", {"tools": [TOOL]}, []),
    ("glm-4-voice", {"tools": []}, []),
    ("codegeex-4", {"tools": [TOOL], "tool_stream": True}, []),
    ("glm-4.5", {"tools": [TOOL], "tool_stream": True}, ["does not take tool_stream"]),
    ("glm-4.5", {"tool_stream": False}, []),
    ("glm-5.3-flash", {"tools": [TOOL], "tool_stream": True}, []),
    ("glm-4-voice", {"response_format": {"type": "json_object"}}, ["does not take response_format"]),
    ("charglm-4", {"response_format": ResponseFormat(type="json_object")}, ["does not take response_format"]),
    ("glm-4.6v", {"response_format": {"type": "json_object"}}, ["does not take response_format"]),
    ("glm-4.6", {"response_format": {"type": "json_object"}}, []),
    (
        "glm-4.6",
        {"response_format": {"type": "json_schema"}},
        ["takes response_format text or json_object, not 'json_schema'"],
    ),
    ("glm-4.6", saying(IMAGE), ["takes no image in messages"]),
    (
        "glm-4.6",
        saying(FILE, VIDEO, IMAGE, IMAGE),
        [f"takes no {name} in messages" for name in ("file", "image", "video")],
    ),
    ("glm-4.6v", saying(IMAGE, VIDEO, FILE), []),
    ("glm-4.6v", saying(SOUND), ["takes no audio in messages"]),
    ("glm-4-voice", saying(SOUND), []),
    ("glm-4.1v-thinking-flash", saying({"type": "file_url"}), ["takes no file in messages"]),
    ("glm-4v-flash", saying(VIDEO), ["takes no video in messages (unverified)"]),
    ("glm-4.6", saying({"type": "text", "text": "Hi"}, {"type": "unheard-of"}), []),
    ("glm-4.6", {"messages": [UserMessage([TextPart("Hi"), ImagePart.from_url("a")])]}, ["takes no image in messages"]),
    ("glm-4.6v", {"messages": (UserMessage((ImagePart.from_url("a"),)),)}, []),
    ("embedding-3", {"input": "Hi", "dimensions": 512}, []),
    ("embedding-3", {"dimensions": 768}, ["gives 2048 or 1024 or 512 or 256 dimensions, not 768"]),
    ("embedding-2", {"dimensions": 2048}, ["gives 1024 dimensions, not 2048"]),
    ("embedding-3", {"messages": [{"role": "user", "content": "Hi"}]}, ["is for embedding, not for chat"]),
    ("glm-image", {"messages": []}, ["is for image, not for chat"]),
    ("glm-tts", {"input": "Hi", "response_format": "wav"}, []),
    ("glm-asr", {"temperature": 2}, []),
    ("web-search-pro", {"messages": [{"role": "user", "content": "Hi"}]}, []),
    (
        "glm-5.3",
        {"thinking": {"type": "disabled"}, "reasoning_effort": "none", "max_tokens": 200_000},
        [
            "always thinks; thinking disabled is refused",
            "takes reasoning_effort low, high, max, not 'none'",
            "takes max_tokens from 1 to 131072, not 200000",
        ],
    ),
]


@pytest.mark.parametrize(("model", "arguments", "expected"), CASES)
def test_hints(model: str, arguments: dict[str, Any], expected: list[str]) -> None:
    """What the model refuses is said, each in one sentence that begins with the model, and nothing else is."""
    assert hints(model, arguments) == [f"{model} {text}" for text in expected]


@pytest.mark.parametrize(("model", "arguments", "expected"), CASES)
def test_hints_change_nothing(model: str, arguments: dict[str, Any], expected: list[str]) -> None:
    """The arguments are the same afterwards, whether or not there was something to say."""
    before = copy.deepcopy(arguments)
    assert len(hints(model, arguments)) == len(expected)
    assert arguments == before


@pytest.mark.parametrize("model", ["glm-6", "GLM-4.6-FP8", "my-model", "[1m]", ""])
def test_a_model_that_is_not_in_the_table_gets_no_hint(model: str) -> None:
    """Of an unknown model nothing is said, whatever the arguments are."""
    for _, arguments, _ in CASES:
        assert hints(model, arguments) == []


@pytest.mark.parametrize("model", MODELS)
def test_what_the_table_says_is_no_reason_for_a_hint(model: str) -> None:
    """A request made of what the table documents gets no hint, for each model."""
    info = MODELS[model]
    documented: dict[str, Any] = {
        "max_tokens": info.max_output,
        "temperature": info.temperature,
        "top_p": info.top_p,
        "dimensions": (info.dimensions or (None,))[-1],
        "reasoning_effort": (info.efforts or (None,))[-1],
        "tools": [TOOL] if info.tools else None,
        "tool_stream": info.tool_stream or None,
        **least_thinking(model),
    }
    assert hints(model, documented) == []
    assert hints(model, dict.fromkeys(documented)) == []


def test_a_request_as_a_whole_can_be_read() -> None:
    """The fields of a request struct are arguments as they stand."""
    request = ChatRequest(model="glm-5.3", messages=[{"role": "user", "content": "Hi"}], thinking={"type": "disabled"})
    assert hints(request.model, msgspec.structs.asdict(request)) == [
        "glm-5.3 always thinks; thinking disabled is refused"
    ]


def test_a_hint_is_bounded() -> None:
    """A hint holds no more of an argument than its first 40 characters."""
    (hint,) = hints("glm-5.3", {"reasoning_effort": "x" * 10_000})
    assert len(hint) < 120


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "content", "x"]), inner),
    max_leaves=8,
)
ARGUMENTS = ("messages", "thinking", "reasoning_effort", "max_tokens", "temperature", "top_p", "tools", "tool_stream",
             "response_format", "dimensions")  # fmt: skip


@given(st.sampled_from(sorted(MODELS)), st.dictionaries(st.sampled_from(ARGUMENTS), JSON))
def test_no_argument_is_too_odd_for_hints(model: str, arguments: dict[str, Any]) -> None:
    """Whatever JSON the arguments are, hints raises nothing, changes nothing, and gives single lines."""
    before = copy.deepcopy(arguments)
    assert all(hint.startswith(f"{model} ") and "\n" not in hint for hint in hints(model, arguments))
    assert arguments == before


def test_a_copy_with_other_values_is_a_model_too() -> None:
    """What a user knows better can be written down as a changed copy."""
    assert replace(MODELS["glm-4.6"], context=1).context == 1
