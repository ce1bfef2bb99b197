"""A translation by an agent of the platform; then a knowledge base: a book goes in, answers come out."""

import asyncio
from pathlib import Path

from service import connect

from zhipu_async import AsyncZhipuAI

BOOK = Path(__file__).parent / "data" / "tao_te_ching.txt"
QUESTION = "How does a journey of a thousand li commence?"


async def translate(client: AsyncZhipuAI) -> None:
    whole = await client.agents.invoke(
        agent_id="general_translation",
        messages=[{"role": "user", "content": "Good morning, world!"}],
        custom_variables={"source_lang": "en", "target_lang": "zh-CN"},
    )
    print("translated:", whole.text)
    stream = await client.agents.invoke(
        agent_id="general_translation",
        messages=[{"role": "user", "content": "谢谢"}],
        custom_variables={"source_lang": "zh-CN", "target_lang": "en"},
        stream=True,
    )
    print("streamed:", (await stream.until_done()).text)


async def consult(client: AsyncZhipuAI, knowledge_id: str) -> None:
    uploaded = await client.knowledge.documents.upload(
        knowledge_id, BOOK, knowledge_type=5, custom_separator=["\n"], sentence_size=300
    )
    print("taken:", [document.file_name for document in uploaded.items], "refused:", uploaded.refused)
    for seconds in (0, 1, 2, 4, 8, 16, 32):  # a document is found once it is embedded
        await asyncio.sleep(seconds)
        found = await client.knowledge.search(query=QUESTION, knowledge_ids=[knowledge_id], top_k=2)
        for piece in found.items:
            print(f"found: {piece.score or 0:.2f} {piece.text}")
        if found.items:
            break

    stream = await client.knowledge.chat(  # an agent that searches and answers
        messages=[{"role": "user", "content": QUESTION}], retrieval={"know_ids": [knowledge_id]}
    )
    async for event in stream:
        if event.type == "answer":
            print(event.text, end="", flush=True)
    print("\nasked for:", [call.arguments for call in stream.result.tool_calls])


async def main() -> None:
    async with connect() as client:
        await translate(client)
        created = await client.knowledge.create(embedding_id=11, name="Tao Te Ching", description="Legge, 1891")
        knowledge_id = created.id or ""
        try:
            await consult(client, knowledge_id)
            async for base in client.knowledge.list():
                print("base:", base.name, base.document_size)
        finally:
            await client.knowledge.delete(knowledge_id)


asyncio.run(main())
