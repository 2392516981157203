// One sessiond for all tests of a file, and a client of it: importing this starts both before the first test.
import { after, before } from "node:test";
import { open, Sessiond } from "./sessiond.js";

export let server;
export let client;

before(async () => {
  server = await Sessiond.start();
  client = await open(server);
});
after(async () => {
  await client?.close();
  await server?.end();
});
