/** A daemon's bus. */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import grpc from "@grpc/grpc-js";
import { defaultAddress, parse } from "./address.js";
import { Caller } from "./caller.js";
import { BusError, Closed, neverLeft } from "./errors.js";
import { LinkState, WatchLinksRequestSchema, WatchLinksResponseSchema } from "./gen/admin_pb.js";
import { KsockMode } from "./gen/attach_pb.js";
import {
  FindReplierRequestSchema, FindReplierResponseSchema, ListBindingsRequestSchema, ListBindingsResponseSchema,
  WatchBindingsRequestSchema, WatchBindingsResponseSchema, WatchRepliersRequestSchema, WatchRepliersResponseSchema,
} from "./gen/bus_pb.js";
import { Ksock } from "./ksock.js";
import { Listener, Server } from "./listener.js";
import { Message } from "./message.js";
import { BUS_SERVICE, bytes, statusError } from "./stream.js";
import { Limit } from "./wait.js";
import { Watch } from "./watch.js";

/**
 * @typedef {import("@bufbuild/protobuf").DescMessage} DescMessage
 * @typedef {import("./address.js").TLS} TLS
 * @typedef {import("./ksock.js").WaitOptions} WaitOptions
 */

/**
 * A name that a Ksock has bound; replier says how.
 *
 * @typedef {object} Binding
 * @property {number} ksock
 * @property {string} name
 * @property {boolean} replier
 */

/**
 * A name that somebody replies to.
 *
 * @typedef {object} Replier
 * @property {number} ksock
 * @property {string} name
 * @property {string} link the name of the link over which the replier is reached, "" if it is on the daemon's bus
 * @property {number} networkId the network of that link's peer, or 0
 */

/**
 * A link of the daemon's. Of one that is gone only the name is told.
 *
 * @typedef {object} Link
 * @property {string} name
 * @property {string} state "connecting", "up", "draining" or "detached"
 * @property {number} networkId
 * @property {string} lastError
 * @property {string} transport
 * @property {string} identity
 */

/**
 * How a message is sent.
 *
 * @typedef {object} MessageOptions
 * @property {number} [flags] Flags, or'ed; the upper 16 bits are the user's
 * @property {string} [traceparent] the trace that it belongs to, as W3C's header of that name has it
 */

/** @typedef {WaitOptions & MessageOptions} SendOptions */
/** @typedef {SendOptions & { replier?: Message }} CallOptions */

const CALL_QUEUE = 1 << 16; // how many replies may wait on the bus, and so how many requests may be open
const ADMIN_SERVICE = "/kbus.limpet.v1.AdminService/";
const OPTIONS = {
  "grpc.keepalive_time_ms": 10_000, "grpc.keepalive_timeout_ms": 20_000,
  "grpc.initial_reconnect_backoff_ms": 200, "grpc.max_reconnect_backoff_ms": 5000,
};

/**
 * Returns the bus of the daemon whose API is at address: host:port, or the path of a Unix socket;
 * without one it is a limpetd of this user on this machine. It does not wait for the daemon; the
 * first call does, or fails. Over TCP to another machine it takes tls, or insecure: true. Throws
 * TypeError for what is no address.
 *
 * @param {string} [address]
 * @param {{ tls?: TLS, insecure?: boolean }} [options]
 */
export function open(address = defaultAddress(), { tls, insecure = false } = {}) {
  return new Bus(parse(address, tls, insecure));
}

/** A daemon's bus, made by open, and to be closed. Any number of calls may be under way at a time. */
export class Bus {
  #target;
  /** @type {Caller | undefined} */
  #caller;
  /** @type {Promise<Caller> | undefined} */
  #opening; // the caller
  /** @type {grpc.Client | undefined} */
  #client;
  /** @type {Set<{ cancel(): void }>} */
  #underWay = new Set(); // calls of the client
  #closed = false;

  /**
   * @internal
   * @param {import("./address.js").Target} target
   */
  constructor(target) {
    this.#target = target;
  }

