"use strict";
const STORED = "keyfob.management_key", POLL_MS = 2000, DEVICE_POLL_MS = 5000;
const $ = id => document.getElementById(id);
let key = null, lockedUntil = 0, turn = 0, timer = 0, skewMs = 0, providers = [];
const logins = new Map(); // login_id → {login, open, busy, failure, outcome, gone, focus}

roles(document, "columnheader");
$("gate-form").addEventListener("submit", event => { event.preventDefault(); enter($("gate-key").value.trim()); });
$("forget").addEventListener("click", () => { sessionStorage.removeItem(STORED); location.reload(); });
$("provider").addEventListener("change", chooseProvider);
onSubmit($("sign-in"), $("begin"), $("begin-note"), begin);
onSubmit($("add-key"), $("key-add"), $("key-note"), addKey);
document.addEventListener("click", event => { if (event.target.dataset?.copy) copy(event.target); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) { tick(); poll(); } });
setInterval(tick, 250); // a second is never skipped; what reads the same is left alone
if (sessionStorage.getItem(STORED)) open(sessionStorage.getItem(STORED)); else lock(null);

// The key

function enter(candidate) {
  if (Date.now() < lockedUntil) return;
  act($("gate-open"), $("gate-note"), async () => {
    if (!/^[\x20-\x7e]+$/.test(candidate)) throw new Error("a management key is printable ASCII");
    key = candidate;
    try { await api("GET", "accounts"); } catch (failure) { key = null; throw failure; }
    sessionStorage.setItem(STORED, candidate);
    open(candidate);
    $("main").focus();
  });
}

function open(known) {
  key = known;
  $("gate").hidden = true;
  $("work").hidden = false;
  $("gate-key").value = "";
  poll();
}

/** A refused key is forgotten; one that only has to wait (429) is kept and tried again by `drawWait`. */
function lock(failure) {
  if (failure?.status === 401) sessionStorage.removeItem(STORED);
  if (failure?.wait_s) lockedUntil = Date.now() + failure.wait_s * 1000;
  key = null;
  turn += 1; // what is still on its way was asked with that key
  clearTimeout(timer);
  $("work").hidden = true;
  $("gate").hidden = false;
  tell($("trouble"), null);
  tell($("gate-note"), failure);
  drawWait();
  $("gate-key").focus();
  $("gate-key").select();
}

function drawWait() {
  const left_s = Math.ceil((lockedUntil - Date.now()) / 1000);
  $("gate-open").disabled = left_s > 0;
  put($("gate-wait"), left_s > 0 ? `Try again in ${span(left_s)}.` : "");
  if (!lockedUntil || left_s > 0) return;
  lockedUntil = 0;
  tell($("gate-note"), null);
  if (sessionStorage.getItem(STORED)) open(sessionStorage.getItem(STORED));
}

// The gateway

async function api(method, path, body) {
  const asked = key;
  let reply;
  try {
    reply = await fetch(`/manage/api/${path}`, {
      method, cache: "no-store", credentials: "omit", redirect: "error",
      signal: AbortSignal.timeout(method === "GET" ? 10000 : 60000),
      headers: { authorization: `Bearer ${asked}`, ...(body && { "content-type": "application/json" }) },
      body: body && JSON.stringify(body),
    });
  } catch { throw new Error("cannot reach the gateway"); }
  const told = await reply.json().catch(() => null);
  if (reply.ok && told) return told;
  const failure = Object.assign(new Error(`the gateway answered ${reply.status} without a reason`), told?.error, { status: reply.status });
  if (reply.status === 429) failure.wait_s = Number(reply.headers.get("retry-after")) || 60;
  if ((reply.status === 401 || reply.status === 429) && asked === key) lock(failure);
  throw failure;
}

/** Only the newest round counts: whoever changes something asks anew, and older answers are dropped.
    Accounts go first and alone: a key that went stale is then one wrong try of the five, not all of them. */
