/** Daemons as processes, and cables to them that can be cut. */

import { spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { open, StatusError } from "limpet-client";

/** Bounds, in milliseconds, what is much faster unless something hangs. */
export const PATIENCE = 30_000;

/** The program to be tested, which LIMPETD names; else there is nothing to play with. */
export const limpetd = process.env["LIMPETD"] ?? "";

/** What node:test is told to skip what needs a daemon. */
export const needsDaemon = limpetd ? {} : { skip: "LIMPETD names no daemon to play with" };

/** A limpetd with an embedded bus, which can be ended and started again at the same address. */
export class Daemon {
  /** @type {import("node:child_process").ChildProcess | undefined} */
  #process;

  /**
   * @param {string} folder
   * @param {number} networkId
   * @param {string[]} args
   */
  constructor(folder, networkId, ...args) {
    this.api = join(folder, `api${networkId}.sock`);
    this.log = join(folder, `log${networkId}`);
    this.args = ["--bus", "embedded", "--network-id", String(networkId), "--api", this.api, ...args];
    this.isLinked = args.includes("--connect") || args.includes("--listen");
  }

  /** Starts it, and returns when it answers. */
  async start() {
    const log = openSync(this.log, "a");
    this.#process = spawn(limpetd, this.args, { stdio: ["ignore", log, log] });
    closeSync(log);
    const end = Date.now() + PATIENCE;
    for (;;) {
      const bus = open(this.api);
      try {
        await bus.bindings();
        return;
      } catch (e) {
        if (!(e instanceof StatusError) || Date.now() > end) throw e;
        await sleep(10);
      } finally {
        await bus.close();
      }
    }
  }

  /** Returns when its link is up, if it has one and runs. */
  async linked() {
    if (!this.isLinked) return;
    const bus = open(this.api);
    try {
      for await (const changes of bus.watchLinks("", { signal: AbortSignal.timeout(PATIENCE) })) {
        if (changes.here.some((link) => link.state === "up")) return;
      }
    } finally {
      await bus.close();
    }
  }

  /**
   * Ends it, and returns when it has ended.
   *
   * @param {NodeJS.Signals} [how]
   */
  async end(how = "SIGKILL") {
    const process = this.#process;
    if (!process || process.exitCode !== null || process.signalCode !== null) return;
    const exited = once(process, "exit");
    process.kill(how);
    await exited;
  }
}

/** The daemons that stories are played on. */
export class World {
  folder = mkdtempSync(join(tmpdir(), "limpet-"));

  constructor() {
    const link = join(this.folder, "link");
    /** @type {Record<number, Daemon>} */
    this.daemons = {
      1: new Daemon(this.folder, 1, "--interest", "off", "--listen", link),
      2: new Daemon(this.folder, 2, "--interest", "off", "--connect", link),
      3: new Daemon(this.folder, 3, "--program-grace", "0"),
    };
  }

  /** Starts all, and returns when they are linked. */
  async start() {
    await Promise.all(this.#all((d) => d.start()));
    await this.linked();
  }

  /** Returns when the daemons that are linked are. */
  async linked() {
    await Promise.all(this.#all((d) => d.linked()));
  }

  /** Ends all, and takes their folder away. */
  async end() {
    await Promise.all(this.#all((d) => d.end()));
    rmSync(this.folder, { recursive: true });
  }

  /** Returns what the daemons have said. */
  logs() {
    return this.#all((d) => `${d.log}:\n${readFileSync(d.log, "utf8")}`).join("\n");
  }

  /**
   * @template T
   * @param {(d: Daemon) => T} what
   */
  #all(what) {
    return Object.values(this.daemons).map(what);
  }
}

/** A Unix socket that leads to another one, and can be cut. */
export class Cable {
  /** How many connections were broken. */
  cuts = 0;
  /** @type {number | undefined} breaks every connection that has carried so many bytes, both ways together */
  cutAfter;
  #away = false;
  /** @type {Set<net.Socket>} */
  #ends = new Set();
  #server;

  /**
   * @param {string} path
   * @param {string} to
   */
  constructor(path, to) {
    this.path = path;
    this.#server = net.createServer((front) => this.#join(front, to));
  }

  /** Makes the socket. */
  async lay() {
    this.#server.listen(this.path);
    await once(this.#server, "listening");
    return this;
  }

  /**
   * @param {net.Socket} front
   * @param {string} to
   */
  #join(front, to) {
    if (this.#away) {
      front.destroy();
      return;
    }
    const back = net.connect(to);
    const ends = [front, back];
    let left = this.cutAfter;
    for (const [from, into] of [[front, back], [back, front]]) {
      this.#ends.add(from);
      from.on("data", (data) => {
        if (left === undefined) {
          into.write(data);
          return;
        }
        into.write(data.subarray(0, left));
        left -= Math.min(left, data.length);
        if (left === 0 && !from.destroyed) {
          this.cuts++;
          for (const end of ends) end.destroySoon();
        }
      });
      from.on("error", () => {});
      from.on("close", () => {
        this.#ends.delete(from);
        into.destroy();
      });
    }
  }

  /**
   * Breaks every connection; with away new ones are refused.
   *
   * @param {boolean} [away]
   */
  cut(away = false) {
    this.#away = away;
    this.cuts += this.#ends.size > 0 ? 1 : 0;
    for (const end of this.#ends) end.destroy();
  }

  /** Lets new connections through. */
  mend() {
    this.#away = false;
  }

  /** Takes it away. */
  close() {
    this.#server.close();
    this.cut(true);
  }
}
