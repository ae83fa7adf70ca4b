// Lists of photos that failed and that wait: each with its folder, the reason and since when.

import { ago, ask, byId, count, make, moment, plural, retry, say, sayName, tell } from "./common.js";

const FIRST = 20, MORE = 100, MOST_AT_ONCE = 500;

class PhotoList {
  constructor(kind, open) {
    this.address = `api/${kind}`;
    this.part = (name) => byId(name ? `${kind}-${name}` : kind);
    this.open = open;
    this.photos = [];
    this.rows = new Map(); // id -> element
    this.wanted = FIRST;
    this.total = 0;
    this.loading = null;
    this.stale = false;
    this.part("more").addEventListener("click", () => { this.wanted += MORE; this.load(); });
  }

  /** Ask for the photos; what is there already keeps its place, its element and the focus. */
  load() {
    this.stale = true;
    this.loading ??= this.reload().finally(() => { this.loading = null; });
    return this.loading;
  }

  async reload() {
    while (this.stale) {
      this.stale = false;
      const photos = [];
      let next = 0;
      while (next !== null && photos.length < this.wanted) {
        const limit = Math.min(MOST_AT_ONCE, this.wanted - photos.length);
        const found = await ask(`${this.address}?start=${next}&limit=${limit}`);
        photos.push(...found.photos);
        next = found.next;
      }
      this.part("more").hidden = next === null;
      this.put(photos);
    }
  }

  put(photos) {
    const list = this.part("list"), before = this.photos;
    const focused = list.contains(document.activeElement) && document.activeElement;
    const place = focused ? before.findIndex((photo) => photo.id === focused.closest("li").dataset.id) : -1;
    this.photos = photos;
    const rows = new Map(photos.map((photo) => [photo.id, this.rows.get(photo.id) ?? this.row(photo)]));
    for (const [id, row] of this.rows) if (!rows.has(id)) row.remove();
    this.rows = rows;
    let cursor = list.firstChild;
    for (const row of rows.values()) {
      if (row === cursor) cursor = cursor.nextSibling;
      else list.insertBefore(row, cursor);
    }
    this.refresh();
    this.draw();
    if (!focused || document.activeElement === focused) return;
    const next = list.contains(focused) ? focused : list.children[Math.min(place, list.children.length - 1)]?.querySelector("button");
    (next ?? byId("photos")).focus({ preventScroll: true });
  }

  row(photo) {
    const text = make("span", { className: "clamped" });
    sayName(text, photo.name);
    const name = make("button", { type: "button", className: "name", title: photo.name }, text);
    name.addEventListener("click", () => this.open(this.photos.find((one) => one.id === photo.id), this));
    const row = make("li", {}, name, make("p", { className: "small where", title: photo.where }),
      make("p", { className: "reason" }), make("p", { className: "small when" }));
    row.dataset.id = photo.id;
    return row;
  }

  /** Bring what may have changed up to date. */
  refresh() {
    for (const photo of this.photos) {
      const [where, reason, when] = this.rows.get(photo.id).querySelectorAll("p");
      const at = this.since(photo);
      say(where, photo.where);
      say(reason, this.reason(photo));
      reason.title = reason.textContent;
      say(when, `${ago(at)}${photo.attempts > 1 ? `, ${plural(photo.attempts, "attempt")}` : ""}`);
      when.title = moment(at);
    }
  }

  draw() {
    const total = Math.max(this.total, this.photos.length);
    this.part("").hidden = total === 0;
    say(this.part("count"), count(total));
  }

  /** The photo that comes `step` after another one. */
  beside(id, step) {
    const place = this.photos.findIndex((photo) => photo.id === id);
    return place < 0 ? undefined : this.photos[place + step];
  }

  photo(id) { return this.photos.find((photo) => photo.id === id); }

  focus(id) { this.rows.get(id)?.querySelector("button").focus(); }
}

export class Failures extends PhotoList {
  constructor(open) {
    super("failed", open);
    byId("retry-all").addEventListener("click", (event) => retry({ all: true }, event.currentTarget));
  }

  since(photo) { return photo.at; }
  reason(photo) { return photo.reason; }

  row(photo) {
    const row = super.row(photo);
    const again = make("button", { type: "button", className: "retry small", text: "Try again" });
    again.setAttribute("aria-label", `Try again: ${photo.name}`);
    again.addEventListener("click", () => retry({ photos: [photo.id] }, again));
    row.append(again);
    return row;
  }

  /** How many have failed. */
  counted(total) {
    const changed = total !== this.total;
    this.total = total;
    this.draw();
    if (changed) this.load().catch(() => {}); // the connection shows that it is lost
  }

  /** Something has happened to a photo. */
  see(photo) {
    const failed = photo.state === "failed";
    if (failed) tell(`${photo.name} failed: ${photo.reason}`);
    if (failed || this.rows.has(photo.id)) this.load().catch(() => {}); // as above
  }
}

export class Waiting extends PhotoList {
  constructor(open) {
    super("waiting", open);
    byId("waiting").addEventListener("toggle", () => this.counted(this.total));
  }

  since(photo) { return photo.seen; }
  reason(photo) { return photo.working ? "A worker has it" : photo.reason || "Waits for a worker"; }

  /** How many wait. They are listed only where the list is open: there may be very many, and they soon go. */
  counted(total) {
    this.total = total;
    this.draw();
    if (byId("waiting").open) this.load().catch(() => {}); // the connection shows that it is lost
  }

  put(photos) {
    super.put(photos);
    const rest = byId("waiting-more").hidden ? this.total - photos.length : 0;
    say(byId("waiting-rest"), rest > 0 ? `${count(rest)} more ${rest === 1 ? "was" : "were"} found just now` : "");
  }

  draw() {
    this.part("").hidden = this.total === 0;
    say(this.part("count"), count(this.total));
  }
}
