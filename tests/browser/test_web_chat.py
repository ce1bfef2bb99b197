"""The chat page as a person meets it: answers that grow, stopping, trouble, sizes, colours, text that is inert."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.browser.conftest import Stage
from zhipu_async.simulator import Delivery, ErrorFrame, Refusal, Reply, ToolCall

pytestmark = [pytest.mark.heavy, pytest.mark.asyncio(loop_scope="module")]

SLOW = Delivery(pause=0.03)
WORDS = " ".join(f"word{number}" for number in range(300))
CALL = ToolCall("calculate", {"expression": "6 * 7"})
AT_ONCE = 2.0
"""Seconds in which a connection that nobody needs is closed, on a machine that does much else."""

RECORD = """() => {
  const length = (selector) => [...document.querySelectorAll(selector)].at(-1)?.textContent.length ?? 0;
  window.seen = [];
  const look = () => {
    const bare = [...document.querySelectorAll(".text > p")].filter((each) => each.textContent.includes("|"));
    const thinks = length(".thinking.live[open] .thought");
    window.seen.push([...[".thought", ".call dd", ".text"].map(length), bare.length, thinks]);
    requestAnimationFrame(look);
  };
  look();
}"""
"""Notes on each frame how long thinking, a call's last value and the text are, the paragraphs with signs of tables, and
how long thinking is that is open and goes on."""


async def ask(page: Any, question: str) -> None:
    await page.fill("#question", question)
    await page.press("#question", "Enter")


async def ended(page: Any) -> None:
    """Wait until no answer is being written."""
    await page.wait_for_selector("#stop", state="hidden")


async def grown(page: Any, column: int) -> int:
    """How many lengths there were, from nothing on."""
    return len({row[column] for row in await page.evaluate("seen") if row[column]})


def spoken(request: Any) -> list[tuple[str, str | None]]:
    """Roles and texts of what the page sent: the system's message is the server's."""
    return [(message["role"], message.get("content")) for message in request.get("messages")[1:]]


# ---------------------------------------------------------------- an answer that comes


async def test_an_answer_grows_in_sight(stage: Stage, picture: Callable[[str], str]) -> None:
    """Thinking is shown, and folded with its seconds when the text begins; the text grows in many steps."""
    page = await stage.page(stage.show)
    await page.screenshot(path=picture("welcome"))
    await page.evaluate(RECORD)
    await page.get_by_text("slow reader").click()
    await page.wait_for_selector(".text.live .code:has-text('TaskGroup')")
    assert await page.get_attribute(".answer", "aria-busy") == "true"
    await page.screenshot(path=picture("streaming"))
    await ended(page)
    assert await grown(page, 4) > 2
    assert await grown(page, 2) > 10
    assert await grown(page, 3) == 0
    assert await page.get_attribute(".thinking", "open") is None
    assert re.fullmatch(r"Thought for\s+\d+\.\d s", await page.locator(".thinking summary").inner_text())
    assert await page.get_attribute(".answer", "aria-busy") == "false"
    figures = await page.locator(".figures").inner_text()
    assert re.search(r"\d\.\d\d s to first token · [1-9]\d* tokens/s · [1-9]\d* tokens", figures)
    assert await page.locator(".text table tbody tr").count() == 3
    await page.set_viewport_size({"width": 1180, "height": 1280})
    await page.screenshot(path=picture("finished"))


async def test_code_and_answers_can_be_copied(stage: Stage) -> None:
    """The buttons put the code, or the answer's Markdown, on the clipboard."""
    stage.answers("code?", Reply("So:\n\n```py\na < b\n```"))
    page = await stage.page(permissions=["clipboard-read", "clipboard-write"])
    await ask(page, "code?")
    await ended(page)
    for name, text in {"Copy code": "a < b", "Copy the answer": "So:\n\n```py\na < b\n```"}.items():
        button = page.get_by_role("button", name=name)
        await button.click()
        await button.get_by_text("Copied").wait_for()
        assert await page.evaluate("navigator.clipboard.readText()") == text


