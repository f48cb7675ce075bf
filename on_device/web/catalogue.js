/** The catalogue of a pushed model: items by id, and by title as people write it. */

import { FIRST_INDEX, Problem } from "./artifact.js";

/** @typedef {import("./index.d.ts").Entry} Entry */
/** @typedef {import("./index.d.ts").Item} Item */

const UNKNOWN = 1;

export class Catalogue {
  #byId;
  /** @type {string[]} words of each title, each after a space */
  #words;
  /** @type {Map<string, Item>} */
  #byTitle = new Map();

  /** @param {readonly Item[]} items in the order of indices, which is that of popularity */
  constructor(items) {
    this.items = items;
    this.#byId = new Map(items.map((item) => [item.id, item]));
    this.#words = items.map((item) => ` ${normalized(item.title)}`);
    for (const [place, words] of this.#words.entries()) {
      if (!this.#byTitle.has(words)) this.#byTitle.set(words, items[place]);
    }
  }

  /** @param {number} index @returns {Item} the item with an index */
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
    return this.items.filter((_, place) => words.every((word) => this.#words[place].includes(` ${word}`)));
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
  const plain = text.normalize("NFKD").replace(/\p{Mn}/gu, "").replace(/['\u2019]/g, "").toLowerCase();
  return plain.replace(/[^\p{L}\p{N}]+/gu, " ").trim();
}
