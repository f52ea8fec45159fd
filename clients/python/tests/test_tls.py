"""Certificates at both ends, over TCP; and what is no address."""

from __future__ import annotations

import asyncio
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import limpet
from limpet._address import parse

from .daemons import PATIENCE, limpetd


class Addresses(unittest.TestCase):
    def test_bad(self) -> None:
        for address in ("", "host", "host:", "host:x", "host:70000", "::1:80", "unix:", "/" + "x" * 200, "/a\0b", "192.0.2.1:80", "example.org:80"):
            with self.subTest(address), self.assertRaises(ValueError):
                limpet.open(address)

    def test_good(self) -> None:
        for address, target in {
            "/a/b": "unix:/a/b", "unix:b": "unix:b", "./b": "unix:./b", "localhost:80": "dns:///localhost:80", "[::1]:80": "dns:///[::1]:80",
        }.items():  # fmt: skip
            self.assertEqual(parse(address, None, False).grpc_target, target)
        self.assertEqual(parse("192.0.2.1:80", None, True).grpc_target, "dns:///192.0.2.1:80")


class MutualTLS(unittest.TestCase):
    @unittest.skipUnless(limpetd(), "LIMPETD names no daemon to play with")
    def test_tls(self) -> None:
        with tempfile.TemporaryDirectory(prefix="limpet-") as folder:
            subprocess.run([limpetd(), "cert", "--dir", folder, "there.example", "program"], check=True, capture_output=True)
            subprocess.run([limpetd(), "cert", "--dir", folder + "/other", "stranger"], check=True, capture_output=True)
            asyncio.run(self.play(Path(folder)))

    async def play(self, folder: Path) -> None:
        program = limpetd()
        assert program
        own = [f"--tls-{what}={folder / name}" for what, name in (("cert", "there.example.pem"), ("key", "there.example.key"), ("ca", "ca.pem"))]
        daemon = await asyncio.create_subprocess_exec(
            program, "--bus", "embedded", "--network-id", "1", "--api", "127.0.0.1:0", *own, stderr=asyncio.subprocess.PIPE
        )
        try:
            assert daemon.stderr
            async with asyncio.timeout(PATIENCE):
                while not (at := re.search(rb'"offering the local API" address=(\S+)', await daemon.stderr.readline())):
                    pass
            address = at[1].decode()
            tls = limpet.TLS(folder / "program.pem", folder / "program.key", folder / "ca.pem", name="there.example")
            async with limpet.open(address, tls=tls) as bus, bus.serve("$.A") as server:
                call = asyncio.create_task(bus.call("$.A", timeout=PATIENCE))
                await server.reply(await server.recv(), "hello")
                self.assertEqual((await call).text, "hello")
                self.assertEqual(len(await bus.bindings()), 1)
            other = folder / "other"
            for bad in (
                limpet.TLS(tls.cert, tls.key, tls.ca),  # the certificate is not the host's
                limpet.TLS(tls.cert, tls.key, other / "ca.pem", tls.name),
                limpet.TLS(other / "stranger.pem", other / "stranger.key", tls.ca, tls.name),
                limpet.TLS(tls.cert, tls.key, folder / "missing.pem", tls.name),
                None,
            ):
                with self.subTest(str(bad)), self.assertRaises(limpet.Unreachable):
                    await limpet.open(address, tls=bad).ksock()
        finally:
            daemon.kill()
            await daemon.wait()


if __name__ == "__main__":
    unittest.main()
