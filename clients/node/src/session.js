/**
 * A program's session with a daemon: what is numbered, acknowledged, and sent again.
 *
 * Nothing here waits, looks at a clock or knows gRPC: frames go in and out, and the time, in
 * milliseconds, is an argument. So a session can be cut at every frame in a test.
 */

import { create } from "@bufbuild/protobuf";
import { AttachRequestSchema, OperationBatchSchema, OperationSchema } from "./gen/attach_pb.js";
import { ErrorCode } from "./gen/link_pb.js";
import { fromProto, toProto } from "./message.js";

/**
 * @typedef {import("@bufbuild/protobuf").MessageInitShape<typeof OperationSchema>} OperationInit
 * @typedef {import("./gen/attach_pb.js").Operation} Operation
 * @typedef {import("./gen/attach_pb.js").AttachRequest} AttachRequest
 * @typedef {import("./gen/attach_pb.js").AttachResponse} AttachResponse
 * @typedef {import("./gen/attach_pb.js").EventBatch} EventBatch
 * @typedef {import("./gen/attach_pb.js").Result} Result
 * @typedef {import("./message.js").Message} Message
 */

export const VERSION = 1;
export const PING_EVERY = 3000;
export const ACK_DELAY = 2;
export const MAX_BATCH = 256;
const WINDOW_MESSAGES = 4096;
const WINDOW_BYTES = 1 << 20;
const MAX_BATCH_BYTES = 32 * 1024 - 512;
const OPERATION_OVERHEAD = 144; // bytes that an operation takes beyond its name and data, at most
const RESULT_SIZE = 64; // what a result counts for beside its texts and data
const BIND_EVENT_HEADER = 12;
const MAX_PAST_WINDOW = 32768; // results, which come past a full window
const MAX_OVERRUN = 1 << 20; // bytes by which the last message may exceed the window
const MAX_GRACE = 2 ** 40;

/** The end of a stream, with a reason that one side gives. Most of them end the session too. */
export class Verdict extends Error {
  /**
   * @param {ErrorCode} code
   * @param {string} message
   * @param {boolean} [remote] the daemon has given it
   */
  constructor(code, message, remote = false) {
    super(message);
    this.code = code;
    this.remote = remote;
  }

  /** Whether the session cannot be resumed. */
  get final() {
    return this.code !== ErrorCode.STALLED && this.code !== ErrorCode.BUS;
  }
}

/**
 * How an operation is queued: NORMAL ones wait for room in the window, CONTROL ones do not.
 *
 * @enum {number}
 */
export const Lane = { NORMAL: 0, CONTROL: 1 };

/**
 * An operation that is not acknowledged yet.
 *
 * @typedef {object} Item
 * @property {Operation} operation
 * @property {boolean} plain whether it is a message without a result
 * @property {Lane} lane
 * @property {number} size
 * @property {number} expires when the message's time is over; 0 is never
 */

/**
 * Something that the daemon has sent: a message, or a result.
 *
 * @typedef {object} Event
 * @property {number} sequence
 * @property {number} size
 * @property {Message | undefined} message
 * @property {Result | undefined} result
 */

/** The program's side of a session. Each stream begins with greeting and welcome. */
export class Session {
  ksock = 0;
  grace = 0;
  /** How many messages the bus has dropped. */
  missed = 0;
  #mode;
  #windowMessages;
  #windowBytes;
  /** @type {Uint8Array} */
  #id = new Uint8Array();
  /** @type {Uint8Array} */
  #instance = new Uint8Array();

  // What is sent. The numbers are of operations: acked <= sent <= handed.
  /** @type {Queue<Item>} */
  #queued = new Queue(); // never handed to a stream
  /** @type {Queue<Item>} */
  #unacked = new Queue(); // handed: acked + 1 to handed
  #handed = 0;
  #sent = 0;
  #acked = 0;
  #used = [{ operations: 0, bytes: 0 }, { operations: 0, bytes: 0 }]; // by lane: queued or not acknowledged

