/** What ends a wait, and that nothing is left afterwards, against a real daemon. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { BusError, Closed, Expired, Flags, MayHaveRun, Message, NeverRan, NoAnswer, Refused, StatusError, TimedOut, Unreachable, open } from "limpet-client";
import { Cable, Daemon, PATIENCE, needsDaemon } from "./daemons.js";

/**
 * Tests with a daemon of their own.
 *
 * @param {string} name
 * @param {(daemon: Daemon) => Promise<void>} what
 * @param {string[]} args
 */
function withDaemon(name, what, ...args) {
  test(name, { ...needsDaemon, timeout: 2 * PATIENCE }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "limpet-"));
    const daemon = new Daemon(folder, 1, ...args);
    t.after(async () => {
      await daemon.end();
      rmSync(folder, { recursive: true });
    });
    await daemon.start();
    await what(daemon);
  });
}

/**
 * Returns what a promise fails with, which must be of that class.
 *
 * @template {Error} T
 * @param {Promise<unknown>} what
 * @param {new (...args: any[]) => T} kind
 * @returns {Promise<T>}
 */
async function fails(what, kind) {
  try {
    await what;
  } catch (e) {
    assert.ok(e instanceof kind, String(e));
    return e;
  }
  throw new assert.AssertionError({ message: `it does not fail with ${kind.name}` });
}

withDaemon("receiving ends", async ({ api }) => {
  const bus = open(api);
  const news = await bus.listen(["$.News.*", "$.Else"]);
  await fails(news.recv({ timeout: 0 }), TimedOut);
  await fails(news.recv({ timeout: 5 }), TimedOut);
  const abort = new AbortController();
  const waits = news.recv({ signal: abort.signal });
  abort.abort(new RangeError("enough"));
  assert.equal((await fails(waits, RangeError)).message, "enough");
  await fails(news.recv({ signal: abort.signal }), RangeError); // at once
  await bus.send("$.News.A", "one"); // none of these have taken it
  assert.equal((await news.recv({ timeout: PATIENCE })).text, "one");
  const both = [news.recv(), news.recv()];
  for (const text of ["two", "three", "four"]) await bus.send("$.News.B", Buffer.from(text));
  assert.deepEqual((await Promise.all(both)).map((m) => m.text), ["two", "three"]); // no call waits while there is something
  const heard = [];
  for await (const m of news) {
    heard.push(m.text);
    void news.close(); // it ends the loop
  }
  assert.deepEqual(heard, ["four"]);
  await fails(news.recv(), Closed);
  await news.close();
  await bus.close();
  await bus.close();
  await fails(bus.send("$.A"), Closed);
  await fails(bus.bindings(), Closed);
});

withDaemon("a call is aborted", async ({ api }) => {
  const bus = open(api);
  const k = await bus.ksock();
  await k.bind("$.Clock", { replier: true });
  const abort = new AbortController();
  const unread = bus.call("$.Clock", "one", { signal: abort.signal });
  while ((await k.numMessages()) === 0);
  abort.abort();
  const failed = await fails(unread, NoAnswer); // NeverRan, if the bus says so within a moment
  assert.equal(failed.cause, abort.signal.reason);
  while ((await k.numMessages()) > 0); // it is taken back
  await fails(bus.call("$.Clock", "", { signal: abort.signal }), NeverRan);

  const again = new AbortController();
  const read = bus.call("$.Clock", "two", { signal: again.signal });
  const request = await k.recv();
  again.abort();
  await fails(read, MayHaveRun);
  await k.send(request.reply("too late"));
  const expired = await fails(bus.call("$.Clock", "", { timeout: 0 }), Expired);
  assert.ok(expired instanceof NeverRan);
  assert.equal(expired.outcome, "EXPIRED");
  await fails(bus.call("$.Clock", "", { timeout: -1 }), RangeError);
  await fails(bus.call("$.Clock", "", { traceparent: "x" }), TypeError);

  const third = bus.call("$.Clock", "three");
  await k.recv();
  setImmediate(() => bus.close());
  await fails(third, MayHaveRun);
  await k.close();
});

withDaemon("a send for which there is no room ends", async ({ api }) => {
  const bus = open(api);
  const [k, full] = [await bus.ksock(), await bus.ksock()];
  await full.maxMessages(1);
  await full.bind("$.A");
  const message = new Message("$.A", "", { flags: Flags.ALL_OR_WAIT });
  await k.send(message);
  const abort = new AbortController();
  const waits = k.send(message, { signal: abort.signal });
  setTimeout(() => abort.abort(new RangeError("enough")), 20);
  await fails(waits, RangeError);
  for (const timeout of [0, 10]) assert.equal((await fails(k.send(message, { timeout }), BusError)).code, "EAGAIN");
  const sent = k.send(message);
  await full.recv();
  await sent;
  const closed = k.send(message);
  setImmediate(() => k.close());
  await fails(closed, Closed);
  await fails(k.bind("$.A"), Closed);
  await full.close();
  await bus.close();
});

