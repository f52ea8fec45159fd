/** How many messages a second go through the client: LIMPETD=/path/to/limpetd node tests/rates.js */

import { Message, open } from "limpet-client";
import { World } from "./daemons.js";

const SECONDS = Number(process.env["SECONDS"] ?? 3);
const DATA = Buffer.alloc(100, "x");

/**
 * Does something so many at a time, for a while, and says how often it was done in a second.
 *
 * @param {string} what
 * @param {number} atATime
 * @param {() => Promise<unknown>} once
 */
async function rate(what, atATime, once) {
  const end = performance.now() + SECONDS * 1000;
  let done = 0;
  const began = performance.now();
  await Promise.all(Array.from({ length: atATime }, async () => {
    for (; performance.now() < end; done++) await once();
  }));
  console.log(`${what.padEnd(50)} ${Math.round(done / ((performance.now() - began) / 1000))}/s`);
}

const world = new World();
await world.start();
const bus = open(world.daemons[3].api);
const server = await bus.serve("$.Clock", { maxMessages: 10_000 });
await server.ksock.prefetch();
const serving = (async () => {
  for await (const request of server) server.reply(request, DATA).catch(() => {}); // the last ones may find it closed
})();
const [sender, listener] = [await bus.ksock(), await bus.ksock()];
const message = new Message("$.News", DATA);
await listener.maxMessages(100_000);

await rate("post, nobody listens", 1, () => sender.post(message));
await sender.flush();
await listener.bind("$.News");
await listener.prefetch();
let heard = 0;
const hearing = (async () => {
  for (;;) heard += (await listener.recvBatch()).length;
})().catch(() => {});
const began = performance.now();
await rate("post, one listens", 1, () => sender.post(message));
await sender.flush();
while ((await listener.numMessages()) > 0);
console.log(`${"heard by that".padEnd(50)} ${Math.round(heard / ((performance.now() - began) / 1000))}/s, ${listener.missed} missed`);
await listener.close();
await hearing;
await rate("send, one after the other", 1, () => sender.send(message));
await rate("send, 64 at a time", 64, () => sender.send(message));
await rate("call, one after the other, replier in Node too", 1, () => bus.call("$.Clock", DATA));
await rate("call, 64 at a time, replier in Node too", 64, () => bus.call("$.Clock", DATA));
await server.close();
await serving;
await sender.close();
await bus.close();
await world.end();
