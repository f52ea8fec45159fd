"""Asks for the time, and says what became of the request if there is no answer."""

import asyncio
import sys

import limpet


async def main() -> None:
    async with limpet.open() as bus:
        try:
            reply = await bus.call("$.Clock.Now", timeout=5)
        except limpet.NeverRan as e:  # perhaps there is no clock
            sys.exit(f"it is safe to ask again: {e}")
        except limpet.MayHaveRun as e:
            sys.exit(f"somebody may have read it: {e}")
        print("it is", reply.text)


asyncio.run(main())