async def test_a_call_of_a_tool_is_a_card(stage: Stage, picture: Callable[[str], str]) -> None:
    """Its arguments grow while the model writes them, its result stands below, and Chinese is marked as such."""
    page = await stage.page(stage.show)
    await page.evaluate(RECORD)
    await page.get_by_text("上海").click()
    await page.wait_for_selector(".call.done")
    assert await grown(page, 1) > 3
    await ended(page)
    assert await page.locator(".call .name").inner_text() == "current_time"
    rows = [await page.locator(f".call {part}").all_inner_texts() for part in ("dt", "dd")]
    assert rows[0] == ["zone", "result"]
    assert rows[1][0] == "Asia/Shanghai"
    assert re.match(r"time: \d\d:\d\d\nday: \d{4}-\d\d-\d\d\n", rows[1][1])
    assert await page.get_attribute(".text", "lang") == await page.get_attribute(".user", "lang") == "zh-CN"
    await page.screenshot(path=picture("tool"))
    await page.emulate_media(color_scheme="dark")
    await page.screenshot(path=picture("dark"))


async def test_a_tool_that_fails_is_a_card_too(stage: Stage) -> None:
    """The card says what the function raised, and the answer goes on."""
    call = ToolCall("search_book", {"word": "aeroplane"})
    stage.answers("planes?", Reply(None, tool_calls=[call]), Reply("Nothing."))
    page = await stage.page()
    await ask(page, "planes?")
    await ended(page)
    assert "no sentence with 'aeroplane'" in await page.locator(".call.failed .result").inner_text()
    assert await page.locator(".text").inner_text() == "Nothing."


async def test_the_conversation_is_remembered(stage: Stage) -> None:
    """The next question is sent with all before it: calls with their results, and the reasoning that led to them."""
    stage.answers("six times seven?", Reply(None, reasoning="I can.", tool_calls=[CALL]), Reply("42", reasoning="So."))
    stage.answers("and then?", Reply("43"))
    page = await stage.page()
    for question in ("six times seven?", "and then?"):
        await ask(page, question)
        await ended(page)
    request = stage.asked("and then?")[0]
    assert spoken(request) == [
        ("user", "six times seven?"),
        ("assistant", ""),
        ("tool", "42.0"),
        ("assistant", "42"),
        ("user", "and then?"),
    ]
    called, result = request.get("messages")[2:4]
    assert called["reasoning_content"] == "I can."
    assert called["tool_calls"][0]["id"] == result["tool_call_id"]
    await page.click("#new")
    assert await page.locator(".log > *").count() == 0
    await ask(page, "and then?")
    await ended(page)
    assert spoken(stage.asked("and then?")[1]) == [("user", "and then?")]


async def test_the_chosen_model_is_asked(stage: Stage) -> None:
    """The menu offers models, and the question goes to the one that is chosen."""
    stage.answers("which?", Reply("This."))
    page = await stage.page()
    await page.select_option("#model", "glm-5.3")
    await ask(page, "which?")
    await ended(page)
    assert [request.model for request in stage.asked("which?")] == ["glm-5.3"]


async def test_an_answer_that_was_cut_off_says_so(stage: Stage) -> None:
    """An answer that ended at the limit of tokens is marked: it looks whole otherwise."""
    stage.answers("cut?", Reply("It ends in the", finish_reason="length"))
    page = await stage.page()
    await ask(page, "cut?")
    await ended(page)
    assert "cut off at the limit of tokens" in await page.locator(".figures").inner_text()


# ---------------------------------------------------------------- stopping

PHASES = {
    "waiting": (Reply("late", delivery=Delivery(body_after=60)), ".waiting", []),
    "thinking": (Reply("late", reasoning=WORDS, delivery=SLOW), ".thinking.live:has-text('word5')", []),
    "calling": (
        Reply(None, tool_calls=[ToolCall("calculate", {"expression": "1 + " * 100 + "1"})], delivery=SLOW),
        ".call dd:has-text('1 + 1')",
        [],
    ),
    "answering": (Reply(WORDS, delivery=SLOW), ".text:has-text('word5')", ["assistant"]),
}
"""By name: an answer that takes its time, what is seen when one stops, who is remembered to have spoken."""
WAYS = {"button": ("click", "#stop"), "reload": ("reload",), "new": ("click", "#new")}


async def stop(stage: Stage, page: Any, question: str, seen: str, act: Callable[[], Awaitable[object]]) -> None:
    """Ask, stop when this is seen, and wait until the service has its connection closed: at once."""
    await ask(page, question)
    await page.wait_for_selector(seen)
    await stage.service.wait_until(lambda: len(stage.asked(question)) == 1)
    [request] = stage.asked(question)
    assert request.ended_at is None
    since = asyncio.get_running_loop().time()
    await act()
    await stage.service.wait_until(lambda: request.ended_at is not None)
    assert request.closed_by_peer
    assert request.ended_at - since < AT_ONCE
    print(f"\n{question}: closed after {request.ended_at - since:.3f} s")


