/** The first index of an item: 0 is padding, 1 an unknown item. */
export const FIRST_INDEX: 2;

/** An error whose message is for people: a pushed model, what runs it, or a request cannot be used. */
export class Problem extends Error {}

/** An item of the catalogue. */
export interface Item {
  /** Of the item in the model, from FIRST_INDEX. */
  readonly index: number;
  /** Of the item in the data. */
  readonly id: string;
  readonly title: string;
  readonly genres: readonly string[];
  /** Of release; null where unknown. */
  readonly year: number | null;
  /** Number of events in training; missing where the catalogue was pushed without counts. */
  readonly count?: number;
}

/** An item with its score: the higher the better. */
export interface Recommendation extends Item {
  readonly score: number;
}

/** An item of a history, and by how much the score of a recommended item falls without it. */
export interface Reason {
  readonly item: Item;
  readonly contribution: number;
}

/** A pushed model, read and checked. */
export interface Artifact {
  /** The content of `model_info.json`. */
  readonly info: Readonly<Record<string, any>>;
  /** The content of `model.tflite`. */
  readonly model: Uint8Array;
  /** In the order of indices, which is that of popularity. */
  readonly items: readonly Item[];
}

/** An id, or an item. */
export type Entry = string | number | Item;

/** Which items may be answered, and how many. */
export interface Choice {
  /** How many items, from 1 to `topK`; 10 by default. */
  k?: number;
  /** The only items that may be answered; by default all may. */
  allow?: Iterable<Entry>;
  /** Items that are not wanted. */
  deny?: Iterable<Entry>;
  /** Added to the scores of some items, by id. */
  boost?: Readonly<Record<string, number>>;
}

/** What is known of each item of a history, by the name of the model's input. */
export interface Activity {
  activity?: Readonly<Record<string, readonly (number | string | null)[]>>;
}

/**
 * Returns the number of the newest version in a pipeline's folder.
 *
 * @param folder address, with a slash at its end
 * @throws {Problem} it cannot be read
 */
export function latestVersion(folder: string): Promise<string>;

/**
 * Reads a version's files and compares them with their checksums.
 *
 * @param folder address, with a slash at its end
 * @throws {Problem} a file is missing, is not the one that was pushed, or does not fit the others
 */
export function readArtifact(folder: string): Promise<Artifact>;

/** Returns the words of a text in lower case, without accents, apostrophes and punctuation, with spaces between. */
export function normalized(text: string): string;

/** The items that a model knows. */
export class Catalogue {
  constructor(items: readonly Item[]);
  readonly items: readonly Item[];
  /** The item with an index. */
  at(index: number): Item;
  /** The item with an id. */
  find(id: string | number): Item | undefined;
  /** The most popular item with a title, whatever its case, accents and punctuation. */
  titled(title: string): Item | undefined;
  /** The items with a word in their title that begins with each word of a text, popular ones first. */
  search(text: string): Item[];
  /** The index of an item; 1 for an id that the catalogue lacks. */
  index(entry: Entry): number;
}

/**
 * Returns the places of candidates, chosen one by one by maximal marginal relevance (Carbonell and Goldstein, 1998).
 *
 * @param scores of the candidates, best first
 * @param similarities of the candidate in a place to every candidate
 * @param length number of candidates to choose
 * @param diversity from 0, which keeps the order, to 1
 */
export function diversify(
  scores: readonly number[],
  similarities: (place: number) => Promise<readonly number[]>,
  length: number,
  diversity: number,
): Promise<number[]>;

/** A pushed model and its catalogue. Calls wait for each other. */
export class Recommender {
  private constructor();
  /**
   * @param artifact of `readArtifact`
   * @param wasm address of LiteRT's folder `@litertjs/core/wasm/`
   * @throws {Problem} the browser lacks something, or the file is not a model of the pipeline
   */
  static open(artifact: Artifact, wasm: string): Promise<Recommender>;
  readonly catalogue: Catalogue;
  readonly info: Readonly<Record<string, any>>;
  /** Number of items N of a history that the model looks at. */
  readonly historyLength: number;
  /** Most items K of an answer. */
  readonly topK: number;
  /** Names of the file's signatures, such as `recommend` and `similar`. */
  readonly signatures: readonly string[];
  /**
   * Returns the best items for a user, without those of the history.
   *
   * @param history ids or items, oldest first
   * @param options `diversity` from 0, the best, to 1, different ones among the best K
   * @throws {Problem} an option is out of range, or an entry is neither an id nor an item
   */
  recommend(history: Iterable<Entry>, options?: Choice & Activity & { diversity?: number }): Promise<Recommendation[]>;
  /**
   * Returns the items that users choose in the same situations as an item; scores are cosines.
   *
   * @throws {Problem} the catalogue lacks the item, or the file the signature
   */
  similar(item: Entry, options?: Choice): Promise<Recommendation[]>;
  /**
   * Returns the ten latest items of a history by their contribution to the score of an item, the largest first.
   *
   * @throws {Problem} the catalogue lacks the item, or the file the signature
   */
  because(history: Iterable<Entry>, item: Entry, options?: Activity): Promise<Reason[]>;
}
