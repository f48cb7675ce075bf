/** The search box and its results; without a search, the popular titles. */

/** @typedef {import("on-device-recommender-client").Catalogue} Catalogue */
/** @typedef {import("./item_view.js").Item} Item */
/** @typedef {import("./item_view.js").ItemView} ItemView */

const MAX_POPULAR = 40;
const MAX_RESULTS = 60;

export class Browse {
  #catalogue;
  #view;
  #toggle;
  #input = /** @type {HTMLInputElement} */ (document.getElementById("search"));
  #list = document.getElementById("found");
  #note = document.getElementById("found-note");
  /** @type {Set<number>} indices */
  #picked = new Set();
  /** Position of the option that the arrow keys have reached, or -1. */
  #active = -1;

  /**
   * @param {Catalogue} catalogue
   * @param {ItemView} view
   * @param {(item: Item) => void} toggle called with the item that is chosen
   */
  constructor(catalogue, view, toggle) {
    this.#catalogue = catalogue;
    this.#view = view;
    this.#toggle = toggle;
    this.#input.disabled = false;
    this.#input.addEventListener("input", () => this.#search());
    this.#input.addEventListener("keydown", (event) => this.#onKey(event));
    this.#list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.#choose(option);
    });
    this.#search();
  }

  /** Marks the picks. @param {Item[]} picks */
  show(picks) {
    this.#picked = new Set(picks.map(({ index }) => index));
    for (const option of this.#list.children) this.#mark(option);
  }

  #search() {
    const text = this.#input.value.trim();
    const results = text ? this.#catalogue.search(text) : this.#catalogue.items;
    const options = results.slice(0, text ? MAX_RESULTS : MAX_POPULAR).map((item) => this.#option(item));
    this.#list.classList.toggle("popular", !text);
    this.#list.replaceChildren(...options);
    this.#list.scrollTo(0, 0);
    this.#note.textContent = text ? summary(results.length) : "Popular titles";
    this.#activate(-1);
  }

  #clear() {
    this.#input.value = "";
    this.#search();
  }

  #option(item) {
    const option = document.createElement("li");
    option.id = `option-${item.index}`;
    option.role = "option";
    option.dataset.index = String(item.index);
    option.append(...this.#view.render(item));
    this.#mark(option);
    return option;
  }

  #mark(option) {
    option.ariaSelected = String(this.#picked.has(Number(option.dataset.index)));
  }

  #choose(option) {
    if (this.#input.value) this.#clear();
    this.#toggle(this.#catalogue.at(Number(option.dataset.index)));
  }

  #onKey(event) {
    const options = this.#list.children;
    if (event.key === "ArrowDown") this.#activate(Math.min(this.#active + 1, options.length - 1));
    else if (event.key === "ArrowUp") this.#activate(Math.max(this.#active - 1, -1));
    else if (event.key === "Escape") this.#clear();
    else if (event.key === "Enter") {
      // After a search, Enter chooses the first result unless another is active.
      const option = options[this.#input.value ? Math.max(this.#active, 0) : this.#active];
      if (option) this.#choose(option);
    } else return;
    event.preventDefault();
  }

  #activate(position) {
    this.#list.children[this.#active]?.classList.remove("active");
    this.#active = position;
    const option = this.#list.children[position];
    option?.classList.add("active");
    option?.scrollIntoView({ block: "nearest", inline: "nearest" });
    this.#input.setAttribute("aria-activedescendant", option?.id ?? "");
  }
}

/** @param {number} count */
function summary(count) {
  if (count === 0) return "No title has these words";
  return count === 1 ? "1 title" : `${count.toLocaleString("en")} titles, popular ones first`;
}
