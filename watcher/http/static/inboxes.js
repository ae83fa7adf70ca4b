// The cards of the inboxes: how each is watched, what waits, how fast it goes, and its last hour; and that of the hooks.

import { ago, byId, copy, count, duration, make, now, plural, say, sayName } from "./common.js";

const SVG = "http://www.w3.org/2000/svg";
const MINUTES = 60, HEIGHT = 36, LATELY = 5;

const cards = new Map(); // key -> {element, parts, inbox}

export function showInboxes(inboxes, hooks) {
  const list = byId("inboxes");
  const keys = new Set(inboxes.map((inbox) => inbox.key));
  for (const [key, card] of cards) {
    if (keys.has(key)) continue;
    card.element.remove();
    cards.delete(key);
  }
  for (const inbox of inboxes) {
    let card = cards.get(inbox.key);
    if (!card) {
      card = newCard(inbox);
      cards.set(inbox.key, card);
      list.append(card.element);
    }
    card.inbox = inbox;
    draw(card);
  }
  line(inboxes, hooks);
}

/** Bring what depends on the time of day up to date. */
export function refreshInboxes() {
  for (const card of cards.values()) draw(card);
}

/** Show what waits for each hook, and what it failed for. */
export function showHooks(hooks) {
  byId("hooks").hidden = !hooks.length;
  byId("hooks-list").replaceChildren(...hooks.map((hook) => {
    const waits = `${count(hook.waiting)} waiting${hook.failed ? `, ${count(hook.failed)} given up` : ""}`;
    const to = make("p", { className: "name line", text: hook.to, title: hook.to });
    const error = make("p", { className: "reason bad", text: `The last try failed: ${hook.last_error}` });
    return make("li", {}, to, make("p", { className: "small", text: `On ${hook.on}: ${waits}` }), ...(hook.last_error ? [error] : []));
  }));
}

/** Say in one line how all inboxes are: where there is little room, it stands for the cards. */
function line(inboxes, hooks) {
  const sum = (key) => inboxes.reduce((all, inbox) => all + inbox[key], 0);
  const away = inboxes.filter((inbox) => !inbox.reachable || inbox.held_up).length;
  const told = [[inboxes.length === 1 ? inboxes[0].name : `${inboxes.length} inboxes`, "name"]];
  if (away) told.push([inboxes.length === 1 ? "held up" : `${away} held up`, "bad"]);
  if (sum("failed")) told.push([`${count(sum("failed"))} failed`, "bad"]);
  if (hooks.some((hook) => hook.last_error)) told.push(["hook failing", "bad"]);
  if (sum("waiting")) told.push([`${count(sum("waiting"))} waiting`, "busy"]);
  const text = told.map(([each]) => each).join("\n");
  if (byId("overview-line").dataset.text === text) return;
  byId("overview-line").dataset.text = text;
  byId("overview-line").replaceChildren(...told.map(([each, className]) => make("span", { className, text: each })));
}

/** Say what to do where there is no photo yet. */
export function showEmpty(inboxes) {
  const waiting = inboxes.reduce((sum, inbox) => sum + inbox.waiting, 0);
  say(byId("empty-title"), waiting ? `${plural(waiting, "photo")} on the way` : "No photos yet");
  const where = inboxes.length > 1 ? "one of these folders" : "this folder";
  say(byId("empty-text"), `Put photos into ${where}. They appear here as soon as their copies are made.`);
  const list = byId("empty-inboxes"), text = inboxes.map((inbox) => inbox.path).join("\n");
  if (list.dataset.text === text) return;
  list.dataset.text = text;
  list.replaceChildren(...inboxes.map((inbox) => {
    const path = make("code");
    sayName(path, inbox.path);
    const button = make("button", { type: "button", text: "Copy path" });
    button.setAttribute("aria-label", `Copy path of ${inbox.name}`);
    button.addEventListener("click", () => copy(path, button));
    return make("li", {}, path, button);
  }));
}

