/** The demo: loads the model, then updates the recommendations at every change of the picks. */

import { readPicks, writePicks } from "./address.js";
import { Answers } from "./answers.js";
import { Browse } from "./browse.js";
import { displayTitle, ItemView } from "./item_view.js";
import { saveForOffline } from "./offline.js";
import { Picks } from "./picks.js";
import { countRequests } from "./requests.js";

/** @typedef {import("./item_view.js").Item} Item */
/** @typedef {import("on-device-recommender-client").Recommendation} Recommendation */

const MAX_ANSWERS = 10;
const WASM = "runtime/@litertjs/core/wasm/";

/** @param {string} id @returns {any} */
function element(id) {
  return document.getElementById(id);
}

/** @param {string} id @param {string} text */
function write(id, text) {
  element(id).textContent = text;
}

class Demo {
  /** @type {string[]} ids, oldest first */
  #picks;
  /** @type {Item | undefined} the item whose similar items are listed */
  #origin;
  /** Number of the latest update: answers of earlier updates are not shown. */
  #updates = 0;
  #count = 0;
  #recommender;
  #view;
  #browse;
  #chips;
  #answers;

  /** @param {import("on-device-recommender-client").Recommender} recommender */
  constructor(recommender) {
    const { catalogue, signatures } = recommender;
    this.#recommender = recommender;
    this.#view = new ItemView(catalogue.items);
    const knownPicks = () => readPicks().filter((id) => catalogue.find(id));
    this.#picks = knownPicks();
    this.#browse = new Browse(catalogue, this.#view, (item) => this.#toggle(item));
    const showSimilar = signatures.includes("similar") ? (item) => this.#showSimilar(item) : undefined;
    this.#answers = new Answers(this.#view, { pick: (item) => this.#toggle(item), showSimilar });
    this.#chips = new Picks(this.#view, {
      move: (item, to) => {
        const others = this.#picks.filter((id) => id !== item.id);
        this.#change(others.toSpliced(to, 0, item.id), `Moved ${displayTitle(item)}`);
      },
      remove: (item) => {
        this.#toggle(item);
        if (this.#picks.length === 0) element("picks-heading").focus();
      },
    });
    element("clear").addEventListener("click", () => {
      this.#change([], "Cleared");
      // Not the search box, because its focus would open the keyboard of a phone.
      element("picks-heading").focus();
    });
    element("back").addEventListener("click", () => {
      this.#origin = undefined;
      this.#update();
      element("answers-heading").focus();
    });
    element("lists").addEventListener("change", () => this.#update());
    element("genre").append(...this.#view.genres.map((genre) => new Option(genre, genre)));
    element("genre").parentElement.hidden = this.#view.genres.length === 0;
    element("genre").addEventListener("change", () => this.#update());
    addEventListener("hashchange", () => this.#change(knownPicks(), "Opened"));
  }

  async start() {
    await this.#recommender.recommend([]); // The browser compiles the WebAssembly at the first inference.
    element("controls").hidden = false;
    await this.#update();
  }

  #toggle(item) {
    const isPicked = this.#picks.includes(item.id);
    const others = this.#picks.filter((id) => id !== item.id);
    this.#change(isPicked ? others : [...others, item.id], `${isPicked ? "Removed" : "Added"} ${displayTitle(item)}`);
  }

  /** @param {string[]} picks @param {string} event description for screen readers */
  async #change(picks, event) {
    this.#picks = picks;
    writePicks(picks);
    const best = await this.#update();
    write("announcement", `${event}. First of the list: ${best ? displayTitle(best) : "nothing"}.`);
  }

  #showSimilar(item) {
    this.#origin = item;
    this.#update();
    element("answers-heading").focus();
    scrollTo({ top: element("answers-heading").getBoundingClientRect().top + scrollY - 24 });
  }

