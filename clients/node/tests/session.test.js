/** The session, cut at every frame; no daemon is needed. */

import assert from "node:assert/strict";
import test from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Flags, Message } from "limpet-client";
import { Action, AttachRequestSchema, AttachResponseSchema, KsockMode, OperationSchema, ResultSchema } from "../src/gen/attach_pb.js";
import { ErrorCode } from "../src/gen/link_pb.js";
import { MessageSchema } from "../src/gen/message_pb.js";
import { wireId } from "../src/ksock.js";
import { MsgId, fromProto, toProto } from "../src/message.js";
import { Lane, Queue, Session, Verdict } from "../src/session.js";

/**
 * @typedef {import("@bufbuild/protobuf").MessageInitShape<typeof AttachResponseSchema>["kind"]} ResponseKind
 * @typedef {import("../src/gen/attach_pb.js").AttachRequest} AttachRequest
 * @typedef {import("../src/gen/attach_pb.js").AttachResponse} AttachResponse
 * @typedef {import("../src/gen/attach_pb.js").Result} Result
 * @typedef {import("../src/gen/message_pb.js").Message} WireMessage
 * @typedef {import("../src/session.js").Event} Event
 */

/** @param {ResponseKind} kind */
const response = (kind) => create(AttachResponseSchema, { kind });

/** @param {number} n */
const named = (n) => Array.from({ length: n }, () => create(MessageSchema, { name: "$.A" }));

/** The daemon's side of one session, which echoes what is sent, and has a result for each tag. */
class Daemon {
  /** @type {string[]} the names of what was sent, in order */
  taken = [];
  received = 0;
  /** @type {(WireMessage | Result)[]} numbered from 1 */
  events = [];
  sent = 0;
  acked = 0;

  /** @param {number} window */
  constructor(window) {
    this.window = window;
  }

  /** @param {number} expected the next event that the program expects */
  welcome(expected) {
    assert.ok(expected > this.acked && expected <= this.sent + 1);
    this.sent = expected - 1;
    return response({ case: "welcome", value: {
      protocolVersion: 1, sessionId: new Uint8Array(16).fill(1), instanceId: new Uint8Array(16).fill(2), ksock: 7, graceMs: 10_000n,
      expectedSequence: BigInt(this.received + 1), windowMessages: this.window, windowBytes: 1n << 20n,
    } });
  }

  /** @param {AttachRequest} frame */
  take({ kind }) {
    if (kind.case === "ack") this.acked = Math.max(this.acked, Number(kind.value.sequence));
    if (kind.case !== "batch") return;
    const batch = kind.value;
    this.acked = Math.max(this.acked, Number(batch.ack));
    assert.equal(batch.firstSequence, BigInt(this.received + 1));
    const operations = [...batch.operations];
    for (let i = 0; i <= batch.messages.length; i++) {
      while (operations[0]?.after === i) {
        const { message, tag } = /** @type {import("../src/gen/attach_pb.js").Operation} */ (operations.shift());
        assert.ok(message);
        this.#echo(message);
        if (tag) this.events.push(create(ResultSchema, { tag }));
      }
      if (i < batch.messages.length) this.#echo(batch.messages[i]);
    }
    assert.equal(operations.length, 0);
  }

  /** @param {WireMessage} m */
  #echo({ name }) {
    this.received++;
    this.taken.push(name);
    this.events.push(create(MessageSchema, { name: `$.Echo.${name.slice(2)}` }));
  }

  next() {
    /** @type {WireMessage[]} */
    const messages = [];
    /** @type {Result[]} */
    const results = [];
    const firstSequence = BigInt(this.sent + 1);
    for (const event of this.events.slice(this.sent, this.sent + 3)) {
      if (event.$typeName === "kbus.limpet.v1.Result") results.push({ ...event, after: messages.length });
      else messages.push(event);
      this.sent++;
    }
    if (messages.length + results.length === 0) return undefined;
    return response({ case: "batch", value: { firstSequence, ack: BigInt(this.received), messages, results } });
  }
}

/** A session and a daemon, with a stream between them that is cut before or after one frame. */
class Run {
  session = new Session(KsockMode.BOTH);
  frames = 0;
  now = 0;
  /** @type {string[]} */
  came = [];
  /** @type {Event[]} a program takes its time */
  undecided = [];

  /** @param {{ cut?: number, deliver?: boolean, window?: number }} [how] */
  constructor({ cut = -1, deliver = false, window = 4096 } = {}) {
    this.daemon = new Daemon(window);
    this.cut = cut;
    this.deliver = deliver;
    this.attach();
  }

  attach() {
    for (;;) {
      const { kind } = this.session.greeting();
      assert.equal(kind.case, "hello");
      if (!this.passes() || kind.case !== "hello") continue;
      const welcome = this.daemon.welcome(Number(kind.value.expectedSequence));
      if (!this.passes()) continue;
      this.session.welcome(this.now, welcome);
      return;
    }
  }

  passes() {
    return this.frames++ !== this.cut;
  }

