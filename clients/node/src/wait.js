/** Waiting, with an end. */

import { TimedOut } from "./errors.js";

const LONGEST = 2 ** 31 - 1; // of Node's timers, in milliseconds

/** Returns the time in milliseconds, by a clock that only goes forward. */
export function now() {
  return performance.now();
}

/**
 * Something to be waited for once.
 *
 * @template T
 */
export class Turn {
  done = false;

  constructor() {
    /** @type {Promise<T>} */
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.promise.catch(() => {}); // who waits no longer needs not hear of it
  }

  /** @type {(value: T | PromiseLike<T>) => void} */
  #resolve = () => {};
  /** @type {(why: unknown) => void} */
  #reject = () => {};

  /** @param {T} value */
  resolve(value) {
    this.done = true;
    this.#resolve(value);
  }

  /** @param {unknown} why */
  reject(why) {
    this.done = true;
    this.#reject(why);
  }
}

/** How long something may take: a timeout in milliseconds, and a signal that may abort it. */
export class Limit {
  /** @param {{ timeout?: number, signal?: AbortSignal }} [options] */
  constructor({ timeout, signal } = {}) {
    if (timeout !== undefined && !(timeout >= 0)) throw new RangeError(`timeout is ${timeout}: give milliseconds, 0 or more`);
    this.until = timeout === undefined ? Infinity : now() + timeout;
    this.signal = signal;
  }

  /** How many milliseconds are left. */
  get left() {
    return Math.max(0, this.until - now());
  }

  /** Whether the time is over, or the signal aborted. */
  get over() {
    return this.signal?.aborted === true || now() >= this.until;
  }

  /** Throws the signal's reason, or TimedOut, if it is over. */
  check() {
    this.signal?.throwIfAborted();
    if (now() >= this.until) throw new TimedOut("the timeout is over");
  }

  /**
   * Returns what a promise brings. Throws what that does, the signal's reason, or TimedOut. It adds
   * to what hangs on the promise, so that must not outlive many waits.
   *
   * @template T
   * @param {Promise<T>} promise
   * @returns {Promise<T>}
   */
  async wait(promise) {
    const { signal, left } = this;
    this.check();
    if (!signal && left > LONGEST) return promise;
    /** @type {Turn<T>} */
    const first = new Turn();
    promise.then((value) => first.resolve(value), (why) => first.reject(why));
    const aborted = () => first.reject(signal?.reason);
    const timer = left > LONGEST ? undefined : setTimeout(() => first.reject(new TimedOut("the timeout is over")), Math.ceil(left));
    signal?.addEventListener("abort", aborted, { once: true });
    try {
      return await first.promise;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", aborted);
    }
  }
}

/** Without an end. */
export const FOREVER = new Limit();

/** Those who wait for the same thing to change. */
export class Waiting {
  /** @type {Set<Turn<void>>} */
  #turns = new Set();

  /**
   * Waits to be woken. Throws what limit does.
   *
   * @param {Limit} limit
   */
  async wait(limit) {
    /** @type {Turn<void>} */
    const turn = new Turn();
    this.#turns.add(turn);
    try {
      await limit.wait(turn.promise);
    } finally {
      this.#turns.delete(turn);
    }
  }

  /** Wakes all. */
  wakeAll() {
    for (const turn of this.#turns) turn.resolve();
    this.#turns.clear();
  }
}
