"""How fast two models answer, under growing load: a table, and whether one is faster by more than noise."""

import asyncio
from random import Random

from zhipu_async.benchmarking import Benchmark, Closed, Report, Synthetic, compare, undisturbed_client
from zhipu_async.config import key_in_environment
from zhipu_async.simulator import Delivery, Reply, Scenario, SeenRequest, Simulator

MODELS = ("glm-4.7-flash", "glm-4.5-flash")
chance = Random(1)


def answer(request: SeenRequest) -> Reply:
    """What the simulator says: the first model is the faster one."""
    slow = (1.0 if request.model == MODELS[0] else 1.6) * chance.lognormvariate(0, 0.1)
    return Reply(
        pieces=["word "] * 20, finish_reason="length", delivery=Delivery(body_after=0.1 * slow, pause=0.01 * slow)
    )


async def measure(model: str, **service: str) -> Report:
    # this client repeats nothing and holds nothing back: what the service refuses is counted
    async with undisturbed_client(**service) as client:
        benchmark = Benchmark(
            client,
            models=[model],
            loads=[Closed(1), Closed(4)],  # Open(2.0): two requests per second, whether or not earlier ones have ended
            prompts=Synthetic(tokens=200),
            requests=12,
            max_tokens=64,
            goodput={"ttft": 1.0},
        )
        return await benchmark.run()


async def main() -> None:
    if key_in_environment():
        reports = [await measure(model) for model in MODELS]
    else:
        async with Simulator(Scenario(replies=answer)) as service:
            reports = [await measure(model, api_key=service.api_key, base_url=service.base_url) for model in MODELS]

    for report in reports:
        for load in report.loads:
            ttft, tpot = load.summary.metrics["ttft"], load.summary.metrics["tpot"]
            print(
                f"{load.model}, {load.label}: {load.summary.rates['output_throughput']:.0f} tokens/s, "
                f"TTFT p50 {ttft.p50:.3f} s, p99 {ttft.p99:.3f} s, TPOT p50 {tpot.p50 * 1000:.1f} ms, "
                f"{load.summary.refused} refused"
            )
    for change in compare(*reports).changes:
        if change.name == "e2el_p50":
            print(
                f"{change.load}: {change.model} takes {change.ratio:.2f} times as long "
                f"({change.low:.2f} to {change.high:.2f}): {change.verdict}"
            )


asyncio.run(main())
