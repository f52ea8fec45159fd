/** One Attach call. */

import { fromBinary, toBinary } from "@bufbuild/protobuf";
import grpc from "@grpc/grpc-js";
import { StatusError } from "./errors.js";
import { AttachRequestSchema, AttachResponseSchema } from "./gen/attach_pb.js";
import { ErrorInfoSchema, StatusSchema } from "./gen/limpet_status_pb.js";
import { ErrorCode } from "./gen/link_pb.js";
import { Queue, Verdict } from "./session.js";
import { FOREVER, Limit, Waiting } from "./wait.js";

/**
 * @typedef {import("./gen/attach_pb.js").AttachRequest} AttachRequest
 * @typedef {import("./gen/attach_pb.js").AttachResponse} AttachResponse
 * @typedef {import("./address.js").Target} Target
 */

export const BUS_SERVICE = "/kbus.limpet.v1.BusService/";
const CLOSE_TIMEOUT = 1000;

// A connection whose other end is dead is noticed within 12 s.
const OPTIONS = {
  "grpc.max_receive_message_length": 1 << 20,
  "grpc.keepalive_time_ms": 6000,
  "grpc.keepalive_timeout_ms": 6000,
  "grpc.keepalive_permit_without_calls": 1,
};

/** A stream that has ended without a reason of the daemon's. */
export class Lost extends Error {}

/** The program's end of an Attach call, on a connection of its own. It must be closed. */
export class Stream {
  #client;
  #call;
  /** @type {Queue<Buffer>} */
  #frames = new Queue();
  #news = new Waiting();
  #drained = new Waiting();
  /** @type {Error | undefined} why nothing more comes */
  #ended;

  /**
   * Throws what the target's dial does.
   *
   * @param {Target} to
   */
  constructor(to) {
    this.#client = to.dial(OPTIONS);
    this.#call = this.#client.makeBidiStreamRequest(BUS_SERVICE + "Attach", bytes, bytes, new grpc.Metadata());
    this.#call.on("data", (/** @type {Buffer} */ frame) => {
      this.#frames.push(frame);
      this.#news.wakeAll();
    });
    this.#call.on("drain", () => this.#drained.wakeAll());
    this.#call.on("error", () => {}); // the status says it
    this.#call.on("status", (/** @type {grpc.StatusObject} */ status) => {
      this.#ended = whyEnded(status);
      this.#news.wakeAll();
      this.#drained.wakeAll();
    });
  }

  /**
   * Sends a frame, and returns when the next one may be sent. Throws Lost or a Verdict.
   *
   * @param {AttachRequest} frame
   */
  async write(frame) {
    if (this.#ended) throw this.#ended;
    if (!this.#call.write(toBinary(AttachRequestSchema, frame))) await this.#drained.wait(FOREVER);
  }

  /**
   * Returns the next frame. Throws Lost, a Verdict, or what the limit does.
   *
   * @param {Limit} limit
   * @returns {Promise<AttachResponse>}
   */
  async read(limit) {
    while (this.#frames.length === 0) {
      if (this.#ended) throw this.#ended;
      await this.#news.wait(limit);
    }
    const frame = this.#frames.shift();
    try {
      return fromBinary(AttachResponseSchema, frame);
    } catch (e) {
      throw new Verdict(ErrorCode.PROTOCOL, `a frame cannot be read: ${e instanceof Error ? e.message : e}`);
    }
  }

  /** Tells the daemon that no more comes, and waits a little for it to end the call. */
  async finish() {
    const limit = new Limit({ timeout: CLOSE_TIMEOUT });
    if (!this.#ended) this.#call.end();
    try {
      while (!this.#ended) await this.#news.wait(limit);
    } catch {
      // it is ended now
    }
  }

  /** Ends the call and the connection at once. */
  close() {
    this.#call.cancel();
    this.#client.close();
  }
}

/**
 * Returns why an Attach call has ended, without gRPC's words.
 *
 * @param {grpc.StatusObject} status
 */
function whyEnded({ code, details }) {
  switch (code) {
    case grpc.status.OK:
      return new Lost("the daemon closed the stream");
    case grpc.status.ABORTED:
      return new Verdict(ErrorCode.REPLACED, details, true);
    case grpc.status.UNIMPLEMENTED:
      return new Verdict(ErrorCode.VERSION, "the daemon offers no Ksocks to programs: it is an older one", true);
    case grpc.status.PERMISSION_DENIED:
    case grpc.status.UNAUTHENTICATED:
      return new Verdict(ErrorCode.NOT_AUTHORISED, details, true);
  }
  return new Lost(details || `the stream ended: ${grpc.status[code]}`);
}

/**
 * Returns the error of a call as one of ours, and the name of the bus's errno in it, or "".
 *
 * @param {grpc.ServiceError} e
 * @returns {[StatusError, string]}
 */
export function statusError(e) {
  const ours = new StatusError(grpc.status[e.code], e.details || grpc.status[e.code]);
  for (const value of e.metadata?.get("grpc-status-details-bin") ?? []) {
    try {
      return [ours, typeof value === "string" ? "" : errnoIn(value)];
    } catch {
      // it is no status of ours
    }
  }
  return [ours, ""];
}

/**
 * Returns the name of the bus's errno in a google.rpc.Status, or "". Throws if it is none.
 *
 * @param {Uint8Array} status
 */
function errnoIn(status) {
  for (const { typeUrl, value } of fromBinary(StatusSchema, status).details) {
    if (!typeUrl.endsWith("/google.rpc.ErrorInfo")) continue;
    const { domain, metadata } = fromBinary(ErrorInfoSchema, value);
    if (domain === "kbus") return metadata["errno"] ?? "";
  }
  return "";
}

/**
 * Returns bytes as the Buffer that grpc-js wants.
 *
 * @param {Uint8Array} b
 */
export function bytes(b) {
  return Buffer.from(b.buffer, b.byteOffset, b.byteLength);
}
