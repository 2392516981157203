// The app under load, a process of its own: app.js STORE URL. Tells its port, and its CPU time whenever it is asked.
import { App } from "../test/support/express.js";
import { STORES } from "./stores.js";

const [name, url] = process.argv.slice(2);
const { store, close } = await STORES[name].open(url);
const app = await App.start(store, {
  login: (request, response) => {
    request.session.user = "ann";
    request.session.cart = [{ product: "apples", count: 3 }];
    response.send("ok");
  },
  // Reads the session; express-session touches it, as nothing was changed.
  read: (request, response) => response.send(`${request.session.user}\n`),
  write: (request, response) => {
    request.session.views = (request.session.views ?? 0) + 1;
    response.send(`${request.session.user}\n`);
  },
});
process.send({ port: Number(new URL(app.url).port) });
process.on("message", () => {
  const { user, system } = process.cpuUsage();
  process.send({ cpu_us: user + system });
});
process.once("disconnect", async () => {
  await app.end();
  await close();
});