@pytest.mark.parametrize("phase", PHASES)
async def test_escape_stops_and_keeps_what_had_arrived(stage: Stage, phase: str) -> None:
    """In each phase the service's connection is closed; partial text stays and is remembered, half a call is not."""
    answer, seen, remembered = PHASES[phase]
    stage.answers(f"{phase}, stopped", answer)
    stage.answers(f"{phase}, go on", Reply("Here."))
    page = await stage.page()
    await stop(stage, page, f"{phase}, stopped", seen, lambda: page.keyboard.press("Escape"))
    await ended(page)
    text = await page.locator(".text").inner_text() if remembered else None
    assert "stopped" in await page.locator(".figures").inner_text()
    assert await page.locator(".waiting, .live, .running").count() == 0
    await ask(page, f"{phase}, go on")
    await ended(page)
    [request] = stage.asked(f"{phase}, go on")
    assert [role for role, _ in spoken(request)] == ["user", *remembered, "user"]
    if text is not None:
        assert text.startswith("word0 word1 ")
        assert "word299" not in text
        assert spoken(request)[1][1].strip() == text


@pytest.mark.parametrize("way", WAYS)
async def test_leaving_closes_the_connection_to_the_service(stage: Stage, way: str) -> None:
    """The button, a reload, and a new chat stop the model as well."""
    answer, seen, _ = PHASES["answering"]
    stage.answers(way, answer)
    page = await stage.page()
    name, *arguments = WAYS[way]
    await stop(stage, page, way, seen, lambda: getattr(page, name)(*arguments))
    if way == "button":
        assert await page.evaluate("document.activeElement.id") == "question"  # the button is gone
    else:
        await page.wait_for_selector("#welcome")
        assert await page.locator(".log > *").count() == 0


# ---------------------------------------------------------------- trouble

