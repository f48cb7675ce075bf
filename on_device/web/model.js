/** The model file, run by LiteRT.js on the processor, on item indices. */

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";
import { FIRST_INDEX, Problem } from "./artifact.js";

const RECOMMEND = "recommend";
const ARRAYS = { int32: Int32Array, float32: Float32Array };
/** The value of an input where nothing is known: of a number, and of an index or a time. */
const NOT_GIVEN = { float32: NaN, int32: 0 };

/**
 * @typedef {object} Ranking
 * @property {number[]} ids item indices, best first
 * @property {number[]} scores of the items
 */

/** LiteRT, which refuses to be loaded twice. @type {Promise<unknown> | undefined} */
let loading;

export class Model {
  #signatures;
  #details;
  /** The answer to the call before: LiteRT has one set of tensors, so that calls wait for each other. */
  #last = Promise.resolve();

  /** @param {Record<string, import("@litertjs/core").SignatureRunner>} signatures */
  constructor(signatures) {
    this.#signatures = signatures;
    const runner = signatures[RECOMMEND];
    this.#details = runner.getInputDetails();
    this.names = Object.keys(signatures);
    this.inputs = this.#details.map(({ name }) => name);
    this.historyLength = this.#details.find((input) => input.name === "history").shape[1];
    this.topK = runner.getOutputDetails().find((output) => output.name === "ids").shape[1];
    this.size = this.#details.find((input) => input.name === "bias").shape[1];
  }

  /**
   * @param {Uint8Array} content of the file
   * @param {string} wasm address of LiteRT's folder
   * @returns {Promise<Model>}
   * @throws {Problem} the browser lacks something, or the file is not a model of the pipeline
   */
  static async open(content, wasm) {
    if (typeof WebAssembly === "undefined") {
      throw new Problem("This browser has no WebAssembly, or it is switched off. The model needs it: use another browser.");
    }
    // LiteRT writes its progress as errors; it throws those that matter.
    globalThis.Module = { printErr: (line) => console.debug(line) };
    await (loading ??= loadLiteRt(wasm));
    const { signatures } = await loadAndCompile(content, { accelerator: "wasm" });
    if (!signatures[RECOMMEND]) throw new Problem(`model.tflite has no signature “${RECOMMEND}”: not a model of the pipeline.`);
    return new Model(signatures);
  }

  /**
   * Returns the best items.
   *
   * @param {number[]} history indices, oldest first
   * @param {Float32Array} bias added to the score of each index
   * @param {Record<string, number[]>} activity values of other inputs, parallel to the history
   * @returns {Promise<Ranking>}
   */
  async recommend(history, bias, activity) {
    return listed(await this.#run(RECOMMEND, { ...this.#histories(history, activity), bias }));
  }

  /**
   * Returns the most similar items.
   *
   * @param {number} item index
   * @param {Float32Array} bias added to the cosine of each index
   * @returns {Promise<Ranking>}
   */
  async similar(item, bias) {
    return listed(await this.#run("similar", { item: Int32Array.of(item), bias }));
  }

  /**
   * Returns by how much the score of an item falls without each of the last N items of a history.
   *
   * @param {number[]} history indices, oldest first
   * @param {number} item index
   * @param {Record<string, number[]>} activity values of other inputs, parallel to the history
   * @returns {Promise<number[]>}
   */
  async explain(history, item, activity) {
    const inputs = { ...this.#histories(history, activity), item: Int32Array.of(item) };
    return (await this.#run("explain", inputs)).contributions.slice(0, history.length);
  }

  /** @returns {Record<string, Int32Array | Float32Array>} the last N values of each input, then padding */
  #histories(history, activity) {
    const values = { ...activity, history };
    const inputs = this.#details.filter(({ name }) => name !== "bias");
    return Object.fromEntries(
      inputs.map(({ name, dtype }) => {
        const padded = new ARRAYS[dtype](this.historyLength).fill(name === "history" ? 0 : NOT_GIVEN[dtype]);
        padded.set((values[name] ?? []).slice(-this.historyLength));
        return [name, padded];
      }),
    );
  }

  /** @returns {Promise<Record<string, number[]>>} outputs by name */
  async #run(name, values) {
    const signature = this.#signatures[name];
    if (!signature) {
      throw new Problem(`model.tflite has no signature “${name}”: push it with ${name} among pusher.signatures.`);
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
    const answer = this.#last.then(run);
    this.#last = answer.catch(() => {});
    return answer;
  }
}

/** @param {Record<string, number[]>} outputs @returns {Ranking} without the places that stay empty */
function listed({ ids, scores }) {
  const isItem = (_, place) => ids[place] >= FIRST_INDEX;
  return { ids: ids.filter(isItem), scores: scores.filter(isItem) };
}
