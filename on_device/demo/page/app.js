/** The demo: reads the model, then answers every change of the picks at once. */

import { Answers } from "./answers.js";
import { Problem, readArtifact } from "./artifact.js";
import { Browse } from "./browse.js";
import { Catalogue, shownTitle } from "./catalogue.js";
import { latencies, quantile } from "./latency.js";
import { Picks } from "./picks.js";
import { countRequests } from "./traffic.js";

/** @typedef {import("./model.js").Model} Model */

const WARM_UP = 50; // answers before the first that is shown: browsers compile what runs often anew
const MEASURED = 200;

/** @param {string} id @param {string} text */
function tell(id, text) {
  document.getElementById(id).textContent = text;
}

/** @param {number} milliseconds */
function told(milliseconds) {
  return milliseconds.toFixed(2);
}

class Demo {
  /** @type {number[]} indices, oldest first */
  #picks = [];
  /** @type {number[]} milliseconds of every answer that was shown */
  #times = [];
  #model;
  #catalogue;
  #browse;
  #chips;
  #answers;

  /** @param {Model} model @param {Catalogue} catalogue */
  constructor(model, catalogue) {
    this.#model = model;
    this.#catalogue = catalogue;
    this.#browse = new Browse(catalogue, (index) => this.#toggle(index));
    this.#answers = new Answers(catalogue, (index) => this.#toggle(index));
    this.#chips = new Picks(catalogue, {
      move: (index, to) => {
        const others = this.#picks.filter((one) => one !== index);
        this.#change(others.toSpliced(to, 0, index), "Moved", index);
      },
      remove: (index) => {
        this.#toggle(index);
        if (this.#picks.length === 0) this.#focusPicks();
      },
    });
    document.getElementById("clear").addEventListener("click", () => {
      this.#change([], "Cleared");
      this.#focusPicks();
    });
    document.getElementById("measure").addEventListener("click", () => this.#measure());
  }

  async start() {
    await latencies(this.#model, this.#catalogue.items.length, WARM_UP);
    await this.#answer();
    document.getElementById("measure").disabled = false;
  }

  /** Where the focus goes when the button that had it is gone; not to the search box, which brings up a keyboard. */
  #focusPicks() {
    document.getElementById("picks-heading").focus();
  }

  #toggle(index) {
    const picked = this.#picks.includes(index);
    const picks = this.#picks.filter((one) => one !== index);
    this.#change(picked ? picks : [...picks, index], picked ? "Removed" : "Added", index);
  }

  /** @param {number[]} picks @param {string} what was done @param {number} [index] to which item */
  async #change(picks, what, index) {
    this.#picks = picks;
    const best = await this.#answer();
    const about = index === undefined ? "" : ` ${shownTitle(this.#catalogue.at(index))}`;
    tell("announcement", `${what}${about}. First of the list: ${best ?? "nothing"}.`);
  }

  /** Ask the model and show what it says. @returns {Promise<string | undefined>} the first title */
  async #answer() {
    const picks = this.#picks;
    const { ranking, milliseconds } = await this.#model.recommend(picks);
    this.#times.push(milliseconds);
    this.#browse.show(picks);
    this.#chips.show(picks);
    this.#answers.show(ranking);
    document.getElementById("clear").hidden = picks.length === 0;
    tell("picks-note", this.#aboutPicks());
    tell("answers-heading", picks.length ? "Recommended for you" : "Popular with everybody");
    tell("answers-note", picks.length ? "Tap one to add it." : "Nothing is picked: the popular list.");
    tell("time", `${told(milliseconds)} ms`);
    tell("last", told(milliseconds));
    tell("count", this.#times.length.toLocaleString("en"));
    tell("median", told(quantile(this.#times, 0.5)));
    return ranking.length ? shownTitle(this.#catalogue.at(ranking[0].index)) : undefined;
  }

  #aboutPicks() {
    const { length } = this.#picks;
    if (length === 0) return "None yet: pick a title and watch the list change.";
    const { historyLength } = this.#model;
    if (length > historyLength) return `The model looks at the last ${historyLength} of ${length}.`;
    return length === 1 ? "The order counts, too: pick more." : "Oldest first. Drag, or use the arrows.";
  }

  async #measure() {
    const times = await latencies(this.#model, this.#catalogue.items.length, MEASURED);
    const [median, most] = [quantile(times, 0.5), quantile(times, 0.9)].map(told);
    tell("measured", `median ${median} ms, 90% within ${most} ms`);
  }
}

/** @param {import("./artifact.js").Artifact} artifact */
function tellAbout({ info, model, sha256 }) {
  const size = (model.length / 1e6).toFixed(2);
  tell("model", [info.pipeline, info.version, info.precision, `${size} MB`].filter(Boolean).join(" · "));
  tell("sha256", `${sha256.slice(0, 8)}… verified`);
  document.getElementById("sha256").title = sha256;
}

/** @param {any} error */
function fail(error) {
  console.debug(error);
  const known = error instanceof Problem;
  tell("problem", known ? error.message : `The model could not be started: ${error.message ?? error}`);
  document.getElementById("problem").hidden = false;
  for (const id of ["demo", "status"]) document.getElementById(id).hidden = true;
}

async function main() {
  const artifact = await readArtifact("model/");
  tellAbout(artifact);
  // Only now, so that a browser which cannot load it still shows why.
  const { Model } = await import("./model.js");
  const model = await Model.open(artifact.model, "runtime/@litertjs/core/wasm/", artifact.info.recommends_seen);
  await new Demo(model, new Catalogue(artifact.items)).start();
  countRequests((count) => tell("requests", String(count)));
  document.getElementById("demo").ariaBusy = "false";
}

addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  fail(event.reason);
});
main();
