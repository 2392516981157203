// The pages, as text. Whatever a page is given is escaped.
const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

class Html {
  constructor(text) {
    this.text = text;
  }
}

/** A template's values are escaped, unless they are such templates themselves; arrays are put together. */
function html(parts, ...values) {
  return new Html(parts.reduce((text, part, index) => text + render(values[index - 1]) + part));
}

function render(value) {
  if (value instanceof Html) return value.text;
  if (Array.isArray(value)) return value.map(render).join("");
  if (value === null || value === undefined || value === false) return "";
  return String(value).replace(/[&<>"']/g, (character) => ESCAPES[character]);
}

function page(title, main) {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title}</title>
        <link rel="stylesheet" href="/assets/style.css" />
        <link rel="icon" href="data:," />
      </head>
      <body>
        <main>${main}</main>
      </body>
    </html> `.text;
}

/** A form that is one button. */
function button(action, formToken, label, { fields = {}, kind = "" } = {}) {
  return html`<form method="post" action="${action}">
    <input type="hidden" name="formToken" value="${formToken}" />
    ${Object.entries(fields).map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}" />`)}
    <button class="${kind}">${label}</button>
  </form>`;
}

export function signIn({ formToken, name = "", isRefused = false }) {
  return page(
    "Sign in",
    html`<section class="card narrow">
      <h1>Sign in</h1>
      ${isRefused && html`<p class="notice" role="alert">That is not the name and password of anybody here.</p>`}
      <form method="post" action="/sign-in" class="fields">
        <input type="hidden" name="formToken" value="${formToken}" />
        <label>Name <input name="name" value="${name}" autocomplete="username" required autofocus /></label>
        <label>
          Password <input name="password" type="password" autocomplete="current-password" required />
        </label>
        <button class="primary">Sign in</button>
      </form>
      <p class="quiet">There are <b>ann</b> with the password <b>apple</b>, and <b>bob</b> with <b>berry</b>.</p>
    </section>`,
  );
}

export function home({ user, device, views, cart, products, sessions, reportedAt, formToken }) {
  return page(
    `${user}'s sessions`,
    html`<header>
        <div>
          <h1>Hello, ${user}</h1>
          <p class="quiet">
            ${device}, <span id="views">${views}</span> ${views === 1 ? "view" : "views"} of this page${reportedAt &&
            html`, last report at ${timeOf(reportedAt)}`}
          </p>
        </div>
        ${button("/log-out", formToken, "Log out")}
      </header>
      ${cartCard(cart, products, formToken)} ${sessionsCard(sessions, formToken)}
      <section class="card row">
        <div>
          <h2>A slow request</h2>
          <p class="quiet">
            Takes five seconds, then writes the session it began with. Log out everywhere meanwhile, and it stays logged
            out.
          </p>
        </div>
        ${button("/report", formToken, "Make a report")}
      </section>`,
  );
}

function cartCard(cart, products, formToken) {
  return html`<section class="card" id="cart">
    <h2>Cart of this session</h2>
    ${cart.length === 0
      ? html`<p class="quiet">Nothing yet.</p>`
      : html`<ul class="cart">
          ${cart.map(([product, count]) => html`<li>${product} <b>${count}</b></li>`)}
        </ul>`}
    <div class="buttons">
      ${products.map((product) => button("/cart", formToken, `Add ${product}`, { fields: { product } }))}
      ${cart.length > 0 && button("/cart/empty", formToken, "Empty it", { kind: "plain" })}
    </div>
  </section>`;
}

function sessionsCard(sessions, formToken) {
  return html`<section class="card" id="sessions">
    <h2>Where you are signed in</h2>
    <table>
      <thead>
        <tr>
          <th>Device</th>
          <th>Signed in</th>
          <th>Last active</th>
          <th>Cart</th>
          <th></th>
        </tr>
      </thead>
      <tbody>
        ${sessions.map((session) => sessionRow(session, formToken))}
      </tbody>
    </table>
    <div class="buttons end">${button("/log-out/everywhere", formToken, "Log out everywhere", { kind: "danger" })}</div>
  </section>`;
}

function sessionRow({ handle, device, cart, created_at, last_active_at, isOwn }, formToken) {
  const count = cart.reduce((sum, [, each]) => sum + each, 0);
  return html`<tr>
    <td>${device} ${isOwn && html`<span class="badge">this one</span>`}</td>
    <td>${timeOf(created_at)}</td>
    <td>${agoOf(last_active_at)}</td>
    <td>${count}</td>
    <td>${!isOwn && button("/log-out/one", formToken, "Log out", { fields: { handle }, kind: "plain" })}</td>
  </tr>`;
}

export function report({ user }) {
  return page(
    "Report",
    html`<section class="card narrow">
      <h1>The report is ready</h1>
      <p>It says that ${user} waited for it.</p>
      <p><a href="/">Back</a></p>
    </section>`,
  );
}

export function failure(message) {
  return page(
    "That did not work",
    html`<section class="card narrow">
      <h1>That did not work</h1>
      <p>${message}</p>
      <p><a href="/">Back</a></p>
    </section>`,
  );
}

function timeOf(moment_ms) {
  return new Date(moment_ms).toLocaleTimeString("en-GB", { timeStyle: "short" });
}

function agoOf(moment_ms) {
  const seconds = Math.max(0, Math.round((Date.now() - moment_ms) / 1000));
  if (seconds < 10) return "just now";
  if (seconds < 60) return `${seconds} seconds ago`;
  const minutes = Math.round(seconds / 60);
  return minutes === 1 ? "a minute ago" : `${minutes} minutes ago`;
}
