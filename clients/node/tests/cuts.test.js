/**
 * Programs whose streams are cut at random, again and again: nothing is lost, doubled or reordered,
 * and every request is answered once.
 *
 * A few seeds by default, a hundred with LIMPET_TEST=long; SEED=n plays one again.
 */

import assert from "node:assert/strict";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Message, open } from "limpet-client";
import { Cable, PATIENCE, World, needsDaemon } from "./daemons.js";

/**
 * @typedef {import("limpet-client").Bus} Bus
 * @typedef {import("limpet-client").Ksock} Ksock
 * @typedef {import("limpet-client").Listener} Listener
 * @typedef {import("limpet-client").Server} Server
 */

function seeds() {
  const seed = process.env["SEED"];
  if (seed) return [Number(seed)];
  return Array.from({ length: process.env["LIMPET_TEST"] === "long" ? 100 : 3 }, (_, i) => i + 1);
}

/** Numbers by chance that a seed repeats: mulberry32. */
class Chance {
  /** @param {number} seed */
  constructor(seed) {
    this.state = seed;
  }

  /** Returns a number from 0 to below 1. */
  next() {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /**
   * @param {number} from
   * @param {number} to
   */
  whole(from, to) {
    return from + Math.floor(this.next() * (to - from));
  }

  /**
   * @template T
   * @param {T[]} all
   */
  of(all) {
    return all[this.whole(0, all.length)];
  }
}

/** A sender, a listener, an asker and a replier, each behind a cable of its own. */
class Life {
  /** @type {Cable[]} */
  cables = [];
  /** @type {Bus[]} */
  buses = [];
  /** @type {string[]} */
  ran = [];
  over = new AbortController();

  /**
   * @param {World} world
   * @param {number} seed
   */
  constructor(world, seed) {
    this.world = world;
    this.chance = new Chance(seed);
    this.prefix = `$.Cuts${seed}`;
    this.announcements = this.chance.whole(20, 100);
    this.requests = this.chance.whole(10, 40);
  }

  /** @param {string} name */
  async bus(name) {
    const { api } = this.world.daemons[this.chance.of([1, 2])];
    const cable = await new Cable(`${api}.${name}`, api).lay();
    this.cables.push(cable);
    return this.open(cable.path);
  }

  /** @param {string} path */
  open(path) {
    const bus = open(path);
    this.buses.push(bus);
    return bus;
  }

  /** Plays it, and returns how many connections were broken. */
  async play() {
    /** @type {{ close(): Promise<void> }[]} */
    const opened = [];
    try {
      const [sender, listener, asker, replier] = [await this.bus("s"), await this.bus("l"), await this.bus("a"), await this.bus("r")];
      const server = await replier.serve(`${this.prefix}.Ask`, { maxMessages: 1000 });
      const news = await listener.listen(`${this.prefix}.News`, { maxMessages: 1000 });
      const ksock = await sender.ksock();
      opened.push(server, news, ksock);
      if (this.chance.next() < 0.5) await news.ksock.prefetch();
      await asker.send(`${this.prefix}.Hello`); // opening dials once: it is not to be cut
      for (const at of [1, 2]) { // the asker may be at either
        const bus = this.open(this.world.daemons[at].api);
        while (!(await bus.findReplier(`${this.prefix}.Ask`)));
      }
      const serving = this.serve(server);
      const cutting = this.cut();
      const [, heard, ...answers] = await Promise.all([
        this.announce(ksock), this.hear(news), ...Array.from({ length: this.requests }, (_, i) => this.ask(asker, i)),
      ]).finally(async () => {
        this.over.abort();
        await cutting;
        for (const cable of this.cables) {
          cable.cutAfter = undefined;
          cable.mend();
        }
      });
      assert.deepEqual(heard, Array.from({ length: this.announcements }, (_, i) => String(i)));
      assert.deepEqual(answers, Array.from({ length: this.requests }, (_, i) => `did ${i}`));
      assert.deepEqual(this.ran.map(Number).sort((a, b) => a - b), Array.from({ length: this.requests }, (_, i) => i));
      assert.equal(await server.ksock.unreplied(), 0);
      for (const left of [server.ksock, news.ksock, ksock]) assert.equal(await left.numMessages(), 0);
      await server.close();
      await serving;
    } finally {
      this.over.abort();
      await Promise.all(opened.map((x) => x.close()));
      await Promise.all(this.buses.map((bus) => bus.close()));
      for (const cable of this.cables) cable.close();
    }
    return this.cables.reduce((sum, cable) => sum + cable.cuts, 0);
  }

  /** @param {Ksock} ksock */
  async announce(ksock) {
    const posts = this.chance.next() < 0.5;
    for (let i = 0; i < this.announcements; i++) {
      const message = new Message(`${this.prefix}.News`, String(i));
      await (posts ? ksock.post(message) : ksock.send(message));
      if (this.chance.next() < 0.1) await sleep(2);
    }
    await ksock.flush();
  }

  /** @param {Listener} news */
  async hear(news) {
    const heard = [];
    while (heard.length < this.announcements) heard.push((await news.recv({ timeout: PATIENCE })).text);
    return heard;
  }

  /**
   * @param {Bus} bus
   * @param {number} i
   */
  async ask(bus, i) {
    await sleep(this.chance.next() * 200);
    return (await bus.call(`${this.prefix}.Ask`, String(i), { timeout: PATIENCE })).text;
  }

  /** @param {Server} server */
  async serve(server) {
    for await (const request of server) {
      this.ran.push(request.text);
      await server.reply(request, `did ${request.text}`);
    }
  }

  async cut() {
    const { signal } = this.over;
    while (!signal.aborted) {
      await sleep(this.chance.next() * 100);
      const cable = this.chance.of(this.cables);
      cable.cutAfter = this.chance.of([undefined, this.chance.whole(600, 20_000)]); // some of its next connections break by themselves
      cable.cut(this.chance.next() < 0.3);
      await sleep(this.chance.next() * 50);
      cable.mend();
    }
  }
}

test("cuts", needsDaemon, async (t) => {
  const world = new World();
  t.after(() => world.end());
  await world.start();
  let cuts = 0;
  for (const seed of seeds()) {
    try {
      cuts += await new Life(world, seed).play();
    } catch (e) {
      t.diagnostic(`seed ${seed}:\n${world.logs()}`);
      throw e;
    }
  }
  t.diagnostic(`seeds ${seeds()[0]} to ${seeds().at(-1)}: streams were cut ${cuts} times`);
  assert.ok(cuts > 0);
});
