/** What can go wrong, and what it means. */

/** @typedef {import("./message.js").Message} Message */

/** The base of all errors of this package. */
export class LimpetError extends Error {
  static {
    this.prototype.name = "LimpetError";
  }
}

/** The bus refused what was asked of it; code is the errno's name, such as "EADDRNOTAVAIL". */
export class BusError extends LimpetError {
  static {
    this.prototype.name = "BusError";
  }

  /**
   * @param {string} op what was being done: "bind", "send"
   * @param {string} subject the name concerned; may be empty
   * @param {string} code
   * @param {string} [message]
   */
  constructor(op, subject, code, message = "") {
    super(`${subject ? `${op} ${subject}` : op}: ${meaning(code, message)}`);
    /** @readonly */
    this.op = op;
    /** @readonly */
    this.subject = subject;
    /** @readonly */
    this.code = code;
  }
}

/**
 * The Ksock is over: it was closed here, or its session with the daemon was lost. Of the latter the
 * message says why; what had no result by then may have happened.
 */
export class Closed extends LimpetError {
  static {
    this.prototype.name = "Closed";
  }
}

/** The daemon cannot be reached, or does not let this program in. */
export class Unreachable extends LimpetError {
  static {
    this.prototype.name = "Unreachable";
  }
}

/** A timeout that was given is over. */
export class TimedOut extends LimpetError {
  static {
    this.prototype.name = "TimedOut";
  }
}

/** What the daemon, or gRPC in its place, says of a call that failed. */
export class StatusError extends LimpetError {
  static {
    this.prototype.name = "StatusError";
  }

  /**
   * @param {string} code gRPC's name for it, such as "UNIMPLEMENTED"
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    /** @readonly */
    this.code = code;
  }
}

/** What became of a request. @typedef {"ANSWERED" | "NEVER_RAN" | "MAY_HAVE_RUN" | "EXPIRED"} Outcome */

/**
 * No replier has answered a request. It is always one of the classes below, which tell whether the
 * request may have run.
 */
export class NoAnswer extends LimpetError {
  /**
   * What became of the request.
   *
   * @type {Exclude<Outcome, "ANSWERED">}
   * @readonly
   */
  outcome = "MAY_HAVE_RUN";

  /**
   * @param {string} subject the request's name
   * @param {{ reason?: string, reply?: Message, why?: string, cause?: unknown }} [what]
   * @param {string} [promise]
   */
  constructor(subject, { reason = "", reply, why, cause } = {}, promise = "it may have run") {
    super(`no answer to ${subject}: ${why || explain(reason)}; ${promise}`, cause === undefined ? undefined : { cause });
    /** The request's name. @readonly */
    this.subject = subject;
    /**
     * The word of the bus or limpet that answered in the replier's place, such as
     * "Replier.GoneAway" or "RemoteError.EADDRNOTAVAIL"; the errno's name if our own bus refused
     * the request; empty if nobody has said anything.
     *
     * @readonly
     */
    this.reason = reason;
    /** What the bus or limpet answered, if it did. @readonly */
    this.reply = reply;
    /** The name of the errno in the reason, if there is one. @readonly */
    this.code = errnoName(withoutPrefix(reason, REMOTE));
  }
}

/** No replier has read the request, and none will: it is safe to repeat. */
export class NeverRan extends NoAnswer {
  static {
    this.prototype.name = "NeverRan";
  }
  /** @type {"NEVER_RAN" | "EXPIRED"} @override */
  outcome = "NEVER_RAN";

  /**
   * @param {string} subject
   * @param {ConstructorParameters<typeof NoAnswer>[1]} [what]
   * @param {string} [promise]
   */
  constructor(subject, what, promise = "it never ran, and is safe to repeat") {
    super(subject, what, promise);
  }
}

/** A replier may have read the request, and may have carried it out. */
export class MayHaveRun extends NoAnswer {
  static {
    this.prototype.name = "MayHaveRun";
  }
}

/** The deadline passed before a replier was given the request, which never ran. */
export class Expired extends NeverRan {
  static {
    this.prototype.name = "Expired";
  }
  /** @type {"EXPIRED"} @override */
  outcome = "EXPIRED";

  /**
   * @param {string} subject
   * @param {ConstructorParameters<typeof NoAnswer>[1]} [what]
   */
  constructor(subject, what) {
    super(subject, what, "it never ran");
  }
}

/** What the bus has refused of all that was posted. */
export class Refused extends LimpetError {
  static {
    this.prototype.name = "Refused";
  }

  /**
   * @param {BusError[]} errors one for each message, in order; at most a thousand are kept
   * @param {number} more how many there were beyond those
   */
  constructor(errors, more) {
    super(`${errors.length + more} messages were refused, the first one: ${errors[0]?.message}`);
    /** @readonly */
    this.errors = errors;
    /** @readonly */
    this.more = more;
  }
}

/**
 * The errnos that a bus has, with what they mean.
 *
 * @type {Record<string, string>}
 */
const MEANING = {
  EACCES: "the rules of the daemon do not allow it",
  EADDRINUSE: "another replier is bound to that name",
  EADDRNOTAVAIL: "nobody is there to take it: no replier is bound, or the requester has gone",
  EAGAIN: "a queue is full; try again",
  EALREADY: "an earlier send is still pending",
  EBADF: "the Ksock was not opened for that",
  EBADMSG: "not a valid message name",
  EBUSY: "a recipient's queue is full",
  ECONNREFUSED: "the requester is not waiting for that reply",
  EINVAL: "not a valid argument, or no such binding",
  EMSGSIZE: "the message is too large for this bus",
  ENAMETOOLONG: "the name is too long",
  ENOLCK: "our own queue has no room for the reply",
  ENOMSG: "there is no message to send",
  EPIPE: "the replier is no longer the Ksock asked for",
};

