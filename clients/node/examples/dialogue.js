// A dialogue: every request after the first goes to who has answered it, or fails.

import { open } from "limpet-client";

/** @param {import("limpet-client").Server} server */
async function shop(server) {
  /** @type {Map<string, string[]>} */
  const baskets = new Map();
  for await (const request of server) {
    const who = request.origFrom.isZero ? `${request.from}` : `${request.origFrom}`; // here, or over a link
    const basket = baskets.get(who) ?? [];
    baskets.set(who, [...basket, request.text]);
    await server.reply(request, [...basket, request.text].join(" and "));
  }
}

const bus = open();
const server = await bus.serve("$.Shop");
const selling = shop(server);
let reply;
for (const what of ["tea", "milk", "sugar"]) {
  reply = await bus.call("$.Shop", what, { replier: reply, timeout: 5000 });
  console.log("the basket has", reply.text);
}
await server.close();
await selling;
await bus.close();
