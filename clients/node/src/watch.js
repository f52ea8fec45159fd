/** What there is, and what changes. */

import { StatusError } from "./errors.js";
import { Queue } from "./session.js";
import { Limit, Waiting } from "./wait.js";

const HIGH = 64; // as many changes may wait here before the stream is paused

/**
 * What a watch tells at once. What is gone comes before what is here.
 *
 * @template T
 * @typedef {object} Changes
 * @property {T[]} gone
 * @property {T[]} here
 * @property {boolean} whole now everything has been told that was there at the beginning or restart
 * @property {boolean} restart this program was so slow that everything told before is void, and told again
 */

/**
 * Tells what there is, and then what changes: for await gives Changes. It ends when it is closed,
 * or the loop is left; it throws StatusError when the connection breaks, and may be begun anew.
 *
 * @template T
 */
export class Watch {
  #cancel;
  /** @type {Queue<Changes<T>>} */
  #changes = new Queue();
  #news = new Waiting();
  #resume;
  #limit;
  #closed = false;
  /** @type {unknown} */
  #ended;

  /**
   * @internal
   * @param {import("@grpc/grpc-js").ClientReadableStream<Changes<T>>} call
   * @param {(e: import("@grpc/grpc-js").ServiceError) => Error} failed
   * @param {AbortSignal} [signal]
   */
  constructor(call, failed, signal) {
    this.#limit = new Limit({ signal });
    this.#cancel = () => call.cancel();
    this.#resume = () => call.resume();
    call.on("data", (/** @type {Changes<T>} */ changes) => {
      this.#changes.push(changes);
      if (this.#changes.length >= HIGH) call.pause();
      this.#news.wakeAll();
    });
    call.on("error", (/** @type {import("@grpc/grpc-js").ServiceError} */ e) => this.#end(failed(e)));
    call.on("end", () => this.#end(new StatusError("UNAVAILABLE", "the daemon closed the stream")));
  }

  /** @param {unknown} why */
  #end(why) {
    this.#ended ??= why;
    this.#news.wakeAll();
  }

  /**
   * Waits for the next changes.
   *
   * @returns {Promise<IteratorResult<Changes<T>, undefined>>}
   */
  async next() {
    try {
      for (;;) {
        if (this.#closed) return { done: true, value: undefined };
        if (this.#changes.length > 0) {
          const value = this.#changes.shift();
          if (this.#changes.length === 0) this.#resume();
          return { done: false, value };
        }
        if (this.#ended) throw this.#ended;
        await this.#news.wait(this.#limit);
      }
    } catch (e) {
      this.close();
      throw e;
    }
  }

  /** Ends the watch; a call of next that waits is over. */
  close() {
    this.#closed = true;
    this.#cancel();
    this.#news.wakeAll();
  }

  /**
   * As close; a loop that is left calls it.
   *
   * @returns {Promise<IteratorResult<Changes<T>, undefined>>}
   */
  async return() {
    this.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}
