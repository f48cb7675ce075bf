/** How items look to people. */

/** @typedef {import("on-device-recommender-client").Item} Item */

const GOLDEN_ANGLE = 137.5; // neighbours in a list get colours far from each other
const ARTICLE = /^(.+), (The|A|An|La|Le|Les|L'|El|Il|Das|Der|Die)$/;

export class Look {
  /** @param {readonly Item[]} items */
  constructor(items) {
    this.genres = [...new Set(items.flatMap((item) => item.genres))].sort();
    this.hues = new Map(this.genres.map((genre, place) => [genre, (place * GOLDEN_ANGLE) % 360]));
  }

  /** @param {Item} item @returns {number} the hue of its first genre, in degrees */
  hue(item) {
    return this.hues.get(item.genres[0]) ?? 0;
  }

  /**
   * A small cover with the title's first letter in its genre's colour, the title, the year and the genres.
   *
   * @param {Item} item
   * @returns {HTMLElement[]}
   */
  describe(item) {
    const title = shownTitle(item);
    const cover = make("span", "cover", title.match(/[\p{L}\p{N}]/u)?.[0].toUpperCase() ?? "");
    cover.style.setProperty("--hue", String(this.hue(item)));
    cover.ariaHidden = "true";
    const about = make("span", "about");
    const heading = make("span", "title", title);
    heading.title = item.title;
    const detail = make("span", "detail");
    if (item.year) detail.append(make("span", "year", String(item.year)));
    if (item.genres.length) detail.append(make("span", "genres", item.genres.join(", ")));
    about.append(heading, detail);
    return [cover, about];
  }
}

/** As people write it: "The Matrix" for "Matrix, The (1999)", as the year stands beside it. @param {Item} item */
export function shownTitle(item) {
  const year = ` (${item.year})`;
  const title = item.title.endsWith(year) ? item.title.slice(0, -year.length) : item.title;
  return title.replace(ARTICLE, (_, rest, article) => article + (article.endsWith("'") ? "" : " ") + rest);
}

/** @param {string} name @param {string} className @param {string} [text] @returns {HTMLElement} */
export function make(name, className, text = "") {
  const element = document.createElement(name);
  element.className = className;
  element.textContent = text;
  return element;
}
