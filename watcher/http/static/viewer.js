// One photo, large, with what was made of it and how it came about.

import { ago, ask, byId, bytes, duration, make, moment, picture, retry, say, tell } from "./common.js";

export class Viewer {
  constructor({ beside, closed }) {
    this.dialog = byId("viewer");
    this.beside = beside; // (id, step) -> photo
    this.photo = null;
    this.turn = 0; // answers that come late belong to an earlier one
    byId("viewer-before").addEventListener("click", () => this.step(-1));
    byId("viewer-after").addEventListener("click", () => this.step(1));
    byId("viewer-close").addEventListener("click", () => this.dialog.close());
    byId("viewer-retry").addEventListener("click", (event) => this.again(event.currentTarget));
    this.dialog.addEventListener("close", () => {
      const photo = this.photo;
      this.photo = null;
      byId("viewer-image").removeAttribute("src");
      closed(photo);
    });
    this.dialog.addEventListener("click", (event) => { if (event.target === this.dialog) this.dialog.close(); });
    addEventListener("keydown", (event) => {
      const step = this.photo && { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step && !event.altKey && !event.ctrlKey && !event.metaKey) { event.preventDefault(); this.step(step); }
    });
  }

  show(photo) {
    this.photo = photo;
    say(byId("viewer-name"), photo.name);
    say(byId("viewer-path"), photo.folder);
    byId("viewer-story").replaceChildren();
    for (const [name, step] of [["viewer-before", -1], ["viewer-after", 1]]) {
      const button = byId(name), none = !this.beside(photo.id, step);
      if (none && document.activeElement === button) byId("viewer-close").focus();
      button.disabled = none;
    }
    this.draw(photo);
    if (!this.dialog.open) this.dialog.showModal();
    this.load();
  }

  /** Something has happened to a photo: if it is this one, look again. */
  see(photo) {
    if (this.photo?.id !== photo.id) return;
    this.photo = photo;
    this.draw(photo);
    this.load();
  }

  step(by) {
    const photo = this.photo && this.beside(this.photo.id, by);
    if (photo) this.show(photo);
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
    } else say(none, photo.reason || "Nothing is made of it yet");
    const took = photo.took === null || photo.took === undefined ? "" : `, ${duration(photo.took)} after it came`;
    const since = `${moment(photo.at)} (${ago(photo.at)})`;
    const told = { done: `Done ${since}${took}`, failed: `Failed ${since}: ${photo.reason}`,
      waiting: `Waiting since ${since}${photo.reason ? `: ${photo.reason}` : ""}` };
    say(byId("viewer-state"), told[photo.state]);
    byId("viewer-retry").hidden = photo.state !== "failed";
    byId("viewer-made-title").hidden = !photo.made.length;
    byId("viewer-made").replaceChildren(...photo.made.map((made) => make("li", {},
      make("a", { href: picture(photo, made.name), target: "_blank", text: made.name }),
      ` ${made.width} \u00d7 ${made.height}, ${bytes(made.bytes)}`)));
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
      say(byId("viewer-path"), found.path);
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

  async again(button) {
    button.disabled = true;
    try {
      await retry({ photos: [this.photo.id] });
      tell("Asked to try again");
    } catch (error) {
      tell(`That did not work: ${error.message}`);
    }
    button.disabled = false;
  }
}