async function poll() {
  clearTimeout(timer);
  if (!key) return;
  const mine = ++turn;
  const views = { counters: showCounters, logins: showLogins, keys: showKeys, ...(!providers.length && { providers: showProviders }) };
  const answers = await Promise.allSettled([api("GET", "accounts")]);
  if (mine !== turn) return;
  answers.push(...await Promise.allSettled(Object.keys(views).map(path => api("GET", path))));
  if (mine !== turn) return;
  [showAccounts, ...Object.values(views)].forEach((show, i) => { if (answers[i].value) show(answers[i].value); });
  tell($("trouble"), answers.find(answer => answer.reason)?.reason);
  if (!document.hidden) timer = setTimeout(poll, POLL_MS);
}

// Accounts and counters

function showAccounts({ now, accounts }) {
  // `now` is cut to the second and late by the way here: only more than that is a clock that differs.
  const seenMs = Date.parse(now) - Date.now();
  if (seenMs > skewMs + 500 || seenMs < skewMs - 2500) skewMs = seenMs;
  const states = [...new Set(accounts.map(one => one.state))];
  put($("accounts-sum"), states.map(state => `${accounts.filter(one => one.state === state).length} ${state}`).join(", "));
  $("accounts-none").hidden = accounts.length > 0;
  keyed($("accounts"), accounts, one => `${one.provider}/${one.account}`, accountRow);
}

function accountRow({ provider, account }) {
  const part = stamp("account-row"), full = `${provider}/${account}`;
  part.clear.setAttribute("aria-label", `clear cool-downs of ${full}`);
  onClick(part.clear, part.note, async () => {
    await api("POST", `accounts/${encodeURIComponent(provider)}/${encodeURIComponent(account)}/reset`);
    if (document.activeElement === part.clear) part.name.focus();
    say(`cool-downs of ${full} cleared`);
    poll();
  });
  const update = now => {
    const { name, kind, remark, state, why, renews, priority, prefix, models } = part;
    put(name, full);
    put(kind, [now.kind, now.email !== account && now.email].filter(Boolean).join(" · "));
    put(remark, now.note);
    put(state, now.state);
    put(why, now.why);
    put(renews, now.expires_at && now.can_refresh && ["cooling", "ready"].includes(now.state) ? "renewed by itself" : "");
    put(priority, now.priority);
    put(prefix, now.prefix);
    put(models, now.models === null ? "" : now.models === 1 ? "1 model" : `${now.models} models`);
    state.className = `state ${now.state}`;
    part.standard.hidden = !now.is_default;
    part.clear.hidden = now.cooling.length === 0;
    part.cooling.classList.toggle("empty", part.clear.hidden && !part.note.textContent);
    prefix.classList.toggle("empty", !now.prefix);
    count(part.requests, now.requests);
    count(part.errors, now.errors, true);
    clock(part.expiry, now.expires_at, "expiry", "none");
    clock(part.used, now.last_used_at, "past", "never");
    keyed(part.cools, now.cooling, cool => `${cool.model} ${cool.reason}`, coolLine);
    keyed(part.dialects, now.dialects, dialect => dialect, textLine);
  };
  return { node: part.node, update };
}

function coolLine() {
  const { node, model, reason, left } = stamp("cool-line");
  return { node, update: now => { put(model, now.model ?? "all models"); put(reason, now.reason); clock(left, now.until, "countdown"); } };
}

function textLine() {
  const { node, text } = stamp("text-line");
  return { node, update: now => put(text, now) };
}

function showCounters(told) {
  for (const name of ["requests", "errors", "in_flight", "connections"]) count($(name), told[name], name === "errors");
  clock($("uptime"), told.started_at, "uptime");
  const at = new Date(told.started_at), isToday = at.toDateString() === new Date().toDateString();
  put($("since"), `up since ${at.toLocaleString([], { timeStyle: "short", ...(!isToday && { dateStyle: "medium" }) })}`);
  keyed($("routes"), Object.entries(told.routes), ([name]) => name, routeRow);
}

function routeRow() {
  const { node, route, requests, errors } = stamp("route-row");
  return { node, update: ([name, now]) => { put(route, name); count(requests, now.requests); count(errors, now.errors, true); } };
}

