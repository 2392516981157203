// URLs and options: what is taken, and what a mistake is answered with.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, parseUrl } from "sessiond";

const at = (...names) => names;
for (const [url, names, namespace] of [
  ["sessiond://localhost", at("localhost:7420"), undefined],
  ["sessiond://localhost/", at("localhost:7420"), undefined],
  ["sessiond://127.0.0.1:1/web", at("127.0.0.1:1"), "web"],
  ["sessiond://a,b:2,[::1]:3,[fe80::1]/we%20b", at("a:7420", "b:2", "[::1]:3", "[fe80::1]:7420"), "we b"],
  ["sessiond+unix:///run/sessiond.sock", at("unix:/run/sessiond.sock"), undefined],
  ["sessiond+unix:///run/a%20b?namespace=%C3%A9", at("unix:/run/a b"), "é"],
])
  test(`it takes ${url}`, () => {
    const parsed = parseUrl(url);
    assert.deepEqual(
      parsed.endpoints.map(({ name }) => name),
      names,
    );
    assert.equal(parsed.namespace, namespace);
  });

for (const [url, sentence] of [
  ["", /The URL is empty/],
  ["localhost:7420", /is no scheme|has no scheme/],
  ["http://localhost", /"http:\/\/" is no scheme of sessiond/],
  ["redis://localhost", /"redis:\/\/" is no scheme/],
  ["sessionds://localhost", /TLS, which is not offered yet/],
  ["sessiond://", /is no host/],
  ["sessiond://a,,b", /is no host/],
  ["sessiond://::1", /IPv6 address in brackets/],
  ["sessiond://a:0", /no port/],
  ["sessiond://a:65536", /no port/],
  ["sessiond://a:x", /no port/],
  ["sessiond://user:password@a", /user or password/],
  ["sessiond://a/web?x=1", /\? or #/],
  ["sessiond://a/%zz", /percent-encoded/],
  [`sessiond://a/${"n".repeat(65)}`, /has 65 bytes/],
  [`sessiond://${new Array(17).fill("a").join()}`, /17 hosts/],
  ["sessiond+unix://run/x", /no absolute path/],
  ["sessiond+unix:///x?name=y", /only \?namespace/],
  [`sessiond+unix:///${"x".repeat(108)}`, /longer than 107 bytes/],
])
  test(`it refuses ${url.slice(0, 50)} and says why`, () => {
    assert.throws(() => new Client(url), { name: "UrlError", code: "URL", message: sentence });
  });

for (const [options, name, sentence] of [
  [{ url: "sessiond://a", urls: ["sessiond://b"] }, "UrlError", /Both url and urls/],
  [{ urls: [] }, "UrlError", /at least one/],
  [{ urls: ["sessiond://a/x", "sessiond://b/y"] }, "UrlError", /several namespaces/],
  [{ url: 5 }, "UrlError", /of the type number/],
  [{ namespace: "" }, "ArgumentError", /has 0 bytes/],
  [{ timeout: 5 }, "ArgumentError", /no option "timeout"/],
  [{ timeoutMs: 0 }, "ArgumentError", /timeoutMs is 0/],
  [{ timeoutMs: "5" }, "ArgumentError", /timeoutMs is 5/],
  [{ maxOffline: NaN }, "ArgumentError", /maxOffline is NaN/],
  [{ autoOpId: 1 }, "ArgumentError", /autoOpId/],
])
  test(`it refuses the options ${JSON.stringify(options)} and says why`, () => {
    assert.throws(() => new Client(options), { name, message: sentence });
  });

test("several URLs are several hosts", () => {
  const client = new Client({ urls: ["sessiond://a/web", "sessiond://b:1"], timeoutMs: 100 });
  assert.equal(client.namespaceName, "web");
  client.destroy();
});
