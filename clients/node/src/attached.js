/** A session over one stream after the other. */

import { setTimeout as sleep } from "node:timers/promises";
import { Closed, TimedOut, Unreachable } from "./errors.js";
import { Action } from "./gen/attach_pb.js";
import { ErrorCode } from "./gen/link_pb.js";
import { Lane, Session, Verdict } from "./session.js";
import { Lost, Stream } from "./stream.js";
import { FOREVER, Limit, Turn, Waiting, now } from "./wait.js";

/**
 * @typedef {import("./session.js").Event} Event
 * @typedef {import("./session.js").OperationInit} OperationInit
 * @typedef {import("./gen/attach_pb.js").Result} Result
 * @typedef {import("./message.js").Message} Message
 * @typedef {import("./address.js").Target} Target
 */

const GREET_TIMEOUT = 5000;
const FIRST_DELAY = 20; // of dialling again; the first time there is none
const LAST_DELAY = 1000;
const SILENT_AFTER = 12_000; // the daemon notices a broken stream that much later than we do, at most
const WEDGED_AFTER = 45_000; // without any frame the daemon behind a living connection does not live
const CLOSE_TIMEOUT = 2000;
const FATE_TIMEOUT = 5000;

/**
 * Who gets what comes unasked.
 *
 * @typedef {object} Receiver
 * @property {(event: Event) => void} message takes a message; it is acknowledged when it is decided
 * @property {(result: Result) => void} result takes a result that no operation of ours waits for
 * @property {() => void} over hears that the session is over
 */

/** Nobody knows whether a message was sent. */
export class Unknown extends TimedOut {}

/**
 * A session that dials again by itself when its stream breaks, until it is over: then every call
 * fails with Closed, which says why.
 */
export class Attached {
  #to;
  #session;
  #receiver;
  #tag = 0;
  /** @type {Map<number, { turn: Turn<Result>, onResult: ((r: Result) => void) | undefined }>} */
  #answers = new Map();
  /** @type {Closed | undefined} why every call fails */
  #over;
  #closing = false;
  #wake = new Waiting(); // there may be something for the stream
  #woken = false;
  /** @type {Set<{ turn: Turn<number>, put: () => number }>} */
  #line = new Set(); // of who waits for room in the window
  #kept = Promise.resolve();
  #stop = new AbortController(); // close does not wait any longer

  /**
   * @param {Target} to
   * @param {import("./gen/attach_pb.js").KsockMode} mode
   * @param {Receiver} receiver
   */
  constructor(to, mode, receiver) {
    this.#to = to;
    this.#session = new Session(mode);
    this.#receiver = receiver;
  }

  /** Dials the daemon, once, and returns when it has made the Ksock. Throws Unreachable. */
  async open() {
    let stream;
    try {
      stream = await this.#dial();
    } catch (e) {
      throw new Unreachable(`${this.#to.address}: ${text(e)}`, { cause: e });
    }
    this.#kept = this.#keep(stream);
  }

  /** The Ksock's id on its bus. */
  get id() {
    return this.#session.ksock;
  }

  get missed() {
    return this.#session.missed;
  }

  /** Whether it is over. */
  get over() {
    return this.#over !== undefined;
  }

  /** Whether it was closed here. */
  get closing() {
    return this.#closing;
  }