function newCard(inbox) {
  const parts = { watch: make("p", { className: "watch" }) };
  const numbers = make("dl", { className: "numbers" });
  for (const [name, label] of [["waiting", "waiting"], ["lately", `last ${LATELY} min`], ["done", "done"], ["failed", "failed"]]) {
    parts[name] = make("dd");
    numbers.append(make("div", {}, make("dt", { text: label }), parts[name]));
  }
  parts.plot = document.createElementNS(SVG, "svg");
  parts.plot.setAttribute("viewBox", `0 0 ${MINUTES * 4} ${HEIGHT}`);
  parts.plot.setAttribute("preserveAspectRatio", "none");
  parts.plot.setAttribute("role", "img");
  parts.axis = make("p", { className: "axis" }, make("span", { text: "an hour ago" }), make("span", { text: "now" }));
  parts.batch = make("p", { className: "batch line" });
  parts.left = make("p", { className: "small clamped" });
  parts.held = make("p", { className: "small" });
  const element = make("li", { className: "card inbox" },
    make("h3", { className: "line", text: inbox.name, title: inbox.name }),
    make("p", { className: "path line", text: inbox.path, title: inbox.path }),
    parts.watch, numbers, parts.plot, parts.axis, parts.batch, parts.left, parts.held);
  return { element, parts, inbox };
}

function draw({ parts, inbox, element }) {
  const minute = Math.floor(now() / 60);
  const counted = new Map(inbox.minutes.map(([at, photos]) => [at, photos]));
  const bars = Array.from({ length: MINUTES }, (_, place) => counted.get(minute - MINUTES + 1 + place) ?? 0);
  say(parts.waiting, count(inbox.waiting));
  say(parts.lately, count(bars.slice(-LATELY).reduce((a, b) => a + b, 0)));
  say(parts.done, count(inbox.done));
  say(parts.failed, count(inbox.failed));
  parts.failed.parentElement.classList.toggle("bad", inbox.failed > 0);
  parts.waiting.parentElement.classList.toggle("busy", inbox.waiting > 0);
  const [watch, kind] = watching(inbox);
  say(parts.watch, watch);
  parts.watch.className = `watch ${kind}`;
  element.classList.toggle("away", kind === "bad");
  plot(parts.plot, bars);
  const batch = latest(inbox);
  say(parts.batch, batch);
  parts.batch.title = batch;
  say(parts.left, inbox.left_alone && `Left alone: ${inbox.left_alone}`);
  parts.left.title = inbox.left_alone;
  const held = `Copies of ${plural(inbox.orphans_held, "photo")} that are gone stay: more than orphans_max a day. `;
  say(parts.held, inbox.orphans_held ? `${held}"watcher verify --prune" lists them, --yes removes them` : "");
}

function watching(inbox) {
  const missed = inbox.missed ? `; ${plural(inbox.missed, "event")} missed and made up for` : "";
  if (!inbox.reachable) return [`Not reachable: ${inbox.watch_reason || "it is scanned when it is back"}`, "bad"];
  if (inbox.held_up) return [`Held up: ${inbox.held_up}`, "bad"];
  if (!inbox.watch) return ["Starting", ""];
  if (inbox.watch === "native") return [`Watched by events${missed}`, "good"];
  if (inbox.by_choice) return [`Scanned on an interval${missed}`, "good"];
  return [`Scanned on an interval${inbox.watch_reason ? `: ${inbox.watch_reason}` : ""}${missed}`, "slow"];
}

function latest(inbox) {
  const batch = inbox.last_batch;
  if (!batch) return "No batch since the start";
  return `Last batch: ${plural(batch.files, "photo")} in ${duration(batch.seconds)}, ${ago(batch.at)}`;
}

function plot(svg, bars) {
  const most = Math.max(...bars), all = bars.reduce((a, b) => a + b, 0);
  const label = all
    ? `Photos made in each minute of the last hour: ${count(all)} in all, at most ${count(most)} in a minute`
    : "No photos made in the last hour";
  if (svg.getAttribute("aria-label") === label && svg.dataset.bars === String(bars)) return;
  svg.setAttribute("aria-label", label);
  svg.dataset.bars = String(bars);
  svg.replaceChildren(...bars.map((photos, place) => {
    const bar = document.createElementNS(SVG, "rect");
    const height = photos ? Math.max(2, (photos / most) * HEIGHT) : 1;
    for (const [name, value] of Object.entries({ x: place * 4, y: HEIGHT - height, width: 3, height })) {
      bar.setAttribute(name, value);
    }
    if (!photos) bar.setAttribute("class", "none");
    return bar;
  }));
}
