/** Reads and checks a pushed model, as `on_device/artifact.py` does. */

/** @typedef {import("./index.d.ts").Artifact} Artifact */
/** @typedef {import("./index.d.ts").Item} Item */

const MODEL = "model.tflite";
const ITEMS = "items.json";
const INFO = "model_info.json";
const FORMAT = 2;
const PUSH_AGAIN = "push or copy it again";

export const PADDING = 0;
export const UNKNOWN = 1;
export const FIRST_INDEX = 2;

export class Problem extends Error {
  name = "Problem";
}

/** @param {string} folder @returns {Promise<string>} */
export async function latestVersion(folder) {
  const version = new TextDecoder().decode(await read(folder, "latest")).trim();
  if (!/^[\p{L}\p{N}]+$/u.test(version)) throw new Problem(`${folder}latest: ${version} is not a version`);
  return version;
}

/** @param {string} folder @returns {Promise<Artifact>} */
export async function readArtifact(folder) {
  const [infoFile, itemsFile, model] = await Promise.all([INFO, ITEMS, MODEL].map((name) => read(folder, name)));
  const info = parse(folder + INFO, infoFile);
  if (info.format !== FORMAT) {
    throw new Problem(`${folder}${INFO}: format ${info.format}, this client reads ${FORMAT}; update the client`);
  }
  await verify(folder, ITEMS, itemsFile, info);
  await verify(folder, MODEL, model, info);
  const items = readItems(folder + ITEMS, parse(folder + ITEMS, itemsFile));
  if (items.length !== info.num_items) {
    throw new Problem(`${folder}${ITEMS}: ${items.length} items, but ${INFO} says ${JSON.stringify(info.num_items)}`);
  }
  return { info, model, items };
}

/** @param {string} folder @param {string} name @returns {Promise<Uint8Array>} */
async function read(folder, name) {
  const response = await fetch(folder + name).catch(() => null);
  if (!response) throw new Problem(`${folder}${name}: cannot be read, because the server does not respond`);
  if (!response.ok) throw new Problem(`${folder}${name}: missing (${response.status}); ${PUSH_AGAIN}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** @param {string} path @param {Uint8Array} content @returns {Record<string, any>} */
function parse(path, content) {
  let value;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(content));
  } catch (error) {
    throw new Problem(`${path}: not JSON (${error.message}); ${PUSH_AGAIN}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Problem(`${path}: expected a JSON object; ${PUSH_AGAIN}`);
  }
  return value;
}

/** @param {string} path @param {Record<string, any>} value @returns {Item[]} */
function readItems(path, { format, items }) {
  if (format !== FORMAT || !Array.isArray(items)) {
    throw new Problem(`${path}: expected {"format": ${FORMAT}, "items": [...]}; ${PUSH_AGAIN}`);
  }
  for (const [position, item] of items.entries()) {
    const index = position + FIRST_INDEX;
    const isItem =
      item?.index === index &&
      typeof item.id === "string" &&
      typeof item.title === "string" &&
      Array.isArray(item.genres) &&
      (item.year === null || Number.isInteger(item.year));
    if (!isItem) throw new Problem(`${path}: expected an item with the index ${index}; ${PUSH_AGAIN}`);
  }
  return items;
}

/** @param {string} folder @param {string} name @param {Uint8Array} content @param {Record<string, any>} info */
async function verify(folder, name, content, info) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (sha256 !== info.sha256?.[name]) {
    const size = content.length.toLocaleString("en");
    throw new Problem(`${folder}${name}: not the file that was pushed, or incomplete (${size} bytes); ${PUSH_AGAIN}`);
  }
}
