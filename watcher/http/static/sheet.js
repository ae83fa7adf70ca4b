// The contact sheet: any number of photos, of which only those near the window are elements.

import { byId, count, duration, make, moment, picture, say } from "./common.js";
import { fill, fillAbove, proportion } from "./layout.js";

const GAP = 12;
const CAPTION = 28;
const AT_ONCE = 24; // photos up to which those that make room are moved gently

export class Sheet {
  constructor({ open, more }) {
    this.list = byId("sheet");
    this.open = open; // a photo was chosen
    this.ahead = make("li", { className: "ahead", ariaHidden: "true" }); // the free end of the row that new photos join
    this.list.append(this.ahead);
    this.more = more; // the end is near
    this.photos = [];
    this.rows = [];
    this.known = new Map(); // id -> photo
    this.tiles = new Map(); // id -> element
    this.fresh = new Set(); // ids that came live and have not been shown
    this.lost = null; // the id of a photo whose element had the focus when it was replaced
    this.width = 0;
    this.planned = 0;
    new ResizeObserver(() => this.resize()).observe(this.list);
    addEventListener("scroll", () => this.plan(), { passive: true });
    this.list.addEventListener("click", (event) => this.chosen(event));
    this.list.addEventListener("keydown", (event) => this.move(event));
  }

  get atTop() { return this.list.getBoundingClientRect().top > -60; }

  /** Show other photos instead. */
  set(photos) {
    for (const photo of photos) {
      const before = this.known.get(photo.id);
      if (before && !looksSame(before, photo)) this.drop(photo.id);
    }
    this.photos = photos;
    this.known = new Map(photos.map((photo) => [photo.id, photo]));
    this.split = 0; // photos above rows that are laid out from the top down
    this.arrange();
  }

  /** Add older photos at the end. */
  append(photos) {
    const added = photos.filter((photo) => !this.known.has(photo.id));
    for (const photo of added) this.known.set(photo.id, photo);
    this.photos.push(...added);
    this.arrange();
  }

  /** Add new photos in front; one that is there already moves there. */
  prepend(photos) {
    const again = new Set(photos.filter((photo) => this.known.has(photo.id)).map((photo) => photo.id));
    if (again.size) {
      this.split -= this.photos.slice(0, this.split).filter((photo) => again.has(photo.id)).length;
      this.photos = this.photos.filter((photo) => !again.has(photo.id));
    }
    for (const photo of photos) {
      this.drop(photo.id);
      this.known.set(photo.id, photo);
      this.fresh.add(photo.id);
    }
    this.photos = [...photos, ...this.photos];
    this.split += photos.length;
    this.list.classList.toggle("gently", photos.length <= AT_ONCE);
    this.arrange();
  }

  /** Show what has changed of a photo; whether it is in the sheet. */
  update(photo) {
    const before = this.known.get(photo.id);
    if (!before) return false;
    const place = this.photos.indexOf(before);
    const same = looksSame(before, photo);
    const now = same ? { ...photo, took: photo.took ?? before.took } : photo;
    this.photos[place] = now;
    this.known.set(photo.id, now);
    if (same) return true;
    this.drop(photo.id);
    this.arrange();
    return true;
  }

  /** Let go of the element of a photo that has changed. */
  drop(id) {
    const tile = this.tiles.get(id);
    if (tile?.contains(document.activeElement)) this.lost = id;
    tile?.remove();
    this.tiles.delete(id);
  }

  remove(id) {
    const photo = this.known.get(id);
    if (!photo) return;
    const place = this.photos.indexOf(photo);
    this.photos.splice(place, 1);
    if (place < this.split) this.split -= 1;
    this.known.delete(id);
    if (this.tiles.get(id)?.contains(document.activeElement)) this.lost = this.photos[Math.min(place, this.photos.length - 1)]?.id;
    this.arrange();
  }

  photo(id) { return this.known.get(id); }

  /** The photo that comes `step` after another one. */
  beside(id, step) {
    const place = this.photos.findIndex((photo) => photo.id === id);
    if (place + step >= this.photos.length - 10) this.more();
    return place < 0 ? undefined : this.photos[place + step];
  }

  resize() {
    if (this.list.clientWidth === this.width) return;
    this.list.classList.remove("gently");
    this.arrange();
  }

  arrange() {
    this.width = this.list.clientWidth;
    const height = this.width < 560 ? 132 : 190;
    const above = fillAbove(this.photos.slice(0, this.split), this.width, GAP, height);
    this.rows = [...above, ...fill(this.photos.slice(this.split), this.width, GAP, height)];
    let top = 0, first = 0;
    for (const row of this.rows) {
      row.top = top;
      row.first = first;
      top += row.height + CAPTION + GAP;
      first += row.photos.length;
    }
    this.list.style.height = `${Math.max(0, top - GAP)}px`;
    this.plan();
  }

  plan() {
    if (!this.planned) this.planned = requestAnimationFrame(() => { this.planned = 0; this.show(); });
  }

