"""Tests of a small program, with the fixtures that come with the package: run by pytest, or as a program.

pytest needs nothing but the package and pytest-asyncio, with `asyncio_mode = "auto"` in its settings.
"""

import subprocess
import sys
from typing import Any

import pytest

from zhipu_async import AsyncZhipuAI, RateLimitError
from zhipu_async.testing import GLMSimulator

# ---------------------------------------------------------------- the program: usually in a file of its own


async def summary(text: str) -> str:
    """A text in one sentence, or its beginning where the service is too busy."""
    async with AsyncZhipuAI(max_retries=1) as client:
        try:
            reply = await client.chat.completions.create(
                model="glm-4.6",
                messages=[
                    {"role": "system", "content": "Answer with one sentence."},
                    {"role": "user", "content": f"Summarise: {text}"},
                ],
                temperature=0.2,
            )
        except RateLimitError:
            return f"{text[:20]}..."
    return reply.text


async def shout(client: AsyncZhipuAI, question: str) -> str:
    """What can be heard of an answer, in capitals."""
    stream = await client.chat.completions.create(
        model="glm-4.6", messages=[{"role": "user", "content": question}], stream=True
    )
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]).upper()


# ---------------------------------------------------------------- its tests


async def test_the_summary_is_the_models(glm_environment: GLMSimulator) -> None:
    """The program makes its own client: glm_environment has it find the simulator."""
    glm_environment.answers("A keeper tends the light.")
    assert await summary("The lighthouse keeper ...") == "A keeper tends the light."
    request = glm_environment.assert_called_once(model="glm-4.6", temperature=0.2, prompt="lighthouse keeper")
    assert request.messages[0] == {"role": "system", "content": "Answer with one sentence."}


async def test_a_busy_service_is_survived(glm_environment: GLMSimulator) -> None:
    """Both attempts are refused."""
    glm_environment.refuses("1302", retry_after=0, times=2)
    assert await summary("The lighthouse keeper climbs the stairs.") == "The lighthouse keepe..."
    glm_environment.assert_called(times=2, prompt="climbs the stairs")


@pytest.mark.glm_simulator(strict=True)
async def test_answers_can_depend_on_the_question(glm_client: AsyncZhipuAI, glm_simulator: GLMSimulator) -> None:
    """Nothing but what is scripted is answered."""
    glm_simulator.when(prompt="weather").streams("It ", "is ", "sunny.", pause=0.01)
    glm_simulator.when(prompt="time").answers("It is late.")
    assert await shout(glm_client, "What is the time?") == "IT IS LATE."
    assert await shout(glm_client, "How is the weather?") == "IT IS SUNNY."


@pytest.mark.glm_recording("data/haiku.jsonl")
async def test_a_recorded_answer(glm_client: AsyncZhipuAI, glm_recording: Any) -> None:
    """Made with `pytest --glm-record=once` (this one from the simulator), replayed without a key."""
    said = await shout(glm_client, "A haiku, please.")
    assert said.endswith("/ SHIPS FIND THEIR WAY HOME")
    assert [exchange.status for exchange in glm_recording.exchanges] == [200]


if __name__ == "__main__":
    sys.exit(subprocess.call([sys.executable, "-m", "pytest", "-v", "--no-header", __file__]))
