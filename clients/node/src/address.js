/** Where a daemon is, and how to reach it. */

import { lstatSync, readFileSync, statSync } from "node:fs";
import { isIP } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { checkServerIdentity } from "node:tls";
import grpc from "@grpc/grpc-js";

const MAX_SOCKET_PATH = 107;

/**
 * The PEM files of a program, for connections over TCP with certificates at both ends. They are
 * read for each new connection; while they cannot be used, it is not made.
 *
 * @typedef {object} TLS
 * @property {string} cert the program's certificate, and behind it those between it and the CA
 * @property {string} key its private key
 * @property {string} ca the certificates of those that may sign the daemon's
 * @property {string} [name] the DNS name, or IP address, that the daemon's certificate must have; else it is the host that is dialled
 */

/**
 * What is dialled, and how.
 *
 * @typedef {object} Target
 * @property {string} address as it was given
 * @property {(options?: grpc.ClientOptions) => grpc.Client} dial returns a client with a connection of its own, which dials when there is a call; it throws if files cannot be read, or the socket's folder cannot be trusted
 */

/**
 * Returns where a daemon's local API is unless it was told otherwise: in the user's runtime folder,
 * in /run/limpetd for root.
 */
export function defaultAddress() {
  const folder = process.env["XDG_RUNTIME_DIR"];
  if (folder) return join(folder, "limpetd", "api.sock");
  const uid = process.getuid?.();
  if (uid === 0) return "/run/limpetd/api.sock";
  return join(tmpdir(), `limpetd-${uid}`, "api.sock");
}

/**
 * Returns what to dial for an address: a word with a slash in it, or that starts with "unix:", is
 * the path of a Unix socket, host:port is TCP. Throws TypeError.
 *
 * @param {string} address
 * @param {TLS | undefined} tls
 * @param {boolean} insecure
 * @returns {Target}
 */
export function parse(address, tls, insecure) {
  const path = address.startsWith("unix:") ? address.slice(5) : address.includes("/") ? address : undefined;
  if (path !== undefined) {
    if (!path || path.includes("\0")) throw wrong(address, "give host:port, or the path of a Unix socket");
    const length = Buffer.byteLength(path);
    if (length > MAX_SOCKET_PATH) throw wrong(address, `the path of a Unix socket has at most ${MAX_SOCKET_PATH} bytes, this one ${length}`);
    return {
      address,
      dial(options) {
        if (address === defaultAddress()) checkFolder(path);
        return client(`unix:${path}`, grpc.credentials.createInsecure(), options);
      },
    };
  }
  const colon = address.lastIndexOf(":");
  const [host, port] = [address.slice(0, colon), address.slice(colon + 1)];
  const name = host.replace(/^\[(.*)\]$/, "$1");
  if (colon < 0 || !name || (name.includes(":") && name === host)) {
    throw wrong(address, "give host:port, or the path of a Unix socket with a slash in it, or unix:PATH");
  }
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65535) throw wrong(address, `port ${JSON.stringify(port)} is not a number from 0 to 65535`);
  if (!tls && !insecure && !isLocal(name)) {
    throw wrong(address, "only this machine's daemons are dialled without TLS, over a Unix socket or a loopback address; give tls, or allow it all the same with insecure: true");
  }
  return {
    address,
    dial(options) {
      if (!tls) return client(`dns:///${address}`, grpc.credentials.createInsecure(), options);
      const theirs = tls.name || name;
      const hint = isIP(theirs) ? "localhost" : theirs; // TLS has no way to ask for an IP address
      return client(`dns:///${address}`, credentials(tls, theirs), { "grpc.ssl_target_name_override": hint, ...options });
    },
  };
}

/**
 * @param {string} target
 * @param {grpc.ChannelCredentials} how
 * @param {grpc.ClientOptions} [options]
 */
function client(target, how, options) {
  return new grpc.Client(target, how, {
    "grpc.use_local_subchannel_pool": 1, "grpc.enable_http_proxy": 0, "grpc.max_receive_message_length": -1, ...options,
  });
}

/**
 * @param {TLS} tls
 * @param {string} name what the daemon's certificate must have
 */
function credentials({ cert, key, ca }, name) {
  const [chain, secret, roots] = [cert, key, ca].map((file) => readFileSync(file));
  return grpc.credentials.createSsl(roots, secret, chain, { checkServerIdentity: (_, theirs) => checkServerIdentity(name, theirs) });
}

/** @param {string} host */
function isLocal(host) {
  if (host.toLowerCase() === "localhost") return true;
  return isIP(host) === 4 ? host.startsWith("127.") : isIP(host) === 6 && /^[0:]*:0*1$/.test(host);
}

/**
 * Makes sure that nobody else can have put a socket where a daemon of this user's would be. If there
 * is no folder, there is no daemon either.
 *
 * @param {string} path
 */
function checkFolder(path) {
  const folder = dirname(path);
  let found = lstatSync(folder, { throwIfNoEntry: false });
  if (found?.isSymbolicLink() && trusted(found.uid)) found = statSync(folder, { throwIfNoEntry: false });
  if (found && !found.isDirectory()) throw new Error(`socket ${path}: ${folder} is no folder`);
  if (!found || (trusted(found.uid) && (found.mode & 0o022) === 0)) return;
  const mode = (found.mode & 0o7777).toString(8).padStart(4, "0");
  throw new Error(`socket ${path}: its folder ${folder} belongs to user ${found.uid} and has mode ${mode}, so another user could take the socket's place; choose a folder that only you can write`);
}

/** @param {number} owner */
function trusted(owner) {
  return owner === 0 || owner === process.geteuid?.();
}

/**
 * @param {string} address
 * @param {string} why
 */
function wrong(address, why) {
  return new TypeError(`address ${JSON.stringify(address)}: ${why}`);
}
