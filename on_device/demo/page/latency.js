/** How fast the model answers. */

import { FIRST_INDEX } from "./artifact.js";

/** @typedef {import("./model.js").Model} Model */

/**
 * The value below which a share of the values lies.
 *
 * @param {number[]} values
 * @param {number} share from 0 to 1
 * @returns {number}
 */
export function quantile(values, share) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(Math.floor(share * sorted.length), sorted.length - 1)];
}

/**
 * Time answers to random full histories, as `python -m on_device bench` does.
 *
 * @param {Model} model
 * @param {number} items how many there are
 * @param {number} runs
 * @returns {Promise<number[]>} milliseconds
 */
export async function latencies(model, items, runs) {
  const times = [];
  for (let run = 0; run < runs; run++) {
    const history = Array.from({ length: model.historyLength }, () => FIRST_INDEX + Math.floor(Math.random() * items));
    times.push((await model.recommend(history)).milliseconds);
  }
  return times;
}
