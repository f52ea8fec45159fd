/** Messages, as programs see them. */

import { create } from "@bufbuild/protobuf";
import { MessageSchema } from "./gen/message_pb.js";

/** Names a message: the network it was first sent on, 0 for this bus, and its number there. */
export class MsgId {
  /**
   * @param {number} [network]
   * @param {number} [serial]
   */
  constructor(network = 0, serial = 0) {
    /** @readonly */
    this.network = network;
    /** @readonly */
    this.serial = serial;
  }

  /** As "[0:7]", which is also what two ids are compared by. */
  toString() {
    return `[${this.network}:${this.serial}]`;
  }
}

/** A Ksock seen across networks; network 0 is the bus that the message is on. */
export class Address {
  /**
   * @param {number} [network]
   * @param {number} [local]
   */
  constructor(network = 0, local = 0) {
    /** @readonly */
    this.network = network;
    /** @readonly */
    this.local = local;
  }

  /** Whether it is nobody's. */
  get isZero() {
    return this.network === 0 && this.local === 0;
  }

  toString() {
    return `{${this.network}:${this.local}}`;
  }
}

/** The flag bits that KBUS knows. The upper 16 bits are the user's. */
export const Flags = Object.freeze({
  /** It is a request. */
  WANT_A_REPLY: 1 << 0,
  /** Set by the bus on the copy of a request that its replier reads. */
  WANT_YOU_TO_REPLY: 1 << 1,
  /** Set by the bus on messages that it made itself. */
  SYNTHETIC: 1 << 2,
  /** It goes to the front of its recipients' queues. */
  URGENT: 1 << 3,
  /** Sending waits until every recipient has room. */
  ALL_OR_WAIT: 1 << 8,
  /** Sending fails with EBUSY unless every recipient has room. */
  ALL_OR_FAIL: 1 << 9,
});

/**
 * A replier that was bound, or unbound, as a message of name $.KBUS.ReplierBindEvent tells.
 *
 * @typedef {object} BindEvent
 * @property {boolean} isBind
 * @property {number} binder the Ksock
 * @property {string} name
 */

/**
 * What a message may have beside its name and data.
 *
 * @typedef {object} MessageFields
 * @property {number} [flags] Flags, or'ed; the upper 16 bits are the user's
 * @property {number} [to] the Ksock that a reply goes to, or the replier that a stateful request insists on
 * @property {MsgId} [inReplyTo] the request that it answers
 * @property {Address} [finalTo] the far replier that a stateful request insists on
 * @property {number} [expiresIn] for how many milliseconds the answer to a request is of use
 * @property {string} [traceparent] the trace that it belongs to, as W3C's header of that name has it
 */

/**
 * What a request may have beside its name and data.
 *
 * @typedef {object} RequestFields
 * @property {Message} [replier] the reply before, in a dialogue
 * @property {number} [flags] Flags, or'ed
 * @property {number} [expiresIn] for how many milliseconds the answer is of use
 * @property {string} [traceparent] the trace that it belongs to
 */

/** One message of the bus. To be sent it needs a name, and most often data, and no more. */
export class Message {
  /**
   * Text becomes UTF-8. Bytes are not copied, and must not be changed until the message is sent.
   *
   * @param {string} name
   * @param {Uint8Array | string} [data]
   * @param {MessageFields} [fields]
   */
  constructor(name, data = "", fields = {}) {
    /** The name: "$", then words of ASCII letters and digits, joined by dots. */
    this.name = name;
    /** The data. That of a message which was received may be a part of a larger buffer. */
    this.data = typeof data === "string" ? Buffer.from(data) : data;
    /** Flags, or'ed; the upper 16 bits are the user's. */
    this.flags = fields.flags ?? 0;
    /** The Ksock that a reply goes to, or the replier that a stateful request insists on. */
    this.to = fields.to ?? 0;
    /** The request that it answers. */
    this.inReplyTo = fields.inReplyTo ?? NO_ID;
    /** The far replier that a stateful request insists on. */
    this.finalTo = fields.finalTo ?? NOBODY;
    /**
     * For how many milliseconds the answer to a request is of use, from when it was sent or
     * read; undefined is no deadline.
     */
    this.expiresIn = fields.expiresIn;
    /** The trace that it belongs to, as W3C's header of that name has it; empty is none. */
    this.traceparent = fields.traceparent ?? "";
    /** Given by the bus, as are from and origFrom. */
    this.id = NO_ID;
    /** The Ksock that sent it; 0 is the bus itself. */
    this.from = 0;
    /** Who first sent a message that has come over a link. */
    this.origFrom = NOBODY;
    /**
     * What a replier bind event says, in place of data.
     *
     * @type {BindEvent | undefined}
     */
    this.event = undefined;
  }

  /**
   * Returns a request. If replier is a reply, only who wrote that may answer: the request is part
   * of a dialogue, and fails with EPIPE, or Replier.NotSameKsock, if it has gone.
   *
   * @param {string} name
   * @param {Uint8Array | string} [data]
   * @param {RequestFields} [fields]
   */
  static request(name, data = "", { replier, flags = 0, expiresIn, traceparent } = {}) {
    return new Message(name, data, {
      flags: flags | Flags.WANT_A_REPLY, expiresIn, traceparent, to: replier?.from, finalTo: replier?.origFrom,
    });
  }

