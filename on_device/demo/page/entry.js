/** What every list shows of an item. */

import { shownTitle } from "./catalogue.js";

/** @typedef {import("./catalogue.js").Catalogue} Catalogue */

/**
 * A small cover with the title's first letter in its genre's colour, the title, the year and the genres.
 *
 * @param {import("./artifact.js").Item} item
 * @param {Catalogue} catalogue
 * @returns {HTMLElement[]}
 */
export function describe(item, catalogue) {
  const title = shownTitle(item);
  const cover = make("span", "cover", title.match(/[\p{L}\p{N}]/u)?.[0].toUpperCase() ?? "");
  cover.style.setProperty("--hue", String(catalogue.hue(item)));
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

/** @param {string} name @param {string} className @param {string} [text] @returns {HTMLElement} */
export function make(name, className, text = "") {
  const element = document.createElement(name);
  element.className = className;
  element.textContent = text;
  return element;
}
