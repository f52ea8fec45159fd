"""The stories that every client tells alike, against real daemons: LIMPETD names the program."""

from __future__ import annotations

import asyncio
import os
import re
import unittest
from pathlib import Path

from .daemons import World, limpetd
from .stories import Failed, Play

STORIES = Path(__file__).parents[2] / "stories.yaml"


class Stories(unittest.TestCase):
    @unittest.skipUnless(limpetd(), "LIMPETD names no daemon to play with")
    def test_stories(self) -> None:
        try:
            import yaml
        except ImportError:
            self.skipTest("there is no yaml to read the stories with")
        with STORIES.open(encoding="utf-8") as f:
            stories = yaml.safe_load(f)
        only = re.compile(os.environ.get("STORY", ""))
        every = int(os.environ.get("EVERY", "1"))  # plays one of so many
        chosen = [(i, s) for i, s in enumerate(stories, 1) if only.search(s["name"]) and i % every == 0]
        passed = asyncio.run(self.play(chosen))
        print(f"{passed} of {len(chosen)} stories")

    async def play(self, stories: list[tuple[int, dict]]) -> int:
        passed = 0
        async with World() as world:
            for number, story in stories:
                with self.subTest(story["name"]):
                    try:
                        await Play(world, number).play(story["steps"])
                        passed += 1
                    except Failed as e:
                        self.fail(str(e))
            if passed < len(stories):
                print(world.logs())
        return passed


if __name__ == "__main__":
    unittest.main()
