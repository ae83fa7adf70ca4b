// The cards of the inboxes: how each is watched, what waits, how fast it goes, and its last hour.

import { ago, byId, count, duration, make, now, plural, say } from "./common.js";

const SVG = "http://www.w3.org/2000/svg";
const MINUTES = 60, HEIGHT = 36, RATE_MINUTES = 5;

const cards = new Map(); // key -> {element, parts, inbox}

export function showInboxes(inboxes) {
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
}

/** Bring what depends on the time of day up to date. */
export function refreshInboxes() {
  for (const card of cards.values()) draw(card);
}

function newCard(inbox) {
  const parts = { watch: make("p", { className: "watch" }) };
  const numbers = make("dl", { className: "numbers" });
  for (const [name, label] of [["waiting", "waiting"], ["rate", "a minute"], ["done", "done"], ["failed", "failed"]]) {
    parts[name] = make("dd");
    numbers.append(make("div", {}, make("dt", { text: label }), parts[name]));
  }
  parts.plot = document.createElementNS(SVG, "svg");
  parts.plot.setAttribute("viewBox", `0 0 ${MINUTES * 4} ${HEIGHT}`);
  parts.plot.setAttribute("preserveAspectRatio", "none");
  parts.plot.setAttribute("role", "img");
  parts.axis = make("p", { className: "axis" }, make("span", { text: "an hour ago" }), make("span", { text: "now" }));
  parts.batch = make("p", { className: "batch" });
  const element = make("li", { className: "card inbox" },
    make("h3", { text: inbox.name }),
    make("p", { className: "path", text: inbox.path }),
    parts.watch, numbers, parts.plot, parts.axis, parts.batch);
  return { element, parts, inbox };
}

function draw({ parts, inbox, element }) {
  const minute = Math.floor(now() / 60);
  const counted = new Map(inbox.minutes.map(([at, photos]) => [at, photos]));
  const bars = Array.from({ length: MINUTES }, (_, place) => counted.get(minute - MINUTES + 1 + place) ?? 0);
  const lately = bars.slice(-RATE_MINUTES).reduce((a, b) => a + b, 0);
  say(parts.waiting, count(inbox.waiting));
  say(parts.rate, lately ? (lately / RATE_MINUTES).toFixed(lately < 50 ? 1 : 0) : "0");
  say(parts.done, count(inbox.done));
  say(parts.failed, count(inbox.failed));
  parts.failed.parentElement.classList.toggle("bad", inbox.failed > 0);
  parts.waiting.parentElement.classList.toggle("busy", inbox.waiting > 0);
  const [watch, kind] = watching(inbox);
  say(parts.watch, watch);
  parts.watch.className = `watch ${kind}`;
  element.classList.toggle("away", !inbox.reachable);
  plot(parts.plot, bars);
  say(parts.batch, latest(inbox));
}

function watching(inbox) {
  if (!inbox.reachable) return [`Not reachable: ${inbox.watch_reason || "it is scanned when it is back"}`, "bad"];
  if (!inbox.watch) return ["Starting", ""];
  if (inbox.watch === "native") return ["Watched by events", "good"];
  return [`Scanned on an interval${inbox.watch_reason ? `: ${inbox.watch_reason}` : ""}`, "slow"];
}

function latest(inbox) {
  const told = [];
  if (inbox.oldest_waiting && inbox.waiting) told.push(`the oldest waits for ${duration(now() - inbox.oldest_waiting)}`);
  const batch = inbox.last_batch;
  if (batch) told.push(`last batch: ${plural(batch.files, "photo")} in ${duration(batch.seconds)}, ${ago(batch.at)}`);
  if (inbox.missed) told.push(`${plural(inbox.missed, "event")} missed and made up for`);
  const text = told.join("; ");
  return text && text[0].toUpperCase() + text.slice(1);
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
