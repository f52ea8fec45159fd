/** A Ksock of a daemon's bus. */

import { Attached } from "./attached.js";
import { BusError, Closed, Refused, TimedOut } from "./errors.js";
import { Action } from "./gen/attach_pb.js";
import { MsgId, plainName, uint32 } from "./message.js";
import { Queue } from "./session.js";
import { FOREVER, Limit, Waiting } from "./wait.js";

/**
 * @typedef {import("./message.js").Message} Message
 * @typedef {import("./session.js").Event} Event
 * @typedef {import("./gen/attach_pb.js").Result} Result
 */

/**
 * How long a call may wait.
 *
 * @typedef {object} WaitOptions
 * @property {number} [timeout] in milliseconds
 * @property {AbortSignal} [signal] ends it when it is aborted
 */

const MAX_REFUSALS = 1000;
const MAX_RECEIVE = 256;
const ASK = 0xffffffff;

/**
 * A Ksock of a daemon's bus: made by Bus.ksock, and to be closed.
 *
 * When its stream breaks, it dials again by itself and resumes its session: what is bound, queued
 * and owed stays, and every operation is carried out once and in order; calls wait meanwhile. If the
 * daemon was restarted, or cannot be reached for longer than its grace, the Ksock is over: every
 * call throws Closed, which says why, and what had no result by then may have happened.
 *
 * Any number of calls may be under way at a time. Refusals by the bus are BusErrors.
 */
export class Ksock {
  /** @internal */
  _attached;
  #inbox = new Inbox();
  /** @type {BusError[]} */
  #refused = [];
  #refusedMore = 0;

  /**
   * @internal
   * @param {import("./address.js").Target} to
   * @param {import("./gen/attach_pb.js").KsockMode} mode
   */
  constructor(to, mode) {
    this._attached = new Attached(to, mode, {
      message: (event) => this.#inbox.add(event),
      result: (r) => this.#result(r),
      over: () => this.#inbox.news.wakeAll(),
    });
  }

  /** The Ksock's id on its bus. */
  get id() {
    return this._attached.id;
  }

  /**
   * How many messages the bus had dropped because this Ksock's queue was full, when the daemon sent
   * the last ones. Of a device it is always 0, for that does not tell.
   */
  get missed() {
    return this._attached.missed;
  }

  toString() {
    return this._attached.toString();
  }

  /**
   * Binds a name or wildcard: as listener, or as its only replier.
   *
   * @param {string} name
   * @param {{ replier?: boolean }} [as]
   */
  async bind(name, { replier = false } = {}) {
    await this.#do("bind", Action.BIND, { name, replier });
  }

  /**
   * Undoes the newest identical binding.
   *
   * @param {string} name
   * @param {{ replier?: boolean }} [as]
   */
  async unbind(name, { replier = false } = {}) {
    await this.#do("unbind", Action.UNBIND, { name, replier });
  }

  /**
   * Returns the Ksock that is bound as replier to exactly this name, or undefined.
   *
   * @param {string} name
   */
  async replier(name) {
    const r = await this.#do("replier", Action.FIND_REPLIER, { name, replier: true });
    return r.found ? Number(r.value) : undefined;
  }

  /**
   * Sends a message, and returns its id when the bus has taken it. One with ALL_OR_WAIT waits for
   * room until the timeout is over, or the signal aborts it; it fails with EAGAIN then. When the
   * daemon does not answer for 5 s after that, it fails with TimedOut, and the message may be sent
   * or not.
   *
   * @param {Message} message
   * @param {WaitOptions} [options]
   */
  async send(message, options = {}) {
    const { timeout, signal } = options;
    signal?.throwIfAborted();
    const r = await this._attached.send(message, new Limit(options), { wait: timeout !== 0 });
    if (r.errno === "EAGAIN") signal?.throwIfAborted();
    check("send", message.name, r);
    return new MsgId(r.idNetwork, r.idSerial);
  }

  /**
   * Queues a message, and waits only for room in the window of 4096 messages and 1 MiB. Messages go
   * in the order of post and send. What the bus refuses is told by flush.
   *
   * @param {Message} message
   * @param {WaitOptions} [options]
   */
  async post(message, options) {
    await this._attached.post(message, options ? new Limit(options) : FOREVER);
  }

