// Prints who replies to what, and each change, until it is interrupted.

import { open } from "limpet-client";

const bus = open();
for await (const changes of bus.watchRepliers("$.*")) {
  for (const { name } of changes.gone) console.log("gone", name);
  for (const { name, link } of changes.here) console.log("here", name, link ? `over ${link}` : "on this bus");
  if (changes.whole) console.log("that was all");
}
