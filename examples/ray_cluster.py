"""A Ray Data job: two workers of a local Ray classify sentences, each with a client of its own.

On a cluster set the key where ``ray start`` is called, and leave out what is said to ``ray.init`` here. A folder that
all workers see, as ``checkpoint_dir``, makes the job one that can be begun again without paying twice.
"""

import asyncio
import json
import logging
import os
import sys
import tempfile
import warnings
from collections import Counter
from contextlib import AsyncExitStack

from book import sentences

from zhipu_async import models
from zhipu_async.config import key_in_environment
from zhipu_async.integrations.ray import ChatBatches
from zhipu_async.simulator import Pace, Scenario, Simulator

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}  # read when Ray is imported
warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"ray\.data\.context$")  # of its own settings
try:
    import ray
    import ray.data
except ImportError:
    sys.exit("This example needs Ray: pip install 'zhipu-async[ray]'")

MODEL = "glm-4.7-flash"
LABELS = ["conduct", "death", "heaven", "people", "state", "water"]
SCHEMA = {"type": "object", "properties": {"label": {"enum": LABELS}}}
SYSTEM = f"""You are given a sentence of the Tao Te Ching. What is it about?
Answer with JSON of this schema: {json.dumps(SCHEMA)}"""
SERVICE = Scenario(concurrency_limit=8, pace=Pace(first_token=0.1))


def job(folder: str) -> list[dict[str, object]]:
    ray.init(
        num_cpus=2,
        object_store_memory=80 * 1024 * 1024,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _node_ip_address="127.0.0.1",
    )
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        rows = [{"id": name, "prompt": text} for name, text in sentences().items()]
        dataset = ray.data.from_items(rows, override_num_blocks=8)
        answered = dataset.map_batches(
            ChatBatches,
            fn_constructor_kwargs={
                "model": MODEL,
                "system": SYSTEM,
                "response_format": {"type": "json_object"},
                "id_column": "id",
                "checkpoint_dir": folder,
                **models.least_thinking(MODEL),
            },
            compute=ray.data.ActorPoolStrategy(size=2),
            batch_size=9,
            batch_format="pyarrow",
            num_cpus=0.1,  # a worker waits for the network
        )
        return answered.take_all()  # on a cluster: answered.write_parquet(...)
    finally:
        ray.shutdown()


async def main() -> None:
    async with AsyncExitStack() as stack:
        if not key_in_environment():  # the workers inherit the environment of ray.init
            simulator = await stack.enter_async_context(Simulator(SERVICE))
            os.environ |= {"ZHIPU_API_KEY": simulator.api_key, "ZHIPU_BASE_URL": simulator.base_url}
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        rows = await asyncio.to_thread(job, folder)
        shards = len(os.listdir(folder))

    labels: Counter[str] = Counter()
    by_id = {row["id"]: row for row in rows}  # Ray gives them in the order in which they became ready
    for name in sentences():
        row = by_id[name]
        if row["error"] is not None:
            label = f"failed: {json.loads(row['error'])['type']}"
        else:
            try:
                label = json.loads(row["answer"])["label"]
            except (ValueError, LookupError, TypeError):  # a model may say anything
                label = "no label"
        labels[label] += 1
        print(f"{row['id']:>5} {label:>8} {row['prompt'][:70]}")
    print(f"{len(rows)} sentences, {sum(row['tokens'] or 0 for row in rows)} tokens, {shards} journals:", dict(labels))


asyncio.run(main())
