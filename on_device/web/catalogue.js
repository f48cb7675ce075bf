/** The catalogue of a pushed model, with lookup by id and by title. */

import { FIRST_INDEX, Problem, UNKNOWN } from "./artifact.js";

/** @typedef {import("./index.d.ts").Entry} Entry */
/** @typedef {import("./index.d.ts").Item} Item */

export class Catalogue {
  #byId;
  /** @type {string[]} the words of each title, each after a space */
  #words;
  /** @type {Map<string, Item>} */
  #byTitle = new Map();

  /** @param {readonly Item[]} items */
  constructor(items) {
    this.items = items;
    this.#byId = new Map(items.map((item) => [item.id, item]));
    this.#words = items.map((item) => ` ${normalized(item.title)}`);
    for (const [position, words] of this.#words.entries()) {
      if (!this.#byTitle.has(words)) this.#byTitle.set(words, items[position]);
    }
  }

  /** @param {number} index @returns {Item} */
  at(index) {
    return this.items[index - FIRST_INDEX];
  }

  /** @param {string | number} id @returns {Item | undefined} */
  find(id) {
    return this.#byId.get(String(id));
  }

  /** @param {string} title @returns {Item | undefined} */
  titled(title) {
    return this.#byTitle.get(` ${normalized(title)}`);
  }

  /** @param {string} text @returns {Item[]} */
  search(text) {
    const words = normalized(text).split(" ").filter(Boolean);
    return this.items.filter((_, position) => words.every((word) => this.#words[position].includes(` ${word}`)));
  }

  /** @param {Entry} entry @returns {number} */
  index(entry) {
    const id = typeof entry === "object" ? entry?.id : entry;
    if (typeof id !== "string" && !Number.isInteger(id)) throw new Problem(`${entry} is neither an id nor an item`);
    return this.find(id)?.index ?? UNKNOWN;
  }

  /** @param {Iterable<Entry>} entries @returns {number[]} */
  indices(entries) {
    if (typeof entries === "string" || typeof entries?.[Symbol.iterator] !== "function") {
      throw new Problem(`expected a list of ids or items, found ${entries}`);
    }
    return Array.from(entries, (entry) => this.index(entry));
  }
}

/** @param {string} text @returns {string} */
export function normalized(text) {
  const lowerCase = text.normalize("NFKD").replace(/\p{Mn}/gu, "").replace(/['\u2019]/g, "").toLowerCase();
  return lowerCase.replace(/[^\p{L}\p{N}]+/gu, " ").trim();
}
