/** Many requests at a time over one Ksock. */

import { BusError, Expired, MayHaveRun, NeverRan, neverLeft, noAnswer, refusal } from "./errors.js";
import { Action } from "./gen/attach_pb.js";
import { wireId } from "./ksock.js";
import { MsgId } from "./message.js";
import { Limit, Turn, now } from "./wait.js";

/**
 * @typedef {import("./message.js").Message} Message
 * @typedef {import("./ksock.js").Ksock} Ksock
 * @typedef {import("./gen/attach_pb.js").Result} Result
 */

const WITHDRAW_TIMEOUT = 100;

/** Makes requests from one Ksock, and hands each reply to who waits for it. */
export class Caller {
  /** @readonly */
  ksock;
  #attached;
  #began = 0; // sends, ever
  /** @type {Set<number>} */
  #sending = new Set(); // oldest first
  /** @type {Map<string, Turn<Message>>} */
  #waiting = new Map(); // by the request's id
  /** @type {Map<string, { began: number, reply: Message }>} */
  #early = new Map(); // came before the id of its request
  /** @type {unknown} why no more replies come */
  #ended;
  #reading;

  /** @param {Ksock} ksock one that prefetches, and that nobody else receives from */
  constructor(ksock) {
    this.ksock = ksock;
    this.#attached = ksock._attached;
    this.#reading = this.#read();
  }

  /** Whether its session goes on. */
  get live() {
    return !this.#attached.over;
  }

  /** Closes the Ksock; calls that wait fail. */
  async close() {
    await this.ksock.close();
    await this.#reading;
  }

  /**
   * Sends a request and returns its reply. Throws a NoAnswer, and what toProto does.
   *
   * @param {Message} request
   * @param {Limit} limit
   * @returns {Promise<Message>}
   */
  async call(request, limit) {
    const { name } = request;
    /** @type {Turn<Message>} */
    const answer = new Turn();
    const sent = await this.#send(request, limit, answer);
    let reply;
    try {
      reply = await limit.wait(answer.promise).catch(async (e) => {
        const late = answer.done ? e : await this.#gaveUp(name, sent, limit, e);
        return answer.done ? answer.promise : Promise.reject(late); // it may have come at the last moment
      });
    } catch (e) {
      if (e instanceof NeverRan || e instanceof MayHaveRun) throw e;
      throw new MayHaveRun(name, { why: text(e), cause: e });
    } finally {
      this.#waiting.delete(sent.toString());
    }
    const failed = noAnswer(name, reply);
    if (failed) throw failed;
    return reply;
  }

  /**
   * Sends a request whose reply answer gets, and returns its id.
   *
   * @param {Message} request
   * @param {Limit} limit
   * @param {Turn<Message>} answer
   */
  async #send(request, limit, answer) {
    const { name } = request;
    let began = 0;
    let abandoned = false;
    const onResult = (/** @type {Result} */ r) => {
      if (r.errno) return;
      const id = new MsgId(r.idNetwork, r.idSerial);
      if (abandoned) this.#attached.control(withdrawal(id));
      else this.#expect(id, answer);
    };
    try {
      const r = await this.#attached.send(request, limit, { onPut: () => (began = this.#begin()), onResult });
      if (!r.errno) return new MsgId(r.idNetwork, r.idSerial);
      throw refusal(name, new BusError(r.op || "call", name, r.errno, r.message), r.errno === "EAGAIN" && now() >= limit.until);
    } catch (e) {
      if (e instanceof NeverRan || e instanceof MayHaveRun || e instanceof TypeError || e instanceof RangeError) throw e;
      abandoned = true;
      throw began ? new MayHaveRun(name, { why: text(e), cause: e }) : neverLeft(name, e);
    } finally {
      if (began) this.#sent(began);
    }
  }

  /**
   * Takes a request back whose time is over, or that was aborted, and returns what became of it.
   *
   * @param {string} name
   * @param {MsgId} sent
   * @param {Limit} limit
   * @param {unknown} cause
   */
  async #gaveUp(name, sent, limit, cause) {
    /** @type {Turn<Result>} */
    const answer = new Turn();
    const [kind, why] = limit.signal?.aborted ? [NeverRan, "it was aborted"] : [Expired, "its deadline has passed"];
    if (this.live) {
      this.#attached.control(withdrawal(sent), answer);
      const r = await new Limit({ timeout: WITHDRAW_TIMEOUT }).wait(answer.promise).catch(() => undefined);
      if (r?.found) return new kind(name, { why, cause });
    }
    return new MayHaveRun(name, { why, cause });
  }

  #begin() {
    this.#sending.add(++this.#began);
    return this.#began;
  }

  /**
   * @param {MsgId} request
   * @param {Turn<Message>} answer
   */
  #expect(request, answer) {
    const key = request.toString();
    const early = this.#early.get(key);
    if (early) {
      this.#early.delete(key);
      answer.resolve(early.reply);
    } else if (this.#ended) {
      answer.reject(this.#ended);
    } else {
      this.#waiting.set(key, answer);
    }
  }

  /**
   * Notes that the fate of a send is known, and forgets the replies that came when nobody was
   * sending who is still.
   *
   * @param {number} began
   */
  #sent(began) {
    this.#sending.delete(began);
    if (this.#early.size === 0) return;
    const [oldest = this.#began + 1] = this.#sending;
    for (const [key, early] of this.#early) if (early.began < oldest) this.#early.delete(key);
  }

  /** Gives each reply to its caller, until the Ksock is over. */
  async #read() {
    try {
      for (;;) for (const reply of await this.ksock.recvBatch()) this.#came(reply);
    } catch (e) {
      this.#ended = e;
      for (const answer of this.#waiting.values()) answer.reject(e);
      this.#waiting.clear();
      if (this.live) await this.ksock.close();
    }
  }

  /** @param {Message} reply */
  #came(reply) {
    const key = reply.inReplyTo.toString();
    const waits = this.#waiting.get(key);
    if (waits) {
      this.#waiting.delete(key);
      waits.resolve(reply);
    } else if (this.#sending.size > 0) {
      this.#early.set(key, { began: this.#began, reply });
    }
  }
}

/** @param {MsgId} request */
function withdrawal(request) {
  return { action: Action.WITHDRAW, value: wireId(request) };
}

/** @param {unknown} e */
function text(e) {
  return e instanceof Error ? e.message : String(e);
}
