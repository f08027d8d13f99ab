"""A client to be checked by `farend check-client`: `websockets`, on asyncio. It sends back what it gets."""

import asyncio
import sys

from websockets.asyncio.client import connect


async def main(url: str) -> None:
    async with connect(url) as client:
        async for message in client:
            await client.send(message)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