  toString() {
    return `Ksock ${this.id} at ${this.#to.address}${this.#over ? `: ${this.#over.message}` : ""}`;
  }

  /** Returns why it is over, as an error of its own for each call. */
  closed() {
    return new Closed(this.#over?.message ?? "", { cause: this.#over?.cause });
  }

  // Operations.

  /** Returns a tag that was not used before. */
  newTag() {
    return ++this.#tag;
  }

  /**
   * Queues an operation. turn gets its result, and onResult before that, the moment it comes.
   * Returns its tag. Throws what toProto does.
   *
   * @param {OperationInit} op
   * @param {{ lane?: Lane, message?: Message, turn?: Turn<Result>, onResult?: (r: Result) => void }} [how]
   */
  put(op, { lane, message, turn, onResult } = {}) {
    const tag = turn ? this.newTag() : 0;
    this.#session.put(turn ? { ...op, tag: BigInt(tag) } : op, lane, message, now());
    if (turn) this.#answers.set(tag, { turn, onResult });
    this.#rouse();
    return tag;
  }

  /**
   * Calls put as soon as the window has room, in the order of these calls: at once if it can be.
   * Returns what put does. Throws that too, Closed, and what limit does if put was not called.
   *
   * @param {Limit} limit
   * @param {() => number} put
   * @returns {Promise<number>}
   */
  async #inTurn(limit, put) {
    if (this.#over) throw this.closed();
    limit.check();
    if (this.#line.size === 0 && this.#session.room()) return put();
    const place = { turn: /** @type {Turn<number>} */ (new Turn()), put };
    this.#line.add(place);
    try {
      return await limit.wait(place.turn.promise);
    } catch (e) {
      if (place.turn.done) return place.turn.promise;
      throw e;
    } finally {
      this.#line.delete(place);
    }
  }

  /** Lets those in line put, as far as the window has room. */
  #advance() {
    for (const place of this.#line) {
      if (!this.#session.room()) return;
      this.#line.delete(place);
      try {
        place.turn.resolve(place.put());
      } catch (e) {
        place.turn.reject(e);
      }
    }
  }

  /**
   * Has an operation carried out, and returns what came of it. Throws Closed.
   *
   * @param {OperationInit} op
   * @returns {Promise<Result>}
   */
  async call(op) {
    /** @type {Turn<Result>} */
    const turn = new Turn();
    await this.#inTurn(FOREVER, () => this.put(op, { turn }));
    return turn.promise;
  }

  /**
   * Queues a message without waiting for what the bus says. Throws Closed, what limit does, and
   * what toProto does.
   *
   * @param {Message} message
   * @param {Limit} limit
   */
  async post(message, limit) {
    await this.#inTurn(limit, () => this.put({ action: Action.SEND, wait: true }, { message }));
  }

  /**
   * Sends a message, and returns its fate. onPut is called when it is queued, and onResult gets its
   * fate the moment it comes. When the limit is over the send is cancelled; without wait it is
   * tried once. Throws Closed; what limit does when nothing was sent; Unknown when it may have been.
   *
   * @param {Message} message
   * @param {Limit} limit
   * @param {{ wait?: boolean, onPut?: () => void, onResult?: (r: Result) => void }} [how]
   * @returns {Promise<Result>}
   */
  async send(message, limit, { wait = true, onPut, onResult } = {}) {
    const until = wait ? limit : FOREVER;
    /** @type {Turn<Result>} */
    const turn = new Turn();
    const tag = await this.#inTurn(until, () => {
      const put = this.put({ action: Action.SEND, wait }, { message, turn, onResult });
      onPut?.();
      return put;
    });
    try {
      return await until.wait(turn.promise);
    } catch (e) {
      if (turn.done) return turn.promise; // it, or why the session is over
      this.control({ action: Action.CANCEL, value: BigInt(tag) });
      return this.#fate(turn, e);
    }
  }

  /**
   * Waits a little longer for what became of a send.
   *
   * @param {Turn<Result>} turn
   * @param {unknown} why
   */
  async #fate(turn, why) {
    try {
      return await new Limit({ timeout: FATE_TIMEOUT }).wait(turn.promise);
    } catch (e) {
      if (!(e instanceof TimedOut)) throw e;
      throw new Unknown("the daemon does not answer, the message may be sent or not", { cause: why });
    }
  }

