/** What listens, and what replies. */

import { Closed } from "./errors.js";

/**
 * @typedef {import("./ksock.js").Ksock} Ksock
 * @typedef {import("./ksock.js").WaitOptions} WaitOptions
 * @typedef {import("./message.js").Message} Message
 */

/** Hears messages; made by Bus.listen, and to be closed. */
export class Listener {
  /**
   * The Ksock that listens.
   *
   * @readonly
   */
  ksock;

  /**
   * @internal
   * @param {Ksock} ksock
   */
  constructor(ksock) {
    this.ksock = ksock;
  }

  /** How many messages it had missed, because its queue was full, when the daemon sent the last ones. */
  get missed() {
    return this.ksock.missed;
  }

  /**
   * Waits for the next message. Throws TimedOut, the signal's reason, and Closed.
   *
   * @param {WaitOptions} [options]
   */
  async recv(options) {
    return this.ksock._recvAhead(options);
  }

  /** Gives the messages as they come, until it is closed. Throws Closed when the session is lost. */
  async *[Symbol.asyncIterator]() {
    for (;;) {
      try {
        yield await this.recv();
      } catch (e) {
        if (e instanceof Closed && this.ksock._attached.closing) return;
        throw e;
      }
    }
  }

  /** Stops listening. Closing again does nothing. */
  async close() {
    await this.ksock.close();
  }
}

/**
 * Gets requests and answers them; made by Bus.serve, and to be closed. What it owes then is answered
 * by the bus. Answers may be given in any order.
 */
export class Server {
  /**
   * The Ksock that replies.
   *
   * @readonly
   */
  ksock;

  /**
   * @internal
   * @param {Ksock} ksock
   */
  constructor(ksock) {
    this.ksock = ksock;
  }

  /**
   * Waits for the next request. Throws TimedOut, the signal's reason, and Closed.
   *
   * @param {WaitOptions} [options]
   */
  async recv(options) {
    for (;;) {
      const request = await this.ksock.recv(options);
      if (request.wantsUsToReply) return request; // else it is an answer to nobody
    }
  }

  /**
   * Answers a request; name is the reply's, else it is the request's. Throws BusError: with code
   * EADDRNOTAVAIL or ECONNREFUSED nobody waits for the answer any more.
   *
   * @param {Message} request
   * @param {Uint8Array | string} [data]
   * @param {{ name?: string, flags?: number }} [options]
   */
  async reply(request, data, options) {
    await this.ksock.send(request.reply(data, options));
  }

  /** Gives the requests as they come, until it is closed. Throws Closed when the session is lost. */
  async *[Symbol.asyncIterator]() {
    for await (const message of this.ksock) {
      if (message.wantsUsToReply) yield message;
    }
  }

  /** Unbinds, after the replies before have been given to the bus. Closing again does nothing. */
  async close() {
    await this.ksock.close();
  }
}
