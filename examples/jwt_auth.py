"""Send short-lived tokens signed with the key in place of the key itself."""

import asyncio

from service import connect

from zhipu_async import AuthenticationError


async def main() -> None:
    async with connect(auth="jwt") as client:  # a token is made when it is needed, and used for some minutes
        reply = await client.chat.completions.create(
            model="glm-4.7-flash", messages=[{"role": "user", "content": "Hello"}]
        )
        print(reply.text)

        stranger = client.with_options(api_key="0" * 32 + ".not-the-secret00")
        try:
            await stranger.models.list()
        except AuthenticationError as error:
            print("refused:", error.code, error.meaning)


asyncio.run(main())
