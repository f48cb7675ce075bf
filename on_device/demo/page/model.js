/** The model file, run by LiteRT.js on the processor. */

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";
import { FIRST_INDEX, Problem } from "./artifact.js";

const ARRAYS = { int32: Int32Array, float32: Float32Array };
/** What an input has where a value is unknown: a number, or an index or a time. */
const UNKNOWN_VALUES = { int32: 0, float32: NaN };

/**
 * @typedef {object} Answer
 * @property {{index: number, score: number}[]} ranking best first
 * @property {number} milliseconds from the picks to the scores, copies in and out included
 */

export class Model {
  #signature;
  #inputs;
  #recommendsSeen;

  /** @param {import("@litertjs/core").SignatureRunner} signature @param {boolean} recommendsSeen */
  constructor(signature, recommendsSeen) {
    this.#signature = signature;
    this.#recommendsSeen = recommendsSeen;
    this.#inputs = signature.getInputDetails();
    /** Number of items N that the model looks at. */
    this.historyLength = this.#inputs.find((input) => input.name === "history").shape[1];
  }

  /**
   * @param {Uint8Array} content of the file
   * @param {string} wasm address of LiteRT's folder
   * @param {boolean} recommendsSeen whether picks may come back
   * @returns {Promise<Model>}
   * @throws {Problem} the browser lacks something, or the file is not a model of this pipeline
   */
  static async open(content, wasm, recommendsSeen = false) {
    if (typeof WebAssembly === "undefined") {
      throw new Problem("This browser has no WebAssembly, or it is switched off; the model needs it. Try another one.");
    }
    // LiteRT tells its progress as errors; what goes wrong it throws.
    globalThis.Module = { printErr: (line) => console.debug(line) };
    await loadLiteRt(wasm);
    const compiled = await loadAndCompile(content, { accelerator: "wasm" });
    const signature = compiled.signatures.recommend;
    if (!signature) throw new Problem("model.tflite has no signature “recommend”: not a model of this pipeline.");
    return new Model(signature, recommendsSeen);
  }

  /**
   * The best items for somebody who chose these.
   *
   * `recommend_excluding` would take what lies further back than N, but LiteRT.js has no inputs of changing length. So
   * that is taken out of the K best: fewer than ten remain only when more than K - 10 of them are such old picks.
   *
   * @param {number[]} history indices, oldest first
   * @returns {Promise<Answer>}
   */
  async recommend(history) {
    const started = performance.now();
    const inputs = this.#tensors(history.slice(-this.historyLength));
    const outputs = await this.#signature.run(inputs);
    const [ids, scores] = [outputs.ids.toTypedArray(), outputs.scores.toTypedArray()];
    for (const tensor of [...Object.values(inputs), ...Object.values(outputs)]) tensor.delete();
    const milliseconds = performance.now() - started;
    const older = new Set(this.#recommendsSeen ? [] : history.slice(0, -this.historyLength));
    const ranking = Array.from(ids, (index, place) => ({ index, score: scores[place] }));
    return { ranking: ranking.filter(({ index }) => index >= FIRST_INDEX && !older.has(index)), milliseconds };
  }

  /** @param {number[]} recent at most N indices @returns {Record<string, Tensor>} */
  #tensors(recent) {
    return Object.fromEntries(
      this.#inputs.map(({ name, dtype, shape }) => {
        const values = new ARRAYS[dtype](shape[1]).fill(UNKNOWN_VALUES[dtype]);
        if (name === "history") values.set(recent);
        return [name, new Tensor(values, shape)];
      }),
    );
  }
}
