/** Recommends with a pushed model, on ids of items. */

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";
import { FIRST_INDEX, PADDING, Problem, UNKNOWN } from "./artifact.js";
import { Catalogue } from "./catalogue.js";
import { diversify } from "./diversity.js";

/** @typedef {import("./index.d.ts").Artifact} Artifact */
/** @typedef {import("./index.d.ts").Choice} Choice */
/** @typedef {import("./index.d.ts").Entry} Entry */
/** @typedef {import("./index.d.ts").Reason} Reason */
/** @typedef {import("./index.d.ts").Recommendation} Recommendation */
/** @typedef {{ ids: number[], scores: number[] }} Ranking item indices, best first, and their scores */

const RECOMMEND = "recommend";
const ARRAYS = { int32: Int32Array, float32: Float32Array };
/** The unknown value of an input, by type: float32 inputs are numbers, int32 inputs are times or indices of words. */
const UNKNOWN_VALUES = { float32: NaN, int32: 0 };
const EXCLUDED = -30000; // bias that excludes an item: far below any score
const LARGEST_BOOST = 1000;
const DEFAULT_K = 10;

/** LiteRT, which can be loaded only once. @type {Promise<unknown> | undefined} */
let loading;

export class Recommender {
  #signatures;
  #inputs;
  /** Number of indices. */
  #size;
  /** The previous call: LiteRT has one set of tensors, so calls run one at a time. */
  #last = Promise.resolve();
  /** @type {Map<string, Map<string, number>>} the index of each word, by input */
  #words;

  /** @param {Artifact} artifact @param {Record<string, import("@litertjs/core").SignatureRunner>} signatures */
  constructor({ info, items }, signatures) {
    this.info = info;
    this.catalogue = new Catalogue(items);
    this.signatures = Object.keys(signatures);
    this.#signatures = signatures;
    const recommend = signatures[RECOMMEND];
    const inputs = recommend.getInputDetails();
    this.#inputs = inputs.filter(({ name }) => name !== "bias");
    this.#size = inputs.find(({ name }) => name === "bias").shape[1];
    this.historyLength = inputs.find(({ name }) => name === "history").shape[1];
    this.topK = recommend.getOutputDetails().find(({ name }) => name === "ids").shape[1];
    const wordInputs = (info.activity_inputs ?? []).filter(({ words }) => words);
    const indices = (words) => new Map(words.map((word, position) => [word, position + FIRST_INDEX]));
    this.#words = new Map(wordInputs.map(({ input, words }) => [input, indices(words)]));
    for (const [name, value] of Object.entries({ history_length: this.historyLength, top_k: this.topK })) {
      if (value !== info[name]) {
        throw new Problem(`model.tflite: ${name} is ${value}, but model_info.json says ${JSON.stringify(info[name])}`);
      }
    }
  }

  /** @param {Artifact} artifact @param {string} wasm @returns {Promise<Recommender>} */
  static async open(artifact, wasm) {
    if (typeof WebAssembly === "undefined") {
      throw new Problem("This browser has no WebAssembly, or it is turned off. The model needs it: use another browser.");
    }
    // LiteRT prints its progress as errors. It throws real errors.
    globalThis.Module = { printErr: (line) => console.debug(line) };
    await (loading ??= loadLiteRt(wasm));
    const { signatures } = await loadAndCompile(artifact.model, { accelerator: "wasm" });
    if (!signatures[RECOMMEND]) {
      throw new Problem(`model.tflite: has no signature ${RECOMMEND}; not a model of this pipeline`);
    }
    return new Recommender(artifact, signatures);
  }

