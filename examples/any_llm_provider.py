"""A GLM model behind any-llm: a function that knows only any-llm asks it, streamed, for a type, with an error.

Needs ``pip install 'zhipu-async[any-llm]'``.
"""

import asyncio
import sys

from service import connect

from zhipu_async.simulator import Delivery, Refusal, Reply, Scenario

try:
    from any_llm import AnyLLM
    from any_llm.exceptions import AnyLLMError
    from pydantic import BaseModel

    from zhipu_async.integrations.any_llm import ZhipuProvider
except ImportError as error:
    sys.exit(f"this example needs any-llm: pip install 'zhipu-async[any-llm]' ({error})")


class Lighthouse(BaseModel):
    name: str
    metres: int


async def show(llm: AnyLLM, model: str) -> None:
    """Works with every provider of any-llm."""
    question = [{"role": "user", "content": "Which lighthouse is the oldest?"}]
    answer = await llm.acompletion(model, question, reasoning_effort="high")
    message = answer.choices[0].message
    print("thought:", message.reasoning and message.reasoning.content)
    print("answer:", message.content)

    follow = [*question, message, {"role": "user", "content": "How high is it?"}]
    async for chunk in await llm.acompletion(model, follow, stream=True):
        print(chunk.choices[0].delta.content or "", end="|", flush=True)

    typed = await llm.acompletion(model, follow, response_format=Lighthouse)
    print("\nas a type:", repr(typed.choices[0].message.parsed))

    try:
        await llm.acompletion(model, question)
    except AnyLLMError as error:
        print(f"{type(error).__name__}: status {error.status_code}, code {error.code}")


async def main() -> None:
    async with connect(TALK) as client:  # without a client of your own: ZhipuProvider(api_key="...", api_base="zai")
        await show(ZhipuProvider(client=client, unified_exceptions=True), "glm-4.7-flash")


TALK = Scenario(
    replies=[
        Reply("The Tower of Hercules.", reasoning="Which ones still stand?"),
        Reply("It is 55 metres high.", delivery=Delivery(pause=0.01)),
        Reply('{"name": "Tower of Hercules", "metres": 55}'),
        Refusal(1113),
    ]
)

asyncio.run(main())
