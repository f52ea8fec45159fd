/** The stories that every client tells alike, against real daemons: LIMPETD names the program. */

import { readFileSync } from "node:fs";
import test from "node:test";
import { parse } from "yaml";
import { World, needsDaemon } from "./daemons.js";
import { Play } from "./stories.js";

/** @type {{ name: string, steps: import("./stories.js").Step[] }[]} */
const stories = parse(readFileSync(new URL("../../stories.yaml", import.meta.url), "utf8"));
const only = new RegExp(process.env["STORY"] ?? "");
const every = Number(process.env["EVERY"] ?? 1); // plays one of so many

test("stories", needsDaemon, async (t) => {
  const world = new World();
  t.after(() => world.end());
  await world.start();
  let [passed, played] = [0, 0];
  for (const [i, { name, steps }] of stories.entries()) {
    const number = i + 1;
    if (!only.test(name) || number % every !== 0) continue;
    played++;
    await t.test(name, async () => {
      await new Play(world, number).play(steps);
      passed++;
    });
  }
  t.diagnostic(`${passed} of ${played} stories`);
  if (passed < played) t.diagnostic(world.logs());
});