  /**
   * Returns the answer to this request; its name is the request's unless it is given.
   *
   * @param {Uint8Array | string} [data]
   * @param {{ name?: string, flags?: number }} [fields]
   */
  reply(data = "", { name = this.name, flags = 0 } = {}) {
    return new Message(name, data, { flags, to: this.from, inReplyTo: this.id });
  }

  /** The data as text, with a mark in the place of what is no UTF-8. */
  get text() {
    return utf8.decode(this.data);
  }

  /** Whether it answers a request. */
  get isReply() {
    return this.inReplyTo.serial !== 0 || this.inReplyTo.network !== 0;
  }

  /** Whether it asks for a reply. */
  get isRequest() {
    return (this.flags & Flags.WANT_A_REPLY) !== 0;
  }

  /** Whether the Ksock that read it owes the answer. */
  get wantsUsToReply() {
    return (this.flags & Flags.WANT_YOU_TO_REPLY) !== 0;
  }

  /** What it is, in a word or two. */
  get kind() {
    if (this.isReply) return "reply";
    if (this.isRequest) return this.to ? "stateful request" : "request";
    return "announcement";
  }

  /** Says what it is on one line, without its data. */
  toString() {
    const words = [this.kind, this.name, `id ${this.id}`];
    if (this.isReply) words.push(`in reply to ${this.inReplyTo}`);
    words.push(`from ${this.from}`);
    if (this.to) words.push(`to ${this.to}`);
    if (!this.origFrom.isZero) words.push(`first from ${this.origFrom}`);
    words.push(`${this.data.length} bytes`);
    return words.join(" ");
  }
}

const NO_ID = Object.freeze(new MsgId());
const NOBODY = Object.freeze(new Address());
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Returns a name that protobuf can carry: of one that is no text, what is not becomes a mark.
 *
 * @param {string} name
 */
export function plainName(name) {
  return Buffer.from(name).toString();
}

/**
 * Returns m for the wire, without the time that it has left. Throws RangeError and TypeError for
 * what no message can have.
 *
 * @internal
 * @param {Message} m
 */
export function toProto(m) {
  if (typeof m.name !== "string") throw new TypeError(`a message's name is a string, not ${typeof m.name}`);
  if (!(m.data instanceof Uint8Array)) throw new TypeError("a message's data is a string or a Uint8Array");
  const wire = create(MessageSchema);
  wire.name = plainName(m.name);
  wire.data = m.data;
  wire.flags = uint32("flags", m.flags < 0 ? m.flags + 2 ** 32 : m.flags); // 1 << 31 is negative here
  wire.to = uint32("to", m.to);
  wire.idNetwork = uint32("id", m.id.network);
  wire.idSerial = uint32("id", m.id.serial);
  wire.inReplyToNetwork = uint32("inReplyTo", m.inReplyTo.network);
  wire.inReplyToSerial = uint32("inReplyTo", m.inReplyTo.serial);
  wire.finalToNetwork = uint32("finalTo", m.finalTo.network);
  wire.finalToLocal = uint32("finalTo", m.finalTo.local);
  wire.origFromNetwork = uint32("origFrom", m.origFrom.network);
  wire.origFromLocal = uint32("origFrom", m.origFrom.local);
  if (m.traceparent) wire.traceContext = traceBytes(m.traceparent);
  return wire;
}

/**
 * Returns a message that the daemon has sent.
 *
 * @internal
 * @param {import("./gen/message_pb.js").Message} wire
 */
export function fromProto(wire) {
  const m = new Message(wire.name, wire.data);
  m.flags = wire.flags;
  m.to = wire.to;
  m.from = wire.from;
  m.id = new MsgId(wire.idNetwork, wire.idSerial);
  if (wire.inReplyToSerial || wire.inReplyToNetwork) m.inReplyTo = new MsgId(wire.inReplyToNetwork, wire.inReplyToSerial);
  if (wire.finalToNetwork || wire.finalToLocal) m.finalTo = new Address(wire.finalToNetwork, wire.finalToLocal);
  if (wire.origFromNetwork || wire.origFromLocal) m.origFrom = new Address(wire.origFromNetwork, wire.origFromLocal);
  if (wire.expiresInMs) m.expiresIn = Number(wire.expiresInMs);
  if (wire.bindEvent) m.event = { isBind: wire.bindEvent.isBind, binder: wire.bindEvent.binder, name: wire.bindEvent.name };
  m.traceparent = traceText(wire.traceContext);
  return m;
}

/**
 * Returns n if it is a number of 32 bits. Throws RangeError.
 *
 * @internal
 * @param {string} what
 * @param {number} n
 */
export function uint32(what, n) {
  if (!(Number.isInteger(n) && n >= 0 && n < 2 ** 32)) throw new RangeError(`${what} is ${n}: give a whole number from 0 to ${2 ** 32 - 1}`);
  return n;
}

const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/** @param {string} traceparent */
function traceBytes(traceparent) {
  const found = TRACEPARENT.exec(traceparent);
  if (!found) throw new TypeError(`traceparent ${JSON.stringify(traceparent)}: give 00-, 32 hexadecimal digits, -, 16, - and 2, as W3C's trace context has it`);
  return Buffer.from(found.slice(1).join(""), "hex");
}

/** @param {Uint8Array} context */
function traceText(context) {
  if (context.length !== 25) return "";
  const hex = Buffer.from(context).toString("hex");
  return `00-${hex.slice(0, 32)}-${hex.slice(32, 48)}-${hex.slice(48)}`;
}
