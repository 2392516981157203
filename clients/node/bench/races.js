// Requests of one browser at the same time, in orders that users meet by chance and gates make sure of here. Each race
// is played so many rounds with each store; what is counted are the rounds that lost something.
import { App, Gate } from "../test/support/express.js";

const INCREMENTS = 20;

/** A gate for the round that is played: requests wait there until all of them have loaded their session. */
let gate;

function routesOf(store) {
  return {
    login: (request, response) => {
      request.session.user = "ann";
      response.send("ok");
    },
    logout: (request, response, next) =>
      request.session.destroy((error) => (error ? next(error) : response.send("ok"))),
    session: (request, response) => response.json({ ...request.session, cookie: undefined }),
    edit: async (request, response) => {
      await gate.pass();
      Object.assign(request.session, request.query);
      response.send("ok");
    },
    count: async (request, response) => {
      await gate.pass();
      request.session.views = (request.session.views ?? 0) + 1;
      response.send("ok");
    },
    increment: async (request, response) => {
      await gate.pass();
      await store.increment(request.session, "views");
      response.send("ok");
    },
  };
}

/** Starts the requests, has them all load their session, does what is to be done meanwhile, and lets them end. */
async function overlap(browser, paths, meanwhile = async () => {}) {
  gate = new Gate();
  const requests = paths.map((path) => browser.get(path));
  await gate.arrived(paths.length);
  await meanwhile();
  gate.open();
  for (const { status } of await Promise.all(requests))
    if (status !== 200) throw new Error(`a request failed: ${status}`);
}

async function contentsOf(browser) {
  return JSON.parse((await browser.get("session")).body);
}

/** A race answers whether its round lost something; undefined: the store has nothing to play it with. */
const RACES = {
  "logout during a slow request": async (browser) => {
    await overlap(browser, ["edit?seen=1"], () => browser.get("logout"));
    return (await contentsOf(browser)).user !== undefined;
  },
  "two requests change different keys": async (browser) => {
    await overlap(browser, ["edit?a=1", "edit?b=2"]);
    const { a, b } = await contentsOf(browser);
    return a !== "1" || b !== "2";
  },
  [`${INCREMENTS} increments, session.views++`]: async (browser) => countViews(browser, "count"),
  [`${INCREMENTS} increments, store.increment()`]: async (browser, store) =>
    store.increment ? countViews(browser, "increment") : undefined,
};

async function countViews(browser, path) {
  await overlap(browser, Array(INCREMENTS).fill(path));
  return (await contentsOf(browser)).views !== INCREMENTS;
}

export const RACE_NAMES = Object.keys(RACES);

/** How many rounds of each race lost something with this store, by the race's name; undefined: not played. */
export async function playRaces(store, rounds) {
  const app = await App.start(store, routesOf(store));
  const lost = {};
  try {
    for (const [name, play] of Object.entries(RACES))
      for (let round = 0; round < rounds; round++) {
        const browser = app.browser();
        await browser.get("login");
        const isLost = await play(browser, store);
        if (isLost !== undefined) lost[name] = (lost[name] ?? 0) + (isLost ? 1 : 0);
      }
  } finally {
    await app.end();
  }
  return lost;
}
