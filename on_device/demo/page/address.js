/** The picks in the page's address, behind the #: browsers do not send that part to any server. */

const KEY = "picks";

/** @returns {string[]} ids, oldest first */
export function picksOfAddress() {
  const text = new URLSearchParams(location.hash.slice(1)).get(KEY) ?? "";
  return [...new Set(text.split(",").filter(Boolean).map(decodeURIComponent))];
}

/** @param {string[]} ids oldest first */
export function showInAddress(ids) {
  const hash = ids.length ? `#${new URLSearchParams({ [KEY]: ids.map(encodeURIComponent).join(",") })}` : "";
  history.replaceState(null, "", location.pathname + location.search + hash);
}
