/** Lists of items that are not all alike. */

/**
 * Returns the places of candidates, chosen one by one by maximal marginal relevance; see `on_device/diversity.py`.
 *
 * @param {readonly number[]} scores of the candidates, best first
 * @param {(place: number) => Promise<readonly number[]>} similarities of the candidate in a place to every candidate
 * @param {number} length number of candidates to choose
 * @param {number} diversity from 0, which keeps the order, to 1
 * @returns {Promise<number[]>}
 */
export async function diversify(scores, similarities, length, diversity) {
  const [most, least] = [scores[0], scores.at(-1)];
  const relevance = scores.map((score) => (most > least ? (score - least) / (most - least) : 1));
  const left = new Set(scores.keys());
  const nearest = scores.map(() => -1);
  const chosen = [];
  while (chosen.length < length && left.size > 0) {
    const gain = (place) => (chosen.length ? (1 - diversity) * relevance[place] - diversity * nearest[place] : relevance[place]);
    const best = [...left].reduce((first, place) => (gain(place) > gain(first) ? place : first));
    chosen.push(best);
    left.delete(best);
    if (left.size > 0 && chosen.length < length) {
      for (const [place, value] of (await similarities(best)).entries()) nearest[place] = Math.max(nearest[place], value);
    }
  }
  return chosen;
}