// Signing in

function showProviders(told) {
  providers = told.providers.filter(row => row.ways.includes("browser") || row.ways.includes("device"));
  $("provider").replaceChildren(...providers.map(row => new Option(`${row.title} (${row.id})`, row.id)));
  chooseProvider();
}

function chooseProvider() {
  const row = providers.find(one => one.id === $("provider").value);
  $("ways").hidden = !row?.ways.includes("browser") || !row.ways.includes("device");
  showTerms(row?.terms?.note, row?.terms?.url, false);
}

/** The note is shown from the start; the tick only when the gateway asks for it, as a yes is remembered there. */
function showTerms(note, url, ask) {
  $("terms").hidden = !note;
  put($("terms-note"), note);
  link($("terms-link"), url);
  $("terms-ask").hidden = !ask;
  $("terms-tick").checked = false;
  $("terms-tick").required = ask;
  if (ask) $("terms-tick").focus();
}

async function begin() {
  const row = providers.find(one => one.id === $("provider").value);
  const way = $("ways").hidden ? null : new FormData($("sign-in")).get("way");
  let login;
  try {
    login = await api("POST", "logins", { provider: row.id, account: $("account-name").value.trim() || null, way, accept_terms: $("terms-tick").checked });
  } catch (failure) {
    if (failure.code !== "terms") throw failure;
    return showTerms(failure.message, failure.url, true);
  }
  logins.set(login.login_id, { login: { ...login, kind: login.user_code ? "device" : "browser" } });
  $("account-name").value = "";
  chooseProvider();
  drawLogins();
  logins.get(login.login_id).resume();
  poll();
}

function showLogins(told) {
  const pending = new Map(told.logins.map(login => [login.login_id, login]));
  for (const [id, login] of pending) if (!logins.has(id)) logins.set(id, { login });
  for (const [id, entry] of logins) {
    if (pending.has(id) || entry.busy || entry.outcome) continue;
    if (entry.open || entry.failure) entry.gone = true; else logins.delete(id);
  }
  drawLogins();
}

function drawLogins() { keyed($("logins"), [...logins.values()], entry => entry.login.login_id, loginCard); }

function loginCard(entry) {
  const { login } = entry, part = stamp("login-card"), isDevice = login.kind === "device";
  const name = login.provider + (login.account ? `/${login.account}` : ""), path = `logins/${encodeURIComponent(login.login_id)}`;
  put(part.title, name);
  put(part.address, login.auth_url);
  put(part.code, login.user_code);
  put(part.lands, login.redirect_uri);
  link(part.address.parentNode, login.auth_url);
  part.coded.hidden = !isDevice;
  part.pasted.hidden = isDevice;
  part.landing.hidden = !login.redirect_uri;
  part.resume.setAttribute("aria-label", `resume ${name}`);
  part.cancel.setAttribute("aria-label", `cancel ${name}`);
  const drop = () => { logins.delete(login.login_id); drawLogins(); $("sign-in-title").focus(); poll(); };
  entry.resume = () => {
    Object.assign(entry, { open: true, failure: null });
    drawLogins();
    part.title.focus();
    if (isDevice) watch(entry);
  };
  entry.finish = async body => {
    entry.busy = true;
    entry.failure = null;
    const told = await api("POST", path, body).catch(failure => { entry.failure = failure; });
    entry.busy = false;
    if (told?.status === "ok") entry.outcome = told;
    drawLogins();
    if (entry.outcome) part.title.focus();
    poll();
  };
  part.resume.addEventListener("click", entry.resume);
  part.close.addEventListener("click", drop);
  onClick(part.cancel, part.note, () => api("DELETE", path).then(drop, failure => { entry.failure = failure; drawLogins(); }));
  onSubmit(part.form, part.finish, part.note, () => entry.finish({ callback: part.paste.value }));
  const update = () => {
    const done = entry.outcome, isOver = Boolean(done || entry.gone);
    clock(part.left, isOver ? null : login.expires_at, "countdown");
    put(part.kind, isOver ? "" : `${isDevice ? "device code" : "browser"}, ends in `);
    part.steps.hidden = isOver || !entry.open;
    part.resume.hidden = isOver || entry.open;
    part.cancel.hidden = isOver;
    part.close.hidden = !isOver;
    tell(part.note, entry.failure ?? (entry.gone && !done ? new Error("no longer pending: finished elsewhere, cancelled or run out") : null));
    put(part.outcome, done && `✓ signed in as ${done.provider}/${done.account}${done.email && done.email !== done.account ? ` (${done.email})` : ""}`);
  };
  return { node: part.node, update };
}