  /**
   * @param {Iterable<Entry>} history
   * @param {Choice & { diversity?: number, activity?: Record<string, Iterable<number | string | null>> }} [options]
   * @returns {Promise<Recommendation[]>}
   */
  async recommend(history, options) {
    const { k, allow, deny, boost, diversity = 0, activity } = byName("options", options);
    const length = this.#length(k);
    if (typeof diversity !== "number" || !(diversity >= 0 && diversity <= 1)) {
      throw new Problem(`diversity is ${show(diversity)}; expected a number from 0 to 1`);
    }
    const indices = this.catalogue.indices(history);
    const bias = this.#bias({ allow, deny, boost });
    // The model excludes the items that it sees; older items are excluded here.
    const older = this.info.recommends_seen ? [] : indices.slice(0, -this.historyLength);
    for (const index of older) bias[index] = EXCLUDED;
    const { ids, scores } = await this.#rank(RECOMMEND, { ...this.#historyInputs(indices, activity), bias });
    const recommendations = this.#recommendations(ids, scores);
    if (diversity === 0) return recommendations.slice(0, length);
    const positions = await diversify(scores, (position) => this.#similarities(ids, position), length, diversity);
    return positions.map((position) => recommendations[position]);
  }

  /** @param {Entry} item @param {Choice} [options] @returns {Promise<Recommendation[]>} */
  async similar(item, options) {
    const { k, allow, deny, boost } = byName("options", options);
    const length = this.#length(k);
    const inputs = { item: Int32Array.of(this.#knownIndex(item)), bias: this.#bias({ allow, deny, boost }) };
    const { ids, scores } = await this.#rank("similar", inputs);
    return this.#recommendations(ids, scores).slice(0, length);
  }

  /**
   * @param {Iterable<Entry>} history
   * @param {Entry} item
   * @param {{ activity?: Record<string, Iterable<number | string | null>> }} [options]
   * @returns {Promise<Reason[]>}
   */
  async because(history, item, options) {
    const { activity } = byName("options", options);
    const indices = this.catalogue.indices(history);
    const inputs = { ...this.#historyInputs(indices, activity), item: Int32Array.of(this.#knownIndex(item)) };
    const { contributions } = await this.#run("explain", inputs);
    return indices
      .slice(-this.historyLength)
      .map((index, position) => ({ index, contribution: contributions[position] }))
      .filter(({ index, contribution }) => index >= FIRST_INDEX && contribution !== 0)
      .map(({ index, contribution }) => ({ item: this.catalogue.at(index), contribution }))
      .sort((first, second) => second.contribution - first.contribution);
  }

  #length(k) {
    k ??= Math.min(DEFAULT_K, this.topK);
    if (!Number.isInteger(k) || k < 1 || k > this.topK) {
      throw new Problem(`k is ${show(k)}; expected an integer from 1 to ${this.topK}`);
    }
    return k;
  }

  #knownIndex(item) {
    const index = this.catalogue.index(item);
    if (index === UNKNOWN) throw new Problem(`items.json: no item with the id ${item?.id ?? item}`);
    return index;
  }

  /** @param {Choice} options @returns {Float32Array} added to the score of each index */
  #bias({ allow, deny, boost }) {
    const bias = new Float32Array(this.#size);
    for (const [id, value] of Object.entries(byName("boost", boost))) {
      if (typeof value !== "number" || !(Math.abs(value) <= LARGEST_BOOST)) {
        throw new Problem(`boost of ${id} is ${show(value)}; expected a number up to ${LARGEST_BOOST}`);
      }
      bias[this.catalogue.index(id)] = value;
    }
    if (allow !== undefined && allow !== null) {
      const allowed = new Set(this.catalogue.indices(allow));
      for (const index of bias.keys()) if (!allowed.has(index)) bias[index] = EXCLUDED;
    }
    for (const index of this.catalogue.indices(deny ?? [])) bias[index] = EXCLUDED;
    return bias;
  }

  /** Returns the cosines between one of at most K items and each of them; 1 for the item itself. */
  async #similarities(ids, position) {
    const bias = new Float32Array(this.#size).fill(EXCLUDED);
    for (const index of ids) bias[index] = 0;
    const similar = await this.#rank("similar", { item: Int32Array.of(ids[position]), bias });
    const cosines = new Map(similar.ids.map((index, rank) => [index, similar.scores[rank]]));
    return ids.map((index) => cosines.get(index) ?? 1);
  }

  /** Returns the values of each input, with words replaced by their indices. */
  #encode(activity, length) {
    return Object.fromEntries(
      Object.entries(byName("activity", activity)).map(([name, values]) => {
        if (!this.#inputs.some((input) => input.name === name) && name !== "ratings" && name !== "times") {
          throw new Problem(`model.tflite: has no input ${name}`);
        }
        if (typeof values !== "object" || typeof values?.[Symbol.iterator] !== "function") {
          throw new Problem(`${name}: expected a list of values, found ${show(values)}`);
        }
        const list = Array.from(values, (value) => value ?? null);
        if (list.length !== length) throw new Problem(`${name}: ${list.length} values for a history of ${length} items`);
        const words = this.#words.get(name);
        if (!words) {
          const invalid = list.filter(
            (value) => value !== null && (typeof value !== "number" || Math.abs(Math.fround(value)) === Infinity),
          );
          if (invalid.length) throw new Problem(`${name}: expected numbers, found ${show(invalid[0])}`);
          return [name, list.map((value) => value ?? NaN)];
        }
        const index = (word) => (word === "" ? PADDING : (words.get(word) ?? UNKNOWN));
        return [name, list.map((value) => index(String(value ?? "").trim()))];
      }),
    );
  }

  /** @returns {Record<string, Int32Array | Float32Array>} the last N values of each input, then padding */
  #historyInputs(history, activity) {
    const values = { ...this.#encode(activity, history.length), history };
    return Object.fromEntries(
      this.#inputs.map(({ name, dtype }) => {
        const padded = new ARRAYS[dtype](this.historyLength).fill(name === "history" ? PADDING : UNKNOWN_VALUES[dtype]);
        padded.set((values[name] ?? []).slice(-this.historyLength));
        return [name, padded];
      }),
    );
  }

  /** @returns {Promise<Ranking>} the items that a signature ranks, without the empty places at the end */
  async #rank(name, inputs) {
    const { ids, scores } = await this.#run(name, inputs);
    const isItem = (_, position) => ids[position] >= FIRST_INDEX;
    return { ids: ids.filter(isItem), scores: scores.filter(isItem) };
  }

  /** @returns {Promise<Record<string, number[]>>} outputs by name */
  async #run(name, values) {
    const signature = this.#signatures[name];
    if (!signature) {
      throw new Problem(`model.tflite: has no signature ${name}; add ${name} to pusher.signatures and push again`);
    }
    const run = async () => {
      const inputs = Object.fromEntries(
        signature.getInputDetails().map((input) => [input.name, new Tensor(values[input.name], input.shape)]),
      );
      const outputs = await signature.run(inputs);
      const arrays = Object.entries(outputs).map(([key, tensor]) => [key, Array.from(tensor.toTypedArray())]);
      for (const tensor of [...Object.values(inputs), ...Object.values(outputs)]) tensor.delete();
      return Object.fromEntries(arrays);
    };
    const outputs = this.#last.then(run);
    this.#last = outputs.catch(() => {});
    return outputs;
  }

  /** @returns {Recommendation[]} */
  #recommendations(ids, scores) {
    return ids.map((index, rank) => ({ ...this.catalogue.at(index), score: scores[rank] }));
  }
}

/** Returns an object, which is empty for undefined and null. @returns {Record<string, any>} */
function byName(name, value) {
  if (value === undefined || value === null) return {};
  // Without this check, a Map would be an object without properties.
  if (Object.prototype.toString.call(value) === "[object Object]") return value;
  throw new Problem(`${name}: expected an object with values by name, found ${show(value)}`);
}

/** @returns {string} the beginning of a value's text */
function show(value) {
  try {
    return (typeof value === "string" ? JSON.stringify(value) : String(value)).slice(0, 80);
  } catch {
    return typeof value; // such as an object without a prototype
  }
}