  /**
   * Queues an operation past the window, unless the session is over.
   *
   * @param {OperationInit} op
   * @param {Turn<Result>} [turn]
   */
  control(op, turn) {
    if (!this.#over) this.put(op, { lane: Lane.CONTROL, turn });
  }

  /**
   * Tells that messages were taken.
   *
   * @param {Event[]} events
   */
  decided(events) {
    const at = now();
    for (const event of events) this.#session.decided(at, event);
    this.#rouse();
  }

  /**
   * Has the daemon close the Ksock, and waits for that, but not longer than 2 s. Closing again waits
   * for the first.
   */
  async close() {
    if (!this.#closing) {
      this.#closing = true;
      if (!this.#over) this.#sayGoodbye();
    }
    await this.#kept;
  }

  #sayGoodbye() {
    /** @type {Turn<Result>} */
    const answer = new Turn();
    this.#fail(new Closed("the Ksock is closed"));
    this.put({ action: Action.CLOSE }, { lane: Lane.CONTROL, turn: answer });
    answer.promise.then(() => {
      this.#session.end(); // the stream is ended in order
      this.#rouse();
    }, () => {});
    const timer = setTimeout(() => this.#stop.abort(), CLOSE_TIMEOUT);
    void this.#kept.then(() => clearTimeout(timer));
  }

  // Streams.

  #rouse() {
    this.#woken = true;
    this.#wake.wakeAll();
  }

  /**
   * Has every call fail from now on. What the daemon was given before may still have its result.
   *
   * @param {Closed} why
   */
  #fail(why) {
    if (this.#over) return;
    this.#over = why;
    for (const { turn } of this.#line) turn.reject(this.closed());
    this.#line.clear();
    this.#receiver.over();
  }

  /** Opens a stream and greets the daemon, unless it is stopped. Throws what that does. */
  async #dial() {
    const stream = new Stream(this.#to);
    const greeting = new Limit({ timeout: GREET_TIMEOUT, signal: this.#stop.signal });
    try {
      await stream.write(this.#session.greeting());
      this.#session.welcome(now(), await stream.read(greeting));
      return stream;
    } catch (e) {
      stream.close();
      throw e instanceof TimedOut ? new Lost(`no welcome within ${GREET_TIMEOUT / 1000} s`) : e;
    }
  }

  /**
   * Serves one stream after the other until the session is over.
   *
   * @param {Stream} first
   */
  async #keep(first) {
    try {
      for (let stream = first; ; ) {
        const why = await this.#serve(stream);
        if (!why) break;
        stream = await this.#resume(why);
      }
      this.#fail(new Closed("the Ksock is closed"));
    } catch (e) {
      this.#fail(lost(e));
    }
    for (const { turn } of this.#answers.values()) turn.reject(this.closed()); // nothing more comes
    this.#answers.clear();
  }

  /**
   * Carries frames until the stream ends, and returns why it has: undefined if all was said.
   *
   * @param {Stream} stream
   * @returns {Promise<unknown>}
   */
  async #serve(stream) {
    /** @type {Turn<unknown>} */
    const end = new Turn();
    /** @type {unknown} */
    let said;
    const serving = { stream, going: true };
    const stopped = () => end.resolve(undefined);
    this.#stop.signal.addEventListener("abort", stopped);
    if (this.#stop.signal.aborted) stopped();
    const receiving = this.#receiveFrames(stream).catch((e) => {
      if (!(e instanceof Verdict) || e.remote) return end.resolve(e);
      said = e; // the daemon is told, and the session is over
      this.#session.end(e);
      this.#rouse();
    });
    const sending = this.#sendFrames(serving).then(() => stream.finish()).then(() => end.resolve(said), () => {}); // the reader says why
    try {
      return await end.promise;
    } finally {
      this.#stop.signal.removeEventListener("abort", stopped);
      serving.going = false;
      this.#rouse();
      stream.close();
      await Promise.all([sending, receiving]);
    }
  }

  /** @param {{ stream: Stream, going: boolean }} serving */
  async #sendFrames(serving) {
    while (serving.going) {
      this.#woken = false;
      const { frame, again, over } = this.#session.next(now());
      if (over) return;
      if (frame) {
        await serving.stream.write(frame);
        continue;
      }
      try {
        if (!this.#woken) await this.#wake.wait(new Limit({ timeout: Math.max(0, again - now()) }));
        await new Promise(setImmediate); // what is put meanwhile goes along
      } catch (e) {
        if (!(e instanceof TimedOut)) throw e;
      }
    }
  }

  /** @param {Stream} stream */
  async #receiveFrames(stream) {
    for (;;) {
      let frame;
      try {
        frame = await stream.read(new Limit({ timeout: WEDGED_AFTER }));
      } catch (e) {
        if (!(e instanceof TimedOut)) throw e;
        throw new Lost(`nothing was heard of the daemon for ${WEDGED_AFTER / 1000} s`);
      }
      for (const event of this.#session.receive(frame)) this.#event(event);
      this.#advance();
      this.#rouse();
    }
  }

  /** @param {Event} event */
  #event(event) {
    const { result } = event;
    if (!result) {
      this.#receiver.message(event);
      return;
    }
    this.#session.decided(now(), event);
    const tag = Number(result.tag);
    const waits = this.#answers.get(tag);
    if (!waits) {
      this.#receiver.result(result);
      return;
    }
    this.#answers.delete(tag);
    waits.onResult?.(result);
    if (this.#closing && result.errno === "EIO") waits.turn.reject(this.closed()); // it has waited for room
    else waits.turn.resolve(result);
  }

  /**
   * Dials until the daemon resumes the session. Throws why it does not.
   *
   * @param {unknown} ended
   */
  async #resume(ended) {
    if (ended instanceof Verdict && ended.final) throw ended;
    const patience = this.#session.grace + SILENT_AFTER;
    const giveUp = now() + patience;
    const { signal } = this.#stop;
    for (let wait = 0, following = FIRST_DELAY; ; following = Math.min(2 * following, LAST_DELAY)) {
      if (wait > 0) await sleep(wait, undefined, { signal });
      try {
        return await this.#dial();
      } catch (e) {
        if (signal.aborted || (e instanceof Verdict && e.final)) throw e;
        if (now() > giveUp) {
          throw new Lost(`the daemon cannot be reached for ${patience / 1000} s: ${text(e)} (the stream ended with: ${text(ended)})`);
        }
      }
      wait = following * (0.5 + Math.random() / 2);
    }
  }
}

/** @param {unknown} e */
function text(e) {
  return e instanceof Error ? e.message : String(e);
}

/** @param {unknown} e */
function lost(e) {
  const why = e instanceof Verdict && ErrorCode[e.code] ? `${text(e)} (${ErrorCode[e.code].toLowerCase().replaceAll("_", " ")})` : text(e);
  return new Closed(`the session with the daemon is over, and the Ksock with it; what has no result yet may have happened: ${why}`, { cause: e });
}
