"""The face without asyncio, against a real daemon."""

from __future__ import annotations

import asyncio
import errno
import tempfile
import threading
import unittest
from pathlib import Path

import limpet
import limpet.sync

from .daemons import PATIENCE, Daemon, limpetd


class Sync(unittest.TestCase):
    @unittest.skipUnless(limpetd(), "LIMPETD names no daemon to play with")
    def test_all(self) -> None:
        with tempfile.TemporaryDirectory(prefix="limpet-") as folder, asyncio.Runner() as runner:
            daemon = Daemon(Path(folder), 1)
            runner.run(daemon.start())
            try:
                self.play(daemon.api)
            finally:
                runner.run(daemon.end())
            with limpet.sync.open(daemon.api) as bus, self.assertRaises(limpet.Unreachable):
                bus.ksock()

    def play(self, api: str) -> None:
        with limpet.sync.open(api) as bus:
            self.play_many(bus)
            with bus.serve("$.Loud") as server, bus.listen("$.News.*") as news, bus.ksock() as k:

                def answer() -> None:
                    for request in server:
                        server.reply(request, request.text.upper())

                answering = threading.Thread(target=answer)
                answering.start()
                self.assertEqual(bus.call("$.Loud", "hello", timeout=PATIENCE).text, "HELLO")
                bus.send("$.News.A", "one")
                k.post(limpet.Message("$.News.B", b"two"))
                k.post(limpet.Message("$.No..Name"))
                with self.assertRaises(limpet.Refused) as refused:
                    k.flush()
                self.assertEqual([e.errno for e in refused.exception.exceptions], [errno.EBADMSG])  # type: ignore[union-attr]
                self.assertEqual([news.recv(PATIENCE).text for _ in range(2)], ["one", "two"])
                self.assertEqual(news.missed, 0)
                with self.assertRaises(TimeoutError):
                    news.recv(0)
                with self.assertRaises(limpet.BusError) as taken:
                    k.bind("$.Loud", replier=True)
                self.assertEqual(taken.exception.errno, errno.EADDRINUSE)
                with bus.watch_repliers("$.*") as watch:
                    here = next(watch).here
                self.assertEqual([r.name for r in here], ["$.Loud"])
                self.assertEqual((k.max_messages(7), k.only_once(), k.num_messages(), k.unreplied()), (7, False, 0, 0))
                k.bind("$.News.%")
                threading.Timer(0.01, k.close).start()
                self.assertEqual(list(k), [])  # closed here, it ends
                with self.assertRaises(limpet.Closed):
                    k.recv()
                server.close()
                answering.join(PATIENCE)
                self.assertFalse(answering.is_alive())
                with self.assertRaises(limpet.NeverRan):
                    bus.call("$.Loud", timeout=PATIENCE)
            self.assertEqual(bus.bindings(), [])

    def play_many(self, bus: limpet.sync.Bus) -> None:
        """Each message goes to one of the threads that wait for the next one."""
        messages, threads = 200, 4
        heard: list[str] = []
        with bus.listen("$.Many") as news, bus.ksock() as k:

            def hear() -> None:
                while len(heard) < messages:
                    try:
                        heard.append(news.recv(0.05).text)
                    except TimeoutError:
                        pass

            hearing = [threading.Thread(target=hear) for _ in range(threads)]
            for t in hearing:
                t.start()
            for i in range(messages):
                k.post(limpet.Message("$.Many", str(i).encode()))
            for t in hearing:
                t.join(PATIENCE)
                self.assertFalse(t.is_alive())
        self.assertEqual(sorted(heard, key=int), [str(i) for i in range(messages)])


if __name__ == "__main__":
    unittest.main()
