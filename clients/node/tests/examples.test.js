/** What the README shows is typed, and prints what it says but for numbers; its programs run. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { open } from "limpet-client";
import { PATIENCE, limpetd, needsDaemon } from "./daemons.js";

const FOLDER = new URL("..", import.meta.url);
const README = readFileSync(new URL("README.md", FOLDER), "utf8");

/**
 * Returns the commands of the page's console, each with what it prints.
 *
 * @param {string} page
 */
function session(page) {
  /** @type {{ command: string, lines: string[] }[]} */
  const steps = [];
  for (const [, block] of page.matchAll(/^```console\n(.*?)^```/gms)) {
    for (const line of block.trimEnd().split("\n")) {
      if (line.startsWith("$ ")) steps.push({ command: line.slice(2), lines: [] });
      else steps.at(-1)?.lines.push(line);
    }
  }
  return steps;
}

/** @param {string} line */
function pattern(line) {
  return new RegExp(`^${line.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replace(/\d+/g, "\\d+")}$`);
}

/** @param {string} api */
async function answers(api) {
  for (;;) {
    const bus = open(api);
    try {
      await bus.bindings();
      return;
    } catch {
      await sleep(20);
    } finally {
      await bus.close();
    }
  }
}

/** What the first line is that each program of the README prints; the first one answers the second. */
const PRINTS = [undefined, "noon", "$.Weather.Rain from noon 0"];

test("the programs in the README", { ...needsDaemon, timeout: 2 * PATIENCE }, async (t) => {
  const programs = [...README.matchAll(/^```js\n(.*?)^```/gms)].map(([, program]) => program);
  assert.equal(programs.length, PRINTS.length);
  const folder = mkdtempSync(join(tmpdir(), "limpet-"));
  const daemon = spawn(limpetd, ["--network-id", "1"], { env: { ...process.env, XDG_RUNTIME_DIR: folder }, stdio: "ignore" });
  const running = [daemon];
  t.after(() => {
    for (const process of running.reverse()) process.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  });
  const api = join(folder, "limpetd", "api.sock");
  await answers(api);
  const bus = open(api);
  for (const [i, program] of programs.entries()) {
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
      cwd: FOLDER, env: { ...process.env, XDG_RUNTIME_DIR: folder }, stdio: ["ignore", "pipe", "inherit"],
    });
    running.push(child);
    if (PRINTS[i] === undefined) while (!(await bus.findReplier("$.Clock.Now")));
    else assert.equal((await createInterface(child.stdout)[Symbol.asyncIterator]().next()).value, PRINTS[i]);
  }
  await bus.close();
});

test("the README", { ...needsDaemon, timeout: 4 * PATIENCE }, async (t) => {
  const steps = session(README);
  const shown = new Set(steps.flatMap(({ command }) => command.match(/(?<=examples\/)\S+/g) ?? []));
  assert.deepEqual([...shown].sort(), readdirSync(new URL("examples", FOLDER)).sort());

  const folder = mkdtempSync(join(tmpdir(), "limpet-"));
  mkdirSync(join(folder, "bin"));
  symlinkSync(resolve(limpetd), join(folder, "bin", "limpetd"));
  symlinkSync(process.execPath, join(folder, "bin", "node"));
  const env = { ...process.env, XDG_RUNTIME_DIR: folder, PATH: `${join(folder, "bin")}:${process.env["PATH"]}` };
  /** @type {import("node:child_process").ChildProcess[]} */
  const running = [];
  t.after(() => {
    for (const process of running.reverse()) process.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  });
  for (const { command, lines } of steps) {
    await t.test(command, async () => {
      const child = spawn(`exec ${command.replace(/&$/, "")}`, { shell: true, cwd: FOLDER, env, stdio: ["ignore", "pipe", command.startsWith("limpetd") ? "ignore" : "inherit"] });
      running.push(child);
      const exited = once(child, "exit");
      const said = createInterface(child.stdout)[Symbol.asyncIterator]();
      for (const line of lines) assert.match((await said.next()).value ?? "it ended", pattern(line));
      if (!command.endsWith("&")) assert.deepEqual([(await said.next()).done, ...(await exited)], [true, 0, null]);
      else if (command.startsWith("limpetd")) await answers(join(folder, "limpetd", "api.sock"));
    });
  }
});
