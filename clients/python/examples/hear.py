"""Prints what is announced about the weather, until it is interrupted."""

import asyncio

import limpet


async def main() -> None:
    async with limpet.open() as bus, bus.listen("$.Weather.*") as weather:
        print("listening to $.Weather.*", flush=True)
        async for message in weather:
            print(message.name, message.text, flush=True)


asyncio.run(main())
