/** Certificates at both ends, over TCP; and what is no address. */

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import test from "node:test";
import { Unreachable, defaultAddress, open } from "limpet-client";
import { parse } from "../src/address.js";
import { PATIENCE, limpetd, needsDaemon } from "./daemons.js";

test("what is no address", () => {
  for (const address of ["", "host", "host:", "host:x", "host:70000", "::1:80", "unix:", `/${"x".repeat(200)}`, "/a\0b", "192.0.2.1:80", "example.org:80", "127.example.org:80"]) {
    assert.throws(() => open(address), TypeError, address);
  }
  for (const address of ["/a/b", "unix:b", "./b", "localhost:80", "127.0.0.1:80", "[::1]:80"]) assert.equal(parse(address, undefined, false).address, address);
  assert.equal(parse("192.0.2.1:80", undefined, true).address, "192.0.2.1:80");
});

test("a folder that others can write", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "limpet-"));
  const before = process.env["XDG_RUNTIME_DIR"];
  process.env["XDG_RUNTIME_DIR"] = folder;
  t.after(() => {
    if (before === undefined) delete process.env["XDG_RUNTIME_DIR"];
    else process.env["XDG_RUNTIME_DIR"] = before;
    rmSync(folder, { recursive: true });
  });
  await assert.rejects(open().ksock(), /No connection|ENOENT/); // there is no daemon
  mkdirSync(join(folder, "limpetd"));
  chmodSync(join(folder, "limpetd"), 0o777);
  await assert.rejects(open().ksock(), (e) => e instanceof Unreachable && e.message.includes("has mode 0777"));
  await assert.rejects(open().bindings(), /has mode 0777/);
  assert.equal(defaultAddress(), join(folder, "limpetd", "api.sock"));
});

test("certificates at both ends", { ...needsDaemon, timeout: 2 * PATIENCE }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "limpet-"));
  execFileSync(limpetd, ["cert", "--dir", folder, "there.example,192.0.2.7", "program"], { stdio: "ignore" });
  execFileSync(limpetd, ["cert", "--dir", join(folder, "other"), "stranger"], { stdio: "ignore" });
  const file = (/** @type {string} */ name) => join(folder, name);
  const daemon = spawn(limpetd, [
    "--bus", "embedded", "--network-id", "1", "--api", "127.0.0.1:0", `--tls-cert=${file("there.example.pem")}`, `--tls-key=${file("there.example.key")}`, `--tls-ca=${file("ca.pem")}`,
  ], { stdio: ["ignore", "ignore", "pipe"] });
  t.after(() => {
    daemon.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  });
  let address = "";
  for await (const line of createInterface(daemon.stderr)) {
    const at = /"offering the local API" address=(\S+)/.exec(line);
    if (!at) continue;
    address = at[1];
    break;
  }
  daemon.stderr.resume();
  const tls = { cert: file("program.pem"), key: file("program.key"), ca: file("ca.pem"), name: "there.example" };
  for (const name of ["there.example", "192.0.2.7"]) {
    const bus = open(address, { tls: { ...tls, name } });
    const server = await bus.serve("$.A");
    const call = bus.call("$.A", "", { timeout: PATIENCE });
    await server.reply(await server.recv(), "hello");
    assert.equal((await call).text, "hello");
    assert.equal((await bus.bindings()).length, 1);
    await server.close();
    await bus.close();
  }
  for (const bad of [
    { ...tls, name: undefined }, // the certificate is not the host's
    { ...tls, name: "elsewhere.example" },
    { ...tls, ca: file("other/ca.pem") },
    { ...tls, cert: file("other/stranger.pem"), key: file("other/stranger.key") },
    { ...tls, ca: file("missing.pem") },
    { ...tls, key: file("ca.pem") },
    undefined,
  ]) await assert.rejects(open(address, { tls: bad }).ksock(), Unreachable, JSON.stringify(bad));
});
