// A site with pages for members, which lets each account read a few of them and then blocks it, as sites do.
import { once } from "node:events";
import { createServer } from "node:http";

/** @param usesMax pages that an account may read; each further request is answered with 403 */
export async function openSite(usesMax) {
  const uses = new Map();
  const counts = { served: 0, blocked: 0 };
  const server = createServer((request, response) => {
    const account = request.headers["x-account"];
    uses.set(account, (uses.get(account) ?? 0) + 1);
    const isBlocked = uses.get(account) > usesMax;
    counts[isBlocked ? "blocked" : "served"]++;
    // A site takes its time, so that there are always several requests under way.
    setTimeout(() => {
      response.writeHead(isBlocked ? 403 : 200, { "content-type": "text/html" });
      response.end(isBlocked ? "<h1>Blocked</h1>" : `<h1>${request.url}</h1>`);
    }, 20);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** Requests of an account, also those that were refused. */
    usesOf: (account) => uses.get(account) ?? 0,
    counts,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
