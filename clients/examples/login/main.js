// Starts the app: SESSIOND_URL says where the server is, PORT where the app listens (3000, on loopback).
import { createApp } from "./app.js";
import { hashPassword } from "./passwords.js";

const users = new Map([
  ["ann", { passwordHash: await hashPassword("apple") }],
  ["bob", { passwordHash: await hashPassword("berry") }],
]);
const { app, client } = await createApp({
  url: process.env.SESSIOND_URL ?? "sessiond://127.0.0.1:7420/login",
  // Without a secret of one's own each start has a new one, and signs everyone out.
  secret: process.env.SESSION_SECRET,
  users,
});

const port = Number(process.env.PORT ?? 3000);
const listener = app.listen(port, "127.0.0.1", (error) => {
  if (error) {
    console.error(`Port ${port} cannot be used (${error.code}); name another one in PORT.`);
    process.exit(1);
  }
  console.log(`http://127.0.0.1:${listener.address().port} is ready. Sign in as ann (apple) or bob (berry),`);
  console.log("from two browsers, or from one and a private window of it.");
});

for (const signal of ["SIGINT", "SIGTERM"])
  process.once(signal, () => {
    listener.close();
    listener.closeAllConnections();
    client.close();
  });
