// The page: what the daemon tells goes to the cards, the failures and the sheet; what a person asks goes to the daemon.

import { ask, byId, count, moment, plural, say, setClock, tell } from "./common.js";
import { Failures } from "./failures.js";
import { refreshInboxes, showInboxes } from "./inboxes.js";
import { Sheet } from "./sheet.js";
import { Viewer } from "./viewer.js";

const MOST = 5000; // photos that are kept at hand; beyond, the newest are asked for anew
const TYPING = 150; // milliseconds without a key before a search begins

const sheet = new Sheet({ open: (photo) => open(photo, "sheet"), more });
const failures = new Failures({ open: (photo) => open(photo, "failures") });
const viewer = new Viewer({ beside: (id, step) => sheet.beside(id, step), closed: (photo) => photo && sheet.focus(photo.id) });

let held = []; // new photos that wait for the reader to come back to the top
let source = ""; // of what the sheet shows: the rest of an address, less where to go on
let following = null; // where to go on
let loading = false;
let round = 0; // answers that come late belong to an earlier one
let total = 0;

const find = byId("find");
const searched = () => find.value.trim();

function open(photo) { if (photo) viewer.show(photo); }

// ---- the sheet's photos ----

async function load() {
  const turn = round += 1, text = searched();
  source = text ? `api/search?q=${encodeURIComponent(text)}&start=` : "api/newest?before=";
  loading = true;
  try {
    const found = await ask(source.replace(/[?&]\w+=$/, ""));
    if (turn !== round) return;
    following = found.next;
    held = [];
    sheet.set(found.photos);
    say(byId("sheet-title"), text ? `\u201c${text}\u201d` : "Newest");
    note();
    if (text) tell(found.photos.length ? plural(found.photos.length, "photo") + (found.next ? " or more" : "") + " found" : "Nothing found");
  } catch (error) {
    if (turn === round) say(byId("sheet-note"), error.message);
  } finally {
    if (turn === round) loading = false;
  }
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
    note();
  } catch {
    // the connection shows that it is lost, and everything is asked for anew when it is back
  } finally {
    if (turn === round) loading = false;
  }
}

function note() {
  const text = searched(), there = sheet.photos.length;
  byId("fresh").hidden = !held.length;
  say(byId("fresh"), `\u2191 ${plural(held.length, "new photo")}`);
  if (text) say(byId("sheet-note"), there ? `${count(there)}${following === null ? "" : " or more"} found` : "Nothing of that name");
  else say(byId("sheet-note"), total ? `${count(total)} done` : "");
  const empty = !there && !text && !loading;
  say(byId("sheet-end"), empty ? "Photos appear here as they are made: drop some into an inbox." : "");
}

function arrived(photos) {
  if (searched()) { photos.forEach((photo) => sheet.update(photo)); return; }
  if (!photos.length) return;
  const ids = new Set(photos.map((photo) => photo.id));
  held = [...photos, ...held.filter((photo) => !ids.has(photo.id))];
  if (sheet.atTop) release(); else note();
}

function release() {
  if (sheet.photos.length + held.length > MOST) { load(); return; }
  const photos = held;
  held = [];
  sheet.prepend(photos);
  note();
}

byId("fresh").addEventListener("click", () => {
  scrollTo(0, 0);
  release();
  byId("photos").focus({ preventScroll: true });
});
addEventListener("scroll", () => { if (held.length && sheet.atTop) release(); }, { passive: true });

// ---- searching ----

let typing = null;
find.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(load, TYPING);
});
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(typing);
  load();
});
addEventListener("keydown", (event) => {
  const writing = event.target.closest("input, textarea");
  if (event.key === "/" && !writing && !viewer.dialog.open) {
    event.preventDefault();
    find.focus();
  } else if (event.key === "Escape" && event.target === find && find.value) {
    find.value = "";
    load();
  }
});

// ---- what the daemon tells ----

function summarise(told) {
  setClock(told.now);
  total = told.inboxes.reduce((sum, inbox) => sum + inbox.done, 0);
  const waiting = told.inboxes.reduce((sum, inbox) => sum + inbox.waiting, 0);
  showInboxes(told.inboxes);
  failures.counted(told.inboxes.reduce((sum, inbox) => sum + inbox.failed, 0));
  connected(true, `Live \u00b7 ${plural(told.workers ?? 0, "worker")} \u00b7 since ${moment(told.since, false)}`);
  document.title = waiting ? `${count(waiting)} waiting \u00b7 watcher` : "watcher";
  note();
}

function connected(yes, text) {
  byId("link").classList.toggle("lost", !yes);
  say(byId("link-text"), text);
}

async function refresh() {
  try {
    const [told] = await Promise.all([ask("api/summary"), load(), failures.reload()]);
    summarise(told);
  } catch (error) {
    connected(false, error.message);
  }
}

function happened(told) {
  for (const id of told.gone) { sheet.remove(id); failures.remove(id); }
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

const news = new EventSource("api/news");
news.addEventListener("hello", refresh); // also after every time that the connection was lost
news.addEventListener("resync", refresh);
news.addEventListener("summary", (event) => summarise(JSON.parse(event.data)));
news.addEventListener("photos", (event) => happened(JSON.parse(event.data)));
news.addEventListener("error", () => {
  connected(false, "The daemon does not answer; trying again");
  if (news.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000); // it asks for a token by now, say
});

setInterval(() => { refreshInboxes(); failures.refresh(); }, 15000);