  /** @param {number} i */
  put(i) {
    this.session.put({ action: Action.SEND, wait: true, tag: i % 3 === 0 ? BigInt(i) : 0n }, Lane.NORMAL, new Message(`$.N${i}`, "x".repeat(i)), this.now);
  }

  /** Carries one frame each way; returns false when there is none. */
  step() {
    this.now += 10;
    let some = false;
    const { frame } = this.session.next(this.now);
    if (frame) {
      some = true;
      const whole = this.passes();
      if (whole || this.deliver) this.daemon.take(fromBinary(AttachRequestSchema, toBinary(AttachRequestSchema, frame)));
      if (!whole) {
        this.attach();
        return true;
      }
    }
    const back = this.daemon.next();
    if (back) {
      some = true;
      const whole = this.passes();
      if (whole || this.deliver) {
        for (const e of this.session.receive(back)) {
          this.came.push(e.message?.name ?? `result ${e.result?.tag}`);
          this.undecided.push(e);
        }
      }
      if (!whole) this.attach();
    }
    const first = this.undecided[0];
    if (first && (!some || this.undecided.length > 4)) {
      this.undecided.shift();
      this.session.decided(this.now, first);
      return true;
    }
    return some;
  }

  play() {
    for (let i = 1; i <= 12; i++) {
      this.put(i);
      if (i % 4 === 0) this.step();
    }
    while (this.step());
    return this;
  }
}

test("cut before and after every frame", () => {
  const whole = new Run().play();
  assert.equal(whole.daemon.taken.length, 12);
  assert.equal(whole.came.length, 16);
  for (let cut = 0; cut < whole.frames; cut++) {
    for (const deliver of [false, true]) {
      const run = new Run({ cut, deliver }).play();
      assert.deepEqual([run.daemon.taken, run.came], [whole.daemon.taken, whole.came], `cut ${cut}, ${deliver}`);
      assert.ok(run.session.idle());
      assert.equal(run.daemon.acked, run.daemon.events.length);
    }
  }
});

test("the window", () => {
  const run = new Run({ window: 4 });
  for (let i = 1; i <= 4; i++) {
    assert.ok(run.session.room());
    run.put(i);
  }
  assert.ok(!run.session.room());
  run.session.put({ action: Action.CANCEL, value: 1n }, Lane.CONTROL);
  run.session.next(0);
  run.session.receive(response({ case: "ack", value: { sequence: 2n } }));
  assert.ok(run.session.room());
});

test("a large message goes alone", () => {
  const run = new Run();
  for (const size of [10, 40_000, 10]) run.session.put({ action: Action.SEND }, Lane.NORMAL, new Message("$.A", "x".repeat(size)));
  const sizes = [];
  for (let f; (f = run.session.next(1).frame); ) sizes.push(f.kind.case === "batch" && f.kind.value.messages.length);
  assert.deepEqual(sizes, [1, 1, 1]);
});

test("a deadline is what is left", () => {
  const run = new Run();
  run.session.put({ action: Action.SEND }, Lane.NORMAL, new Message("$.A", "", { expiresIn: 2000 }), 0);
  const left = (/** @type {number} */ now) => {
    const kind = run.session.next(now).frame?.kind;
    return kind?.case === "batch" && kind.value.messages[0].expiresInMs;
  };
  assert.equal(left(500), 1500n);
  run.attach();
  assert.equal(left(1999.999), 1n);
});

test("pings and acknowledgements", () => {
  const { session } = new Run();
  assert.deepEqual(session.next(0), { again: 3000, over: false });
  assert.equal(session.next(3000).frame?.kind.case, "ping");
  const [one, two] = session.receive(response({ case: "batch", value: { firstSequence: 1n, messages: named(2) } }));
  session.decided(3000, two); // in any order
  assert.equal(session.next(3100).frame, undefined);
  session.decided(3100, one);
  assert.equal(session.next(3100).frame, undefined); // it may ride on a batch
  const kind = session.next(3110).frame?.kind;
  assert.equal(kind?.case === "ack" && kind.value.sequence, 2n);
  assert.equal(session.next(3200).frame, undefined);
});

test("bad frames", () => {
  /** @type {Record<string, ResponseKind>} */
  const bad = {
    empty: { case: "batch", value: { firstSequence: 1n } },
    gap: { case: "batch", value: { firstSequence: 2n, messages: named(1) } },
    wrapped: { case: "batch", value: { firstSequence: (1n << 64n) - 1n, messages: named(1) } },
    many: { case: "batch", value: { firstSequence: 1n, messages: named(257) } },
    after: { case: "batch", value: { firstSequence: 1n, messages: named(1), results: [{ after: 2 }] } },
    order: { case: "batch", value: { firstSequence: 1n, messages: named(1), results: [{ after: 1 }, {}] } },
    ack: { case: "ack", value: { sequence: 1n } },
    "large ack": { case: "ack", value: { sequence: 1n << 63n } },
    ping: { case: "ping", value: { receivedSequence: 1n } },
    welcome: new Daemon(1).welcome(1).kind,
  };
  for (const [what, kind] of Object.entries(bad)) {
    assert.throws(() => new Run().session.receive(response(kind)), (e) => e instanceof Verdict && e.code === ErrorCode.PROTOCOL && !e.remote, what);
  }
  assert.deepEqual(new Run().session.receive(response(undefined)), []); // of a kind that is not known
});