  /** Make elements of what is in the window or near it, and let go of the others. */
  show() {
    const offset = -this.list.getBoundingClientRect().top;
    const from = offset - innerHeight, to = offset + 2 * innerHeight;
    const focused = this.list.contains(document.activeElement) ? document.activeElement.parentElement : null;
    const kept = focused && this.known.has(focused.dataset.id) ? focused.dataset.id : this.lost;
    this.lost = null;
    let low = 0, high = this.rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.rows[middle].top + this.rows[middle].height + CAPTION < from) low = middle + 1; else high = middle;
    }
    const wanted = new Set();
    let cursor = this.list.firstChild;
    for (let number = low; number < this.rows.length && this.rows[number].top < to; number += 1) {
      const row = this.rows[number];
      let left = 0;
      row.photos.forEach((photo, place) => {
        const tile = this.tile(photo);
        const width = Math.round(proportion(photo) * row.height);
        this.put(tile, left, row.top, width, row.height, row.first + place);
        left += width + GAP;
        wanted.add(tile);
        if (tile === cursor) cursor = cursor.nextSibling;
        else this.list.insertBefore(tile, cursor);
      });
    }
    if (focused?.dataset.id === kept) wanted.add(focused); // who reads with the keyboard keeps the place
    for (const tile of [...this.list.children]) {
      if (wanted.has(tile) || tile === this.ahead) continue;
      tile.querySelector("img")?.removeAttribute("src"); // a picture on its way would hold up those that are looked at
      tile.remove();
      this.tiles.delete(tile.dataset.id);
    }
    // an element that was moved or replaced has lost the focus
    const left = (kept ?? focused) && !this.list.contains(document.activeElement);
    if (left) (this.tiles.get(kept)?.firstChild ?? byId("photos")).focus({ preventScroll: true });
    this.fill();
    const last = this.rows.at(-1);
    if (!last || last.top < to) this.more();
  }

  /** Say how many photos are still to come. */
  coming(waiting) {
    say(this.ahead, waiting ? `${count(waiting)} waiting` : "");
  }

  /** Show the free end of the first row, while that is being filled. */
  fill() {
    const row = this.rows[0];
    const open = this.split && row && !row.full;
    const used = open ? row.photos.reduce((sum, photo) => sum + Math.round(proportion(photo) * row.height) + GAP, 0) : 0;
    this.ahead.hidden = !open;
    if (open) this.put(this.ahead, used, 0, Math.max(0, this.width - used), row.height - CAPTION);
  }

  put(tile, left, top, width, height, place) {
    tile.style.transform = `translate(${left}px, ${top}px)`;
    tile.style.width = `${width}px`;
    tile.style.height = `${height + CAPTION}px`;
    if (place === undefined) return;
    tile.setAttribute("aria-setsize", this.photos.length);
    tile.setAttribute("aria-posinset", place + 1);
  }

  tile(photo) {
    let tile = this.tiles.get(photo.id);
    if (tile) return tile;
    const name = make("span", { className: "name", text: photo.name });
    const time = make("span", { className: "time", ...stamp(photo) });
    const frame = photo.small
      ? make("img", { alt: "", loading: "lazy", decoding: "async", draggable: false, src: picture(photo, photo.small) })
      : make("span", { className: "none", text: photo.reason || "not made yet" });
    if (photo.small) frame.addEventListener("error", () => frame.classList.add("missing"));
    const button = make("button", { type: "button" }, make("span", { className: "frame" }, frame),
      make("span", { className: "caption" }, name, time));
    name.title = photo.folder ? `${photo.folder}/${photo.name}` : photo.name;
    tile = make("li", { className: `tile ${photo.state}` }, button);
    tile.dataset.id = photo.id;
    if (this.fresh.delete(photo.id)) tile.classList.add("new");
    this.tiles.set(photo.id, tile);
    return tile;
  }

  chosen(event) {
    const tile = event.target.closest(".tile");
    if (tile) this.open(this.known.get(tile.dataset.id), this);
  }

  /** Bring a photo's tile into view, and the focus to it. */
  focus(id) {
    const row = this.rows.find((one) => one.photos.some((photo) => photo.id === id));
    if (!row) return;
    const top = this.list.getBoundingClientRect().top + row.top, bottom = top + row.height + CAPTION;
    if (top < 80) scrollBy(0, top - 80);
    else if (bottom > innerHeight) scrollBy(0, bottom + GAP - innerHeight);
    this.show();
    this.tiles.get(id)?.firstChild.focus({ preventScroll: true });
  }

  /** Arrow keys go from photo to photo, up and down to the nearest of the next row. */
  move(event) {
    const tile = event.target.closest(".tile");
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!tile || !step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const place = this.photos.indexOf(this.known.get(tile.dataset.id));
    const target = step[0] ? this.photos[place + step[0]] : this.nextRow(place, step[1]);
    if (target) this.focus(target.id);
  }

  nextRow(place, step) {
    const number = this.rows.findIndex((row) => place >= row.first && place < row.first + row.photos.length);
    const row = this.rows[number], next = this.rows[number + step];
    if (!next) return undefined;
    const part = (place - row.first + 0.5) / row.photos.length;
    return next.photos[Math.min(next.photos.length - 1, Math.floor(part * next.photos.length))];
  }
}

const looksSame = (a, b) => ["version", "state", "reason"].every((key) => a[key] === b[key]);

/** What stands beside a photo's name: how long it took, or when it was made where it did not come while watched. */
function stamp(photo) {
  if (photo.state !== "done") return { text: photo.state };
  const made = `Made ${moment(photo.at)}`;
  if (photo.took === null) return { text: moment(photo.at, false), title: made };
  return { text: `in ${duration(photo.took)}`, title: `${made}, ${duration(photo.took)} after it came` };
}
