/** The ten best items of a list. */

import { make, shownTitle } from "./look.js";
import { arrange } from "./moving.js";

/** @typedef {import("./look.js").Item} Item */
/** @typedef {import("./look.js").Look} Look */
/** @typedef {import("on-device-recommender-client").Recommendation} Recommendation */

export class Answers {
  #look;
  #actions;
  #list = document.getElementById("answers");
  /** @type {Map<string, HTMLElement>} by id */
  #entries = new Map();

  /**
   * @param {Look} look
   * @param {{ pick: (item: Item) => void, more?: (item: Item) => void }} actions of a tap on an item, and on the button
   *   beside it, which is left out where there is no action
   */
  constructor(look, actions) {
    this.#look = look;
    this.#actions = actions;
  }

  /**
   * Shows a list. Scores have no unit: a bar is full for the first item and empty for the last.
   *
   * @param {Recommendation[]} items
   * @param {string} measure name of the scores for a screen reader
   */
  show(items, measure) {
    const [most, least] = [items[0]?.score, items.at(-1)?.score];
    this.#entries = new Map(items.map((item) => [item.id, this.#entries.get(item.id) ?? this.#entry(item)]));
    for (const item of items) {
      const entry = this.#entries.get(item.id);
      const share = most > least ? (item.score - least) / (most - least) : 1;
      entry.querySelector(".bar").style.setProperty("--share", String(share));
      entry.querySelector(".score").textContent = `${measure}: ${Math.round(share * 100)} of 100.`;
      entry.querySelector(".reason").textContent = "";
    }
    arrange(this.#list, [...this.#entries.values()]);
  }

  /** @param {Item} item of the list @param {string} reason */
  explain(item, reason) {
    this.#entries.get(item.id).querySelector(".reason").textContent = reason;
  }

  #entry(item) {
    const title = shownTitle(item);
    const entry = make("li", "");
    const button = make("button", "answer");
    button.type = "button";
    button.title = `Add ${title} to your picks`;
    const bar = make("span", "bar");
    bar.ariaHidden = "true";
    const [cover, about] = this.#look.describe(item);
    about.append(make("span", "reason"));
    button.append(cover, about, bar, make("span", "score unseen"));
    button.addEventListener("click", () => this.#actions.pick(item));
    entry.append(button);
    if (this.#actions.more) {
      const more = make("button", "quiet more", "Similar");
      more.type = "button";
      more.ariaLabel = `Similar to ${title}`;
      more.addEventListener("click", () => this.#actions.more(item));
      entry.append(more);
    }
    return entry;
  }
}