test("bad welcomes", () => {
  for (const change of [
    { protocolVersion: 2 }, { sessionId: new Uint8Array(1) }, { sessionId: new Uint8Array(16) }, { windowMessages: 0 }, { expectedSequence: 2n },
    { expectedSequence: 0n }, { expectedSequence: 1n << 62n },
  ]) {
    const run = new Run();
    const welcome = run.daemon.welcome(1);
    Object.assign(welcome.kind.value ?? {}, change);
    assert.throws(() => run.session.welcome(0, welcome), Verdict, JSON.stringify(change, (_, v) => String(v)));
  }
  const refusal = response({ case: "error", value: { code: ErrorCode.EXPIRED, message: "it is over" } });
  assert.throws(() => new Session(KsockMode.BOTH).welcome(0, refusal), (e) => e instanceof Verdict && e.remote && e.final);
});

test("memory is bounded", () => {
  const { session } = new Run();
  const messages = [create(MessageSchema, { name: "$.A", data: new Uint8Array(1 << 19) })];
  let frames = 0;
  assert.throws(() => {
    for (; frames < 100; frames++) session.receive(response({ case: "batch", value: { firstSequence: BigInt(frames + 1), messages } }));
  }, Verdict);
  assert.ok(frames < 10);
});

test("the end", () => {
  const run = new Run();
  run.put(1);
  run.session.end(new Verdict(ErrorCode.PROTOCOL, "no"));
  const last = run.session.next(0);
  assert.equal(last.frame?.kind.case, "error");
  assert.ok(!last.over);
  assert.ok(run.session.next(0).over);
});

test("numbers of 64 bits", () => {
  const value = wireId(new MsgId(0xfedcba98, 0x76543210));
  assert.equal(value, 0xfedcba9876543210n);
  const there = fromBinary(OperationSchema, toBinary(OperationSchema, create(OperationSchema, { value, tag: (1n << 53n) + 1n })));
  assert.deepEqual([there.value, there.tag], [value, (1n << 53n) + 1n]);
});

test("messages", () => {
  const q = fromProto(create(MessageSchema, { name: "$.Q", idNetwork: 1, idSerial: 2, from: 3, flags: 0x80010003 }));
  assert.ok(q.isRequest && q.wantsUsToReply && !q.isReply);
  assert.equal(toProto(q).flags, 0x80010003);
  const a = q.reply("ja");
  assert.deepEqual([a.name, a.text, a.to, String(a.inReplyTo), a.kind], ["$.Q", "ja", 3, "[1:2]", "reply"]);
  const replier = fromProto(create(MessageSchema, { name: "$.Q", from: 9, origFromNetwork: 2, origFromLocal: 4 }));
  const more = Message.request("$.Q", "", { replier });
  assert.deepEqual([more.to, String(more.finalTo), more.kind, more.flags], [9, "{2:4}", "stateful request", Flags.WANT_A_REPLY]);
  assert.ok(!String(new Message("$.A", "secret")).includes("secret"));
  assert.equal(toProto(new Message("$.A", "", { flags: 1 << 31 })).flags, 2 ** 31);
  assert.equal(toProto(new Message("$.\ud800")).name, "$.\ufffd"); // half a character
  for (const bad of [{ to: -1 }, { to: 2 ** 32 }, { to: 0.5 }, { flags: NaN }]) assert.throws(() => toProto(new Message("$.A", "", bad)), RangeError);
  assert.throws(() => toProto(new Message("$.A", /** @type {any} */ (7))), TypeError);
});

test("traces", () => {
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const wire = toProto(new Message("$.A", "", { traceparent }));
  assert.equal(wire.traceContext.length, 25);
  assert.equal(fromProto(wire).traceparent, traceparent);
  assert.equal(fromProto(create(MessageSchema, { name: "$.A", traceContext: new Uint8Array(3) })).traceparent, "");
  for (const bad of ["x", traceparent.toUpperCase(), `${traceparent}0`, `01${traceparent.slice(2)}`]) {
    assert.throws(() => toProto(new Message("$.A", "", { traceparent: bad })), TypeError, bad);
  }
});

test("a queue gives its memory back, and keeps its order", () => {
  /** @type {Queue<number>} */
  const queue = new Queue();
  let [put, taken] = [0, 0];
  for (let round = 0; round < 50; round++) {
    for (let i = 0; i < round; i++) queue.push(put++);
    for (let i = 0; i < round - 1; i++) assert.equal(queue.shift(), taken++);
    assert.equal(queue.length, put - taken);
    if (queue.length > 0) assert.equal(queue.at(queue.length - 1), put - 1);
  }
});
