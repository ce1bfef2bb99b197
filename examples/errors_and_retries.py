"""What is repeated, what is not, and what an error tells. Faults are needed on demand, so this asks the simulator."""

import asyncio

from zhipu_async import AccountError, AsyncZhipuAI, AttemptFailed, Event, RetryPolicy, StreamTruncated
from zhipu_async.simulator import Delivery, HangUp, Refusal, Reply, Scenario, Simulator

FAULTS = Scenario(
    replies=[
        HangUp(),  # a lost connection: repeated
        Refusal("1302"),  # rate limit: repeated
        Reply("Here I am."),
        Refusal("1113"),  # no balance: also HTTP 429, never repeated
        Reply("This stream breaks off in the middle of", delivery=Delivery(stops_after=4, pause=0.0, then="close")),
    ]
)
HELLO = [{"role": "user", "content": "Are you there?"}]


def watch(event: Event) -> None:
    if isinstance(event, AttemptFailed):
        then = "gave up" if event.delay is None else f"next attempt in {event.delay:.2f} s"
        print(f"  attempt {event.number}: {type(event.error).__name__}, {then}")


async def main() -> None:
    async with (
        Simulator(FAULTS) as service,
        AsyncZhipuAI(
            service.api_key,
            base_url=service.base_url,
            retry=RetryPolicy(retries=3, base=0.1, patience=20),  # seconds
            hooks=[watch],
        ) as client,
    ):
        print("a lost connection, then a rate limit:")
        reply = await client.chat.completions.create(model="glm-4.6", messages=HELLO)
        print(" ", reply.text, f"({reply.timing.attempts if reply.timing else 0} attempts)")

        print("an account without balance:")
        try:
            await client.chat.completions.create(model="glm-4.6", messages=HELLO)
        except AccountError as error:
            print(" ", error)

        print("a stream that breaks off:")
        try:
            async with await client.chat.completions.create(model="glm-4.6", messages=HELLO, stream=True) as stream:
                async for text in stream.text_deltas():
                    print("   piece:", repr(text))
        except StreamTruncated as error:
            print("  kept:", repr(error.partial.text))

        print({name: statistics.errors for name, statistics in client.statistics().items()})


asyncio.run(main())
