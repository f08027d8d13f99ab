"""A client to be checked by `farend check-client`: aiohttp. It sends back what it gets."""

import asyncio
import sys

import aiohttp


async def main(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(url, compress=15) as client:
        async for message in client:
            if message.type is aiohttp.WSMsgType.TEXT:
                await client.send_str(message.data)
            elif message.type is aiohttp.WSMsgType.BINARY:
                await client.send_bytes(message.data)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