  get #isPopular() {
    return document.querySelector("input[name=list]:checked").value === "popular" || this.#picks.length === 0;
  }

  /** Computes and shows the list. @returns {Promise<Item | undefined>} the first item */
  async #update() {
    const update = ++this.#updates;
    const items = await this.#computeAnswers();
    if (update !== this.#updates) return undefined;
    const picks = this.#picks.map((id) => this.#recommender.catalogue.find(id));
    this.#browse.show(picks);
    this.#chips.show(picks);
    this.#answers.show(items, this.#origin ? "Similarity" : "Match");
    element("clear").hidden = picks.length === 0;
    write("picks-note", this.#describePicks());
    this.#describeList(items.length);
    write("count", this.#count.toLocaleString("en"));
    const canExplain = this.#recommender.signatures.includes("explain");
    if (canExplain && !this.#origin && !this.#isPopular) this.#explain(items, update);
    return items[0];
  }

  /** @returns {Promise<Recommendation[]>} */
  async #computeAnswers() {
    const genre = element("genre").value;
    const { catalogue, topK } = this.#recommender;
    const allow = genre ? catalogue.items.filter((item) => item.genres.includes(genre)) : undefined;
    const options = { k: Math.min(MAX_ANSWERS, topK), allow };
    const started = performance.now();
    let items;
    if (this.#origin) items = await this.#recommender.similar(this.#origin, { ...options, deny: this.#picks });
    else if (this.#isPopular) items = await this.#recommender.recommend([], { ...options, deny: this.#picks });
    else items = await this.#recommender.recommend(this.#picks, options);
    const milliseconds = performance.now() - started;
    this.#count++;
    write("last", milliseconds < 0.1 ? "less than 0.1" : milliseconds.toFixed(1));
    return items;
  }

  /** Shows for each item the pick that contributes most to it. */
  async #explain(items, update) {
    for (const item of items) {
      const [reason] = await this.#recommender.because(this.#picks, item);
      if (update !== this.#updates) return;
      if (reason?.contribution > 0) this.#answers.explain(item, `Because of ${displayTitle(reason.item)}`);
    }
  }

  #describeList(length) {
    element("back").hidden = !this.#origin;
    element("lists").hidden = Boolean(this.#origin);
    const heading = this.#isPopular ? "Popular with everyone" : "Recommended for you";
    write("answers-heading", this.#origin ? `Similar to ${displayTitle(this.#origin)}` : heading);
    const hasPicks = this.#picks.length > 0 || this.#origin;
    const note = hasPicks ? "Tap a title to add it." : "Pick a title to change this list.";
    write("answers-note", length === 0 ? "No titles are left for this list." : note);
  }

  #describePicks() {
    const { length } = this.#picks;
    if (length === 0) return "None yet: pick a title and watch the list change.";
    const { historyLength } = this.#recommender;
    if (length > historyLength) return `The last ${historyLength} of ${length} count.`;
    return length === 1 ? "The order counts, too: pick more." : "Oldest first. Drag, or use the arrows.";
  }
}

/** @param {import("on-device-recommender-client").Artifact} artifact */
function describeArtifact({ info, model }) {
  const size = (model.length / 1e6).toFixed(2);
  write("model", [info.pipeline, info.version && `version ${info.version}`, `${size} MB`].filter(Boolean).join(", "));
  const sha256 = info.sha256["model.tflite"];
  write("sha256", `${sha256.slice(0, 8)}…, verified`);
  element("sha256").title = sha256;
}

/** @param {any} error */
function showError(error) {
  console.debug(error);
  const isProblem = error?.name === "Problem";
  write("problem", isProblem ? error.message : `The recommender could not be started: ${error.message ?? error}`);
  element("problem").hidden = false;
  for (const id of ["demo", "status"]) element(id).hidden = true;
}

async function main() {
  // Imported here, so that a browser that cannot load the module shows the error.
  const { readArtifact, Recommender } = await import("on-device-recommender-client");
  const artifact = await readArtifact("model/");
  describeArtifact(artifact);
  await new Demo(await Recommender.open(artifact, WASM)).start();
  const wasm = performance.getEntriesByType("resource").find(({ name }) => name.endsWith(".wasm"));
  if (wasm) write("program", `LiteRT, ${(wasm.decodedBodySize / 1e6).toFixed(1)} MB, cached by the browser`);
  countRequests((count) => write("requests", String(count)));
  element("demo").ariaBusy = "false";
  if (await saveForOffline()) element("offline-note").hidden = false;
}

addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  showError(event.reason);
});
main();