/** Goes on while the page is hidden, too: the person is at the provider's page meanwhile. */
async function watch(entry) {
  if (entry.watched) return;
  entry.watched = true;
  while (entry.open) {
    await new Promise(after => setTimeout(after, DEVICE_POLL_MS));
    if (entry.outcome || entry.gone || !logins.has(entry.login.login_id)) break;
    if (key) await entry.finish({});
    if (entry.failure?.status >= 500 || !entry.failure?.status) entry.failure = null; // may pass: asked again
    else if (key) entry.open = false; // refused for good: asked again only if the person resumes it
    drawLogins();
  }
  entry.watched = false;
}

// Client keys

function showKeys({ keys }) {
  $("keys-none").hidden = keys.length > 0;
  keyed($("keys"), keys, one => one.name, keyRow);
}

function keyRow({ name }) {
  const part = stamp("key-row");
  const sure = on => { part.sure.hidden = !on; part.ask.hidden = on; (on ? part.no : part.ask).focus(); };
  put(part.name, name);
  part.ask.setAttribute("aria-label", `remove ${name}`);
  part.sure.setAttribute("aria-label", `remove ${name}?`);
  part.ask.addEventListener("click", () => sure(true));
  part.no.addEventListener("click", () => sure(false));
  part.sure.addEventListener("keydown", event => { if (event.key === "Escape") sure(false); });
  onClick(part.yes, part.note, async () => {
    await api("DELETE", `keys/${encodeURIComponent(name)}`);
    say(`key ${name} removed`);
    $("keys-title").focus();
    poll();
  });
  const update = now => {
    put(part.scope, now.providers.join(", ") || "all");
    clock(part.made, now.created_at, "past");
    count(part.requests, now.requests);
    clock(part.used, now.last_used_at, "past", "never");
  };
  return { node: part.node, update };
}

async function addKey() {
  const names = $("key-providers").value.split(",").map(one => one.trim()).filter(Boolean);
  const made = await api("POST", "keys", { name: $("key-name").value.trim(), providers: names });
  const part = stamp("new-key");
  put(part.name, made.name);
  put(part.key, made.key);
  part.done.addEventListener("click", () => { part.node.remove(); $("key-name").focus(); });
  $("new-keys").append(part.node);
  $("add-key").reset();
  part.node.focus();
  poll();
}

// Small tools. Text of the gateway goes through `put`, addresses through `link`, and nothing else.

/** Leaves what is unchanged alone, so that a selection in it stays and nothing is read out twice. */
function put(node, text) { if (node.textContent !== String(text ?? "")) node.textContent = text ?? ""; }

function count(node, number, isBad = false) { put(node, number.toLocaleString("en")); node.classList.toggle("some", isBad && number > 0); }

function tell(node, failure) {
  const hint = failure?.try ? ` try: ${failure.try}` : "";
  if (node.textContent === (failure?.message ?? "") + hint) return;
  put(node, failure?.message);
  if (!hint) return;
  const command = document.createElement("code");
  put(command, hint.trim());
  node.append(" ", command);
}

function say(text) { put($("said"), text); }

function link(node, text) {
  const url = URL.canParse(text ?? "") ? new URL(text) : null;
  const isSafe = url?.protocol === "https:" || (url?.protocol === "http:" && ["127.0.0.1", "localhost", "[::1]"].includes(url.hostname));
  if (isSafe) node.href = text; else node.removeAttribute("href");
}