  /**
   * Opens a Ksock: to read from, to write to, or both. Throws Unreachable. It outlives this Bus.
   *
   * @param {"read" | "write" | "both"} [mode]
   */
  async ksock(mode = "both") {
    const ksock = new Ksock(this.#target, { read: KsockMode.READ, write: KsockMode.WRITE, both: KsockMode.BOTH }[mode]);
    await ksock._attached.open();
    return ksock;
  }

  /**
   * Sends an announcement, and returns its id. Throws BusError, and Unreachable; Closed means that
   * the daemon went away meanwhile, and nobody knows whether it was sent. With Flags.ALL_OR_WAIT it
   * waits for room until the timeout is over.
   *
   * @param {string} name
   * @param {Uint8Array | string} [data]
   * @param {SendOptions} [options]
   */
  async send(name, data, options = {}) {
    const message = new Message(name, data, { flags: options.flags, traceparent: options.traceparent });
    const caller = await this.#calls(new Limit({ signal: options.signal }));
    return caller.ksock.send(message, options);
  }

  /**
   * Sends a request, and returns the reply that a replier has written. Everything else is a
   * NoAnswer, which tells whether the request may have run: NeverRan, MayHaveRun or Expired.
   *
   * The timeout, in milliseconds, goes with the request, so that no replier is given it in vain.
   * When it is over, or the signal aborts the call, a request that no replier has read is taken back
   * where the bus can do that. replier is the reply before in a dialogue: who wrote that must answer
   * this too.
   *
   * @param {string} name
   * @param {Uint8Array | string} [data]
   * @param {CallOptions} [options]
   */
  async call(name, data, options = {}) {
    const limit = new Limit(options);
    let caller;
    try {
      caller = await this.#calls(limit);
      limit.check();
    } catch (e) {
      throw neverLeft(name, e);
    }
    const { flags, replier, traceparent } = options;
    const expiresIn = options.timeout === undefined ? undefined : limit.left;
    return caller.call(Message.request(name, data, { flags, replier, traceparent, expiresIn }), limit);
  }

  /**
   * Listens to names and wildcards; for await gives what is heard. maxMessages bounds what may wait
   * on the bus, 0 is the bus's own bound; with onlyOnce a message that several names match is heard
   * once. It resumes as a Ksock does.
   *
   * @param {string | string[]} names
   * @param {{ maxMessages?: number, onlyOnce?: boolean }} [options]
   */
  async listen(names, { maxMessages = 0, onlyOnce = false } = {}) {
    return new Listener(await this.#bound(names, false, maxMessages, onlyOnce));
  }

  /**
   * Replies to names and wildcards; for await gives the requests. It resumes as a Ksock does, and
   * keeps what it owes.
   *
   * @param {string | string[]} names
   * @param {{ maxMessages?: number }} [options]
   */
  async serve(names, { maxMessages = 0 } = {}) {
    return new Server(await this.#bound(names, true, maxMessages, false));
  }

  /**
   * Asks who replies to a name, wildcards considered; the name in the answer is what was bound.
   *
   * @param {string} name
   * @returns {Promise<Binding | undefined>}
   */
  async findReplier(name) {
    const request = create(FindReplierRequestSchema, { name });
    const r = await this.#unary("FindReplier", FindReplierRequestSchema, request, FindReplierResponseSchema, name);
    return r.found ? { ksock: r.ksock, name: r.binding, replier: true } : undefined;
  }

  /** Lists what is bound, newest first. */
  async bindings() {
    /** @type {Binding[]} */
    const all = [];
    let pageToken = "";
    do {
      const request = create(ListBindingsRequestSchema, { pageToken });
      const r = await this.#unary("ListBindings", ListBindingsRequestSchema, request, ListBindingsResponseSchema);
      all.push(...r.bindings.map(binding));
      pageToken = r.nextPageToken;
    } while (pageToken);
    return all;
  }

  /**
   * Watches what is bound: names that have a name in common with the name or wildcard given; "" is
   * all. Only the embedded bus can be watched, of a device it throws StatusError, code UNIMPLEMENTED.
   *
   * @param {string} [name]
   * @param {{ signal?: AbortSignal }} [options]
   */
  watchBindings(name = "", { signal } = {}) {
    const request = create(WatchBindingsRequestSchema, { name });
    return this.#watch(BUS_SERVICE + "WatchBindings", WatchBindingsRequestSchema, request, WatchBindingsResponseSchema, signal,
      ({ bound, unbound, whole, restart }) => ({ gone: unbound.map(binding), here: bound.map(binding), whole, restart }));
  }

  /**
   * Watches likewise who replies to a name, or to any name of a wildcard: on the daemon's bus, and
   * over its links on any other.
   *
   * @param {string} name
   * @param {{ signal?: AbortSignal }} [options]
   */
  watchRepliers(name, { signal } = {}) {
    const request = create(WatchRepliersRequestSchema, { name });
    return this.#watch(BUS_SERVICE + "WatchRepliers", WatchRepliersRequestSchema, request, WatchRepliersResponseSchema, signal,
      ({ gone, here, whole, restart }) => ({ gone: gone.map(replier), here: here.map(replier), whole, restart }));
  }

  /**
   * Watches likewise the daemon's links, or the one of that name.
   *
   * @param {string} [link]
   * @param {{ signal?: AbortSignal }} [options]
   */
  watchLinks(link = "", { signal } = {}) {
    const request = create(WatchLinksRequestSchema, { link });
    return this.#watch(ADMIN_SERVICE + "WatchLinks", WatchLinksRequestSchema, request, WatchLinksResponseSchema, signal,
      ({ removed, links, whole }) => ({ gone: removed.map((name) => linkStatus({ name })), here: links.map(linkStatus), whole, restart: false }));
  }

