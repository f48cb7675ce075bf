/** The items that there are, and how they are found and shown. */

/** @typedef {import("./artifact.js").Item} Item */

const GOLDEN_ANGLE = 137.5; // neighbours in a list get colours far from each other
const ARTICLE = /^(.+), (The|A|An|La|Le|Les|L'|El|Il|Das|Der|Die)$/;

export class Catalogue {
  /** @param {Item[]} items in the order of indices, which is that of popularity */
  constructor(items) {
    this.items = items;
    this.byIndex = new Map(items.map((item) => [item.index, item]));
    this.words = items.map((item) => ` ${normal(item.title)}`);
    const genres = [...new Set(items.flatMap((item) => item.genres))].sort();
    this.hues = new Map(genres.map((genre, place) => [genre, (place * GOLDEN_ANGLE) % 360]));
  }

  /** @param {number} index @returns {Item} */
  at(index) {
    return this.byIndex.get(index);
  }

  /**
   * Items with a word in their title that begins with each word of the text, the popular ones first.
   *
   * @param {string} text
   * @returns {Item[]}
   */
  search(text) {
    const wanted = normal(text).split(" ");
    return this.items.filter((_, place) => wanted.every((word) => this.words[place].includes(` ${word}`)));
  }

  /** A colour that tells items of one genre. @param {Item} item @returns {number} degrees */
  hue(item) {
    return this.hues.get(item.genres[0]) ?? 0;
  }
}

/** Lower case, without diacritics or punctuation. @param {string} text */
function normal(text) {
  const plain = text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  return plain.replace(/['’]/g, "").replace(/[^\p{L}\p{N}]+/gu, " ").trim();
}

/** As people write it: "The Matrix" for "Matrix, The (1999)", as the year stands beside it. @param {Item} item */
export function shownTitle(item) {
  const year = ` (${item.year})`;
  const title = item.title.endsWith(year) ? item.title.slice(0, -year.length) : item.title;
  return title.replace(ARTICLE, (_, rest, article) => article + (article.endsWith("'") ? "" : " ") + rest);
}
