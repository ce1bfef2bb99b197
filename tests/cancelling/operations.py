"""What is stopped: every kind of operation that waits for something, as small as it can be."""

from __future__ import annotations

from tests.cancelling import asking, running, using
from tests.cancelling.asking import SPEAKING, service
from tests.cancelling.sweep import Operation
from zhipu_async import Limits

OPERATIONS: dict[str, Operation] = {
    "ask": Operation(asking.ask),
    "ask on an idle connection": Operation(asking.ask, prepare=asking.ask_before),
    "ask a name": Operation(asking.ask_by_name, lingers=True, least=4),
    "create": Operation(asking.draw),
    "stream": Operation(asking.read_stream, SPEAKING, least=5),
    "stream without a block": Operation(asking.read_without_a_block, SPEAKING, least=5),
    "text_deltas": Operation(asking.read_text, SPEAKING, least=5),
    "events": Operation(asking.read_events, SPEAKING, least=5),
    "until_done": Operation(asking.read_to_the_end, SPEAKING, least=5),
    "sleep before a repeat": Operation(asking.ask, asking.refusing_twice, sent=3, least=5),
    "wait for a connection": Operation(asking.ask_several, settings={"limits": Limits(connections=1)}, least=10),
    "wait for the limiter": Operation(asking.ask_several, settings={"limits": Limits(concurrency=1)}, least=10),
    "ask in a session of the caller's": Operation(asking.ask_in_a_session, SPEAKING, least=5),
    "whole client": Operation(asking.whole_client, SPEAKING, least=3),
    "close twice": Operation(asking.close_twice, SPEAKING, least=3),
    "fan_out": Operation(running.iterate, least=8),
    "fan_out without a block": Operation(running.iterate_without_a_block, least=8),
    "fan_out, collected": Operation(running.collect, least=8),
    "fan_out, drained": Operation(running.drain, least=8),
    "fan_out with a journal": Operation(
        running.journalled, check=running.resume_calls, leaves=("answers.jsonl",), least=8
    ),
    "fan_out that creates": Operation(
        running.draw_many, check=running.resume_pictures, leaves=("answers.jsonl",), least=8
    ),
    "run_tools": Operation(using.use_tools, using.thinking, check=using.tools_are_done, least=8),
    "run_tools, awaited": Operation(using.await_tools, using.thinking, check=using.tools_are_done, least=8),
    "run_tools, streamed": Operation(using.stream_tools, using.thinking, check=using.tools_are_done, least=8),
    "parse": Operation(using.parse, using.DATA, least=2),
    "parse, watched": Operation(using.watch_parse, using.DATA, least=5),
    "wait for a task": Operation(using.wait_for_video, service(task_seconds=0.005), least=5),
    "upload bytes": Operation(using.upload_bytes, least=3),
    "upload a path": Operation(using.upload_path, prepare=using.make_file, leaves=("source.jsonl",), least=5),
    "upload an open file": Operation(using.upload_open_file, least=5),
    "download": Operation(
        using.download, prepare=using.store_file, check=using.copy_is_whole, leaves=("copy.jsonl",), least=5
    ),
    "read a file": Operation(using.read_file, prepare=using.store_file, least=2),
    "pages": Operation(using.list_files, prepare=using.store_files, least=3),
    "run_batches": Operation(
        running.batches,
        service(batch_seconds=0.01),
        check=running.resume_batches,
        leaves=("answers.jsonl",),
        least=20,
    ),
    "realtime": Operation(using.talk, least=4),
}