  // What is received. The numbers are of events: ackSent <= done <= received.
  #received = 0;
  #done = 0;
  #ackSent = 0;
  /** @type {Set<number>} */
  #early = new Set(); // decided before one that came earlier
  #bytes = 0;
  #freed = 0;
  #pingAt = 0;
  /** @type {number | undefined} */
  #ackAt;
  /** @type {Verdict | undefined} */
  #final;
  #ended = false;

  /**
   * @param {import("./gen/attach_pb.js").KsockMode} mode
   * @param {number} [windowMessages]
   * @param {number} [windowBytes]
   */
  constructor(mode, windowMessages = WINDOW_MESSAGES, windowBytes = WINDOW_BYTES) {
    this.#mode = mode;
    this.#windowMessages = windowMessages;
    this.#windowBytes = windowBytes;
  }

  // The beginning and end of a stream.

  /** Returns the first frame of a stream: it asks for a new session, or to resume this one. */
  greeting() {
    return create(AttachRequestSchema, { kind: { case: "hello", value: {
      protocolVersion: VERSION, mode: this.#mode, sessionId: this.#id, instanceId: this.#instance,
      expectedSequence: BigInt(this.#received + 1), windowMessages: this.#windowMessages, windowBytes: BigInt(this.#windowBytes),
    } } });
  }

  /**
   * Takes the daemon's first frame; it starts the stream. What the daemon has not received will be
   * sent again. Throws a Verdict: the daemon's refusal, or a welcome that cannot be.
   *
   * @param {number} now
   * @param {AttachResponse} frame
   */
  welcome(now, { kind }) {
    if (kind.case === "error") throw new Verdict(kind.value.code, kind.value.message, true);
    if (kind.case !== "welcome") throw broken("the first frame must be a welcome");
    const w = kind.value;
    if (w.protocolVersion !== VERSION) {
      throw new Verdict(ErrorCode.VERSION, `the daemon speaks version ${w.protocolVersion} of the protocol for programs, this side ${VERSION}`);
    }
    if (w.sessionId.length !== 16 || w.instanceId.length !== 16 || !w.ksock || !w.windowMessages || !w.windowBytes) {
      throw broken("the daemon's welcome lacks a session, a Ksock or a window");
    }
    const isNew = this.#id.length === 0;
    if (!isNew && Buffer.compare(w.sessionId, this.#id) !== 0) throw broken("the daemon answers with another session than the one to be resumed");
    if (w.expectedSequence <= this.#acked || w.expectedSequence > this.#handed + 1) {
      throw broken(`the daemon expects sequence number ${w.expectedSequence}, ${this.#acked} are acknowledged and ${this.#handed} were sent`);
    }
    if (isNew) {
      [this.#id, this.#instance, this.ksock] = [w.sessionId, w.instanceId, w.ksock];
      this.grace = Math.min(Number(w.graceMs), MAX_GRACE);
      this.#windowMessages = Math.min(this.#windowMessages, w.windowMessages);
      this.#windowBytes = Math.min(this.#windowBytes, Number(w.windowBytes));
    }
    this.#sent = Number(w.expectedSequence) - 1;
    this.#pingAt = now + PING_EVERY;
    this.#ackSent = 0; // the last one may have been lost
    this.#ackAt = this.#done ? now : undefined;
  }

  /**
   * Ends the session: nothing but why is sent any more.
   *
   * @param {Verdict} [why]
   */
  end(why) {
    this.#final = why;
    this.#ended = true;
  }

  // What is sent.

  /** Reports whether the window has room for one more operation. */
  room() {
    const { operations, bytes } = this.#used[Lane.NORMAL];
    return operations < this.#windowMessages && bytes < this.#windowBytes;
  }

  /** Reports whether the daemon has acknowledged everything. */
  idle() {
    return this.#queued.length === 0 && this.#unacked.length === 0;
  }

  /**
   * Queues an operation, whether or not there is room: callers ask room before. message is what is
   * to be sent, at now; an operation that sends one and has no tag has a result only if it is
   * refused. Throws what toProto does.
   *
   * @param {OperationInit} init
   * @param {Lane} [lane]
   * @param {Message} [message]
   * @param {number} [now]
   */
  put(init, lane = Lane.NORMAL, message, now = 0) {
    const operation = create(OperationSchema, init);
    let size = operation.name.length + operation.data.length;
    let expires = 0;
    if (message) {
      operation.message = toProto(message);
      size += Buffer.byteLength(operation.message.name) + message.data.length;
      if (message.expiresIn !== undefined) expires = now + message.expiresIn;
    }
    this.#queued.push({ operation, plain: message !== undefined && !operation.tag, lane, size, expires });
    const used = this.#used[lane];
    used.operations++;
    used.bytes += size;
  }

  /**
   * Returns the next frame for the stream. If there is none now, again is when to ask again, and
   * over reports that nothing will follow.
   *
   * @param {number} now
   * @returns {{ frame?: AttachRequest, again: number, over: boolean }}
   */
  next(now) {
    if (this.#ended) {
      const why = this.#final;
      if (!why) return { again: now, over: true };
      this.#final = undefined;
      return sent(now, { case: "error", value: { code: why.code, message: why.message } });
    }
    if (now >= this.#pingAt) {
      this.#pingAt = now + PING_EVERY;
      return sent(now, { case: "ping", value: { receivedSequence: BigInt(this.#received) } });
    }
    const batch = this.#batch(now);
    if (batch) {
      batch.ack = this.#takeAck();
      return sent(now, { case: "batch", value: batch });
    }
    if (this.#ackAt === undefined || now < this.#ackAt) {
      return { again: Math.min(this.#pingAt, this.#ackAt ?? this.#pingAt), over: false };
    }
    const sequence = this.#takeAck();
    return sequence ? sent(now, { case: "ack", value: { sequence } }) : { again: this.#pingAt, over: false };
  }

  /** @param {number} now */
  #batch(now) {
    const batch = create(OperationBatchSchema, { firstSequence: BigInt(this.#sent + 1) });
    let bytes = 0;
    let n = 0;
    const again = this.#handed - this.#sent; // were handed, but not to this stream
    for (; n < MAX_BATCH && n < again + this.#queued.length; n++) {
      const item = n < again ? this.#unacked.at(this.#sent - this.#acked + n) : this.#queued.at(n - again);
      bytes += item.size + OPERATION_OVERHEAD;
      if (n > 0 && bytes > MAX_BATCH_BYTES) break;
      const { operation, expires } = item;
      if (operation.message && expires) operation.message.expiresInMs = BigInt(Math.max(1, Math.round(expires - now)));
      if (item.plain && operation.message) {
        batch.messages.push(operation.message);
      } else {
        operation.after = batch.messages.length;
        batch.operations.push(operation);
      }
    }
    if (n === 0) return undefined;
    this.#sent += n;
    for (; this.#handed < this.#sent; this.#handed++) this.#unacked.push(this.#queued.shift());
    return batch;
  }

  #takeAck() {
    this.#ackAt = undefined;
    if (this.#done === this.#ackSent) return 0n;
    this.#ackSent = this.#done;
    this.#freed = 0;
    return BigInt(this.#done);
  }

  // What is received.

  /**
   * Takes a frame, and returns what has come. Throws a Verdict: the daemon's, or that it has broken
   * the protocol; then the session must be ended.
   *
   * @param {AttachResponse} frame
   * @returns {Event[]}
   */
  receive({ kind }) {
    switch (kind.case) {
      case "batch": {
        const events = this.#events(kind.value);
        if (kind.value.ack) this.#acknowledged(kind.value.ack);
        return events;
      }
      case "ack":
        this.#acknowledged(kind.value.sequence);
        return [];
      case "ping":
        if (kind.value.receivedSequence > this.#sent) {
          throw broken(`the daemon has received sequence number ${kind.value.receivedSequence}, only ${this.#sent} were sent`);
        }
        return [];
      case "error":
        throw new Verdict(kind.value.code, kind.value.message, true);
      case "welcome":
        throw broken("a welcome in the middle of a session");
    }
    return []; // frames of other kinds are ignored
  }

  /** @param {EventBatch} batch */
  #events(batch) {
    const { messages, results } = batch;
    const n = messages.length + results.length;
    if (n === 0 || n > MAX_BATCH) throw broken(`a batch of ${n} events, 1 to ${MAX_BATCH} are allowed`);
    let sequence = this.#received + 1;
    if (batch.firstSequence !== BigInt(sequence)) {
      throw broken(`a batch starts with sequence number ${batch.firstSequence}, expected was ${sequence}`);
    }
    /** @type {Event[]} */
    const events = [];
    let taken = 0;
    let size = 0;
    for (let i = 0; i <= results.length; i++) {
      const result = results[i]; // after the last one the messages behind it
      const after = result ? result.after : messages.length;
      if (after < taken || after > messages.length) {
        throw broken(`a result stands after ${after} messages of ${messages.length}, and after one that stands after ${taken}`);
      }
      for (; taken < after; taken++) {
        const m = messages[taken];
        events.push({ sequence: sequence++, size: messageSize(m), message: fromProto(m), result: undefined });
        size += messageSize(m);
      }
      if (result) {
        events.push({ sequence: sequence++, size: resultSize(result), message: undefined, result });
        size += resultSize(result);
      }
    }
    const inFlight = this.#received - this.#done + n;
    if (inFlight > this.#windowMessages + MAX_PAST_WINDOW || this.#bytes + size > 2 * (this.#windowBytes + MAX_OVERRUN)) {
      throw broken(`${inFlight} events and ${this.#bytes + size} bytes in flight, the window has room for ${this.#windowMessages} and ${this.#windowBytes}`);
    }
    this.#received += n;
    this.#bytes += size;
    this.missed = Math.max(this.missed, Number(batch.missed));
    return events;
  }

  /** @param {bigint} sequence */
  #acknowledged(sequence) {
    if (sequence > this.#sent) throw broken(`an acknowledgement of sequence number ${sequence}, only ${this.#sent} were sent`);
    for (; this.#acked < sequence; this.#acked++) {
      const item = this.#unacked.shift();
      const used = this.#used[item.lane];
      used.operations--;
      used.bytes -= item.size;
    }
  }

  /**
   * Tells that an event was taken. It is acknowledged when all before it were, too.
   *
   * @param {number} now
   * @param {Event} event
   */
  decided(now, event) {
    this.#bytes -= event.size;
    this.#freed += event.size;
    if (event.sequence === this.#done + 1) {
      this.#done++;
    } else {
      this.#early.add(event.sequence);
    }
    while (this.#early.size > 0 && this.#early.delete(this.#done + 1)) this.#done++;
    const owed = this.#done - this.#ackSent;
    if (owed === 0) return;
    if (owed >= this.#windowMessages >> 2 || this.#freed >= this.#windowBytes >> 2) {
      this.#ackAt = now; // the daemon may wait for room
    } else {
      this.#ackAt ??= now + ACK_DELAY;
    }
  }
}

/**
 * @param {number} now
 * @param {import("@bufbuild/protobuf").MessageInitShape<typeof AttachRequestSchema>["kind"]} kind
 */
function sent(now, kind) {
  return { frame: create(AttachRequestSchema, { kind }), again: now, over: false };
}

/** @param {string} how */
function broken(how) {
  return new Verdict(ErrorCode.PROTOCOL, how);
}

/** @param {import("./gen/message_pb.js").Message} m */
function messageSize({ name, data, bindEvent }) {
  const body = bindEvent ? BIND_EVENT_HEADER + ((bindEvent.name.length + 4) & ~3) : data.length;
  return name.length + body;
}

/** @param {Result} r */
function resultSize(r) {
  return RESULT_SIZE + r.errno.length + r.op.length + r.name.length + r.message.length + r.data.length;
}

/**
 * A queue that gives its memory back.
 *
 * @template T
 */
export class Queue {
  /** @type {T[]} */
  #items = [];
  #first = 0;

  get length() {
    return this.#items.length - this.#first;
  }

  /** @param {T} item */
  push(item) {
    this.#items.push(item);
  }

  /**
   * Returns the item of an index below length.
   *
   * @param {number} i
   */
  at(i) {
    return this.#items[this.#first + i];
  }

  /** Takes the first item; there must be one. */
  shift() {
    const item = this.#items[this.#first];
    this.#items[this.#first++] = /** @type {any} */ (undefined);
    if (this.#first > 32 && this.#first * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    return item;
  }
}
