// Asks for the time, and says what became of the request if there is no answer.

import { MayHaveRun, NeverRan, open } from "limpet-client";

const bus = open();
try {
  const reply = await bus.call("$.Clock.Now", "", { timeout: 5000 });
  console.log("it is", reply.text);
} catch (e) {
  if (e instanceof NeverRan) console.log(`it is safe to ask again: ${e.message}`); // perhaps there is no clock
  else if (e instanceof MayHaveRun) console.log(`somebody may have read it: ${e.message}`);
  else throw e;
  process.exitCode = 1;
}
await bus.close();
