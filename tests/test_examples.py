"""The examples run by themselves, without a key, an error or a warning, and show what they promise."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.errors_said import said
from zhipu_async.config import KEY_VARIABLES, URL_VARIABLES
from zhipu_async.simulator import Simulator

pytestmark = pytest.mark.heavy

EXAMPLES = Path(__file__).parent.parent / "examples"
SHARED = {"book.py", "service.py"}

NEEDS = {"ray_cluster.py": "ray"}
"""What an example needs beside the development tools; with ``REQUIRE_RAY=1`` its absence is a failure."""

SHOWN = {
    "quickstart.py": [r"Why is the sky blue\?", r"finish reason: stop", r"tokens: [1-9]\d* seconds: 0\.\d+"],
    "streaming.py": [
        r"story about a lighthouse",
        r"first token after 0\.\d+",
        r"complete: False",
        r"whole answer: \d\d",
    ],
    "thinking.py": [r"thinking: \w+", r"answer: \w+", r"tokens of thinking: [1-9]", r"reasoning: ''"],
    "tool_call_by_hand.py": [
        r'call of get_weather: \{"\|city\|',
        r"finish reason: tool_calls",
        r"answer: .*Tokyo.* 21",
    ],
    "multi_turn.py": [r"glm: .*17 \* 19", r"请用中文再说一遍", r"7 messages, the last with reasoning: True"],
    "vision.py": [r"1 image: image/png, \d+ bytes"],
    "jwt_auth.py": [r"Hello", r"refused: 401"],
    "errors_and_retries.py": [
        r"attempt 1: ConnectionLost, next attempt in",
        r"attempt 2: RateLimitError, next attempt in",
        r"Here I am\. \(3 attempts\)",
        r"attempt 1: AccountError, gave up",
        r"code 1113",
        r"kept: 'This stream breaks off'",
    ],
    "agent.py": [
        r"^you +How much warmer is it in Cairo than in Oslo\?\nthinking +\w",
        r'\ncall +get_weather \{"city":"Cairo"\}\ncall +get_weather \{"city":"Oslo"\}\nresult ',
        r'gives \{"celsius":27,"sky":"clear"\} \(0\.\d s\)\n',
        r'\ncall +calculate \{"expression":"27 - 4"\}\nresult [^\n]* 23\.0 ',
        r"\nglm +It makes 23 degrees\.\nyou ",
        r"\nglm +It makes 41\.4 degrees\.\nyou ",
        r'Atlantis"\} gives error: LookupError: no weather is known of Atlantis',
        r"\nglm +I cannot tell: [^\n]*\n16 messages, [1-9]\d* tokens\n$",
    ],
    "extract_records.py": [
        r"^\.\.\. 4\.1\n\.\.\. 5\.1\n\.\.\. 8\.1\n",
        r"\nsentence,thing,image\n4\.1,The Tao,",
        r"\n60\.1,Governing a great state,cooking small fish\n",
        r"\n6 of 7 are in the book; requests: 1, mended: nothing, tokens: [1-9]\d*\n$",
    ],
    "parallel_tools.py": [
        r"^(call: [^\n]*\n){6}(?=.*result: exchange_rate after \d\.\d s: 178\.4)",  # as they come
        r"\nresult: search_library after \d\.\d s: \[",
        r"\nresult: search_archive after \d\.\d s: error: TimeoutError: ",
        r"\nOne euro is 178\.4 JPY, ",
        r"\n6 calls, (1\.[89]|[2-9]\.\d) s of work in [01]\.\d s\nfailed: search_archive TimeoutError",
    ],
    "approval.py": [
        r"^May it delete_file \{'name': 'contract\.txt'\}\? no\n(May it [^\n]*'draft-\d\.txt'\}\? yes\n){2}",
        r'\nnot allowed: delete_file \{"name":"contract\.txt"\}\ndone: ',
        r"\nanswer: I deleted 2 files\. Not the others: error: only drafts may be deleted\.\n",
        r"left: \['contract\.txt'\]\n$",
    ],
    "fastapi_service.py": [
        r"^200 text/event-stream\n",
        r"a\|( \w+\|)* lighthouse\| for\?”\|\|\n",
        r"ended: done after \d\d frames",
        r"left after: [1-9]\d* bytes\n(ended: left after [^\n]*\n)?",
        r'\n200 "?Hello',
        r'\n400 \{"error":\{"status":400,"type":"bad_request"',
        r'\n200 \{"status":"ready"',
    ],
    "aiohttp_service.py": [
        r"^200 text/event-stream\n",
        r"event: call\.returned\ndata: [^\n]*Tokyo[^\n]*21",
        r"event: run\.finished\n[^\n]*\n\ndata: \[DONE\]\n",
        r"ended: done with 4 messages",
        r'\n200 \{"status":"ready"',
    ],
    "benchmark_models.py": [
        r"^glm-4\.7-flash, 1 at a time: \d+ tokens/s, TTFT p50 0\.\d+ s",
        r"\nglm-4\.5-flash, 4 at a time: [^\n]*, 0 refused\n",
        r"\n4 at a time: glm-4\.5-flash takes 1\.\d+ times as long \([^\n]*\): worse\n$",
    ],
    "pydantic_ai_agent.py": [
        r"(celsius\('(Oslo|Lisbon)'\) gives \d+\n){2}advice: city='Lisbon' celsius=19 pack=\['a light coat'\]\n",
        r"Go\| to\| [^\n]*\|\n3 requests, [1-9]\d* tokens\nthought: Two cities, two questions\.\n$",
    ],
    "any_llm_provider.py": [
        r"^thought: Which ones still stand\?\nanswer: The Tower of Hercules\.\nIt\| is\| 55\| metres\| high\.\|+\n",
        r"as a type: Lighthouse\(name='Tower of Hercules', metres=55\)\n",
        r"InsufficientFundsError: status 429, code 1113\n$",
    ],
    "many_at_once.py": [
        r"40 answers and 0 failures",
        r"39 squared",
        r"calls at a time: [1-9]",
        r"[1-9]\d* tokens, latency p50 0\.\d+",
    ],
    "opentelemetry_prometheus.py": [
        r"^failed: BadRequestError\nalert: glm-of-tomorrow: error_rate 1 is above 0\.5\n",
        r'gen_ai_client_token_usage_sum gen_ai_operation_name="chat" gen_ai_request_model="glm-4\.7-flash" '
        r'gen_ai_token_type="input" [1-9]\d*\.0\n',
        r'gen_ai_token_type="output" [1-9]\d*\.0\n',
        r'gen_ai_client_operation_duration_seconds_count (error_type="" )?gen_ai_operation_name="chat" '
        r'gen_ai_request_model="glm-4\.7-flash" 2\.0\n',
        r'error_type="BadRequestError" gen_ai_operation_name="chat" gen_ai_request_model="glm-of-tomorrow" 1\.0\n',
        r"(span:   chat glm-4\.7-flash \{'gen_ai\.response\.finish_reasons': \('stop',\)\}\n){2}",
        r"\nspan:   chat glm-of-tomorrow [^\n]*'error\.type': 'BadRequestError'[^\n]*\nspan: a visitor's request \n$",
    ],
    "classify_collection.py": [
        r" +conduct +35 ■{35} ",
        r" +state +4 ■■■■ +Governing a great state is like cooking small fish\.",
        r"72 sentences in \d\.\d s, [1-9]\d* tokens\n\d+ calls at a time",
    ],
    "embed_collection.py": [
        r"^9 calls, [1-9]\d* tokens, 147456 bytes of vectors\n",
        r"0\.\d\d\n +46\.2  There is no guilt [^\n]*\n +69\.1  There is no calamity greater than lightly engaging in",
    ],
    "resume_after_interruption.py": [
        r"first run:  \.{30}\nkilled, with (?P<kept>\d\d) answers in the journal\nsecond run: r{30}",
        r"\n72 outcomes, (?P=kept) of them from the journal\nevery id once: True\n",
        r"asked twice: \d+, [^\n]*; of those in the journal: 0\n",
    ],
    "batch_collection.py": [
        r"^batch_\d+ completed: 72 of 72\n",
        r" +fish: 36\.2, 60\.1\n",
        r" none: [^\n]* \.\.\.\n$",
    ],
    "ray_cluster.py": [
        r"^ *1\.1 +conduct The Tao that can be trodden",
        r"\n *81\.2 +conduct Those who are skilled",
        r"\n72 sentences, [1-9]\d* tokens, [12] journals: \{'conduct': \d+, [^\n]*\}\n$",
    ],
    "embeddings_search.py": [
        r"72 sentences, 512 numbers each",
        r"journey.*\?\n +0\.\d\d +chapter 64: .* a thousand li commenced with a single step",
        r"soft as water\?",
        r"chapter 78: There is nothing in the world more soft and weak than water",
    ],
    "rerank.py": [
        r"most moons\?\n +0\.\d\d +With more than a hundred of them, Saturn",
        r"0\.\d\d +\w+",
        r"0\.\d\d +\w+",
    ],
    "image_to_file.py": [
        r"(?P<size>\d+) of (?P=size) bytes\nsaved: lighthouse\.png (?P=size) bytes",
        r"in memory: image/png [1-9]\d* bytes",
    ],
    "video_with_waiting.py": [
        r"(?=.*failed, 1234: no picture came of it)",  # the two films are made at once
        r"not done within 1 s; it goes on",
        r"lighthouse in a storm: PROCESSING",
        r"lighthouse in a storm: SUCCESS",
        r"\w+\.mp4, [1-9]\d* bytes",
    ],
    "speech_to_file.py": [
        r"in memory: audio/wav [1-9]\d* bytes",
        r"saved: keeper\.wav [1-9]\d* bytes",
        r"(piece: [1-9]\d* bytes at 24000 samples a second\n){3,}",
        r"whole: [1-9]\d* bytes",
    ],
    "transcription.py": [
        r"heard: The lighthouse keeper",
        r"The\| lighthouse\| keeper\|",
        r"whole: The lighthouse keeper",
    ],
    "file_upload_and_batch.py": [
        r"sent [1-9]\d* bytes",
        r"completed: 12 of 13 answered, 1 failed",
        r"square-1: .*What is 1 squared",
        r"square-12: .*What is 12 squared",
        r"without-messages: FAILED .*1214",
        r"batches: \['completed'\]",
        r"kept: squares\.jsonl",
        r"deleted: True",
    ],
    "web_search.py": [r"ref_1: .*lighthouses", r"ref_3: ", r"read: \w+", r"# \w+"],
    "agents_and_knowledge.py": [
        r"translated: .*早上好",
        r"streamed: .*thank you",
        r"taken: \['tao_te_ching\.txt'\] refused: \[\]",
        r"found: 0\.\d\d .*a thousand li commenced with a single step",
        r"\n\S.*a thousand li commenced with a single step",
        r"asked for: .*thousand li",
        r"base: Tao Te Ching 1",
    ],
    "file_parser.py": [
        r"task: succeeded 7742 characters",
        r"at once: succeeded .* True",
        r"# Sentences of the Tao Te Ching",
    ],
    "testing_your_code.py": [r"\b4 passed in "],
    "realtime.py": [r"heard: A sound of 1\.00 seconds", r"lighthouse keeper", r"\d\.\d seconds of sound, completed"],
}
"""What each example prints, in this order."""


async def run(name: str, **environment: str) -> str:
    """Run an example by itself and give what it printed; nothing may come on standard error."""
    keyless = {
        name: value for name, value in os.environ.items() if name not in {*KEY_VARIABLES, *URL_VARIABLES.values()}
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-W", "error", str(EXAMPLES / name)),
        env={**keyless, "PYTHONUTF8": "1", **environment},
        stdin=asyncio.subprocess.DEVNULL,  # not the terminal that the tests may have
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120 if name in NEEDS else 30):
        output, errors = await process.communicate()
    assert (process.returncode, said(errors)) == (0, "")
    return output.decode()


@pytest.mark.parametrize("name", SHOWN)
async def test_an_example_shows_what_it_promises(name: str) -> None:
    """Without a key an example asks the simulator and prints, in order, what SHOWN lists."""
    if (needed := NEEDS.get(name)) is not None and find_spec(needed) is None:
        if os.environ.get("REQUIRE_RAY") == "1":
            pytest.fail(f"{needed} is required (REQUIRE_RAY=1) and is not there")
        pytest.skip(f"{needed} is not installed")
    output = await run(name)
    assert re.search(".*".join(SHOWN[name]), output, re.DOTALL), output


END = b"<the end>"


async def at_a_terminal(name: str, talk: Sequence[tuple[str, str | signal.Signals]]) -> str:
    """Run an example at a terminal: wait for each text, then type a line or send a signal; what it showed."""
    master, terminal = os.openpty()
    loop, shown, changed = asyncio.get_running_loop(), bytearray(), asyncio.Event()

    def read() -> None:
        with suppress(OSError):  # the program has ended
            shown.extend(data := os.read(master, 4096))
            changed.set()
            if data:
                return
        loop.remove_reader(master)
        shown.extend(END)
        changed.set()

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-W", "error", str(EXAMPLES / name)),
        env={**os.environ, "PYTHONUTF8": "1", "TERM": "xterm"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    loop.add_reader(master, read)
    place = 0
    try:
        async with asyncio.timeout(30):
            for text, then in talk:
                while (found := shown.find(text.encode(), place)) < 0:
                    assert not shown.endswith(END), shown.decode()
                    changed.clear()
                    await changed.wait()
                place = found + len(text)
                if isinstance(then, signal.Signals):
                    process.send_signal(then)
                else:
                    os.write(master, then.encode())
            while not shown.endswith(END):
                changed.clear()
                await changed.wait()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        loop.remove_reader(master)
        os.close(master)
    return re.sub(r"\x1b\[[\d;]*m", "", shown.removesuffix(END).decode()).replace("\r\n", "\n")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
async def test_the_agent_converses_at_a_terminal() -> None:
    """It answers what is typed, forgets an answer that is stopped by Ctrl-C, and ends with Ctrl-D."""
    shown = await at_a_terminal(
        "agent.py",
        [
            ("you ", "How is it in Lima?\n"),
            ("(fog).", ""),
            ("you ", "And in Oslo?\n"),
            ("call ", signal.SIGINT),
            ("(stopped)", ""),
            ("you ", "Hello\n"),
            ("for a sum.", ""),
            ("you ", "\x04"),
        ],
    )
    assert "It is 19 °C (fog)." in shown
    assert "error" not in shown
    assert re.search(r"\n7 messages, [1-9]\d* tokens\n$", shown), shown


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
async def test_a_person_is_asked_for_approval_at_a_terminal() -> None:
    """What the person allows is done, and nothing else."""
    shown = await at_a_terminal(
        "approval.py", [("contract.txt'}? [y/N] ", "y\n"), ("1.txt'}? [y/N] ", "n\n"), ("2.txt'}? [y/N] ", "\n")]
    )
    assert "the user said no" in shown
    assert shown.endswith("left: ['draft-1.txt', 'draft-2.txt']\n")


async def test_with_a_key_the_service_is_asked() -> None:
    """With a key and an address in the environment an example talks to that service."""
    async with Simulator() as service:
        await run("quickstart.py", ZHIPU_API_KEY=service.api_key, ZHIPU_BASE_URL=service.base_url)
        assert [request.status for request in service.requests] == [200]


def test_every_example_is_tested_and_listed() -> None:
    """Each script in the folder is in SHOWN and in the folder's README."""
    scripts = {path.name for path in EXAMPLES.glob("*.py")} - SHARED
    assert scripts == SHOWN.keys()
    assert set(re.findall(r"\]\((\w+\.py)\)", (EXAMPLES / "README.md").read_text(encoding="utf-8"))) == scripts
