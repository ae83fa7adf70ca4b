// What all parts of the page share: elements, numbers and times for people, and asking the daemon.

export const byId = (id) => document.getElementById(id);

/** Make an element. Text is only ever set as text, never as markup. */
export function make(tag, { text, ...properties } = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  if (text !== undefined) element.textContent = text;
  element.append(...children);
  return element;
}

/** Set an element's text, and touch it only where it changes. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set a name or a path, which is broken after its parts rather than within. */
export function sayName(element, name) {
  if (element.textContent === name) return;
  element.replaceChildren(...name.split(/(?<=[/_. -])/).flatMap((part) => [part, document.createElement("wbr")]));
}

export const count = (number) => number.toLocaleString("en");
export const plural = (number, what) => `${count(number)} ${what}${number === 1 ? "" : "s"}`;

export function duration(seconds) {
  if (seconds < 0.995) return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 99.5) return `${Math.round(seconds)} s`;
  if (seconds < 5940) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

export function bytes(number) {
  if (number < 1000) return `${number} B`;
  if (number < 1e6) return `${Math.round(number / 1000)} kB`;
  return `${(number / 1e6).toFixed(1)} MB`;
}

// the daemon's clock, as far as it is known: it may be another machine's
let ahead = 0;
export const setClock = (seconds) => { ahead = seconds - Date.now() / 1000; };
export const now = () => Date.now() / 1000 + ahead;

export function ago(at) {
  const seconds = now() - at;
  return seconds < 5 ? "just now" : `${duration(seconds).replace(/\.\d/, "")} ago`;
}

const sameDay = (a, b) => a.toDateString() === b.toDateString();

export function moment(at, seconds = true) {
  const date = new Date(at * 1000);
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: seconds ? "2-digit" : undefined });
  return sameDay(date, new Date()) ? time : `${date.toLocaleDateString()} ${time}`;
}

export async function ask(path, options) {
  const answer = await fetch(path, options);
  if (!answer.ok) throw new Error((await answer.text()).trim() || answer.statusText);
  return answer.json();
}

export const picture = (photo, rendition) =>
  `picture/${photo.id}/${encodeURIComponent(rendition)}?v=${photo.version}`;

/** Announce something to a screen reader; not more often than can be listened to. */
let telling = null;
const untold = [];
export function tell(text) {
  if (text && !untold.includes(text)) untold.push(text);
  if (telling || !untold.length) return;
  byId("told").textContent = untold.splice(0).join(". ");
  telling = setTimeout(() => { telling = null; tell(""); }, 5000);
}

/** Say on a button what it has done, for a while. */
function answer(button, text) {
  const before = button.textContent;
  say(button, text);
  button.disabled = true;
  setTimeout(() => { say(button, before); button.disabled = false; }, 4000);
}

/** Have photos tried again, `{photos: [id]}` or `{all: true}`, when a button was pressed. */
export async function retry(what, button) {
  try {
    await ask("api/retry", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(what) });
    answer(button, "Asked");
    tell("Asked to try again");
  } catch (error) {
    tell(`That did not work: ${error.message}`);
  }
}

/** Copy the text of an element when a button was pressed; without encryption browsers only copy what is selected. */
export async function copy(element, button) {
  getSelection().selectAllChildren(element);
  try {
    if (navigator.clipboard) await navigator.clipboard.writeText(element.textContent);
    else document.execCommand("copy");
    answer(button, "Copied");
  } catch {
    tell("It is selected: copy it with the keyboard");
  }
}
