/** The list of the ten best items. */

import { displayTitle, makeButton, makeElement } from "./item_view.js";
import { reorder } from "./reorder.js";

/** @typedef {import("./item_view.js").Item} Item */
/** @typedef {import("./item_view.js").ItemView} ItemView */
/** @typedef {import("on-device-recommender-client").Recommendation} Recommendation */

export class Answers {
  #view;
  #actions;
  #list = document.getElementById("answers");
  /** @type {Map<string, HTMLElement>} by id */
  #entries = new Map();

  /**
   * @param {ItemView} view
   * @param {{ pick: (item: Item) => void, showSimilar?: (item: Item) => void }} actions actions of an item and of the
   *   button beside it; without the second, there is no button
   */
  constructor(view, actions) {
    this.#view = view;
    this.#actions = actions;
  }

  /**
   * Shows a list. Scores have no unit: the bar is full for the first item and empty for the last.
   *
   * @param {Recommendation[]} items
   * @param {string} measure name of the scores for screen readers
   */
  show(items, measure) {
    const [highest, lowest] = [items[0]?.score, items.at(-1)?.score];
    this.#entries = new Map(items.map((item) => [item.id, this.#entries.get(item.id) ?? this.#entry(item)]));
    for (const item of items) {
      const entry = this.#entries.get(item.id);
      const share = highest > lowest ? (item.score - lowest) / (highest - lowest) : 1;
      entry.querySelector(".bar").style.setProperty("--share", String(share));
      entry.querySelector(".score").textContent = `${measure}: ${Math.round(share * 100)} of 100.`;
      Object.assign(entry.querySelector(".reason"), { textContent: "", title: "" });
    }
    reorder(this.#list, [...this.#entries.values()]);
  }

  /** Shows the reason for an item of the list. @param {Item} item @param {string} reason */
  explain(item, reason) {
    const element = this.#entries.get(item.id).querySelector(".reason");
    element.textContent = reason;
    element.title = reason; // A wide screen shows one line.
  }

  #entry(item) {
    const title = displayTitle(item);
    const entry = makeElement("li", "");
    const button = makeButton("answer", "", () => this.#actions.pick(item));
    button.title = `Add ${title} to your picks`;
    const bar = makeElement("span", "bar");
    bar.ariaHidden = "true";
    const [cover, about] = this.#view.render(item);
    about.append(makeElement("span", "reason"));
    button.append(cover, about, bar, makeElement("span", "score unseen"));
    entry.append(button);
    if (this.#actions.showSimilar) {
      const showSimilar = () => this.#actions.showSimilar(item);
      entry.append(makeButton("quiet more", "Similar", showSimilar, `Similar to ${title}`));
    }
    return entry;
  }
}
