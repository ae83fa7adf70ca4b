// The photos that failed, each with its reason and a button that has it tried again.

import { ago, ask, byId, count, make, moment, plural, retry, say, tell } from "./common.js";

const FIRST = 20, MORE = 100;

export class Failures {
  constructor({ open }) {
    this.open = open;
    this.items = new Map(); // id -> {photo, element}
    this.following = null;
    this.total = 0;
    byId("failed-more").addEventListener("click", () => this.load(MORE));
    byId("retry-all").addEventListener("click", (event) => this.again({ all: true }, event.currentTarget));
  }

  /** Ask for everything anew. */
  async reload() {
    const limit = Math.max(FIRST, this.items.size);
    const found = await ask(`api/failed?limit=${Math.min(limit, 500)}`);
    this.items.clear();
    byId("failed-list").replaceChildren();
    this.following = found.next;
    for (const photo of found.photos) this.put(photo, false);
    this.draw();
  }

  async load(limit) {
    const found = await ask(`api/failed?start=${this.following}&limit=${limit}`);
    this.following = found.next;
    for (const photo of found.photos) if (!this.items.has(photo.id)) this.put(photo, false);
    this.draw();
  }

  /** Take note of what became of a photo. */
  see(photo) {
    if (photo.state === "failed") {
      this.remove(photo.id);
      this.put(photo, true);
      tell(`${photo.name} failed: ${photo.reason}`);
    } else this.remove(photo.id);
    this.draw();
  }

  remove(id) {
    const item = this.items.get(id);
    if (!item) return;
    const focused = item.element.contains(document.activeElement);
    const next = item.element.nextElementSibling ?? item.element.previousElementSibling;
    item.element.remove();
    this.items.delete(id);
    if (focused) (next?.querySelector("button") ?? byId("photos")).focus();
    this.draw();
  }

  /** How many there are by the books. */
  counted(total) {
    this.total = total;
    this.draw();
  }

  put(photo, first) {
    const name = make("button", { type: "button", className: "name", text: photo.name });
    name.addEventListener("click", () => this.open(photo));
    const again = make("button", { type: "button", className: "retry", text: "Try again" });
    again.setAttribute("aria-label", `Try again: ${photo.name}`);
    again.addEventListener("click", () => this.again({ photos: [photo.id] }, again));
    const when = make("span", { className: "when", text: ago(photo.at), title: moment(photo.at) });
    const tries = photo.attempts > 1 ? `, ${plural(photo.attempts, "attempt")}` : "";
    const element = make("li", {}, make("div", {}, name, make("p", { className: "reason", text: photo.reason }),
      make("p", { className: "small" }, when, tries)), again);
    this.items.set(photo.id, { photo, element, when });
    byId("failed-list")[first ? "prepend" : "append"](element);
  }

  async again(what, button) {
    button.disabled = true;
    const text = button.textContent;
    try {
      await retry(what);
      say(button, "Asked");
      tell("Asked to try again");
      setTimeout(() => { button.disabled = false; say(button, text); }, 4000); // it may fail again, or be gone by then
    } catch (error) {
      button.disabled = false;
      tell(`That did not work: ${error.message}`);
    }
  }

  /** Bring what depends on the time of day up to date. */
  refresh() {
    for (const { photo, when } of this.items.values()) say(when, ago(photo.at));
  }

  draw() {
    const total = Math.max(this.total, this.items.size);
    byId("failed").hidden = this.items.size === 0;
    say(byId("failed-count"), count(total));
    byId("failed-more").hidden = this.following === null;
  }
}
