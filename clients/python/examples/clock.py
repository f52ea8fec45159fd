"""Answers everybody who asks for the time, until it is interrupted."""

import asyncio
import time

import limpet


async def main() -> None:
    async with limpet.open() as bus, bus.serve("$.Clock.*") as clock:
        print("answering $.Clock.*", flush=True)
        async for request in clock:
            await clock.reply(request, time.strftime("%H:%M:%S"))


asyncio.run(main())