TROUBLES = {
    "no balance": (Refusal("1113"), "cannot be asked now"),
    "unsafe": (Refusal("1301"), "did not answer this"),
    "too long": (Refusal("1261"), "too long"),
    "broken off": (ErrorFrame("1234", after=["half an ", "answer"]), "broke off"),
    "not served": (Refusal("1211"), "did not work"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_trouble_is_said_and_can_be_retried(stage: Stage, picture: Callable[[str], str], trouble: str) -> None:
    """The page says kindly what happened; Retry asks the same once more, and takes the trouble's place."""
    refusal, words = TROUBLES[trouble]
    stage.answers(trouble, refusal, Reply("Now it works."))
    page = await stage.page()
    await ask(page, trouble)
    await page.wait_for_selector(".trouble")
    assert words in await page.locator(".trouble strong").inner_text()
    assert await page.get_attribute(".trouble", "role") == "alert"
    if trouble == "no balance":
        await page.screenshot(path=picture("trouble"))
    await page.get_by_role("button", name="Retry").click()
    await page.wait_for_selector(".text:has-text('Now it works.')")
    await ended(page)
    assert await page.locator(".trouble").count() == 0
    assert await page.locator(".answer").count() == await page.locator(".user").count() == 1
    assert spoken(stage.asked(trouble)[-1]) == [("user", trouble)]


async def test_what_is_asked_next_leaves_the_trouble_behind(stage: Stage) -> None:
    """Who asks something else does not lose it by a late Retry: the button is gone, what was said stays."""
    stage.answers("trouble?", Refusal("1301"))
    stage.answers("and now?", Reply("Fine."))
    page = await stage.page()
    await ask(page, "trouble?")
    await page.wait_for_selector(".trouble button")
    await ask(page, "and now?")
    await page.wait_for_selector(".text:has-text('Fine.')")
    assert await page.locator(".trouble").count() == 1
    assert await page.locator(".trouble button").count() == 0
    assert spoken(stage.asked("and now?")[0]) == [("user", "trouble?"), ("user", "and now?")]


async def test_a_server_that_is_gone_is_trouble(stage: Stage) -> None:
    """Where the page's own server does not answer, the question is kept and can be asked again."""
    stage.answers("anybody?", Reply("Me."))
    page = await stage.page()
    await page.route("**/chat", lambda route: route.abort(), times=1)
    await ask(page, "anybody?")
    assert "cannot be reached" in await page.locator(".trouble strong").inner_text()
    await page.get_by_role("button", name="Retry").click()
    await page.wait_for_selector(".text:has-text('Me.')")


# ---------------------------------------------------------------- keys


async def test_an_input_methods_enter_does_not_send(stage: Stage) -> None:
    """While a word is being composed, Enter belongs to the input method; the next one sends; Shift+Enter does not."""
    stage.answers("你好\n!", Reply("你好！"))
    page = await stage.page()
    await page.focus("#question")
    browser = await page.context.new_cdp_session(page)
    await browser.send("Input.imeSetComposition", {"text": "ni hao", "selectionStart": 6, "selectionEnd": 6})
    assert await page.input_value("#question") == "ni hao"
    await page.keyboard.press("Enter")
    assert await page.locator(".user").count() == 0
    await browser.send("Input.imeSetComposition", {"text": "", "selectionStart": 0, "selectionEnd": 0})
    await page.fill("#question", "")
    await browser.send("Input.insertText", {"text": "你好"})
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("!")
    assert await page.locator(".user").count() == 0
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".text:has-text('你好！')")
    assert len(stage.asked("你好\n!")) == 1


async def test_every_control_is_reached_by_tab(stage: Stage) -> None:
    """Tab leads through what can be pressed, each has a name, and the focus is seen."""
    page = await stage.page()
    await page.mouse.click(2, 2)  # from the beginning: a page opens with the cursor in its question
    names = []
    for _ in range(7):
        await page.keyboard.press("Tab")
        names.append(
            await page.evaluate("""() => {
                const at = document.activeElement, style = getComputedStyle(at.closest(".composer") ?? at);
                const seen = style.outlineStyle !== "none" || style.boxShadow !== "none";
                return (at.labels?.[0] ?? at).textContent.trim() + (seen ? "" : " (not seen)");
            }""")
        )
    assert names[0].startswith("Model")
    assert names[1] == "New chat"
    assert "slow reader" in names[4]
    assert names[6] == "Message"
    assert not any("not seen" in name for name in names)


# ---------------------------------------------------------------- reading along


async def test_the_page_follows_the_text_unless_the_reader_went_up(stage: Stage) -> None:
    """It stays at the newest line; after scrolling up it stays where the reader is, with a button that leads down."""
    long = "\n\n".join(f"Line {number}" for number in range(60))
    stage.answers("long?", Reply(long, pieces=20, delivery=SLOW))
    page = await stage.page()
    await ask(page, "long?")
    await page.wait_for_selector(".text:has-text('Line 20')")
    log = "document.querySelector('main')"
    below = f"{log}.scrollHeight - {log}.clientHeight - {log}.scrollTop"
    assert await page.evaluate(below) < 40
    await page.mouse.move(500, 300)
    await page.mouse.wheel(0, -300)
    async with asyncio.timeout(10):
        while await page.evaluate(below) < 200:
            await page.wait_for_timeout(20)
    place = await page.evaluate(f"{log}.scrollTop")
    await page.wait_for_selector(".text:has-text('Line 40')")
    assert await page.evaluate(f"{log}.scrollTop") == place
    await page.click("#down")
    await ended(page)
    assert await page.evaluate(below) < 4
    assert await page.locator("#down").is_hidden()


# ---------------------------------------------------------------- sizes and colours

WIDE = f"""\
| a | {"b" * 40} | {"c" * 40} |
|---|---|---|
| 1 | 2 | 3 |

```
{"code " * 60}
```

{"http://127.0.0.1/" + "very-long-" * 20} and {"W" * 200}

- one
  - two `{"inline" * 20}`
"""


COLOURS = "# Head\n\n> quoted `code` [link](https://example.com)\n\n- item\n\n```py\ncode\n```\n\n| h |\n|---|\n| c |"


@pytest.mark.parametrize("width", [320, 1180])
async def test_nothing_is_wider_than_the_page(stage: Stage, width: int) -> None:
    """Tables, code and long words never make the page scroll sideways, not on the smallest phone either."""
    call = ToolCall("search_book", {"word": "w" * 150})
    stage.answers("wide" * 40, Reply(None, reasoning="t" * 300, tool_calls=[call]), Reply(WIDE))
    page = await stage.page(viewport={"width": width, "height": 740})
    sideways = (
        "Math.max(...['html', 'main'].map((each) => document.querySelector(each)).map((each) => each.scrollWidth))"
    )
    assert await page.evaluate(sideways) <= width
    await ask(page, "wide" * 40)
    await ended(page)
    await page.locator(".thinking summary").click()
    assert await page.locator(".text table").count() == 1
    assert await page.evaluate(sideways) <= width
    right = "Math.max(...[...document.querySelectorAll('.text > *, .text pre, .call, .user, .composer')]"
    assert await page.evaluate(f"{right}.map((each) => each.getBoundingClientRect().right))") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_stands_out_from_its_ground(stage: Stage, scheme: str) -> None:
    """In both colour schemes each text has a contrast of 4.5 to what is behind it; dark is dark."""
    call = ToolCall("search_book", {"word": "aeroplane"})
    stage.answers("colours", Reply(None, reasoning="Hm.", tool_calls=[call, CALL]), Reply(COLOURS), Refusal("1113"))
    page = await stage.page(color_scheme=scheme)
    for _ in range(2):
        await ask(page, "colours")
        await ended(page)
    await page.locator(".thinking summary").click()
    found = await page.evaluate("""() => {
        const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
        const rgb = (colour) => {
            paint.fillStyle = colour;
            paint.fillRect(0, 0, 1, 1);
            return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3);
        };
        const light = (colour) => {
            const [r, g, b] = rgb(colour).map((c) => c / 255)
                .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const ground = (node) => {
            const colour = node ? getComputedStyle(node).backgroundColor : "white";
            return colour === "rgba(0, 0, 0, 0)" ? ground(node.parentElement) : colour;
        };
        const texts = [...document.querySelectorAll("body *")].filter((node) =>
            node.checkVisibility() && [...node.childNodes].some((each) => each.nodeType === 3 && each.data.trim()));
        const contrast = (node) => {
            const [dim, bright] = [light(getComputedStyle(node).color), light(ground(node))].sort((a, b) => a - b);
            return (bright + 0.05) / (dim + 0.05);
        };
        const contrasts = texts.map((node) => [node.textContent.slice(0, 40), contrast(node)]);
        return { ground: light(ground(document.body)), texts: contrasts };
    }""")
    assert len(found["texts"]) > 20
    assert [text for text, contrast in found["texts"] if contrast < 4.5] == []
    assert (found["ground"] < 0.05) if scheme == "dark" else (found["ground"] > 0.8)


async def test_a_phone_in_the_dark(stage: Stage, picture: Callable[[str], str]) -> None:
    """On a phone's screen the answer is read without zooming: text of 16 pixels, buttons of 32 or more."""
    page = await stage.page(
        stage.show,
        viewport={"width": 390, "height": 844},
        device_scale_factor=2,
        is_mobile=True,
        has_touch=True,
        color_scheme="dark",
    )
    await page.screenshot(path=picture("phone-welcome"))
    await page.get_by_text("上海").tap()
    await page.wait_for_selector(".text")
    await ended(page)
    size = "parseFloat(getComputedStyle(document.querySelector('{}')).fontSize)"
    assert await page.evaluate(size.format(".text p")) >= 16
    assert await page.evaluate(size.format("#question")) >= 16  # iOS zooms into smaller ones
    for control in ("#send", "#new", "#model"):
        box = await page.locator(control).bounding_box()
        assert min(box["width"], box["height"]) >= 32
    await page.screenshot(path=picture("phone"))


async def test_nothing_moves_for_who_does_not_want_it(stage: Stage) -> None:
    """With reduced motion no animation runs, not while an answer is written either."""
    stage.answers("calm?", Reply(WORDS, reasoning=WORDS[:60], delivery=SLOW))
    page = await stage.page(reduced_motion="reduce")
    await ask(page, "calm?")
    for seen in (".thinking.live", ".text.live:has-text('word3')"):
        await page.wait_for_selector(seen)
        assert await page.evaluate("document.getAnimations().length") == 0
    await page.keyboard.press("Escape")


# ---------------------------------------------------------------- text of others

HOSTILE = """\
<script>window.hit = 1</script> <img src="/hit" onerror="window.hit = 2"> ![](http://127.0.0.1:9/hit.png)

[a](javascript:window.hit=3) [b](data:text/html,<script>window.hit=4</script>) [c](https://example.com/?q="onclick="hit=5)

| <b onmouseover=hit=6>x</b> | y |
|---|---|
| <svg/onload=window.hit=7> | z |

```<img/src=/hit>
</code></pre><script>window.hit = 8</script>
```

- `<iframe src="javascript:window.hit=9">` [d](vbscript:hit) **[e](JaVaScRiPt:hit)** <https://example.com>
"""


async def test_text_of_a_model_is_inert(stage: Stage) -> None:
    """Markup and addresses in thinking, calls and answers are shown as text: nothing runs and nothing is loaded."""
    call = ToolCall("search_book", {"word": HOSTILE})
    stage.answers(HOSTILE.strip(), Reply(None, reasoning=HOSTILE, tool_calls=[call]), Reply(HOSTILE))
    page = await stage.page()
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    await ask(page, HOSTILE)
    await page.wait_for_selector(".text")
    await ended(page)
    await page.locator(".thinking summary").click()
    await page.wait_for_timeout(100)
    assert loaded == [stage.scripted + "chat"]
    assert await page.evaluate("window.hit") is None
    nodes = await page.evaluate(
        "[...document.querySelectorAll('.log *')].map((each) => [each.localName, ...each.getAttributeNames()])"
    )
    assert not {name for name, *_ in nodes} & {"script", "img", "iframe", "b", "style", "object"}
    assert not [name for _, *names in nodes for name in names if name.startswith("on")]
    links = await page.locator(".text a").evaluate_all("(all) => all.map((each) => [each.protocol, each.rel])")
    assert {protocol for protocol, _ in links} == {"http:", "https:"}
    assert {rel for _, rel in links} == {"noopener noreferrer nofollow"}
    assert "<script>window.hit = 1</script>" in await page.locator(".text").inner_text()


async def test_the_browser_would_refuse_what_slipped_through(stage: Stage) -> None:
    """The page's policy lets no script run that is not its own, and no text become HTML."""
    page = await stage.page()
    refused = await page.evaluate("""() => {
        const script = document.createElement("script");
        const acts = [
            () => { document.body.innerHTML = "<b>x</b>"; },
            () => { script.textContent = "window.hit = 1"; },
            () => { document.body.setAttribute("onclick", "window.hit = 1"); },
        ];
        return acts.map((act) => { try { act(); return "done"; } catch (error) { return error.name; } });
    }""")
    assert refused == ["TypeError", "TypeError", "TypeError"]
    stage.complaints.clear()  # the browser has written down what it refused
    await page.goto("about:blank")


MARKDOWN = {
    "**bold** and *it*, ~~s~~": "<p><strong>bold</strong> and <em>it</em>, <s>s</s></p>",
    "__bold__ and _it_": "<p><strong>bold</strong> and <em>it</em></p>",
    "snake_case_name and 2 * 3 * 4": "<p>snake_case_name and 2 * 3 * 4</p>",
    "`a*b*` and ``x`y``": "<p><code>a*b*</code> and <code>x`y</code></p>",
    "**中文**加粗，*斜体*。": "<p><strong>中文</strong>加粗，<em>斜体</em>。</p>",
    r"\*not\* \<b>": "<p>*not* &lt;b&gt;</p>",
    "# One\n### Three ###\ntext": "<h3>One</h3><h5>Three</h5><p>text</p>",
    "- a\n- b\n  - c\n\n    more": "<ul><li>a</li><li>b<ul><li>c<p>more</p></li></ul></li></ul>",
    "3. three\n4. four": '<ol start="3"><li>three</li><li>four</li></ol>',
    "> quoted\n> *still*": "<blockquote><p>quoted\n<em>still</em></p></blockquote>",
    "a\n\n---\n\nb": "<p>a</p><hr><p>b</p>",
    "见 https://example.com/a。好": "<p>见 <a>https://example.com/a</a>。好</p>",
    "(https://example.com/a).": "<p>(<a>https://example.com/a</a>).</p>",
    "[t](https://example.com 'x') [no](no)": "<p><a>t</a> [no](no)</p>",
    "[https://a.example](https://b.example)": "<p><a>https://a.example</a></p>",
    "": "",
}


async def test_markdown_becomes_nodes(stage: Stage) -> None:
    """Each text of the table gives the nodes beside it, and the same when it comes letter by letter."""
    page = await stage.page()
    shown = await page.evaluate(
        """async (texts) => {
            const { render } = await import("/static/markdown.js");
            const bare = (node) => {
                for (const link of node.querySelectorAll("a")) {
                    link.getAttributeNames().forEach((name) => link.removeAttribute(name));
                }
                return node.innerHTML;
            };
            return texts.map((text) => {
                const [whole, grown] = [document.createElement("div"), document.createElement("div")];
                render(whole, text);
                for (let length = 0; length <= text.length; length += 1) render(grown, text.slice(0, length));
                return [bare(whole), bare(grown)];
            });
        }""",
        list(MARKDOWN),
    )
    assert dict(zip(MARKDOWN, (whole for whole, _ in shown), strict=True)) == MARKDOWN
    assert [whole for whole, _ in shown] == [grown for _, grown in shown]
