/** Recommends with a pushed model, by the ids of items. */

import { FIRST_INDEX, Problem } from "./artifact.js";
import { Catalogue } from "./catalogue.js";
import { diversify } from "./diversity.js";
import { Model } from "./model.js";

/** @typedef {import("./index.d.ts").Artifact} Artifact */
/** @typedef {import("./index.d.ts").Choice} Choice */
/** @typedef {import("./index.d.ts").Entry} Entry */
/** @typedef {import("./index.d.ts").Reason} Reason */
/** @typedef {import("./index.d.ts").Recommendation} Recommendation */

const [PADDING, UNKNOWN] = [0, 1];
const EXCLUDED = -30000; // bias of an item that is not wanted: far below any score
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
      inputs.map(({ input, words }) => [input, new Map(words.map((word, place) => [word, place + FIRST_INDEX]))]),
    );
    for (const [name, value] of Object.entries({ history_length: model.historyLength, top_k: model.topK })) {
      if (value !== info[name]) throw new Problem(`model.tflite: ${name} is ${value}, but model_info.json says ${info[name]}`);
    }
  }

  /** @param {Artifact} artifact @param {string} wasm address of LiteRT's folder @returns {Promise<Recommender>} */
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
    return this.#model.names;
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
    // The model leaves out the items that it sees; what is older is left out here.
    const older = this.info.recommends_seen ? [] : indices.slice(0, -this.historyLength);
    for (const index of older) bias[index] = EXCLUDED;
    const { ids, scores } = await this.#model.recommend(indices, bias, this.#coded(activity, indices.length));
    if (diversity === 0) return this.#recommendations(ids, scores, length);
    const places = await diversify(scores, (place) => this.#similarities(ids, place), length, diversity);
    return this.#recommendations(places.map((place) => ids[place]), places.map((place) => scores[place]), length);
  }

  /** @param {Entry} item @param {Choice} [options] @returns {Promise<Recommendation[]>} */
  async similar(item, { k, allow, deny, boost } = {}) {
    const length = this.#length(k);
    const { ids, scores } = await this.#model.similar(this.#known(item), this.#bias({ allow, deny, boost }));
    return this.#recommendations(ids, scores, length);
  }

  /**
   * @param {Iterable<Entry>} history
   * @param {Entry} item
   * @param {{ activity?: Record<string, (number | string | null)[]> }} [options]
   * @returns {Promise<Reason[]>}
   */
  async because(history, item, { activity = {} } = {}) {
    const indices = this.catalogue.indices(history);
    const contributions = await this.#model.explain(indices, this.#known(item), this.#coded(activity, indices.length));
    const pairs = indices.slice(-this.historyLength).map((index, place) => ({ index, contribution: contributions[place] }));
    return pairs
      .filter(({ index, contribution }) => index >= FIRST_INDEX && contribution !== 0)
      .map(({ index, contribution }) => ({ item: this.catalogue.at(index), contribution }))
      .sort((first, second) => second.contribution - first.contribution);
  }

  #length(k = Math.min(DEFAULT_K, this.topK)) {
    if (!Number.isInteger(k) || k < 1 || k > this.topK) throw new Problem(`k is ${k}; this model answers 1 to ${this.topK}`);
    return k;
  }

  #known(item) {
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

  /** Cosines between one of K items and each of them; of itself 1. */
  async #similarities(ids, place) {
    const bias = new Float32Array(this.#model.size).fill(EXCLUDED);
    for (const index of ids) bias[index] = 0;
    const found = await this.#model.similar(ids[place], bias);
    const cosines = new Map(found.ids.map((index, at) => [index, found.scores[at]]));
    return ids.map((index) => cosines.get(index) ?? 1);
  }

  /** The values of each input with the index of each word in place of it. */
  #coded(activity, length) {
    return Object.fromEntries(
      Object.entries(activity).map(([name, values]) => {
        if (!this.#model.inputs.includes(name) && name !== "ratings" && name !== "times") {
          throw new Problem(`model.tflite: does not look at ${name}`);
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
  #recommendations(ids, scores, length) {
    return ids.slice(0, length).map((index, place) => ({ ...this.catalogue.at(index), score: scores[place] }));
  }
}
