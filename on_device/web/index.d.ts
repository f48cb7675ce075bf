/** The first index of an item: 0 is padding, and 1 is an unknown item. */
export const FIRST_INDEX: 2;

/** A pushed model, its runtime or a request cannot be used. The message is meant for users. */
export class Problem extends Error {}

/** An item of the catalogue. */
export interface Item {
  /** Index in the model, from FIRST_INDEX. */
  readonly index: number;
  /** Id in the data. */
  readonly id: string;
  readonly title: string;
  readonly genres: readonly string[];
  /** Year of release, or null if unknown. */
  readonly year: number | null;
  /** Number of training events; missing if the catalogue was pushed without counts. */
  readonly count?: number;
}

/** An item with its score; higher is better. */
export interface Recommendation extends Item {
  readonly score: number;
}

/** An item of a history, and how much the score of a recommended item falls without it. */
export interface Reason {
  readonly item: Item;
  readonly contribution: number;
}

/** A pushed model, read and checked. */
export interface Artifact {
  /** Content of `model_info.json`. */
  readonly info: Readonly<Record<string, any>>;
  /** Content of `model.tflite`. */
  readonly model: Uint8Array;
  /** Items in the order of indices, which is the order of popularity. */
  readonly items: readonly Item[];
}

/** An id or an item. */
export type Entry = string | number | Item;

/** Which items may be returned, and how many. */
export interface Choice {
  /** Number of items, from 1 to `topK`; 10 by default. */
  k?: number | null;
  /** The only items that may be returned; all items by default. */
  allow?: Iterable<Entry> | null;
  /** Items to exclude. */
  deny?: Iterable<Entry> | null;
  /** Values to add to the scores of some items, by id, in a plain object. */
  boost?: Readonly<Record<string, number>> | null;
}

/** Values for each item of a history, by the name of the model's input; null if unknown. */
export interface Activity {
  activity?: Readonly<Record<string, Iterable<number | string | null>>> | null;
}

/**
 * Returns the number of the newest version in a pipeline's folder.
 *
 * @param folder address with a slash at the end
 * @throws {Problem} The version cannot be read.
 */
export function latestVersion(folder: string): Promise<string>;

/**
 * Reads the files of a version and compares them with their checksums.
 *
 * @param folder address of the version with a slash at the end
 * @throws {Problem} A file is missing, is not the file that was pushed, or does not match the others.
 */
export function readArtifact(folder: string): Promise<Artifact>;

/** Returns the words of a text in lower case, without accents, apostrophes or punctuation, one space apart. */
export function normalized(text: string): string;

/** The items that a model knows. */
export class Catalogue {
  constructor(items: readonly Item[]);
  readonly items: readonly Item[];
  /** Returns the item with the given index. */
  at(index: number): Item;
  /** Returns the item with the given id. */
  find(id: string | number): Item | undefined;
  /** Returns the most popular item with the given title; case, accents and punctuation are ignored. */
  titled(title: string): Item | undefined;
  /** Returns the items whose titles have, for each word of the text, a word that begins with it; popular first. */
  search(text: string): Item[];
  /** Returns the index of an item, or 1 for an id that the catalogue lacks. */
  index(entry: Entry): number;
}

/**
 * Returns the positions of candidates selected by maximal marginal relevance (Carbonell and Goldstein, 1998).
 *
 * @param scores scores of the candidates, best first
 * @param similarities returns the similarity of the candidate at a position to every candidate
 * @param length number of candidates to select
 * @param diversity from 0, which keeps the order, to 1, which ignores all scores but the first
 */
export function diversify(
  scores: readonly number[],
  similarities: (position: number) => Promise<readonly number[]>,
  length: number,
  diversity: number,
): Promise<number[]>;

/** A pushed model and its catalogue. Calls run one at a time. */
export class Recommender {
  private constructor();
  /**
   * Opens a pushed model.
   *
   * @param artifact result of `readArtifact`
   * @param wasm address of LiteRT's folder `@litertjs/core/wasm/`
   * @throws {Problem} The browser lacks WebAssembly, or the file is not a model of the pipeline.
   */
  static open(artifact: Artifact, wasm: string): Promise<Recommender>;
  readonly catalogue: Catalogue;
  /** Content of `model_info.json`. */
  readonly info: Readonly<Record<string, any>>;
  /** Number of items N of a history that the model uses. */
  readonly historyLength: number;
  /** Largest number of items K of an answer. */
  readonly topK: number;
  /** Names of the model's signatures, such as `recommend` and `similar`. */
  readonly signatures: readonly string[];
  /**
   * Returns the best items for a user, without the items of the history.
   *
   * @param history ids or items, oldest first
   * @param options `diversity` is from 0, the best items, to 1, the most diverse of the best K
   * @throws {Problem} An option is out of range, or an entry is neither an id nor an item.
   */
  recommend(history: Iterable<Entry>, options?: Choice & Activity & { diversity?: number }): Promise<Recommendation[]>;
  /**
   * Returns the items that users choose in the same situations as an item; scores are cosines.
   *
   * @throws {Problem} The catalogue lacks the item, or the file lacks the signature.
   */
  similar(item: Entry, options?: Choice): Promise<Recommendation[]>;
  /**
   * Returns the ten latest items of a history by their contribution to the score of an item, the largest first.
   *
   * @throws {Problem} The catalogue lacks the item, or the file lacks the signature.
   */
  because(history: Iterable<Entry>, item: Entry, options?: Activity): Promise<Reason[]>;
}
