"""What the README shows is typed, and prints what it says but for numbers."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import unittest
from pathlib import Path

import limpet

from .daemons import PATIENCE, limpetd

FOLDER = Path(__file__).parents[1]


def session(page: str) -> list[tuple[str, list[str]]]:
    """Returns the commands of the page's console, each with what it prints."""
    steps: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```", page, re.M | re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
    return steps


def pattern(line: str) -> str:
    return re.sub(r"\d+", r"\\d+", re.escape(line))


class Examples(unittest.TestCase):
    @unittest.skipUnless(limpetd(), "LIMPETD names no daemon to play with")
    def test_readme(self) -> None:
        steps = session((FOLDER / "README.md").read_text(encoding="utf-8"))
        shown = {word for command, _ in steps for word in command.split() if word.startswith("examples/")}
        self.assertEqual(shown, {f"examples/{p.name}" for p in (FOLDER / "examples").glob("*.py")})
        with tempfile.TemporaryDirectory(prefix="limpet-") as folder:
            asyncio.run(self.type(folder, steps))

    async def type(self, folder: str, steps: list[tuple[str, list[str]]]) -> None:
        program = limpetd()
        assert program
        bin = Path(folder, "bin")
        bin.mkdir()
        (bin / "limpetd").symlink_to(os.path.abspath(program))
        (bin / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        (bin / "python3").chmod(0o755)
        env = {**os.environ, "XDG_RUNTIME_DIR": folder, "PATH": f"{bin}:{os.environ['PATH']}", "PYTHONPATH": str(FOLDER / "src")}
        running: list[asyncio.subprocess.Process] = []
        try:
            for command, lines in steps:
                with self.subTest(command):
                    process = await asyncio.create_subprocess_shell(
                        "exec " + command.removesuffix("&"), cwd=FOLDER, env=env, stdout=asyncio.subprocess.PIPE,
                        stderr=asyncio.subprocess.DEVNULL if command.startswith("limpetd") else None,
                    )  # fmt: skip
                    running.append(process)
                    assert process.stdout
                    async with asyncio.timeout(PATIENCE):
                        for line in lines:
                            got = (await process.stdout.readline()).decode().rstrip("\n")
                            self.assertRegex(got, f"^{pattern(line)}$")
                        if not command.endswith("&"):
                            self.assertEqual(await process.wait(), 0)
                        elif command.startswith("limpetd"):
                            await self.answers(folder)
        finally:
            for process in reversed(running):
                if process.returncode is None:
                    process.kill()
                    await process.wait()

    async def answers(self, folder: str) -> None:
        while True:
            try:
                async with limpet.open(f"{folder}/limpetd/api.sock") as bus:
                    await bus.bindings()
                return
            except (limpet.LimpetError, OSError):
                await asyncio.sleep(0.02)


if __name__ == "__main__":
    unittest.main()