withDaemon("what is posted without waiting keeps its order, and the window", async ({ api }) => {
  const bus = open(api);
  const k = await bus.ksock();
  await k.maxMessages(20_000);
  await k.bind("$.A");
  const n = 10_000; // more than the window
  const posted = Array.from({ length: n }, (_, i) => k.post(new Message(i === 7 ? "$.No..Name" : "$.A", String(i))));
  const late = fails(k.post(new Message("$.A", "late"), { timeout: 0 }), TimedOut);
  await Promise.all(posted);
  await late;
  const refused = await fails(k.flush(), Refused);
  assert.deepEqual(refused.errors.map(({ code, subject }) => [code, subject]), [["EBADMSG", "$.No..Name"]]);
  await k.flush();
  await k.prefetch();
  for (let i = 0; i < n; i++) if (i !== 7) assert.equal((await k.recv({ timeout: PATIENCE })).text, String(i));
  await fails(k.recv({ timeout: 0 }), TimedOut);
  await k.close();
  await bus.close();
});

withDaemon("many calls at a time", async ({ api }) => {
  const bus = open(api);
  const server = await bus.serve("$.Loud", { maxMessages: 5000 });
  await server.ksock.prefetch();
  const n = 2000;
  const serving = (async () => {
    const answered = [];
    for (let i = 0; i < n; i++) {
      const request = await server.recv();
      answered.push(server.reply(request, request.text.toUpperCase()));
    }
    await Promise.all(answered);
  })();
  const replies = await Promise.all(Array.from({ length: n }, (_, i) => bus.call("$.Loud", `a${i}`, { timeout: PATIENCE })));
  assert.deepEqual(replies.map(({ text }) => text), replies.map((_, i) => `A${i}`));
  await serving;
  await server.close();
  await bus.close();
});

withDaemon("a call that gives up before it has dialled", async (daemon) => {
  await daemon.end();
  const bus = open(daemon.api);
  await fails(bus.call("$.A", "", { timeout: 0 }), Expired); // and nobody hears that there is no daemon
  await fails(bus.call("$.A"), NeverRan);
  await bus.close();
});

withDaemon("what was sent before it is closed is sent", async ({ api }) => {
  const bus = open(api);
  const news = await bus.listen("$.A", { maxMessages: 1000 });
  const k = await bus.ksock();
  const sent = Array.from({ length: 100 }, (_, i) => k.send(new Message("$.A", String(i))));
  await k.close();
  await Promise.all(sent);
  for (let i = 0; i < 100; i++) assert.equal((await news.recv()).text, String(i));
  const calls = Array.from({ length: 10 }, () => fails(bus.call("$.A"), NoAnswer));
  await bus.send("$.A");
  await bus.close();
  await Promise.all(calls);
  await news.close();
});

withDaemon("a watch ends", async (daemon) => {
  const bus = open(daemon.api);
  const repliers = bus.watchRepliers("$.*");
  assert.deepEqual(await repliers.next(), { done: false, value: { gone: [], here: [], whole: true, restart: false } });
  const waits = repliers.next();
  await repliers.return();
  assert.deepEqual(await waits, { done: true, value: undefined });
  const abort = new AbortController();
  const bindings = bus.watchBindings("", { signal: abort.signal });
  await bindings.next();
  setImmediate(() => abort.abort(new RangeError("enough")));
  await fails(bindings.next(), RangeError);
  const links = bus.watchLinks();
  assert.ok((await links.next()).value?.whole);
  const broken = fails(links.next(), StatusError);
  await daemon.end();
  await broken;
  await fails(bus.ksock(), Unreachable);
  await fails(bus.call("$.A"), NeverRan);
  const closed = fails(bus.watchLinks().next(), StatusError);
  await bus.close();
  await closed;
});

withDaemon("closing does not wait for a daemon that is away", async ({ api }) => {
  const cable = await new Cable(`${api}.cable`, api).lay();
  const bus = open(cable.path);
  const k = await bus.ksock();
  cable.cut(true);
  const waits = k.recv();
  await Promise.all([fails(waits, Closed), k.close()]);
  await bus.close();
  cable.close();
}, "--program-grace", "1h");

withDaemon("nothing is left running", async ({ api }) => {
  const program = `
    import { open } from "limpet-client";
    const bus = open(${JSON.stringify(api)});
    const server = await bus.serve("$.A");
    const news = await bus.listen("$.B");
    const watch = bus.watchRepliers("$.*");
    await watch.next();
    const call = bus.call("$.A", "", { timeout: 60_000, signal: AbortSignal.timeout(60_000) });
    await server.reply(await server.recv({ timeout: 60_000 }), "yes");
    await call;
    await bus.send("$.B");
    await news.recv({ timeout: 60_000 });
    for (const x of [server, news, bus]) await x.close();
    console.log(process.getActiveResourcesInfo().filter((x) => x !== "PipeWrap" && x !== "Immediate").join(" ") + ".");
  `;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], { cwd: new URL("..", import.meta.url), stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (data) => (said += data));
  const timer = setTimeout(() => child.kill(), PATIENCE);
  const [code] = await once(child, "close");
  clearTimeout(timer);
  assert.deepEqual([code, said], [0, ".\n"]);
});
