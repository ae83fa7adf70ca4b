// One photo, large, with what was made of it and how it came about.

import { leavePhoto, name, shown } from "./address.js";
import { ago, ask, byId, bytes, copy, duration, make, moment, picture, retry, say, sayName } from "./common.js";

const SWIPE = 48; // pixels
const MOUSE = matchMedia("(hover: hover) and (pointer: fine)"); // a finger zooms by pinching

export class Viewer {
  constructor(list) {
    this.dialog = byId("viewer");
    this.list = list; // in which one goes from photo to photo
    this.photo = null;
    this.turn = 0; // answers that come late belong to an earlier one
    byId("viewer-before").addEventListener("click", () => this.step(-1));
    byId("viewer-after").addEventListener("click", () => this.step(1));
    byId("viewer-zoom").addEventListener("click", () => this.zoom());
    byId("viewer-image").addEventListener("click", (event) => { if (MOUSE.matches) this.zoom(event); });
    addEventListener("resize", () => this.fits());
    byId("viewer-close").addEventListener("click", () => this.dialog.close());
    byId("viewer-retry").addEventListener("click", (event) => retry({ photos: [this.photo.id] }, event.currentTarget));
    byId("viewer-copy").addEventListener("click", (event) => copy(byId("viewer-path"), event.currentTarget));
    this.dialog.addEventListener("close", () => this.closed());
    addEventListener("keydown", (event) => {
      const step = this.photo && { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      if (step) { event.preventDefault(); this.step(step); }
      if (event.key === "z" && this.photo) this.zoom();
    });
    byId("viewer-image").addEventListener("load", () => this.fits());
    this.swiped(byId("stage"));
  }

  /** Open a photo that was chosen in a list. */
  open(photo, list) {
    this.list = list;
    name({ photo: photo.id });
    this.show(photo);
  }

  /** Show the photo that the address names, or none. */
  async follow(list) {
    const id = shown().photo;
    if (!id) { this.dialog.close(); return; }
    if (this.photo?.id === id) return;
    this.list = list;
    const known = list.photo(id);
    if (known) { this.show(known); return; }
    try {
      const found = await ask(`api/story/${encodeURIComponent(id)}`);
      if (shown().photo === id) this.show(found);
    } catch (error) {
      if (shown().photo === id) this.none(error.message);
    }
  }

  show(photo) {
    this.photo = photo;
    this.zoomed(false);
    byId("viewer-known").hidden = false;
    sayName(byId("viewer-name"), photo.name);
    sayName(byId("viewer-path"), photo.where);
    byId("viewer-story").replaceChildren();
    this.beside();
    this.draw(photo);
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.scrollTop = 0;
    this.load();
  }

  /** The address names a photo that is not there. */
  none(why) {
    this.photo = null;
    byId("viewer-known").hidden = byId("viewer-retry").hidden = byId("viewer-image").hidden = true;
    this.zoomed(false);
    byId("viewer-none").hidden = false;
    say(byId("viewer-none"), "Nothing to show");
    say(byId("viewer-name"), "Not found");
    const gone = "No such photo: it has left its inbox, or the address is not complete.";
    say(byId("viewer-state"), why === "no such photo" ? gone : why);
    this.beside();
    if (!this.dialog.open) this.dialog.showModal();
  }

  closed() {
    const photo = this.photo;
    this.photo = null;
    this.turn += 1;
    byId("viewer-image").removeAttribute("src");
    leavePhoto();
    if (photo) this.list.focus(photo.id);
  }

  /** Whether there is a photo before and after this one. */
  beside() {
    for (const [id, step] of [["viewer-before", -1], ["viewer-after", 1]]) {
      const button = byId(id), none = !this.photo || !this.list.beside(this.photo.id, step);
      if (none && document.activeElement === button) byId("viewer-close").focus();
      button.disabled = none;
    }
  }

  /** Something has happened to a photo: if it is this one, look again. */
  see(photo) {
    if (this.photo?.id !== photo.id) return;
    this.photo = photo;
    this.draw(photo);
    this.load();
  }

  step(by) {
    const photo = this.photo && this.list.beside(this.photo.id, by);
    if (!photo) return;
    name({ photo: photo.id }, true);
    this.show(photo);
  }

  /** Show the picture in its actual size, with the place that was clicked in the middle; or all of it again. */
  zoom(clicked = null) {
    const image = byId("viewer-image"), figure = image.parentElement, box = image.getBoundingClientRect();
    if (byId("viewer-zoom").hidden) return;
    const at = clicked ? [(clicked.clientX - box.left) / box.width, (clicked.clientY - box.top) / box.height] : [.5, .5];
    this.zoomed(!byId("stage").classList.contains("zoomed"));
    figure.scrollTo(at[0] * image.width - figure.clientWidth / 2, at[1] * image.height - figure.clientHeight / 2);
  }

  zoomed(whether) {
    byId("stage").classList.toggle("zoomed", whether);
    byId("viewer-image").parentElement.tabIndex = whether ? 0 : -1; // so that keys scroll it
    byId("viewer-zoom").setAttribute("aria-pressed", whether);
    this.fits();
  }

  /** Zooming is offered where the picture was made smaller to fit. */
  fits() {
    const image = byId("viewer-image"), zoomed = byId("stage").classList.contains("zoomed");
    byId("viewer-zoom").hidden = !zoomed && (image.hidden || image.width >= image.naturalWidth);
    image.classList.toggle("larger", !byId("viewer-zoom").hidden);
  }

  swiped(stage) {
    const image = byId("viewer-image");
    let from = null; // where the finger came down
    const end = () => { from = null; image.style.translate = ""; };
    stage.addEventListener("touchstart", (event) => {
      end();
      if (event.touches.length === 1 && (visualViewport?.scale ?? 1) < 1.01) from = event.touches[0];
    }, { passive: true });
    stage.addEventListener("touchmove", (event) => {
      if (event.touches.length > 1) end();
      else if (from) image.style.translate = `${event.touches[0].clientX - from.clientX}px`;
    }, { passive: true });
    stage.addEventListener("touchcancel", end);
    stage.addEventListener("touchend", (event) => {
      if (!from) return;
      const to = event.changedTouches[0];
      const across = to.clientX - from.clientX, down = to.clientY - from.clientY;
      end();
      if (Math.abs(across) >= SWIPE && Math.abs(across) > 2 * Math.abs(down)) this.step(across < 0 ? 1 : -1);
    });
  }

  draw(photo) {
    const image = byId("viewer-image"), none = byId("viewer-none");
    const large = photo.made.find((made) => made.name === photo.large);
    image.hidden = !large;
    none.hidden = Boolean(large);
    if (large) {
      image.alt = photo.name;
      image.width = large.width;
      image.height = large.height;
      this.picture(image, photo);
    } else say(none, photo.state === "failed" ? "No picture could be made" : "Not made yet");
    this.fits();
    const took = photo.took === null || photo.took === undefined ? "" : `, ${duration(photo.took)} after it came`;
    const since = `${moment(photo.at)} (${ago(photo.at)})`;
    const told = { done: `Done ${since}${took}`, failed: `Failed ${since}: ${photo.reason}`,
      waiting: `Waiting since ${since}${photo.reason ? `: ${photo.reason}` : ""}` };
    say(byId("viewer-state"), told[photo.state]);
    byId("viewer-state").className = photo.state;
    byId("viewer-retry").hidden = photo.state !== "failed";
    byId("viewer-made-title").hidden = !photo.made.length;
    byId("viewer-made").replaceChildren(...photo.made.map((made) => make("li", {},
      make("a", { href: picture(photo, made.name), target: "_blank", text: made.name }),
      make("span", { text: `${made.width} \u00d7 ${made.height}, ${bytes(made.bytes)}${made.also.length ? `; also ${made.also.join(", ")}` : ""}` }),
      make("a", { href: picture(photo, made.name), download: made.file, text: "Download",
        "aria-label": `Download ${made.name}` }))));
  }

  /** The small picture at once, the large one when it is there. */
  async picture(image, photo) {
    const turn = this.turn += 1, source = picture(photo, photo.large);
    if (image.getAttribute("src") === source) return;
    const large = new Image();
    large.src = source;
    if (!large.complete) image.src = picture(photo, photo.small);
    try { await large.decode(); } catch { /* it is shown as broken */ }
    if (turn === this.turn && this.photo) image.src = source;
  }

  async load() {
    const { id } = this.photo;
    try {
      const found = await ask(`api/story/${id}`);
      if (this.photo?.id !== id) return;
      sayName(byId("viewer-path"), found.path);
      this.draw({ ...found, took: found.took ?? this.photo.took });
      this.story(found.story);
    } catch (error) {
      if (this.photo?.id === id) say(byId("viewer-state"), error.message);
    }
  }

  story(story) {
    const lines = story.events.map((event) => make("li", {},
      make("time", { text: moment(event.at) }), make("span", { text: event.text })));
    const at = story.next_at ? ` (${moment(story.next_at)})` : "";
    if (story.next) lines.push(make("li", { className: "next" }, make("span", { text: `Next: ${story.next}${at}` })));
    if (story.forgotten) lines.unshift(make("li", {}, make("span", { text: "Older history is no longer kept" })));
    byId("viewer-story").replaceChildren(...lines);
  }
}
