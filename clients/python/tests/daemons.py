"""Daemons as processes, and cables to them that can be cut."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from pathlib import Path

import limpet

PATIENCE = 30.0
"""Bounds, in seconds, what is much faster unless something hangs."""


def limpetd() -> str | None:
    """Returns the program to be tested, which LIMPETD names; None is none."""
    return os.environ.get("LIMPETD")


class Daemon:
    """A limpetd with an embedded bus, which can be ended and started again at the same address."""

    def __init__(self, folder: Path, network_id: int, *args: str) -> None:
        self.api = str(folder / f"api{network_id}.sock")
        self.network_id = network_id
        self._args = ["--bus", "embedded", "--network-id", str(network_id), "--api", self.api, *args]
        self._log = folder / f"log{network_id}"
        self._linked = "--connect" in args or "--listen" in args
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Starts it, and returns when it answers."""
        program = limpetd()
        assert program, "LIMPETD names no program"
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(program, *self._args, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log)
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    async with limpet.open(self.api) as bus:
                        await bus.bindings()
                    return
                except limpet.StatusError:
                    await asyncio.sleep(0.01)

    async def linked(self) -> None:
        """Returns when its link is up, if it has one."""
        if not self._linked:
            return
        async with asyncio.timeout(PATIENCE), limpet.open(self.api) as bus:
            async for changes in bus.watch_links():
                if any(link.state == "up" for link in changes.here):
                    return

    async def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Ends it, and returns when it has ended."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(how)
            async with asyncio.timeout(PATIENCE):
                await self._process.wait()


class World:
    """The daemons that stories are played on."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="limpet-")
        folder = Path(self._folder.name)
        link = str(folder / "link")
        self.folder = folder
        self.daemons = {
            1: Daemon(folder, 1, "--interest", "off", "--listen", link),
            2: Daemon(folder, 2, "--interest", "off", "--connect", link),
            3: Daemon(folder, 3, "--program-grace", "0"),
        }

    async def __aenter__(self) -> World:
        await asyncio.gather(*(d.start() for d in self.daemons.values()))
        await self.linked()
        return self

    async def linked(self) -> None:
        """Returns when the daemons that are linked are."""
        await asyncio.gather(*(d.linked() for d in self.daemons.values()))

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(d.end() for d in self.daemons.values()))
        self._folder.cleanup()

    def logs(self) -> str:
        """Returns what the daemons have said."""
        return "\n".join(p.read_text(errors="replace") for p in sorted(self.folder.glob("log*")))


class Cable:
    """A Unix socket that leads to another one, and can be cut."""

    def __init__(self, path: str, to: str) -> None:
        self.path = path
        self.away = False
        self.cut_after: int | None = None
        """Breaks every connection that has carried so many bytes, both ways together."""
        self.cuts = 0
        self._to = to
        self._writers: set[asyncio.StreamWriter] = set()
        self._flows: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def lay(self) -> None:
        """Makes the socket."""
        self._server = await asyncio.start_unix_server(self._join, self.path)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.away:
            writer.transport.abort()
            return
        try:
            back_reader, back_writer = await asyncio.open_unix_connection(self._to)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, back_writer}
        self._writers |= ends
        left = [self.cut_after]

        async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(1 << 16):
                if left[0] is not None:
                    data, left[0] = data[: left[0]], max(0, left[0] - len(data))
                sink.write(data)
                await sink.drain()
                if left[0] == 0:
                    self.cuts += 1
                    return

        flows = [asyncio.create_task(carry(reader, back_writer)), asyncio.create_task(carry(back_reader, writer))]
        self._flows.update(flows)
        await asyncio.wait(flows, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.transport.abort()
        self._writers -= ends
        for flow in flows:
            flow.cancel()
        await asyncio.gather(*flows, return_exceptions=True)
        self._flows.difference_update(flows)

    def cut(self, away: bool = False) -> None:
        """Breaks every connection; with away new ones are refused."""
        self.away = away
        self.cuts += 1
        for writer in list(self._writers):
            writer.transport.abort()

    def mend(self) -> None:
        """Lets new connections through."""
        self.away = False

    def close(self) -> None:
        """Takes it away."""
        if self._server is not None:
            self._server.close()
        self.cut(away=True)
