/** Plays the stories of clients/stories.yaml, which says what a step means. */

import { BusError, Closed, Expired, Flags, Ksock, MayHaveRun, Message, MsgId, NeverRan, NoAnswer, Refused, Server, TimedOut, open } from "limpet-client";
import { setImmediate as breath } from "node:timers/promises";
import { noAnswer } from "../src/errors.js";
import { Cable, PATIENCE } from "./daemons.js";

/**
 * @typedef {Record<string, any>} Step
 * @typedef {import("./daemons.js").World} World
 * @typedef {import("limpet-client").Bus} Bus
 */

/** @type {Record<string, number>} */
const FLAGS = { urgent: Flags.URGENT, all_or_fail: Flags.ALL_OR_FAIL, all_or_wait: Flags.ALL_OR_WAIT };
const OUTCOMES = { NEVER_RAN: NeverRan, MAY_HAVE_RUN: MayHaveRun, EXPIRED: Expired };
const RENAMED = ["name", "names", "here", "gone", "bound", "unbound", "want"];

/** The words that each step may have, beside do, start and errno. */
const WORDS = {
  open: "by at mode cuttable", caller: "by at cuttable", listen: "by at names max_messages only_once cuttable", serve: "by at names cuttable",
  close: "by", bind: "by name as name_length", unbind: "by name as name_length",
  announce: "by name data size flags user_flags times timeout_ms", request: "by name data flags user_flags as replier deadline_ms",
  reply: "by to data size flags", post: "by name data times", flush: "by refused",
  recv: "by nothing times as name data size kind ours answers sender far flags user_flags deadline bound unbound outcome reason",
  call: "by name data size replier timeout_ms outcome outcomes reason answer as", finish: "what", ask: "by what want until", set: "by what value",
  find: "at name want nobody until", bindings: "at names", watch: "by at what name", told: "by here gone", cut: "by away", mend: "by",
  kill: "at", stop: "at", start: "at", lost: "by",
};

/** Something in a story is not as it should be. */
export class Failed extends Error {}

/**
 * @param {string} what
 * @param {unknown} got
 * @param {unknown} want
 */
function equal(what, got, want) {
  const [a, b] = [JSON.stringify(got), JSON.stringify(want)];
  if (a !== b) throw new Failed(`${what} is ${a}, want ${b}`);
}

/** One story that is being played. */
export class Play {
  /** @type {Bus[]} */
  #buses = [];
  /** @type {Record<string, any>} Ksocks, buses that call, listeners, servers and watches by name */
  #things = {};
  /** @type {Record<string, Cable>} */
  #cables = {};
  /** @type {Record<string, any>} messages, and ids of requests */
  #labels = {};
  /** @type {Record<string, Promise<void>>} */
  #started = {};

  /**
   * @param {World} world
   * @param {number} number
   */
  constructor(world, number) {
    this.world = world;
    this.prefix = `$.S${number}.`;
  }

