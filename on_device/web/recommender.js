/** Recommends with a pushed model, on ids of items. */

import { FIRST_INDEX, PADDING, Problem, UNKNOWN } from "./artifact.js";
import { Catalogue } from "./catalogue.js";
import { diversify } from "./diversity.js";
import { Model } from "./model.js";

/** @typedef {import("./index.d.ts").Artifact} Artifact */
/** @typedef {import("./index.d.ts").Choice} Choice */
/** @typedef {import("./index.d.ts").Entry} Entry */
/** @typedef {import("./index.d.ts").Reason} Reason */
/** @typedef {import("./index.d.ts").Recommendation} Recommendation */

const EXCLUDED = -30000; // bias that excludes an item: far below any score
const LARGEST_BOOST = 1000;
const DEFAULT_K = 10;

export class Recommender {
  #model;
  /** @type {Map<string, Map<string, number>>} the index of each word, by input */
  #words;

  /** @param {Artifact} artifact @param {Model} model */
  constructor({ info, items }, model) {
    this.info = info;
    this.catalogue = new Catalogue(items);
    this.#model = model;
    const inputs = (info.activity_inputs ?? []).filter(({ words }) => words);
    this.#words = new Map(
      inputs.map(({ input, words }) => [input, new Map(words.map((word, position) => [word, position + FIRST_INDEX]))]),
    );
    for (const [name, value] of Object.entries({ history_length: model.historyLength, top_k: model.topK })) {
      if (value !== info[name]) {
        throw new Problem(`model.tflite: ${name} is ${value}, but model_info.json says ${info[name]}`);
      }
    }
  }

  /** @param {Artifact} artifact @param {string} wasm @returns {Promise<Recommender>} */
  static async open(artifact, wasm) {
    return new Recommender(artifact, await Model.open(artifact.model, wasm));
  }

  get historyLength() {
    return this.#model.historyLength;
  }

  get topK() {
    return this.#model.topK;
  }

  get signatures() {
    return this.#model.signatureNames;
  }

  /**
   * @param {Iterable<Entry>} history
   * @param {Choice & { diversity?: number, activity?: Record<string, (number | string | null)[]> }} [options]
   * @returns {Promise<Recommendation[]>}
   */
  async recommend(history, { k, allow, deny, boost, diversity = 0, activity = {} } = {}) {
    const length = this.#length(k);
    if (!(diversity >= 0 && diversity <= 1)) throw new Problem(`diversity is ${diversity}; expected a number from 0 to 1`);
    const indices = this.catalogue.indices(history);
    const bias = this.#bias({ allow, deny, boost });
    // The model excludes the items that it sees; older items are excluded here.
    const older = this.info.recommends_seen ? [] : indices.slice(0, -this.historyLength);
    for (const index of older) bias[index] = EXCLUDED;
    const { ids, scores } = await this.#model.recommend(indices, bias, this.#encode(activity, indices.length));
    const recommendations = this.#recommendations(ids, scores);
    if (diversity === 0) return recommendations.slice(0, length);
    const positions = await diversify(scores, (position) => this.#similarities(ids, position), length, diversity);
    return positions.map((position) => recommendations[position]);
  }

  /** @param {Entry} item @param {Choice} [options] @returns {Promise<Recommendation[]>} */
  async similar(item, { k, allow, deny, boost } = {}) {
    const length = this.#length(k);
    const { ids, scores } = await this.#model.similar(this.#knownIndex(item), this.#bias({ allow, deny, boost }));
    return this.#recommendations(ids, scores).slice(0, length);
  }

  /**
   * @param {Iterable<Entry>} history
   * @param {Entry} item
   * @param {{ activity?: Record<string, (number | string | null)[]> }} [options]
   * @returns {Promise<Reason[]>}
   */
  async because(history, item, { activity = {} } = {}) {
    const indices = this.catalogue.indices(history);
    const encoded = this.#encode(activity, indices.length);
    const contributions = await this.#model.explain(indices, this.#knownIndex(item), encoded);
    return indices
      .slice(-this.historyLength)
      .map((index, position) => ({ index, contribution: contributions[position] }))
      .filter(({ index, contribution }) => index >= FIRST_INDEX && contribution !== 0)
      .map(({ index, contribution }) => ({ item: this.catalogue.at(index), contribution }))
      .sort((first, second) => second.contribution - first.contribution);
  }

  #length(k = Math.min(DEFAULT_K, this.topK)) {
    if (!Number.isInteger(k) || k < 1 || k > this.topK) {
      throw new Problem(`k is ${k}; expected an integer from 1 to ${this.topK}`);
    }
    return k;
  }

  #knownIndex(item) {
    const index = this.catalogue.index(item);
    if (index === UNKNOWN) throw new Problem(`items.json: no item with the id ${item?.id ?? item}`);
    return index;
  }

  /** @param {Choice} options @returns {Float32Array} added to the score of each index */
  #bias({ allow, deny = [], boost = {} }) {
    const bias = new Float32Array(this.#model.size);
    for (const [id, value] of Object.entries(boost)) {
      if (typeof value !== "number" || !(Math.abs(value) <= LARGEST_BOOST)) {
        throw new Problem(`boost of ${id} is ${value}; expected a number up to ${LARGEST_BOOST}`);
      }
      bias[this.catalogue.index(id)] = value;
    }
    if (allow !== undefined) {
      const allowed = new Set(this.catalogue.indices(allow));
      for (const index of bias.keys()) if (!allowed.has(index)) bias[index] = EXCLUDED;
    }
    for (const index of this.catalogue.indices(deny)) bias[index] = EXCLUDED;
    return bias;
  }

  /** Returns the cosines between one of at most K items and each of them; 1 for the item itself. */
  async #similarities(ids, position) {
    const bias = new Float32Array(this.#model.size).fill(EXCLUDED);
    for (const index of ids) bias[index] = 0;
    const similar = await this.#model.similar(ids[position], bias);
    const cosines = new Map(similar.ids.map((index, rank) => [index, similar.scores[rank]]));
    return ids.map((index) => cosines.get(index) ?? 1);
  }

  /** Returns the values of each input, with words replaced by their indices. */
  #encode(activity, length) {
    return Object.fromEntries(
      Object.entries(activity).map(([name, values]) => {
        if (!this.#model.inputNames.includes(name) && name !== "ratings" && name !== "times") {
          throw new Problem(`model.tflite: has no input ${name}`);
        }
        if (!Array.isArray(values) || values.length !== length) {
          throw new Problem(`${name}: ${values?.length ?? values} values for a history of ${length} items`);
        }
        const words = this.#words.get(name);
        if (!words) return [name, values.map((value) => value ?? NaN)];
        const index = (word) => (word === "" ? PADDING : (words.get(word) ?? UNKNOWN));
        return [name, values.map((value) => index(String(value ?? "").trim()))];
      }),
    );
  }

  /** @returns {Recommendation[]} */
  #recommendations(ids, scores) {
    return ids.map((index, rank) => ({ ...this.catalogue.at(index), score: scores[rank] }));
  }
}
