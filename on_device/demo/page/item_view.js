/** Displays items. */

/** @typedef {import("on-device-recommender-client").Item} Item */

const GOLDEN_ANGLE = 137.5; // makes the hues of neighbouring genres differ widely
const ARTICLE = /^(.+), (The|A|An|La|Le|Les|L'|El|Il|Das|Der|Die)$/;

export class ItemView {
  /** @param {readonly Item[]} items */
  constructor(items) {
    this.genres = [...new Set(items.flatMap((item) => item.genres))].sort();
    this.hues = new Map(this.genres.map((genre, position) => [genre, (position * GOLDEN_ANGLE) % 360]));
  }

  /** @param {Item} item @returns {number} the hue of its first genre, in degrees */
  hue(item) {
    return this.hues.get(item.genres[0]) ?? 0;
  }

  /**
   * Returns a cover with the first letter of the title in the colour of the genre, and a text with title, year and
   * genres.
   *
   * @param {Item} item
   * @returns {HTMLElement[]}
   */
  render(item) {
    const title = displayTitle(item);
    const cover = makeElement("span", "cover", title.match(/[\p{L}\p{N}]/u)?.[0].toUpperCase() ?? "");
    cover.style.setProperty("--hue", String(this.hue(item)));
    cover.ariaHidden = "true";
    const about = makeElement("span", "about");
    const heading = makeElement("span", "title", title);
    heading.title = item.title;
    const detail = makeElement("span", "detail");
    if (item.year) detail.append(makeElement("span", "year", String(item.year)));
    if (item.genres.length) detail.append(makeElement("span", "genres", item.genres.join(", ")));
    about.append(heading, detail);
    return [cover, about];
  }
}

/** Returns "The Matrix" for "Matrix, The (1999)": the year is displayed separately. @param {Item} item */
export function displayTitle(item) {
  const year = ` (${item.year})`;
  const title = item.title.endsWith(year) ? item.title.slice(0, -year.length) : item.title;
  return title.replace(ARTICLE, (_, rest, article) => article + (article.endsWith("'") ? "" : " ") + rest);
}

/** @param {string} name @param {string} className @param {string} [text] @returns {HTMLElement} */
export function makeElement(name, className, text = "") {
  const element = document.createElement(name);
  element.className = className;
  element.textContent = text;
  return element;
}

/**
 * @param {string} className
 * @param {string} text
 * @param {() => void} onClick
 * @param {string} [label] label for screen readers, if it differs from the text
 * @returns {HTMLElement}
 */
export function makeButton(className, text, onClick, label) {
  const button = makeElement("button", className, text);
  button.setAttribute("type", "button");
  button.addEventListener("click", onClick);
  if (label) button.ariaLabel = label;
  return button;
}
