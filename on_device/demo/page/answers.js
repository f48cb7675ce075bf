/** The ten recommendations. */

import { shownTitle } from "./catalogue.js";
import { describe, make } from "./entry.js";
import { arrange } from "./moving.js";

/** @typedef {import("./catalogue.js").Catalogue} Catalogue */

const SHOWN = 10;

export class Answers {
  #catalogue;
  #pick;
  #list = document.getElementById("answers");
  /** @type {Map<number, HTMLElement>} */
  #entries = new Map();

  /**
   * @param {Catalogue} catalogue
   * @param {(index: number) => void} pick called with what was tapped
   */
  constructor(catalogue, pick) {
    this.#catalogue = catalogue;
    this.#pick = pick;
  }

  /**
   * Show the best. Scores have no unit; a bar begins at the last of all the ranking and is full for its first.
   *
   * @param {import("./model.js").Answer["ranking"]} ranking
   */
  show(ranking) {
    const shown = ranking.slice(0, SHOWN);
    const [most, least] = [ranking[0]?.score, ranking.at(-1)?.score];
    this.#entries = new Map(shown.map(({ index }) => [index, this.#entries.get(index) ?? this.#entry(index)]));
    for (const { index, score } of shown) {
      const entry = this.#entries.get(index);
      const share = most > least ? (score - least) / (most - least) : 1;
      entry.querySelector(".bar").style.setProperty("--share", String(share));
      entry.querySelector(".score").textContent = score.toFixed(2);
    }
    arrange(this.#list, [...this.#entries.values()]);
  }

  #entry(index) {
    const item = this.#catalogue.at(index);
    const entry = make("li", "");
    const button = make("button", "answer");
    button.type = "button";
    button.dataset.index = String(index);
    button.title = `Add ${shownTitle(item)} to your picks`;
    const bar = make("span", "bar");
    bar.ariaHidden = "true";
    button.append(...describe(item, this.#catalogue), bar, make("span", "score"));
    button.addEventListener("click", () => this.#pick(index));
    entry.append(button);
    return entry;
  }
}
