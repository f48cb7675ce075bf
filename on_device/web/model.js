/** Runs the signatures of a model file on item indices, with LiteRT.js on the CPU. */

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";
import { FIRST_INDEX, PADDING, Problem } from "./artifact.js";

const RECOMMEND = "recommend";
const ARRAYS = { int32: Int32Array, float32: Float32Array };
/** The unknown value of an input, by type: float32 inputs are numbers, int32 inputs are times or indices of words. */
const UNKNOWN_VALUES = { float32: NaN, int32: 0 };

/**
 * @typedef {object} Ranking
 * @property {number[]} ids item indices, best first
 * @property {number[]} scores of the items
 */

/** LiteRT, which can be loaded only once. @type {Promise<unknown> | undefined} */
let loading;

export class Model {
  #signatures;
  #inputs;
  /** The previous call: LiteRT has one set of tensors, so calls run one at a time. */
  #last = Promise.resolve();

  /** @param {Record<string, import("@litertjs/core").SignatureRunner>} signatures */
  constructor(signatures) {
    this.#signatures = signatures;
    const runner = signatures[RECOMMEND];
    this.#inputs = runner.getInputDetails();
    this.signatureNames = Object.keys(signatures);
    this.inputNames = this.#inputs.map(({ name }) => name);
    this.historyLength = this.#inputs.find((input) => input.name === "history").shape[1];
    this.topK = runner.getOutputDetails().find((output) => output.name === "ids").shape[1];
    this.size = this.#inputs.find((input) => input.name === "bias").shape[1];
  }

  /**
   * @param {Uint8Array} content content of the file
   * @param {string} wasm address of LiteRT's folder
   * @returns {Promise<Model>}
   * @throws {Problem} The browser lacks WebAssembly, or the file is not a model of the pipeline.
   */
  static async open(content, wasm) {
    if (typeof WebAssembly === "undefined") {
      throw new Problem("This browser has no WebAssembly, or it is turned off. The model needs it: use another browser.");
    }
    // LiteRT prints its progress as errors. It throws real errors.
    globalThis.Module = { printErr: (line) => console.debug(line) };
    await (loading ??= loadLiteRt(wasm));
    const { signatures } = await loadAndCompile(content, { accelerator: "wasm" });
    if (!signatures[RECOMMEND]) {
      throw new Problem(`model.tflite: has no signature ${RECOMMEND}; not a model of this pipeline`);
    }
    return new Model(signatures);
  }

  /**
   * Returns the best items.
   *
   * @param {number[]} history indices, oldest first
   * @param {Float32Array} bias added to the score of each index
   * @param {Record<string, number[]>} activity values of other inputs, in parallel with the history
   * @returns {Promise<Ranking>}
   */
  async recommend(history, bias, activity) {
    return this.#rank(RECOMMEND, { ...this.#historyInputs(history, activity), bias });
  }

  /**
   * Returns the most similar items.
   *
   * @param {number} item index
   * @param {Float32Array} bias added to the cosine of each index
   * @returns {Promise<Ranking>}
   */
  async similar(item, bias) {
    return this.#rank("similar", { item: Int32Array.of(item), bias });
  }

  /**
   * Returns how much the score of an item falls without each of the last N items of a history.
   *
   * @param {number[]} history indices, oldest first
   * @param {number} item index
   * @param {Record<string, number[]>} activity values of other inputs, in parallel with the history
   * @returns {Promise<number[]>}
   */
  async explain(history, item, activity) {
    const inputs = { ...this.#historyInputs(history, activity), item: Int32Array.of(item) };
    return (await this.#run("explain", inputs)).contributions.slice(0, history.length);
  }

  /** @returns {Record<string, Int32Array | Float32Array>} the last N values of each input, then padding */
  #historyInputs(history, activity) {
    const values = { ...activity, history };
    const inputs = this.#inputs.filter(({ name }) => name !== "bias");
    return Object.fromEntries(
      inputs.map(({ name, dtype }) => {
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
}
