/** The demo: reads the model, then answers every change of the picks at once. */

import { Answers } from "./answers.js";
import { Browse } from "./browse.js";
import { Look, shownTitle } from "./look.js";
import { keepForLater } from "./offline.js";
import { Picks } from "./picks.js";
import { picksOfAddress, showInAddress } from "./address.js";
import { countRequests } from "./traffic.js";

const SHOWN = 10;
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
  /** @type {import("./look.js").Item | undefined} whose similar items are listed */
  #origin;
  /** Number of the latest question: answers to earlier ones are not shown. */
  #question = 0;
  #count = 0;
  #recommender;
  #look;
  #browse;
  #chips;
  #answers;

  /** @param {import("on-device-recommender-client").Recommender} recommender */
  constructor(recommender) {
    const { catalogue, signatures } = recommender;
    this.#recommender = recommender;
    this.#look = new Look(catalogue.items);
    this.#picks = picksOfAddress().filter((id) => catalogue.find(id));
    this.#browse = new Browse(catalogue, this.#look, (item) => this.#toggle(item));
    const more = signatures.includes("similar") ? (item) => this.#showSimilar(item) : undefined;
    this.#answers = new Answers(this.#look, { pick: (item) => this.#toggle(item), more });
    this.#chips = new Picks(this.#look, {
      move: (item, to) => {
        const others = this.#picks.filter((id) => id !== item.id);
        this.#change(others.toSpliced(to, 0, item.id), `Moved ${shownTitle(item)}`);
      },
      remove: (item) => {
        this.#toggle(item);
        if (this.#picks.length === 0) element("picks-heading").focus();
      },
    });
    element("clear").addEventListener("click", () => {
      this.#change([], "Cleared");
      // Not the search box, which would bring up a keyboard.
      element("picks-heading").focus();
    });
    element("back").addEventListener("click", () => {
      this.#origin = undefined;
      this.#update();
      element("answers-heading").focus();
    });
    element("lists").addEventListener("change", () => this.#update());
    element("genre").append(...this.#look.genres.map((genre) => new Option(genre, genre)));
    element("genre").parentElement.hidden = this.#look.genres.length === 0;
    element("genre").addEventListener("change", () => this.#update());
    addEventListener("hashchange", () => this.#change(picksOfAddress().filter((id) => catalogue.find(id)), "Opened"));
  }

  async start() {
    await this.#recommender.recommend([]); // The browser compiles the program at its first answer.
    element("controls").hidden = false;
    await this.#update();
  }

  #toggle(item) {
    const isPicked = this.#picks.includes(item.id);
    const others = this.#picks.filter((id) => id !== item.id);
    this.#change(isPicked ? others : [...others, item.id], `${isPicked ? "Removed" : "Added"} ${shownTitle(item)}`);
  }

  /** @param {string[]} picks @param {string} event for a screen reader */
  async #change(picks, event) {
    this.#picks = picks;
    showInAddress(picks);
    const best = await this.#update();
    write("announcement", `${event}. First of the list: ${best ? shownTitle(best) : "nothing"}.`);
  }

  #showSimilar(item) {
    this.#origin = item;
    this.#update();
    element("answers-heading").focus();
    scrollTo({ top: element("answers-heading").getBoundingClientRect().top + scrollY - 24 });
  }

  /** Asks the model and shows the answer. @returns {Promise<import("./look.js").Item | undefined>} the first item */
  async #update() {
    const question = ++this.#question;
    const { items, explains } = await this.#answer();
    if (question !== this.#question) return undefined;
    const picked = this.#picks.map((id) => this.#recommender.catalogue.find(id));
    this.#browse.show(picked);
    this.#chips.show(picked);
    this.#answers.show(items, this.#origin ? "Similarity" : "Match");
    element("clear").hidden = picked.length === 0;
    write("picks-note", this.#aboutPicks());
    this.#describeList(items.length);
    write("count", this.#count.toLocaleString("en"));
    if (explains) this.#explain(items, question);
    return items[0];
  }

  /** @returns {Promise<{items: import("on-device-recommender-client").Recommendation[], explains: boolean}>} */
  async #answer() {
    const genre = element("genre").value;
    const { catalogue, topK } = this.#recommender;
    const allow = genre ? catalogue.items.filter((item) => item.genres.includes(genre)) : undefined;
    const options = { k: Math.min(SHOWN, topK), allow };
    const isPopular = document.querySelector("input[name=list]:checked").value === "popular";
    const started = performance.now();
    let items;
    if (this.#origin) items = await this.#recommender.similar(this.#origin, { ...options, deny: this.#picks });
    else if (isPopular) items = await this.#recommender.recommend([], { ...options, deny: this.#picks });
    else items = await this.#recommender.recommend(this.#picks, options);
    const milliseconds = performance.now() - started;
    this.#count++;
    write("last", milliseconds < 0.1 ? "less than 0.1" : milliseconds.toFixed(1));
    const canExplain = this.#recommender.signatures.includes("explain");
    return { items, explains: canExplain && !this.#origin && !isPopular && this.#picks.length > 0 };
  }

  /** Writes below each item the pick that contributes most to it. */
  async #explain(items, question) {
    for (const item of items) {
      const [reason] = await this.#recommender.because(this.#picks, item);
      if (question !== this.#question) return;
      if (reason?.contribution > 0) this.#answers.explain(item, `Because of ${shownTitle(reason.item)}`);
    }
  }

  #describeList(length) {
    element("back").hidden = !this.#origin;
    element("lists").hidden = Boolean(this.#origin);
    const isForYou = document.querySelector("input[name=list]:checked").value === "you" && this.#picks.length > 0;
    const heading = isForYou ? "Recommended for you" : "Popular with everybody";
    write("answers-heading", this.#origin ? `Similar to ${shownTitle(this.#origin)}` : heading);
    if (length === 0) write("answers-note", "Nothing is left in this list.");
    else write("answers-note", this.#picks.length || this.#origin ? "Tap a title to add it." : "Pick a title to change this list.");
  }

  #aboutPicks() {
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
function fail(error) {
  console.debug(error);
  const isKnown = error?.name === "Problem";
  write("problem", isKnown ? error.message : `The recommender could not be started: ${error.message ?? error}`);
  element("problem").hidden = false;
  for (const id of ["demo", "status"]) element(id).hidden = true;
}

async function main() {
  // Only here, so that a browser which cannot load it still shows why.
  const { readArtifact, Recommender } = await import("on-device-recommender-client");
  const artifact = await readArtifact("model/");
  describeArtifact(artifact);
  await new Demo(await Recommender.open(artifact, WASM)).start();
  const program = performance.getEntriesByType("resource").find(({ name }) => name.endsWith(".wasm"));
  if (program) write("program", `LiteRT, ${(program.decodedBodySize / 1e6).toFixed(1)} MB, kept by the browser`);
  countRequests((count) => write("requests", String(count)));
  element("demo").ariaBusy = "false";
  if (await keepForLater()) element("offline-note").hidden = false;
}

addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  fail(event.reason);
});
main();
