/** The search box and what it finds; the popular titles while nothing is searched. */

/** @typedef {import("on-device-recommender-client").Catalogue} Catalogue */
/** @typedef {import("./look.js").Item} Item */
/** @typedef {import("./look.js").Look} Look */

const POPULAR = 40; // shown while nothing is searched
const MOST = 60; // shown of what was found

export class Browse {
  #catalogue;
  #look;
  #toggle;
  #input = /** @type {HTMLInputElement} */ (document.getElementById("search"));
  #list = document.getElementById("found");
  #note = document.getElementById("found-note");
  /** @type {Set<number>} indices */
  #picked = new Set();
  /** Place of the option that the arrow keys have reached; -1: none. */
  #active = -1;

  /**
   * @param {Catalogue} catalogue
   * @param {Look} look
   * @param {(item: Item) => void} toggle called with the item that was tapped
   */
  constructor(catalogue, look, toggle) {
    this.#catalogue = catalogue;
    this.#look = look;
    this.#toggle = toggle;
    this.#input.disabled = false;
    this.#input.addEventListener("input", () => this.#find());
    this.#input.addEventListener("keydown", (event) => this.#key(event));
    this.#list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.#choose(option);
    });
    this.#find();
  }

  /** Marks the picks. @param {Item[]} picks */
  show(picks) {
    this.#picked = new Set(picks.map(({ index }) => index));
    for (const option of this.#list.children) this.#mark(option);
  }

  #find() {
    const text = this.#input.value.trim();
    const found = text ? this.#catalogue.search(text) : this.#catalogue.items;
    const shown = found.slice(0, text ? MOST : POPULAR);
    this.#list.classList.toggle("popular", !text);
    this.#list.replaceChildren(...shown.map((item) => this.#option(item)));
    this.#list.scrollTo(0, 0);
    this.#note.textContent = text ? summary(found.length) : "Popular titles";
    this.#activate(-1);
  }

  #option(item) {
    const option = document.createElement("li");
    option.id = `option-${item.index}`;
    option.role = "option";
    option.dataset.index = String(item.index);
    option.append(...this.#look.describe(item));
    this.#mark(option);
    return option;
  }

  #mark(option) {
    option.ariaSelected = String(this.#picked.has(Number(option.dataset.index)));
  }

  #choose(option) {
    if (this.#input.value) {
      this.#input.value = "";
      this.#find();
    }
    this.#toggle(this.#catalogue.at(Number(option.dataset.index)));
  }

  #key(event) {
    const options = this.#list.children;
    if (event.key === "ArrowDown") this.#activate(Math.min(this.#active + 1, options.length - 1));
    else if (event.key === "ArrowUp") this.#activate(Math.max(this.#active - 1, -1));
    else if (event.key === "Escape") {
      this.#input.value = "";
      this.#find();
    } else if (event.key === "Enter") {
      // What is searched for is most often the first of what was found.
      const option = options[this.#input.value ? Math.max(this.#active, 0) : this.#active];
      if (option) this.#choose(option);
    } else return;
    event.preventDefault();
  }

  #activate(place) {
    this.#list.children[this.#active]?.classList.remove("active");
    this.#active = place;
    const option = this.#list.children[place];
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