/** A copy of a template's row, with its parts by name. */
function stamp(id) {
  const whole = $(id).content.cloneNode(true), node = whole.querySelector("tr, li"), part = { node };
  roles(node, "rowheader");
  for (const one of node.querySelectorAll("[data-part]")) part[one.dataset.part] = one;
  return part;
}

/** Said outright, as a table that is laid out as cards loses its meaning to a screen reader otherwise. */
function roles(root, th) {
  const words = { table: "table", thead: "rowgroup", tbody: "rowgroup", tr: "row", th, td: "cell" };
  for (const [tag, role] of Object.entries(words)) for (const one of root.querySelectorAll(tag)) one.setAttribute("role", role);
  if (root.localName === "tr") root.setAttribute("role", "row");
}

/** One child per item, made once by `make` and then updated in place: what a person has in hand is not rebuilt. */
function keyed(parent, items, id, make) {
  const kept = parent.kept ??= new Map(), wanted = new Set(items.map(id));
  for (const [name, row] of kept) if (!wanted.has(name)) { row.node.remove(); kept.delete(name); }
  items.forEach((item, place) => {
    const row = kept.get(id(item)) ?? make(item);
    kept.set(id(item), row);
    if (parent.children[place] !== row.node) parent.insertBefore(row.node, parent.children[place] ?? null);
    row.update(item);
  });
  const table = parent.closest("table");
  if (table && parent.localName === "tbody") table.hidden = !items.length;
}

function onClick(button, note, deed) { button.addEventListener("click", () => act(button, note, deed)); }

function onSubmit(form, button, note, deed) { form.addEventListener("submit", event => { event.preventDefault(); act(button, note, deed); }); }

async function act(button, note, deed) {
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  tell(note, null);
  try { await deed(); } catch (failure) { tell(note, failure); }
  button.setAttribute("aria-busy", "false");
}

/** The clipboard is there only on loopback and over TLS; elsewhere the old command serves, or the selection. */
async function copy(button) {
  const text = button.closest("li").querySelector(`[data-part="${button.dataset.copy}"]`), label = button.dataset.label ??= button.textContent;
  getSelection().selectAllChildren(text);
  const isDone = await navigator.clipboard?.writeText(text.textContent).then(() => true, () => false) || document.execCommand("copy");
  say(isDone ? "copied" : "selected, press Ctrl C");
  put(button, isDone ? "Copied" : "Selected");
  setTimeout(() => put(button, label), 2000);
}

// Time, by the gateway's clock

function clock(node, at, as, none = "") {
  node.dateTime = at ?? "";
  node.title = at ? new Date(at).toLocaleString([], { dateStyle: "full", timeStyle: "long" }) : "";
  node.dataset.as = at ? as : "";
  if (at) drawClock(node); else put(node, none);
}

function drawClock(node) {
  const left_s = (Date.parse(node.dateTime) - Date.now() - skewMs) / 1000, gone_s = -left_s;
  const words = {
    countdown: left_s > 0 ? span(Math.ceil(left_s)) : "over",
    expiry: left_s > 0 ? `in ${rough(left_s)}` : `expired ${rough(gone_s)} ago`,
    past: gone_s < 5 ? "just now" : `${span(gone_s, 1)} ago`,
    uptime: rough(gone_s),
  };
  put(node, words[node.dataset.as]);
}

function tick() { if (key) document.querySelectorAll("time[data-as]:not([data-as=''])").forEach(drawClock); else drawWait(); }

function rough(total_s) { return span(total_s, total_s >= 3600 && total_s < 86400 ? 2 : 1); }

function span(total_s, units = 2) {
  const whole = Math.max(0, Math.floor(total_s));
  const parts = [[Math.floor(whole / 86400), "d"], [Math.floor(whole / 3600) % 24, "h"], [Math.floor(whole / 60) % 60, "min"], [whole % 60, "s"]];
  const first = parts.findIndex(([number]) => number > 0);
  return first < 0 ? "0 s" : parts.slice(first, first + units).filter(([number]) => number > 0).map(([number, unit]) => `${number} ${unit}`).join(" ");
}
