"""Many calls in one file, answered within a day: upload it, wait for the batch, and match the answers by their ids.

The simulator is done in seconds; the real service may take hours, and the program may wait for the same batch again.
"""

import asyncio

import msgspec
from service import connect

from zhipu_async import Batch, BatchLine, BatchOutput, ChatCompletion

MODEL = "glm-4-flash"
ENDPOINT = "/v4/chat/completions"


def line(name: str, **body: object) -> BatchLine:
    return BatchLine(custom_id=name, url=ENDPOINT, body={"model": MODEL, **body})


QUESTIONS = {f"square-{number}": f"What is {number} squared?" for number in range(1, 13)}
LINES = [
    *(line(name, messages=[{"role": "user", "content": text}]) for name, text in QUESTIONS.items()),
    line("without-messages", messages=[]),  # a mistake, to see what becomes of it
]


def sent(done: int, total: int | None) -> None:
    if done == total:  # a large file also comes here on its way
        print(f"sent {done} bytes")


def stands(batch: Batch) -> None:
    print(f"{batch.status}: {batch.counts.completed} of {batch.counts.total} answered, {batch.counts.failed} failed")


async def main() -> None:
    async with connect() as client:
        content = msgspec.json.Encoder().encode_lines(LINES)  # bytes, a path or an open file: what an upload takes
        file = await client.files.create(file=("squares.jsonl", content), purpose="batch", progress=sent)
        batch = await client.batches.create(
            input_file_id=file.id or "", endpoint=ENDPOINT, auto_delete_input_file=False
        )
        print("created:", batch.id)
        batch = await client.wait(batch, timeout=24 * 3600, progress=stands)

        answers: dict[str | None, BatchOutput] = {}
        for result in filter(None, (batch.output_file_id, batch.error_file_id)):  # the latter only after failures
            found = msgspec.json.Decoder(BatchOutput).decode_lines((await client.files.content(result)).content)
            answers |= {answer.custom_id: answer for answer in found}  # their order is not that of the lines
        for asked in LINES:
            answer = answers[asked.custom_id]
            body = answer.response.body if answer.response else None
            text = msgspec.convert(body, ChatCompletion).text if answer.ok else f"FAILED {body or answer.error}"
            print(f"  {asked.custom_id}: {text}")

        print("batches:", [batch.status async for batch in client.batches.list(limit=50)])  # page after page
        async for kept in client.files.list(purpose="batch"):
            print("kept:", kept.filename, kept.bytes, "bytes")
        deleted = await client.files.delete(batch.input_file_id or "")
        print("deleted:", deleted.deleted)


asyncio.run(main())
