"""Programs whose streams are cut at random, again and again: nothing is lost, doubled or reordered,
and every request is answered once.

A few seeds by default, a hundred with LIMPET_TEST=long; SEED=n plays one again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import unittest
from collections import Counter

import limpet

from .daemons import PATIENCE, Cable, World, limpetd


def seeds() -> range:
    """Returns the seeds to be played."""
    if seed := os.environ.get("SEED"):
        return range(int(seed), int(seed) + 1)
    return range(1, 101 if os.environ.get("LIMPET_TEST") == "long" else 6)


class Life:
    """A sender, a listener, an asker and a replier, each behind a cable of its own."""

    def __init__(self, world: World, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = world
        self.prefix = f"$.Cuts{seed}"
        self.cables: list[Cable] = []
        self.announcements = self.random.randrange(20, 100)
        self.requests = self.random.randrange(10, 40)
        self.ran: Counter[str] = Counter()

    async def bus(self, name: str, stack: contextlib.AsyncExitStack) -> limpet.Bus:
        daemon = self.world.daemons[self.random.choice((1, 2))]
        cable = Cable(f"{daemon.api}.{name}", daemon.api)
        await cable.lay()
        stack.callback(cable.close)
        self.cables.append(cable)
        return await stack.enter_async_context(limpet.open(cable.path))

    def weaken(self, cable: Cable) -> None:
        """Has some of the cable's next connections break by themselves, at any byte."""
        cable.cut_after = self.random.choice((None, self.random.randrange(600, 20000)))

    async def play(self) -> int:
        """Plays it, and returns how many connections were broken."""
        async with contextlib.AsyncExitStack() as stack:
            buses = [await stack.enter_async_context(limpet.open(self.world.daemons[i].api)) for i in (1, 2)]
            sender, listener, asker, replier = [await self.bus(name, stack) for name in ("s", "l", "a", "r")]
            server = await stack.enter_async_context(replier.serve(self.prefix + ".Ask", max_messages=1000))
            news = await stack.enter_async_context(listener.listen(self.prefix + ".News", max_messages=1000))
            ksock = await stack.enter_async_context(sender.ksock())
            if self.random.random() < 0.5:
                await news.ksock.prefetch()
            await asker.send(self.prefix + ".Hello")  # opening dials once: it is not to be cut
            for bus in buses:  # the asker may be at either
                while await bus.find_replier(self.prefix + ".Ask") is None:
                    pass
            serving = asyncio.create_task(self.serve(server))
            cutting = asyncio.create_task(self.cut())
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.announce(ksock))
                    heard = group.create_task(self.hear(news))
                    answers = [group.create_task(self.ask(asker, i)) for i in range(self.requests)]
            finally:
                for task in (serving, cutting):
                    task.cancel()
                await asyncio.gather(serving, cutting, return_exceptions=True)
                for cable in self.cables:
                    cable.cut_after = None
                    cable.mend()
            assert heard.result() == [str(i) for i in range(self.announcements)], heard.result()
            assert [a.result() for a in answers] == [f"did {i}" for i in range(self.requests)]
            assert len(self.ran) == self.requests and set(self.ran.values()) == {1}, self.ran
            assert not server.ksock._inbox.arrived and await server.ksock.unreplied() == 0
            for left in (news.ksock, ksock):
                assert await left.num_messages() == 0
        return sum(c.cuts for c in self.cables)

    async def announce(self, ksock: limpet.Ksock) -> None:
        posts = self.random.random() < 0.5
        for i in range(self.announcements):
            message = limpet.Message(self.prefix + ".News", str(i).encode())
            if posts:
                await ksock.post(message)
            else:
                await ksock.send(message)
            if self.random.random() < 0.1:
                await asyncio.sleep(0.002)
        await ksock.flush()

    async def hear(self, news: limpet.Listener) -> list[str]:
        return [(await news.recv(PATIENCE)).text for _ in range(self.announcements)]

    async def ask(self, bus: limpet.Bus, i: int) -> str:
        await asyncio.sleep(self.random.random() * 0.2)
        return (await bus.call(self.prefix + ".Ask", str(i), timeout=PATIENCE)).text

    async def serve(self, server: limpet.Server) -> None:
        async for request in server:
            self.ran[request.text] += 1
            await server.reply(request, f"did {request.text}")

    async def cut(self) -> None:
        while True:
            await asyncio.sleep(self.random.random() * 0.1)
            cable = self.random.choice(self.cables)
            self.weaken(cable)
            cable.cut(away=self.random.random() < 0.3)
            await asyncio.sleep(self.random.random() * 0.05)
            cable.mend()


class Cuts(unittest.TestCase):
    @unittest.skipUnless(limpetd(), "LIMPETD names no daemon to play with")
    def test_cuts(self) -> None:
        asyncio.run(self.play())

    async def play(self) -> None:
        cuts = 0
        async with World() as world:
            for seed in seeds():
                try:
                    async with asyncio.timeout(3 * PATIENCE):
                        cuts += await Life(world, seed).play()
                except BaseException:
                    print(f"seed {seed}:\n{world.logs()}")
                    raise
        print(f"seeds {seeds()[0]} to {seeds()[-1]}: streams were cut {cuts} times")
        self.assertGreater(cuts, 0)


if __name__ == "__main__":
    unittest.main()
