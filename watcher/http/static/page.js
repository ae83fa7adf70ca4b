// The page: what the daemon tells goes to the cards, the lists and the sheet; what a person asks goes to the daemon.

import { name, shown } from "./address.js";
import { ask, byId, count, moment, plural, say, setClock, tell } from "./common.js";
import { refreshInboxes, showEmpty, showHooks, showInboxes } from "./inboxes.js";
import { Failures, Waiting } from "./lists.js";
import { Sheet } from "./sheet.js";
import { Viewer } from "./viewer.js";

const MOST = 5000; // photos that are kept at hand; beyond, the newest are asked for anew
const TYPING = 150; // milliseconds without a key before a search begins
const WIDE = matchMedia("(min-width: 60.01rem)"); // as in page.css: the cards stand beside the photos

const open = (photo, list) => photo && viewer.open(photo, list);
const sheet = new Sheet({ open, more });
const failures = new Failures(open);
const waiting = new Waiting(open);
const viewer = new Viewer(sheet);

let held = []; // new photos that wait for the reader to come back to the top
let stale = false; // more is new than could be told: everything is asked for anew when the reader is back at the top
let source = ""; // of what the sheet shows: the rest of an address, less where to go on
let following = null; // where to go on
let loading = true;
let round = 0; // answers that come late belong to an earlier one
let inboxes = null; // what was told of them last
let summaries = 0; // how often that was
const missed = []; // what happened to photos while some were asked for: the answer may be from before

const find = byId("find");
const searched = () => find.value.trim();

// ---- the sheet's photos ----

async function load() {
  const turn = round += 1, text = searched();
  source = text ? `api/search?q=${encodeURIComponent(text)}&start=` : "api/newest?before=";
  loading = true;
  try {
    const found = await ask(source.replace(/[?&]\w+=$/, ""));
    if (turn !== round) return;
    loading = false;
    following = found.next;
    held = [];
    stale = false;
    sheet.set(found.photos);
    say(byId("sheet-title"), text ? `\u201c${text}\u201d` : "Newest");
    note();
    viewer.beside();
    if (text) tell(found.photos.length ? plural(found.photos.length, "photo") + (found.next ? " or more" : "") + " found" : "Nothing found");
  } catch (error) {
    if (turn === round) say(byId("sheet-note"), error.message);
  } finally {
    loaded(turn);
  }
}

function loaded(turn) {
  if (turn !== round) return;
  loading = false;
  missed.splice(0).forEach(happened);
}

async function more() {
  if (loading || following === null) return;
  const turn = round;
  loading = true;
  try {
    const found = await ask(source + following);
    if (turn !== round) return;
    following = found.next;
    sheet.append(found.photos);
    viewer.beside();
    note();
  } catch {
    // the connection shows that it is lost, and everything is asked for anew when it is back
  } finally {
    loaded(turn);
  }
}

function note() {
  const text = searched(), there = sheet.photos.length;
  const total = inboxes?.reduce((sum, inbox) => sum + inbox.done, 0);
  byId("fresh").hidden = !held.length && !stale;
  say(byId("fresh"), stale ? "\u2191 New photos" : `\u2191 ${plural(held.length, "new photo")}`);
  if (text) say(byId("sheet-note"), there ? `${count(there)}${following === null ? "" : " or more"} found` : "Nothing of that name");
  else say(byId("sheet-note"), total ? `${count(total)} done` : "");
  const empty = !there && !text && !loading && inboxes !== null;
  byId("empty").hidden = !empty;
  if (empty) showEmpty(inboxes);
}

function arrived(photos) {
  if (searched()) { photos.forEach((photo) => sheet.update(photo)); return; }
  if (!photos.length) return;
  const ids = new Set(photos.map((photo) => photo.id));
  held = [...photos, ...held.filter((photo) => !ids.has(photo.id))];
  if (sheet.atTop) release(); else note();
}

function release() {
  if (stale || sheet.photos.length + held.length > MOST) { load(); return; }
  const photos = held;
  held = [];
  sheet.prepend(photos);
  viewer.beside();
  note();
}

