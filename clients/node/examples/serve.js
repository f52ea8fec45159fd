// Answers everybody who asks for the time, until it is interrupted.

import { open } from "limpet-client";

const bus = open();
const clock = await bus.serve("$.Clock.*");
console.log("answering $.Clock.*");
for await (const request of clock) {
  await clock.reply(request, new Date().toTimeString().slice(0, 8));
}