  /**
   * Waits until the bus has taken or refused all that was posted. Throws Refused: what it has
   * refused since the last flush.
   */
  async flush() {
    await this.#do("flush", Action.FLUSH);
    if (this.#refused.length === 0) return;
    const e = new Refused(this.#refused, this.#refusedMore);
    [this.#refused, this.#refusedMore] = [[], 0];
    throw e;
  }

  /**
   * Waits for the next message of the queue, and returns it. Throws TimedOut when none has come in
   * time, and the signal's reason when that is aborted; a timeout of 0 asks the bus once.
   *
   * @param {WaitOptions} [options]
   * @returns {Promise<Message>}
   */
  async recv(options) {
    return (await this.recvBatch(1, options))[0];
  }

  /**
   * Waits like recv, and returns all messages that are queued then: at least one, and at most so
   * many.
   *
   * @param {number} [most]
   * @param {WaitOptions} [options]
   */
  async recvBatch(most = MAX_RECEIVE, options = {}) {
    return this.#recv(most, most, options);
  }

  /**
   * Waits like recv, but takes what is queued behind the message from the bus too, for the next call.
   *
   * @internal
   * @param {WaitOptions} [options]
   * @returns {Promise<Message>}
   */
  async _recvAhead(options = {}) {
    return (await this.#recv(1, MAX_RECEIVE, options))[0];
  }

  /**
   * @param {number} most is returned
   * @param {number} ahead is asked for
   * @param {WaitOptions} options
   */
  async #recv(most, ahead, options) {
    if (!(Number.isInteger(most) && most > 0)) throw new RangeError(`receiving at most ${most} messages: give a whole number above 0`);
    options.signal?.throwIfAborted();
    const once = options.timeout === 0; // the bus answers at once
    const limit = new Limit(once ? { signal: options.signal } : options);
    const inbox = this.#inbox;
    inbox.receivers++;
    try {
      for (let asked = false; ; ) {
        if (this._attached.closing) throw this._attached.closed();
        if (inbox.arrived.length > 0) return this.#take(most);
        if (inbox.failed) {
          const failed = inbox.failed;
          inbox.failed = undefined;
          throw failed;
        }
        if (this._attached.over) throw this._attached.closed();
        if (once && (asked || inbox.prefetch || (inbox.asked && inbox.receivers > 1))) throw new TimedOut("no message is queued");
        if (!inbox.asked && !inbox.prefetch) {
          asked = once;
          this.#ask(ahead, !once);
        }
        try {
          await inbox.news.wait(limit);
        } catch (e) {
          if (inbox.arrived.length > 0) continue;
          throw e instanceof TimedOut ? new TimedOut("no message has come") : e;
        }
      }
    } finally {
      if (--inbox.receivers === 0) this.#cancelAsked(); // what it brings all the same is for the next call
    }
  }

  /**
   * Gives the messages as they come, until the Ksock is closed here. Throws Closed when its session
   * is lost.
   */
  async *[Symbol.asyncIterator]() {
    for (;;) {
      try {
        yield await this.recv();
      } catch (e) {
        if (e instanceof Closed && this._attached.closing) return;
        throw e;
      }
    }
  }

  /**
   * Turns on that the daemon sends messages before recv asks for them, as far as the window has
   * room: recv is much faster then. They are not in the queue on the bus any more, so that unbind
   * does not take them back, and a replier that dies has read them.
   *
   * @param {boolean} [on]
   */
  async prefetch(on = true) {
    const inbox = this.#inbox;
    if (on) {
      inbox.prefetch = true;
      this.#cancelAsked();
    }
    try {
      await this.#do("prefetch", Action.STREAM, { value: on ? 1n : 0n });
      inbox.prefetch = on;
    } catch (e) {
      inbox.prefetch = false;
      throw e;
    } finally {
      inbox.news.wakeAll();
    }
  }

  /**
   * Sets the bound of the queue, in messages, and returns it; 0 asks.
   *
   * @param {number} [n]
   */
  async maxMessages(n = 0) {
    return this.#number("maxmsgs", Action.MAX_MESSAGES, n);
  }

  /**
   * Sets the bus's bound on an entire message, in bytes, and returns it; 0 asks, and 1 asks for the
   * absolute maximum.
   *
   * @param {number} [n]
   */
  async maxMessageSize(n = 0) {
    return this.#number("maxmsgsize", Action.MAX_MESSAGE_SIZE, n);
  }

  /**
   * Turns on that a message reaches this Ksock once however often it is bound; undefined asks.
   * Returns the previous value.
   *
   * @param {boolean} [on]
   */
  async onlyOnce(on) {
    return this.#switch("onlyonce", Action.ONLY_ONCE, on);
  }

  /**
   * Turns on the bus's own log, where it has one, likewise.
   *
   * @param {boolean} [on]
   */
  async verbose(on) {
    return this.#switch("verbose", Action.VERBOSE, on);
  }

  /**
   * Turns on that the bus announces repliers bound and unbound, likewise.
   *
   * @param {boolean} [on]
   */
  async reportReplierBinds(on) {
    return this.#switch("reportreplierbinds", Action.REPORT_REPLIER_BINDS, on);
  }

  /** Returns the id of the last message that this Ksock tried to send. */
  async lastSent() {
    const r = await this.#do("lastsent", Action.LAST_SENT);
    return new MsgId(r.idNetwork, r.idSerial);
  }

  /** Returns how many messages wait to be received. */
  async numMessages() {
    const r = await this.#do("nummsgs", Action.NUM_MESSAGES);
    return Number(r.value) + Math.max(0, Number(r.given) - this.#inbox.taken);
  }

  /** Returns how many requests were received and not answered. */
  async unreplied() {
    const r = await this.#do("unrepliedto", Action.UNREPLIED);
    return Math.max(0, Number(r.value) - Math.max(0, Number(r.given) - this.#inbox.requests));
  }

  /** Makes another bus beside this one, and returns its number. */
  async newDevice() {
    return this.#number("newdevice", Action.NEW_DEVICE, 0);
  }

  /**
   * Takes a request back that this Ksock has sent. Reports whether no replier has read it, and none
   * will; no reply comes then. A device cannot do that.
   *
   * @param {MsgId} request
   */
  async withdraw(request) {
    return (await this.#do("withdraw", Action.WITHDRAW, { value: wireId(request) })).found;
  }

  /**
   * Has the daemon close the Ksock, and waits for that, but not longer than 2 s: a daemon that
   * cannot be reached closes it when its grace is over. What was posted or sent before is sent first,
   * and those calls have their results; others that wait throw Closed. Closing again does nothing.
   */
  async close() {
    await this._attached.close();
  }

  /**
   * Has an operation carried out. Throws the bus's refusal, and Closed.
   *
   * @param {string} what
   * @param {Action} action
   * @param {{ name?: string, replier?: boolean, value?: bigint }} [with_]
   */
  async #do(what, action, { name = "", replier = false, value = 0n } = {}) {
    const r = await this._attached.call({ action, name: Buffer.from(plainName(name)), isReplier: replier, value });
    check(what, name, r);
    return r;
  }

  /**
   * @param {string} what
   * @param {Action} action
   * @param {number} n
   */
  async #number(what, action, n) {
    return Number((await this.#do(what, action, { value: BigInt(uint32(what, n)) })).value);
  }

  /**
   * @param {string} what
   * @param {Action} action
   * @param {boolean | undefined} on
   */
  async #switch(what, action, on) {
    const value = BigInt(on === undefined ? ASK : on ? 1 : 0);
    return (await this.#do(what, action, { value })).value !== 0n;
  }

  // Receiving.

  /**
   * @param {number} most
   * @param {boolean} wait
   */
  #ask(most, wait) {
    this.#inbox.asked = this._attached.newTag();
    this.#inbox.askedCancelled = false;
    this._attached.control({ action: Action.RECEIVE, tag: BigInt(this.#inbox.asked), value: BigInt(most), wait });
  }

  #cancelAsked() {
    const inbox = this.#inbox;
    if (!inbox.asked || inbox.askedCancelled) return;
    inbox.askedCancelled = true;
    this._attached.control({ action: Action.CANCEL, value: BigInt(inbox.asked) });
  }

  /** @param {number} most */
  #take(most) {
    const inbox = this.#inbox;
    /** @type {Event[]} */
    const events = [];
    while (inbox.arrived.length > 0 && events.length < most) events.push(inbox.arrived.shift());
    const messages = events.map((event) => /** @type {Message} */ (event.message));
    inbox.taken += messages.length;
    for (const m of messages) inbox.requests += m.wantsUsToReply ? 1 : 0;
    this._attached.decided(events);
    if (inbox.arrived.length > 0) inbox.news.wakeAll(); // for another call that waits
    return messages;
  }

  /** @param {Result} r */
  #result(r) {
    const inbox = this.#inbox;
    const error = () => new BusError(r.op || "recv", r.name, r.errno, r.message);
    if (r.tag && Number(r.tag) === inbox.asked) {
      inbox.asked = 0;
      if (r.errno) inbox.failed = error();
      inbox.news.wakeAll();
    } else if (r.tag) {
      // Nobody waits for it any more.
    } else if (r.op === "recv") {
      inbox.failed = error();
      inbox.news.wakeAll();
    } else if (this.#refused.length < MAX_REFUSALS) {
      this.#refused.push(new BusError(r.op || "send", r.name, r.errno, r.message));
    } else {
      this.#refusedMore++;
    }
  }
}

/** What has come, and nobody has taken; it is acknowledged when it is taken. */
class Inbox {
  /** @type {Queue<Event>} */
  arrived = new Queue();
  taken = 0; // messages, ever
  requests = 0; // to us, among these
  asked = 0; // the tag of the receive that is under way
  askedCancelled = false;
  receivers = 0; // calls of recvBatch that wait
  prefetch = false;
  /** @type {BusError | undefined} */
  failed; // of a receive, for the next call
  news = new Waiting();

  /** @param {Event} event */
  add(event) {
    this.arrived.push(event);
    this.news.wakeAll();
  }
}

/**
 * Throws the refusal in a result.
 *
 * @param {string} what
 * @param {string} name
 * @param {Result} r
 */
function check(what, name, r) {
  if (r.errno) throw new BusError(r.op || what, name, r.errno, r.message);
}

/**
 * Returns a message's id in one number, as ACTION_WITHDRAW has it.
 *
 * @internal
 * @param {MsgId} id
 */
export function wireId(id) {
  return (BigInt(uint32("id", id.network)) << 32n) | BigInt(uint32("id", id.serial));
}