  /** @param {Step[]} steps */
  async play(steps) {
    try {
      for (const [i, step] of steps.entries()) {
        try {
          await this.#step(structuredClone(step));
        } catch (e) {
          throw new Failed(`step ${i + 1} ${JSON.stringify(step)}: ${e}`, { cause: e });
        }
      }
      equal("what was not finished", Object.keys(this.#started), []);
    } finally {
      await this.#end();
    }
  }

  /** @param {Step} step */
  async #step({ do: what, start, ...step }) {
    const words = /** @type {Record<string, string>} */ (WORDS)[what];
    const action = this.#actions[what];
    if (!words || !action) throw new Failed(`there is no ${what}`);
    for (const word of Object.keys(step)) if (word !== "errno" && !words.split(" ").includes(word)) throw new Failed(`${what} has no ${word}`);
    for (const word of RENAMED) if (word in step) step[word] = this.#renamed(step[word]);
    const errno = what === "call" ? "" : step["errno"];
    const run = inTime(this.#refused(errno, () => action(step)));
    if (!start) return run;
    run.catch(() => {}); // finish tells
    this.#started[start] = run;
    await breath();
  }

  /** @param {any} value @returns {any} */
  #renamed(value) {
    if (Array.isArray(value)) return value.map((v) => this.#renamed(v));
    return typeof value === "string" && value.startsWith("$.") && !value.startsWith("$.KBUS.") ? this.prefix + value.slice(2) : value;
  }

  /**
   * @param {string | undefined} errno
   * @param {() => Promise<void>} run
   */
  async #refused(errno, run) {
    try {
      await run();
    } catch (e) {
      if (!errno || !(e instanceof BusError)) throw e;
      equal("errno", e.code, errno);
      return;
    }
    if (errno) throw new Failed(`it is not refused with ${errno}`);
  }

  async #end() {
    for (const cable of Object.values(this.#cables)) cable.mend();
    await Promise.all(Object.values(this.#things).map((thing) => thing.close()));
    await Promise.all(this.#buses.map((bus) => bus.close()));
    await Promise.all(Object.values(this.#started));
    for (const cable of Object.values(this.#cables)) cable.close();
  }

  /** @param {Step} step */
  async #bus({ at, by, cuttable }) {
    let address = this.world.daemons[at].api;
    if (cuttable) {
      this.#cables[by] = await new Cable(`${address}.${by}`, address).lay();
      address = this.#cables[by].path;
    }
    const bus = open(address);
    this.#buses.push(bus);
    return bus;
  }

  /** @param {Step} step */
  #message({ name = "$.A", data = "", size, flags = [], user_flags = 0 }) {
    const all = flags.reduce((/** @type {number} */ sum, /** @type {string} */ flag) => sum | FLAGS[flag], user_flags << 16);
    return new Message(name, size ? "x".repeat(size) : data, { flags: all });
  }

  /** @type {Record<string, (step: Step) => Promise<void>>} */
  #actions = {
    // What is opened and closed.

    open: async (step) => {
      this.#things[step["by"]] = await (await this.#bus(step)).ksock(step["mode"]);
    },
    caller: async (step) => {
      this.#things[step["by"]] = await this.#bus(step);
    },
    listen: async (step) => {
      const { by, names, max_messages: maxMessages, only_once: onlyOnce } = step;
      this.#things[by] = await (await this.#bus(step)).listen(names, { maxMessages, onlyOnce });
    },
    serve: async (step) => {
      this.#things[step["by"]] = await (await this.#bus(step)).serve(step["names"]);
    },
    close: async ({ by }) => this.#things[by].close(),
    bind: async ({ by, name, as, name_length }) => this.#things[by].bind(this.#long(name, name_length), { replier: as === "replier" }),
    unbind: async ({ by, name, as, name_length }) => this.#things[by].unbind(this.#long(name, name_length), { replier: as === "replier" }),

    // What is sent and received.

    announce: async (step) => {
      for (const data of numbered(step)) await this.#things[step["by"]].send(this.#message({ ...step, data }), { timeout: step["timeout_ms"] });
    },
    request: async (step) => {
      const { flags, data } = this.#message(step);
      const [replier, expiresIn] = [this.#labels[step["replier"]], step["deadline_ms"]];
      this.#remember(step["as"], await this.#things[step["by"]].send(Message.request(step["name"], data, { flags, replier, expiresIn })));
    },
    reply: async (step) => {
      const [who, { data, flags }] = [this.#things[step["by"]], this.#message(step)];
      const request = this.#labels[step["to"]];
      if (who instanceof Server) await who.reply(request, data, { flags });
      else await who.send(request.reply(data, { flags }));
    },
    post: async (step) => {
      for (const data of numbered(step)) await this.#things[step["by"]].post(new Message(step["name"], data));
    },
    flush: async ({ by, refused = [] }) => {
      /** @type {string[]} */
      let got = [];
      try {
        await this.#things[by].flush();
      } catch (e) {
        if (!(e instanceof Refused)) throw e;
        got = e.errors.map(({ code }) => code);
      }
      equal("what was refused", got, refused);
    },
    recv: async ({ by, nothing, times, as, ...want }) => {
      if (nothing) {
        try {
          throw new Failed(`there is ${await this.#things[by].recv({ timeout: 0 })}`);
        } catch (e) {
          if (e instanceof TimedOut) return;
          throw e;
        }
      }
      for (const data of numbered({ times, data: want["data"] })) {
        const m = await this.#things[by].recv();
        this.#compare(m, data === undefined ? want : { ...want, data });
        this.#remember(as, m);
      }
    },
    call: async (step) => {
      const { by, name, replier, timeout_ms: timeout, outcome = "ANSWERED", outcomes = [], reason, answer, as, errno } = step;
      let reply;
      try {
        reply = await this.#things[by].call(name, this.#message(step).data, { timeout, replier: this.#labels[replier] });
      } catch (e) {
        if (!(e instanceof NoAnswer)) throw e;
        if (!outcomes.includes(e.outcome)) equal(`the outcome (${e})`, e.outcome, outcome);
        equal("the class", e instanceof OUTCOMES[e.outcome], true);
        if (reason !== undefined) equal("the reason", e.reason, reason);
        if (errno) equal("errno", e.code, errno);
        return;
      }
      equal("the outcome", "ANSWERED", outcome);
      if (answer !== undefined) equal("the answer", reply.text, answer);
      this.#remember(as, reply);
    },
    finish: async ({ what }) => {
      const started = this.#started[what];
      delete this.#started[what];
      await started;
    },

    // What a Ksock or a bus says.

    ask: async ({ by, what, want, until }) => {
      const ksock = this.#things[by];
      const asked = camel(what);
      await again(until, async () => equal(what, Number(asked === "missed" ? ksock.missed : await ksock[asked]()), want));
    },
    set: async ({ by, what, value }) => this.#things[by][camel(what)](what === "max_messages" ? value : value !== 0),
    find: async ({ at, name, want = "", until }) => {
      const bus = await this.#bus({ at });
      await again(until, async () => equal("the replier's name", (await bus.findReplier(name))?.name ?? "", want));
    },
    bindings: async ({ at, names }) => {
      const bound = (await (await this.#bus({ at })).bindings()).map(({ name }) => name).filter((name) => name.startsWith(this.prefix));
      equal("what is bound", bound.sort(), names.sort());
    },
    watch: async (step) => {
      const bus = await this.#bus({ at: step["at"] });
      const watch = { bindings: bus.watchBindings, repliers: bus.watchRepliers, links: bus.watchLinks }[/** @type {"links"} */ (step["what"])];
      this.#things[step["by"]] = watch.call(bus, step["name"]);
    },
    told: async ({ by, here = [], gone = [] }) => {
      while (here.length + gone.length > 0) {
        const { value } = await this.#things[by].next();
        const told = (/** @type {{ name: string }[]} */ all) => (/** @type {string} */ name) => !all.some((x) => x.name === name);
        gone = gone.filter(told(value.gone));
        here = here.filter(told(value.here));
      }
    },

    // What breaks.

    cut: async ({ by, away }) => this.#cables[by].cut(away),
    mend: async ({ by }) => this.#cables[by].mend(),
    kill: async ({ at }) => this.world.daemons[at].end(),
    stop: async ({ at }) => this.world.daemons[at].end("SIGTERM"),
    start: async ({ at }) => {
      await this.world.daemons[at].start();
      await this.world.linked();
    },
    lost: async ({ by }) => {
      try {
        throw new Failed(`it goes on with ${await this.#things[by].recv()}`);
      } catch (e) {
        if (!(e instanceof Closed) || !e.message.includes("session")) throw e;
      }
    },
  };

  /**
   * @param {string | undefined} label
   * @param {Message | MsgId} what
   */
  #remember(label, what) {
    if (label) this.#labels[label] = what;
  }

  /**
   * @param {string} name
   * @param {number | undefined} length
   */
  #long(name, length) {
    return length ? (this.prefix + "x".repeat(length)).slice(0, length) : name;
  }

  /**
   * @param {Message} m
   * @param {Step} want
   */
  #compare(m, want) {
    const failed = m.isReply ? noAnswer("it", m) : undefined;
    /** @type {Record<string, unknown>} */
    const has = {
      name: m.name, data: m.text, size: m.data.length, kind: m.kind, ours: m.wantsUsToReply, far: !m.origFrom.isZero, user_flags: m.flags >>> 16,
      deadline: m.expiresIn !== undefined, outcome: failed?.outcome ?? "ANSWERED", reason: failed?.reason ?? "",
      bound: m.event?.isBind ? m.event.name : "", unbound: m.event && !m.event.isBind ? m.event.name : "",
    };
    for (const [what, value] of Object.entries(want)) {
      switch (what) {
        case "answers": {
          const label = this.#labels[value];
          equal("what it answers", m.inReplyTo.toString(), (label instanceof MsgId ? label : label.id).toString());
          break;
        }
        case "sender": {
          const thing = this.#things[value];
          equal("the sender", m.from, (thing instanceof Ksock ? thing : thing.ksock).id);
          break;
        }
        case "flags":
          equal("the flags", value.filter((/** @type {string} */ flag) => m.flags & FLAGS[flag]), value);
          break;
        default:
          equal(what, has[what], value);
      }
    }
  }
}

/**
 * Returns the data of what is sent or received, one after the other.
 *
 * @param {Step} step
 * @returns {(string | undefined)[]}
 */
function numbered({ times, data }) {
  return times ? Array.from({ length: times }, (_, i) => String(i + 1)) : [data];
}

/**
 * Does something, again and again until it is right if that is asked for.
 *
 * @param {boolean} until
 * @param {() => Promise<void>} what
 */
async function again(until, what) {
  for (const end = Date.now() + PATIENCE; ; ) {
    try {
      return await what();
    } catch (e) {
      if (!until || !(e instanceof Failed) || Date.now() > end) throw e;
    }
  }
}

/**
 * @template T
 * @param {Promise<T>} what
 */
async function inTime(what) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Failed(`it takes longer than ${PATIENCE} ms`)), PATIENCE);
  });
  try {
    return await Promise.race([what, /** @type {Promise<never>} */ (late)]);
  } finally {
    clearTimeout(timer);
  }
}

/** @param {string} word */
function camel(word) {
  return word.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());
}
