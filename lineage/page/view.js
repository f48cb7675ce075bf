// A drawn graph that scrolls and zooms, and whose nodes can be chosen.

const ZOOM = { least: 0.1, readable: 0.6, most: 3, step: 1.25 };
const MARGIN = 24; // the padding of the frame
const CLICK = 4; // pixels that the pointer may move during a click

class GraphView {
  // frame: a scrolling element with an <svg> that has a <g>; choose: called with the key of a node that was clicked.
  constructor(frame, choose) {
    this.frame = frame;
    this.svg = frame.querySelector("svg");
    this.layer = frame.querySelector("g");
    this.choose = choose;
    this.dragged = 0;
    frame.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    frame.addEventListener("pointerdown", () => (this.dragged = 0));
    frame.addEventListener("pointermove", (event) => this.#drag(event));
    frame.addEventListener("pointerup", () => frame.classList.remove("dragged"));
    frame.addEventListener("click", ({ target }) => {
      if (this.dragged <= CLICK) this.choose(target.closest(".node")?.dataset.key);
    });
    frame.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.zoomed || !this.placed || this.#isScrolled() || this.start()).observe(frame);
  }

  // nodes: [{key, title, about, classes}], edges: [{from, to, isCompared}]; focus: the key to begin at, if any.
  draw(nodes, edges, focus) {
    this.placed = place(nodes, edges);
    this.focus = focus;
    this.edges = this.placed.edges.map(({ edge, points }) => {
      const line = drawing("path", { class: edge.isCompared ? "edge compared" : "edge", d: curve(points) });
      return { ...edge, element: line };
    });
    this.nodes = new Map(nodes.map((node) => [node.key, this.#node(node)]));
    this.layer.replaceChildren(...this.edges.map(({ element }) => element), ...this.nodes.values());
    this.svg.setAttribute("viewBox", `0 0 ${this.placed.width} ${this.placed.height}`);
    this.zoomed = false;
    this.start();
  }

  // Marks a node with its ancestors and descendants; without a key, none.
  mark(key) {
    const before = this.#reach(key, "to", "from");
    const after = this.#reach(key, "from", "to");
    for (const { from, to, element } of this.edges) {
      const isLit = (before.has(from) && before.has(to)) || (after.has(from) && after.has(to));
      element.classList.toggle("lit", isLit);
    }
    for (const [other, element] of this.nodes) {
      element.classList.toggle("chosen", other === key);
      element.classList.toggle("lit", before.has(other) || after.has(other));
    }
    this.layer.classList.toggle("chosen-one", this.nodes.has(key));
  }

  // Fits the graph in. One that would be too small to read begins at its focus, or at its top.
  start() {
    this.fit();
    if (this.k < ZOOM.readable) {
      this.#scale(ZOOM.readable);
      const { width, height } = this.frame.getBoundingClientRect();
      const { x, y } = this.placed.nodes.get(this.focus) ?? { x: this.placed.width / 2, y: 0 };
      this.frame.scrollTo(MARGIN + x * this.k - width / 2, MARGIN + y * this.k - height / 2);
    }
    this.origin = { x: this.frame.scrollLeft, y: this.frame.scrollTop };
  }

  fit() {
    if (!this.placed) return;
    const { width, height } = this.frame.getBoundingClientRect();
    const across = (width - 2 * MARGIN) / this.placed.width;
    const down = (height - 2 * MARGIN) / this.placed.height;
    this.#scale(Math.min(1.1, across, down));
  }

  // at: the position in the window that stays where it is; the middle by default.
  zoom(factor, at) {
    if (!this.placed) return;
    const box = this.frame.getBoundingClientRect();
    const { clientX, clientY } = at ?? { clientX: box.x + box.width / 2, clientY: box.y + box.height / 2 };
    const [before, k] = [this.svg.getBoundingClientRect(), this.k];
    this.#scale(k * factor);
    const after = this.svg.getBoundingClientRect();
    const moved = (old, now, fixed) => now + ((fixed - old) * this.k) / k - fixed;
    this.frame.scrollBy(moved(before.x, after.x, clientX), moved(before.y, after.y, clientY));
    this.zoomed = true;
  }

  #isScrolled() {
    const { scrollLeft, scrollTop } = this.frame;
    return Math.hypot(scrollLeft - this.origin.x, scrollTop - this.origin.y) > 1;
  }

  #scale(k) {
    this.k = Math.min(ZOOM.most, Math.max(ZOOM.least, k));
    this.svg.style.width = `${this.placed.width * this.k}px`;
  }

  // The keys that can be reached from a key along edges, itself included. A model is not made from its baseline.
  #reach(start, near, far) {
    const reached = new Set(this.nodes.has(start) ? [start] : []);
    for (const key of reached) {
      for (const edge of this.edges) if (edge[near] === key && !edge.isCompared) reached.add(edge[far]);
    }
    return reached;
  }

  #node({ key, title, about, classes }) {
    const { x, y } = this.placed.nodes.get(key);
    const { width, height } = NODE;
    const round = classes.includes("artifact") ? height / 2 : 9;
    const label = `${title}, ${about}`;
    const group = drawing("g", { class: `node ${classes}`, tabindex: 0, role: "button", "aria-label": label }, [
      drawing("title", {}, [label]),
      drawing("rect", { x: x - width / 2, y: y - height / 2, width, height, rx: round }),
      drawing("text", { x, y: y - 3 }, [shorten(title, 19)]),
      drawing("text", { x, y: y + 13, class: "about" }, [shorten(about, 25)]),
    ]);
    group.dataset.key = key;
    group.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      this.choose(key);
    });
    return group;
  }

  #wheel(event) {
    event.preventDefault();
    const pixels = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    this.zoom(Math.exp(-event.deltaY * pixels * 0.0015), event);
  }

  // A touch screen scrolls by itself.
  #drag(event) {
    if (event.pointerType !== "mouse" || !(event.buttons & 1)) return;
    this.dragged += Math.hypot(event.movementX, event.movementY);
    if (this.dragged > CLICK) {
      this.frame.classList.add("dragged");
      this.frame.setPointerCapture(event.pointerId);
    }
    this.frame.scrollBy(-event.movementX, -event.movementY);
  }

  #key(event) {
    const act = {
      "+": () => this.zoom(ZOOM.step),
      "=": () => this.zoom(ZOOM.step),
      "-": () => this.zoom(1 / ZOOM.step),
      0: () => this.fit(),
      Escape: () => this.choose(undefined),
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  }
}

// A smooth line down through points, from the lower side of the first to the upper side of the last.
function curve(points) {
  const path = points.map(({ x, y }) => ({ x, y }));
  path[0].y += NODE.height / 2;
  path.at(-1).y -= NODE.height / 2 + 2;
  let line = `M${path[0].x} ${path[0].y}`;
  for (let at = 1; at < path.length; at++) {
    const [from, to] = [path[at - 1], path[at]];
    const middle = (from.y + to.y) / 2;
    line += `C${from.x} ${middle} ${to.x} ${middle} ${to.x} ${to.y}`;
  }
  return line;
}

function shorten(text, length) {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}
