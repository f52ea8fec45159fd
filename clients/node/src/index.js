/**
 * A client of limpetd: announcements, requests that always get exactly one reply, and stateful
 * dialogues on a KBUS bus, also on the buses that it is linked with.
 *
 *     import { open } from "limpet-client";
 *
 *     const bus = open();
 *     const reply = await bus.call("$.Clock.Now", "", { timeout: 5000 });
 *     console.log(reply.text);
 *     await bus.close();
 *
 * Bus has what most programs need; Ksock is all that KBUS can do. What goes wrong is a LimpetError.
 */

/**
 * @typedef {import("./address.js").TLS} TLS
 * @typedef {import("./bus.js").Binding} Binding
 * @typedef {import("./bus.js").CallOptions} CallOptions
 * @typedef {import("./bus.js").Link} Link
 * @typedef {import("./bus.js").Replier} Replier
 * @typedef {import("./bus.js").SendOptions} SendOptions
 * @typedef {import("./errors.js").Outcome} Outcome
 * @typedef {import("./ksock.js").WaitOptions} WaitOptions
 * @typedef {import("./message.js").BindEvent} BindEvent
 * @typedef {import("./message.js").MessageFields} MessageFields
 * @typedef {import("./message.js").RequestFields} RequestFields
 */

/**
 * @template T
 * @typedef {import("./watch.js").Changes<T>} Changes
 */

export { defaultAddress } from "./address.js";
export { Bus, open } from "./bus.js";
export { BusError, Closed, Expired, LimpetError, MayHaveRun, NeverRan, NoAnswer, Refused, StatusError, TimedOut, Unreachable } from "./errors.js";
export { Ksock } from "./ksock.js";
export { Listener, Server } from "./listener.js";
export { Address, Flags, Message, MsgId } from "./message.js";
export { Watch } from "./watch.js";
