/** The picks in order: dragged with a pointer, or moved with buttons and arrow keys. */

import { make, shownTitle } from "./look.js";
import { arrange } from "./moving.js";

/** @typedef {import("./look.js").Item} Item */
/** @typedef {import("./look.js").Look} Look */

/**
 * @typedef {object} Changes
 * @property {(item: Item, to: number) => void} move an item goes to another place
 * @property {(item: Item) => void} remove
 */

export class Picks {
  #look;
  #changes;
  #list = document.getElementById("picks");
  /** @type {Map<number, HTMLElement>} by index */
  #chips = new Map();
  /** @type {Map<number, Item>} by index */
  #items = new Map();

  /** @param {Look} look @param {Changes} changes */
  constructor(look, changes) {
    this.#look = look;
    this.#changes = changes;
    this.#list.addEventListener("keydown", (event) => this.#key(event));
    this.#list.addEventListener("pointerdown", (event) => this.#drag(event));
  }

  /** @param {Item[]} picks oldest first */
  show(picks) {
    const added = picks.length > this.#chips.size;
    this.#chips = new Map(picks.map((item) => [item.index, this.#chips.get(item.index) ?? this.#chip(item)]));
    this.#items = new Map(picks.map((item) => [item.index, item]));
    const chips = [...this.#chips.values()];
    for (const [place, chip] of chips.entries()) {
      // Not `disabled`, which would take the focus away from who moves a chip to an end.
      chip.querySelector(".earlier").ariaDisabled = String(place === 0);
      chip.querySelector(".later").ariaDisabled = String(place === chips.length - 1);
    }
    arrange(this.#list, chips);
    if (added) this.#list.scrollTo(this.#list.scrollWidth, this.#list.scrollHeight);
  }

  #chip(item) {
    const { index } = item;
    const title = shownTitle(item);
    const chip = make("li", "chip");
    chip.dataset.index = String(index);
    const grip = make("span", "grip");
    const handle = make("span", "handle");
    handle.style.setProperty("--hue", String(this.#look.hue(item)));
    grip.append(handle, title);
    grip.title = item.title;
    const button = (className, sign, label, act) => {
      const made = make("button", className, sign);
      made.type = "button";
      made.ariaLabel = label;
      made.addEventListener("click", act);
      return made;
    };
    chip.append(
      grip,
      button("earlier", "‹", `Move ${title} earlier`, () => this.#shift(index, -1)),
      button("later", "›", `Move ${title} later`, () => this.#shift(index, 1)),
      button("remove", "×", `Remove ${title}`, () => this.#changes.remove(item)),
    );
    return chip;
  }

  #shift(index, by) {
    const to = [...this.#chips.keys()].indexOf(index) + by;
    if (to >= 0 && to < this.#chips.size) this.#changes.move(this.#items.get(index), to);
  }

  #key(event) {
    const index = Number(event.target.closest(".chip").dataset.index);
    if (event.key === "ArrowLeft") this.#shift(index, -1);
    else if (event.key === "ArrowRight") this.#shift(index, 1);
    else if (event.key === "Delete") this.#changes.remove(this.#items.get(index));
    else return;
    event.preventDefault();
  }

  /** The list changes while a chip is still held, and the recommendations with it. */
  #drag(down) {
    // A finger on the title may want to scroll, so it has to take the handle.
    const chip = down.target.closest(down.pointerType === "touch" ? ".handle" : ".grip")?.closest(".chip");
    if (!chip || down.button !== 0) return;
    const index = Number(chip.dataset.index);
    const release = new AbortController();
    const { signal } = release;
    let last = chip;
    chip.classList.add("held");
    // The list holds the pointer, since a chip loses it when it is moved.
    this.#list.setPointerCapture(down.pointerId);
    this.#list.addEventListener(
      "pointermove",
      (event) => {
        const over = document.elementFromPoint(event.clientX, event.clientY)?.closest(".chip");
        // A long chip that takes a short one's place may leave it under the pointer: that is no wish to go back.
        if (over === last || over?.getAnimations().length) return;
        last = over;
        if (over && over !== chip) this.#changes.move(this.#items.get(index), [...this.#list.children].indexOf(over));
      },
      { signal },
    );
    this.#list.addEventListener(
      "lostpointercapture",
      () => {
        chip.classList.remove("held");
        release.abort();
      },
      { signal },
    );
  }
}
