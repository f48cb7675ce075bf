/** The model file, run by LiteRT.js on the processor. */

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";
import { FIRST_INDEX, Problem } from "./artifact.js";

const ARRAYS = { int32: Int32Array, float32: Float32Array };
/** What an input has where a value is unknown: a number, or an index or a time. */
const UNKNOWN_VALUES = { int32: 0, float32: NaN };
/** The bias of an item that is not wanted: far below any score. */
const EXCLUDED = -30000;

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
   * @param {number[]} history indices, oldest first
   * @param {(index: number) => boolean} [allows] whether an item may be recommended; by default all may
   * @returns {Promise<Answer>}
   */
  async recommend(history, allows = () => true) {
    const started = performance.now();
    const older = this.#recommendsSeen ? [] : history.slice(0, -this.historyLength);
    const inputs = this.#tensors(history.slice(-this.historyLength), older, allows);
    const outputs = await this.#signature.run(inputs);
    const [ids, scores] = [outputs.ids.toTypedArray(), outputs.scores.toTypedArray()];
    for (const tensor of [...Object.values(inputs), ...Object.values(outputs)]) tensor.delete();
    const milliseconds = performance.now() - started;
    const ranking = Array.from(ids, (index, place) => ({ index, score: scores[place] }));
    return { ranking: ranking.filter(({ index }) => index >= FIRST_INDEX), milliseconds };
  }

  /**
   * @param {number[]} recent at most N indices
   * @param {number[]} unwanted indices
   * @param {(index: number) => boolean} allows
   * @returns {Record<string, Tensor>}
   */
  #tensors(recent, unwanted, allows) {
    return Object.fromEntries(
      this.#inputs.map(({ name, dtype, shape }) => {
        const values = new ARRAYS[dtype](shape[1]);
        if (name === "bias") {
          for (let index = FIRST_INDEX; index < values.length; index++) if (!allows(index)) values[index] = EXCLUDED;
          for (const index of unwanted) values[index] = EXCLUDED;
        } else {
          values.fill(UNKNOWN_VALUES[dtype]);
          if (name === "history") values.set(recent);
        }
        return [name, new Tensor(values, shape)];
      }),
    );
  }
}
