/** A pushed model, read and checked: what `on_device/artifact.py` does, in the browser. */

const MODEL = "model.tflite";
const ITEMS = "items.json";
const INFO = "model_info.json";
const DAMAGED = "It may have been changed since, or broken on its way: push the model again and restart the demo.";

/** The first index that is an item's: 0 is padding, 1 an unknown item. */
export const FIRST_INDEX = 2;

/** An error whose message is for the person at the screen. */
export class Problem extends Error {}

/**
 * @typedef {object} Item
 * @property {number} index what the model calls it, from FIRST_INDEX
 * @property {string} id what the data calls it
 * @property {string} title
 * @property {string[]} genres
 * @property {number | null} year
 * @property {number} [count] its number of events in training, where the catalogue has it
 *
 * @typedef {object} Artifact
 * @property {Record<string, any>} info what `model_info.json` says
 * @property {Uint8Array} model content of `model.tflite`
 * @property {Item[]} items in the order of indices, which is that of popularity
 * @property {string} sha256 of the model, as computed here
 */

/**
 * Fetch a version's files and check them against the checksums that were pushed with them.
 *
 * @param {string} folder address of the version
 * @returns {Promise<Artifact>}
 * @throws {Problem} a file is missing or not the one that was pushed
 */
export async function readArtifact(folder) {
  const [infoFile, items, model] = await Promise.all([INFO, ITEMS, MODEL].map((name) => read(folder, name)));
  const info = parse(infoFile);
  await verify(ITEMS, items, info);
  const sha256 = await verify(MODEL, model, info);
  return { info, model, items: parse(items).items, sha256 };
}

/** @returns {Promise<Uint8Array>} */
async function read(folder, name) {
  const response = await fetch(folder + name).catch(() => null);
  if (!response) throw new Problem(`${name} could not be read: the demo's server does not answer. Start it again.`);
  if (!response.ok) {
    throw new Problem(`${name} is not there (${response.status}), but was when the demo started. Start it again.`);
  }
  return new Uint8Array(await response.arrayBuffer());
}

/** @returns {any} */
function parse(content) {
  return JSON.parse(new TextDecoder().decode(content));
}

/** @returns {Promise<string>} the checksum */
async function verify(name, content, info) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== info.sha256[name]) throw new Problem(`${name} is not the file that was pushed. ${DAMAGED}`);
  return found;
}
