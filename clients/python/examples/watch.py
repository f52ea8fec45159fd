"""Prints who replies to what, and each change, until it is interrupted."""

import asyncio

import limpet


async def main() -> None:
    async with limpet.open() as bus:
        async for changes in bus.watch_repliers("$.*"):
            for replier in changes.gone:
                print("gone", replier.name, flush=True)
            for replier in changes.here:
                print("here", replier.name, "over " + replier.link if replier.link else "on this bus", flush=True)
            if changes.whole:
                print("that was all", flush=True)


asyncio.run(main())