  /**
   * Closes the Ksock that sends and asks: calls that wait fail, and watches with them. Closing again
   * does nothing.
   */
  async close() {
    this.#closed = true;
    const [caller, client] = [this.#caller, this.#client];
    this.#caller = this.#client = undefined;
    await this.#opening?.then((late) => late.close(), () => {});
    await caller?.close();
    for (const call of this.#underWay) call.cancel();
    client?.close();
  }

  /**
   * Returns the caller, on a Ksock that lives.
   *
   * @param {Limit} limit
   */
  async #calls(limit) {
    if (this.#closed) throw new Closed("the bus is closed");
    if (this.#caller?.live) return this.#caller;
    if (!this.#opening) {
      this.#opening = this.#openCaller().finally(() => (this.#opening = undefined));
      this.#opening.catch(() => {}); // those who wait hear of it, if any still do
    }
    return limit.wait(this.#opening);
  }

  async #openCaller() {
    const old = this.#caller;
    this.#caller = undefined;
    await old?.close(); // its session is over
    const ksock = await this.ksock();
    try {
      await ksock.prefetch();
      await ksock.maxMessages(CALL_QUEUE);
    } catch (e) {
      await ksock.close();
      throw e;
    }
    const caller = new Caller(ksock);
    if (!this.#closed) this.#caller = caller;
    return caller;
  }

  /**
   * @param {string | string[]} names
   * @param {boolean} replier
   * @param {number} maxMessages
   * @param {boolean} onlyOnce
   */
  async #bound(names, replier, maxMessages, onlyOnce) {
    const all = typeof names === "string" ? [names] : names;
    if (all.length === 0) throw new TypeError("give at least one name");
    const ksock = await this.ksock(replier ? "both" : "read");
    try {
      if (maxMessages) await ksock.maxMessages(maxMessages);
      if (onlyOnce) await ksock.onlyOnce(true);
      for (const name of all) await ksock.bind(name, { replier });
    } catch (e) {
      await ksock.close();
      throw e;
    }
    return ksock;
  }

  #conn() {
    if (this.#closed) throw new Closed("the bus is closed");
    return (this.#client ??= this.#target.dial(OPTIONS));
  }

  /**
   * @template {DescMessage} Req
   * @template {DescMessage} Res
   * @param {string} method
   * @param {Req} requestSchema
   * @param {import("@bufbuild/protobuf").MessageShape<Req>} request
   * @param {Res} responseSchema
   * @param {string} [name]
   * @returns {Promise<import("@bufbuild/protobuf").MessageShape<Res>>}
   */
  #unary(method, requestSchema, request, responseSchema, name = "") {
    const parsed = (/** @type {Buffer} */ b) => fromBinary(responseSchema, b);
    return new Promise((resolve, reject) => {
      const call = this.#conn().makeUnaryRequest(BUS_SERVICE + method, bytes, parsed, toBinary(requestSchema, request), (e, response) => {
        this.#underWay.delete(call);
        if (response) resolve(response);
        else reject(e ? failed(method, name, e) : new Closed("there is no response"));
      });
      this.#underWay.add(call);
    });
  }

  /**
   * @template {DescMessage} Req
   * @template {DescMessage} Res
   * @template T
   * @param {string} method
   * @param {Req} requestSchema
   * @param {import("@bufbuild/protobuf").MessageShape<Req>} request
   * @param {Res} responseSchema
   * @param {AbortSignal | undefined} signal
   * @param {(response: import("@bufbuild/protobuf").MessageShape<Res>) => import("./watch.js").Changes<T>} changes
   * @returns {Watch<T>}
   */
  #watch(method, requestSchema, request, responseSchema, signal, changes) {
    const parsed = (/** @type {Buffer} */ b) => changes(fromBinary(responseSchema, b));
    const call = this.#conn().makeServerStreamRequest(method, bytes, parsed, toBinary(requestSchema, request));
    this.#underWay.add(call);
    call.on("status", () => this.#underWay.delete(call));
    return new Watch(call, (e) => failed("watch", "", e), signal);
  }
}

/**
 * @param {string} op
 * @param {string} name
 * @param {grpc.ServiceError} e
 */
function failed(op, name, e) {
  const [ours, errno] = statusError(e);
  return errno ? new BusError(op, name, errno, ours.message) : ours;
}

/** @param {import("./gen/bus_pb.js").Binding} b @returns {Binding} */
function binding({ ksock, name, isReplier }) {
  return { ksock, name, replier: isReplier };
}

/** @param {import("./gen/bus_pb.js").Replier} r @returns {Replier} */
function replier({ ksock, name, link, networkId }) {
  return { ksock, name, link, networkId };
}

/** @param {Partial<import("./gen/admin_pb.js").LinkStatus>} s @returns {Link} */
function linkStatus({ name = "", state, peerNetworkId = 0, lastError = "", transport = "", identity = "" }) {
  return { name, state: state ? (LinkState[state] ?? `state ${state}`).toLowerCase() : "", networkId: peerNetworkId, lastError, transport, identity };
}
