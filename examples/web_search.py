"""Search the web, and read a page that was found as Markdown."""

import asyncio

from service import connect

from zhipu_async import AsyncZhipuAI

QUERY = "how lighthouses work"


def engine(client: AsyncZhipuAI) -> str:
    """Z.ai has one search engine, open.bigmodel.cn has four others."""
    return "search-prime" if "z.ai" in client.base_url else "search_std"


async def main() -> None:
    async with connect() as client:
        found = await client.web_search.search(
            search_query=QUERY, search_engine=engine(client), search_intent=False, count=3
        )
        for result in found.search_result:
            print(f"{result.refer}: {result.title} ({result.publish_date})\n  {result.link}")
        links = [result.link for result in found.search_result if result.link]
        if links:
            page = (await client.web_reader.read(url=links[0], return_format="markdown")).reader_result
            if page and page.content:
                print("read:", page.title)
                print(page.content[:300])


asyncio.run(main())
