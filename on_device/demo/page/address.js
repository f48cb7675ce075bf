/** Keeps the picks in the fragment of the page's address, which browsers do not send to any server. */

const KEY = "picks";

/** @returns {string[]} ids, oldest first */
export function readPicks() {
  const text = new URLSearchParams(location.hash.slice(1)).get(KEY) ?? "";
  return [...new Set(text.split(",").filter(Boolean).flatMap(decode))];
}

/** Returns the id in a part of a link; none if the link is damaged. @param {string} text @returns {string[]} */
function decode(text) {
  try {
    return [decodeURIComponent(text)];
  } catch {
    return [];
  }
}

/** @param {string[]} ids ids, oldest first */
export function writePicks(ids) {
  const hash = ids.length ? `#${new URLSearchParams({ [KEY]: ids.map(encodeURIComponent).join(",") })}` : "";
  history.replaceState(null, "", location.pathname + location.search + hash);
}
