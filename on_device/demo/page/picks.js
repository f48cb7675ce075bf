/** The picks in order, which users drag, or move with buttons and arrow keys. */

import { displayTitle, makeButton, makeElement } from "./item_view.js";
import { reorder } from "./reorder.js";

/** @typedef {import("./item_view.js").Item} Item */
/** @typedef {import("./item_view.js").ItemView} ItemView */

/**
 * @typedef {object} Actions
 * @property {(item: Item, to: number) => void} move moves an item to a position
 * @property {(item: Item) => void} remove
 */

export class Picks {
  #view;
  #actions;
  #list = document.getElementById("picks");
  /** @type {Map<number, HTMLElement>} by index */
  #chips = new Map();
  /** @type {Map<number, Item>} by index */
  #items = new Map();

  /** @param {ItemView} view @param {Actions} actions */
  constructor(view, actions) {
    this.#view = view;
    this.#actions = actions;
    this.#list.addEventListener("keydown", (event) => this.#onKey(event));
    this.#list.addEventListener("pointerdown", (event) => this.#drag(event));
  }

  /** @param {Item[]} picks oldest first */
  show(picks) {
    const added = picks.length > this.#chips.size;
    this.#chips = new Map(picks.map((item) => [item.index, this.#chips.get(item.index) ?? this.#chip(item)]));
    this.#items = new Map(picks.map((item) => [item.index, item]));
    const chips = [...this.#chips.values()];
    for (const [position, chip] of chips.entries()) {
      // Not `disabled`, because a disabled button would lose the focus when its chip reaches an end.
      chip.querySelector(".earlier").ariaDisabled = String(position === 0);
      chip.querySelector(".later").ariaDisabled = String(position === chips.length - 1);
    }
    reorder(this.#list, chips);
    if (added) this.#list.scrollTo(this.#list.scrollWidth, this.#list.scrollHeight);
  }

  #chip(item) {
    const { index } = item;
    const title = displayTitle(item);
    const chip = makeElement("li", "chip");
    chip.dataset.index = String(index);
    const grip = makeElement("span", "grip");
    const handle = makeElement("span", "handle");
    handle.style.setProperty("--hue", String(this.#view.hue(item)));
    grip.append(handle, title);
    grip.title = item.title;
    chip.append(
      grip,
      makeButton("earlier", "‹", () => this.#shift(index, -1), `Move ${title} earlier`),
      makeButton("later", "›", () => this.#shift(index, 1), `Move ${title} later`),
      makeButton("remove", "×", () => this.#actions.remove(item), `Remove ${title}`),
    );
    return chip;
  }

  #shift(index, by) {
    const to = [...this.#chips.keys()].indexOf(index) + by;
    if (to >= 0 && to < this.#chips.size) this.#actions.move(this.#items.get(index), to);
  }

  #onKey(event) {
    const index = Number(event.target.closest(".chip").dataset.index);
    if (event.key === "ArrowLeft") this.#shift(index, -1);
    else if (event.key === "ArrowRight") this.#shift(index, 1);
    else if (event.key === "Delete") this.#actions.remove(this.#items.get(index));
    else return;
    event.preventDefault();
  }

  /** Moves a chip while it is dragged, so that the recommendations follow. */
  #drag(down) {
    // A finger drags the handle only, because on the title it may scroll.
    const chip = down.target.closest(down.pointerType === "touch" ? ".handle" : ".grip")?.closest(".chip");
    if (!chip || down.button !== 0) return;
    const index = Number(chip.dataset.index);
    const release = new AbortController();
    const { signal } = release;
    let last = chip;
    chip.classList.add("held");
    // The list captures the pointer, because a chip would lose it when it moves.
    this.#list.setPointerCapture(down.pointerId);
    this.#list.addEventListener(
      "pointermove",
      (event) => {
        const over = document.elementFromPoint(event.clientX, event.clientY)?.closest(".chip");
        // A long chip that replaces a short one may leave it under the pointer, which must not move it back.
        if (over === last || over?.getAnimations().length) return;
        last = over;
        if (over && over !== chip) this.#actions.move(this.#items.get(index), [...this.#list.children].indexOf(over));
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
