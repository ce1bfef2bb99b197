"""Cheap endpoints of the real service beside chat: `E2E_ZHIPU_API_KEY=... pytest -m e2e` (open.bigmodel.cn)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from zhipu_async import AsyncZhipuAI, NotFoundError

from .test_service import BASE_URL, KEY, MODEL, QUIET

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not KEY, reason="asks the real service: set E2E_ZHIPU_API_KEY"),
    pytest.mark.skipif("z.ai" in BASE_URL or BASE_URL.startswith("zai"), reason="only open.bigmodel.cn has these"),
]


@pytest.fixture
async def client() -> AsyncIterator[AsyncZhipuAI]:
    """A client of the real service that gives up after two minutes."""
    async with AsyncZhipuAI(KEY, base_url=BASE_URL, timeout=120, max_retries=4) as client:
        yield client


async def test_embeddings(client: AsyncZhipuAI) -> None:
    """Two texts become two vectors of the length that was asked for."""
    answer = await client.embeddings.create(model="embedding-3", input=["a cat", "a kitten"], dimensions=256)
    assert [len(vector) for vector in answer.vectors] == [256, 256]


async def test_tokens_are_counted(client: AsyncZhipuAI) -> None:
    """A conversation has tokens."""
    counted = await client.tokenizer.create(model="glm-4.6", messages=[{"role": "user", "content": "Hello"}])
    assert counted.usage is not None
    assert (counted.usage.total_tokens or 0) > 0


async def test_a_task(client: AsyncZhipuAI) -> None:
    """A question that is answered later is waited for."""
    task = await client.chat.async_completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Reply with the word: pong"}], thinking=QUIET
    )
    result = await client.wait(task, timeout=110)
    assert "pong" in result.text.lower()


async def test_a_file_comes_and_goes(client: AsyncZhipuAI) -> None:
    """A file is uploaded under a name that is not ASCII, listed, and deleted."""
    line = b'{"custom_id":"request-1","method":"POST","url":"/v4/chat/completions","body":{"model":"glm-4-flash"}}\n'
    file = await client.files.create(file=("测试.jsonl", line), purpose="batch")
    assert file.id
    try:
        assert file.id in [other.id async for other in client.files.list(purpose="batch")]
    finally:
        deleted = await client.files.delete(file.id)
    assert deleted.deleted
    with pytest.raises(NotFoundError):
        await client.files.content(file.id)
