"""Announces what is given: a name, and data."""

import asyncio
import sys

import limpet


async def main(name: str, data: str) -> None:
    async with limpet.open() as bus:
        message = await bus.send(name, data)
        print("sent", message)


asyncio.run(main(*sys.argv[1:]))