/**
 * Linux's numbers, which the C limpet tells.
 *
 * @type {Record<string, string>}
 */
const NUMBERS = {
  2: "ENOENT", 4: "EINTR", 5: "EIO", 9: "EBADF", 11: "EAGAIN", 12: "ENOMEM", 13: "EACCES", 14: "EFAULT", 16: "EBUSY", 22: "EINVAL", 25: "ENOTTY",
  32: "EPIPE", 36: "ENAMETOOLONG", 37: "ENOLCK", 42: "ENOMSG", 74: "EBADMSG", 90: "EMSGSIZE", 98: "EADDRINUSE", 99: "EADDRNOTAVAIL",
  111: "ECONNREFUSED", 114: "EALREADY",
};
const NAMES = new Set(Object.values(NUMBERS));
const PREFIX = "$.KBUS.";
const REMOTE = "RemoteError.";

/** @type {Map<string, { kind: typeof NeverRan | typeof MayHaveRun | typeof Expired, why: string }>} */
const BUS_REPLIES = new Map([
  ["Replier.GoneAway", { kind: NeverRan, why: "its replier went away before it read the request" }],
  ["Replier.Unbound", { kind: NeverRan, why: "its replier unbound before it read the request" }],
  ["Replier.Disappeared", { kind: NeverRan, why: "its replier went away while the request waited for room" }],
  ["Replier.NotSameKsock", { kind: NeverRan, why: "its replier is no longer the one asked for" }],
  ["Replier.Ignored", { kind: MayHaveRun, why: "its replier went away without an answer" }],
  ["ErrorSending", { kind: NeverRan, why: "the bus failed to send the request when it had waited for room" }],
  ["RemoteError.NotDelivered", { kind: NeverRan, why: "the link was lost before the request left" }],
  ["RemoteError.OutcomeUnknown", { kind: MayHaveRun, why: "the link was lost, or the replier keeps silent" }],
  ["RemoteError.Expired", { kind: Expired, why: "its deadline passed before a replier was given it" }],
]);

// With these a bus refuses requests that it has not queued; with the first three no replies.
const REFUSES_REQUESTS_ONLY = new Set(["EADDRNOTAVAIL", "ENOLCK", "EPIPE"]);
const REFUSES = new Set(Object.keys(MEANING).filter((code) => code !== "EACCES" && code !== "EADDRINUSE"));

/**
 * @param {string} code
 * @param {string} message
 */
function meaning(code, message) {
  return message || `${own(MEANING, code) ?? "the bus says"} (${code})`;
}

/**
 * Returns the name of an errno that is given by its name, or by Linux's number as the C limpet does.
 *
 * @param {string} word
 */
function errnoName(word) {
  return own(NUMBERS, word) ?? (NAMES.has(word) ? word : undefined);
}

/**
 * Says what the reason of a NoAnswer means.
 *
 * @param {string} reason
 */
function explain(reason) {
  const known = BUS_REPLIES.get(reason);
  if (known) return known.why;
  const code = errnoName(withoutPrefix(reason, REMOTE));
  switch (code) {
    case undefined:
      return reason ? `the bus says ${reason}` : "nobody says why";
    case "EADDRNOTAVAIL":
      return "no replier is bound to it";
    case "EBUSY":
      return "a queue on the way is full";
  }
  return `a bus on the way says: ${meaning(code, "")}`;
}

/**
 * Returns what a reply says of the request of that name that it answers: undefined if a replier has
 * written it.
 *
 * @internal
 * @param {string} subject
 * @param {Message} reply
 * @returns {NoAnswer | undefined}
 */
export function noAnswer(subject, reply) {
  if (!reply.name.startsWith(PREFIX)) return undefined;
  const reason = withoutPrefix(reply.name, PREFIX);
  const known = BUS_REPLIES.get(reason);
  if (known) return new known.kind(subject, { reason, reply });
  if (!reason.startsWith(REMOTE)) {
    // A bus may know more words; any other name is a program's own.
    return reason.startsWith("Replier.") ? new MayHaveRun(subject, { reason, reply }) : undefined;
  }
  const code = errnoName(withoutPrefix(reason, REMOTE));
  if (code === undefined) return new MayHaveRun(subject, { reason, reply });
  const ran = !REFUSES.has(code) || (!REFUSES_REQUESTS_ONLY.has(code) && !reply.origFrom.isZero);
  return new (ran ? MayHaveRun : NeverRan)(subject, { reason: REMOTE + code, reply });
}

/**
 * Returns what the refusal of a request by our own bus says of it; expired reports that it had
 * waited for room until its deadline.
 *
 * @internal
 * @param {string} subject
 * @param {BusError} cause
 * @param {boolean} expired
 */
export function refusal(subject, cause, expired) {
  const kind = REFUSES.has(cause.code) ? (expired ? Expired : NeverRan) : MayHaveRun;
  return new kind(subject, { reason: cause.code, why: cause.message, cause });
}

/**
 * Returns the error of a request that was not sent.
 *
 * @internal
 * @param {string} subject
 * @param {unknown} cause
 */
export function neverLeft(subject, cause) {
  const kind = cause instanceof TimedOut ? Expired : NeverRan;
  return new kind(subject, { why: cause instanceof Error ? cause.message : String(cause), cause });
}

/**
 * @param {string} word
 * @param {string} prefix
 */
function withoutPrefix(word, prefix) {
  return word.startsWith(prefix) ? word.slice(prefix.length) : word;
}

/**
 * @param {Record<string, string>} table
 * @param {string} key
 */
function own(table, key) {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}