byId("fresh").addEventListener("click", () => {
  scrollTo(0, 0);
  release();
  byId("photos").focus({ preventScroll: true });
});
addEventListener("scroll", () => { if ((held.length || stale) && sheet.atTop) release(); }, { passive: true });

// ---- searching ----

function search() {
  clearTimeout(typing);
  const before = shown().q, text = searched();
  if (text === before) return;
  name({ q: text }, Boolean(before)); // Back leads out of the search, not from letter to letter
  scrollTo(0, 0);
  load();
}

let typing = null;
find.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(search, TYPING);
});
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
addEventListener("keydown", (event) => {
  const writing = event.target.closest("input, textarea");
  if (event.key === "/" && !writing && !viewer.dialog.open) {
    event.preventDefault();
    find.focus();
  } else if (event.key === "Escape" && event.target === find && find.value) {
    find.value = "";
    search();
  }
});

/** Show what the address names. */
function follow() {
  if (find.value.trim() !== shown().q) {
    find.value = shown().q;
    load();
  }
  viewer.follow(sheet);
}

history.scrollRestoration = "manual"; // photos come and go: another position shows the same ones
addEventListener("popstate", follow);
find.value = shown().q;
name({}, true); // what else it says, such as a token, is not kept
viewer.follow(sheet);

// ---- the cards: beside the photos, or in one line above them ----

const beside = () => { byId("overview").open = WIDE.matches; };
WIDE.addEventListener("change", beside);
beside();

// ---- what the daemon tells ----

function summarise(told) {
  const sum = (key) => told.inboxes.reduce((all, inbox) => all + inbox[key], 0);
  inboxes = told.inboxes;
  summaries += 1;
  setClock(told.now);
  showInboxes(inboxes, told.hooks);
  showHooks(told.hooks);
  failures.counted(sum("failed"));
  waiting.counted(sum("waiting"));
  sheet.coming(sum("waiting"));
  connected(true, "Live", ` \u00b7 ${plural(told.workers ?? 0, "worker")} \u00b7 since ${moment(told.since, false)}`);
  const fault = inboxes.find((inbox) => inbox.config_fault)?.config_fault;
  byId("notice").hidden = !fault;
  say(byId("notice"), fault ? `The daemon works by an older config, since the new one is wrong: ${fault}` : "");
  document.title = sum("waiting") ? `${count(sum("waiting"))} waiting \u00b7 watcher` : "watcher";
  note();
}

function connected(yes, text, more = "") {
  byId("link").classList.toggle("lost", !yes);
  say(byId("link-text"), text);
  say(byId("link-more"), more);
}

async function refresh() {
  if (!sheet.atTop && sheet.photos.length) { stale = true; note(); } // who reads further down keeps the place
  const before = summaries;
  try {
    const [told] = await Promise.all([ask("api/summary"), stale ? undefined : load(), failures.load()]);
    if (summaries === before) summarise(told); // otherwise a newer one was sent meanwhile
  } catch (error) {
    connected(false, error.message);
  }
}

function happened(told) {
  if (loading) { missed.push(told); return; }
  for (const id of told.gone) { sheet.remove(id); failures.see({ id }); }
  const made = [];
  for (const photo of told.photos) {
    failures.see(photo);
    viewer.see(photo);
    if (photo.state === "done" && photo.fresh) made.push(photo);
    else sheet.update(photo);
  }
  arrived(made.reverse());
  if (made.length) tell(plural(made.length, "new photo"));
}

const events = new EventSource("api/events");
events.addEventListener("hello", refresh); // also after every time that the connection was lost
events.addEventListener("resync", refresh);
events.addEventListener("summary", (event) => summarise(JSON.parse(event.data)));
events.addEventListener("photos", (event) => happened(JSON.parse(event.data)));
events.addEventListener("error", () => {
  connected(false, "The daemon does not answer; trying again");
  if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000); // it asks for a token by now, say
});

setInterval(() => { refreshInboxes(); failures.refresh(); waiting.refresh(); }, 15000);
