"""A dialogue: every request after the first goes to who has answered it, or fails."""

import asyncio

import limpet


async def shop(server: limpet.Server) -> None:
    baskets: dict[limpet.Address | int, list[str]] = {}
    async for request in server:
        basket = baskets.setdefault(request.orig_from if any(request.orig_from) else request.from_, [])
        basket.append(request.text)
        await server.reply(request, " and ".join(basket))


async def main() -> None:
    async with limpet.open() as bus, bus.serve("$.Shop") as server:
        serving = asyncio.create_task(shop(server))
        reply = None
        for what in ("tea", "milk", "sugar"):
            reply = await bus.call("$.Shop", what, replier=reply, timeout=5)
            print("the basket has", reply.text)
        serving.cancel()


asyncio.run(main())
