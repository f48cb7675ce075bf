/** Selects diverse items by maximal marginal relevance; see `on_device/diversity.py`. */

/**
 * @param {readonly number[]} scores
 * @param {(position: number) => Promise<readonly number[]>} similarities
 * @param {number} length
 * @param {number} diversity
 * @returns {Promise<number[]>}
 */
export async function diversify(scores, similarities, length, diversity) {
  const [highest, lowest] = [scores[0], scores.at(-1)];
  const relevance = scores.map((score) => (highest > lowest ? (score - lowest) / (highest - lowest) : 1));
  const candidates = new Set(scores.keys());
  const nearest = scores.map(() => -1);
  const selected = [];
  const gain = (position) =>
    selected.length ? (1 - diversity) * relevance[position] - diversity * nearest[position] : relevance[position];
  while (selected.length < length && candidates.size > 0) {
    const best = [...candidates].reduce((first, position) => (gain(position) > gain(first) ? position : first));
    selected.push(best);
    candidates.delete(best);
    if (candidates.size > 0 && selected.length < length) {
      for (const [position, value] of (await similarities(best)).entries()) {
        nearest[position] = Math.max(nearest[position], value);
      }
    }
  }
  return selected;
}
