// Announces what is given: a name, and data.

import { open } from "limpet-client";

const [name = "$.Weather.Rain", data = "from noon"] = process.argv.slice(2);
const bus = open();
const id = await bus.send(name, data);
console.log(`sent ${id}`);
await bus.close();
