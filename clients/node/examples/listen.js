// Prints what is announced about the weather, until it is interrupted.

import { open } from "limpet-client";

const bus = open();
const weather = await bus.listen("$.Weather.*");
console.log("listening to $.Weather.*");
for await (const message of weather) {
  console.log(message.name, message.text);
}
