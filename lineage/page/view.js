// A drawn graph that can be moved and zoomed, and whose nodes can be chosen.

const ZOOM = { least: 0.1, readable: 0.6, most: 3, step: 1.25 };
const MOVE = 60; // pixels of an arrow key
const MARGIN = 24;

class GraphView {
  // svg: the element; choose: called with the key of a node that was clicked.
  constructor(svg, choose) {
    this.svg = svg;
    this.choose = choose;
    this.x = this.y = 0;
    this.k = 1;
    this.pointers = new Map();
    svg.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    svg.addEventListener("pointerdown", (event) => this.#down(event));
    svg.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel", "pointerleave"]) {
      svg.addEventListener(end, (event) => this.#up(event));
    }
    svg.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.touched || !this.placed || this.start()).observe(svg);
  }

  // nodes: [{key, title, about, classes}], edges: [{from, to, isCompared}]; focus: the key to begin at, if any.
  draw(nodes, edges, focus) {
    this.placed = place(nodes, edges);
    this.focus = focus;
    const arrow = (id) =>
      drawing("marker", { id, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, [
        drawing("path", { d: "M0 0L8 4L0 8z" }),
      ]);
    this.edges = this.placed.edges.map(({ edge, points }) => {
      const classes = edge.isCompared ? "edge compared" : "edge";
      const line = drawing("path", { class: classes, d: curve(points), "marker-end": "url(#arrow)" });
      return { ...edge, element: line };
    });
    this.nodes = new Map(nodes.map((node) => [node.key, this.#node(node)]));
    this.layer = drawing("g", {}, [...this.edges.map(({ element }) => element), ...this.nodes.values()]);
    this.svg.replaceChildren(drawing("defs", {}, [arrow("arrow"), arrow("arrow-lit")]), this.layer);
    this.touched = false;
    this.start();
  }

  // Marks a node with its ancestors and descendants; without a key, none.
  mark(key) {
    const before = this.#reach(key, "to", "from");
    const after = this.#reach(key, "from", "to");
    const near = new Set([...before, ...after]);
    for (const { from, to, element } of this.edges) {
      const lit = (before.has(from) && before.has(to)) || (after.has(from) && after.has(to));
      element.classList.toggle("lit", lit);
      element.setAttribute("marker-end", `url(#arrow${lit ? "-lit" : ""})`);
    }
    for (const [other, element] of this.nodes) {
      element.classList.toggle("chosen", other === key);
      element.classList.toggle("lit", near.has(other));
    }
    this.layer.classList.toggle("chosen-one", this.nodes.has(key));
  }

  // Fits the graph in. One that would be too small to read begins at its focus, or at its top.
  start() {
    this.fit();
    if (this.k >= ZOOM.readable) return;
    const { width, height } = this.svg.getBoundingClientRect();
    const focus = this.placed.nodes.get(this.focus);
    const { x, y } = focus ?? { x: this.placed.width / 2, y: height / 2 / ZOOM.readable - MARGIN };
    const lowest = height - MARGIN - this.placed.height * ZOOM.readable;
    this.k = ZOOM.readable;
    this.x = width / 2 - x * this.k;
    this.y = Math.min(MARGIN, Math.max(height / 2 - y * this.k, lowest));
    this.#apply();
  }

  fit() {
    const { width, height } = this.svg.getBoundingClientRect();
    if (!this.placed || !width) return;
    const across = (width - 2 * MARGIN) / this.placed.width;
    const down = (height - 2 * MARGIN) / this.placed.height;
    this.k = Math.min(1.1, Math.max(ZOOM.least, Math.min(across, down)));
    this.x = (width - this.placed.width * this.k) / 2;
    this.y = (height - this.placed.height * this.k) / 2;
    this.#apply();
  }

  zoom(factor, at) {
    const box = this.svg.getBoundingClientRect();
    const { x, y } = at ?? { x: box.width / 2, y: box.height / 2 };
    const k = Math.min(ZOOM.most, Math.max(ZOOM.least, this.k * factor));
    this.x = x - ((x - this.x) * k) / this.k;
    this.y = y - ((y - this.y) * k) / this.k;
    this.k = k;
    this.#touch();
  }

  pan(x, y) {
    this.x += x;
    this.y += y;
    this.#touch();
  }

  // The keys that can be reached from a key along edges, itself included. A model is not made from its baseline.
  #reach(start, near, far) {
    const reached = new Set(this.nodes.has(start) ? [start] : []);
    for (const key of reached) {
      for (const edge of this.edges) if (edge[near] === key && !edge.isCompared) reached.add(edge[far]);
    }
    return reached;
  }

  #touch() {
    this.touched = true;
    this.#apply();
  }

  #apply() {
    this.layer.setAttribute("transform", `translate(${this.x} ${this.y}) scale(${this.k})`);
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

  #point(event) {
    const box = this.svg.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  #wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    this.zoom(Math.exp(-event.deltaY * lines * 0.0015), this.#point(event));
  }

  #down(event) {
    this.pointers.set(event.pointerId, this.#point(event));
    this.moved = 0;
    this.pressed = event.target.closest(".node")?.dataset.key;
  }

  #move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.#point(event);
    this.moved += Math.hypot(now.x - before.x, now.y - before.y);
    if (this.moved > 4) {
      this.svg.classList.add("dragged");
      if (!this.svg.hasPointerCapture(event.pointerId)) this.svg.setPointerCapture(event.pointerId);
    }
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const span = (point) => Math.max(1, Math.hypot(point.x - other.x, point.y - other.y));
      this.zoom(span(now) / span(before), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
    } else if (this.moved > 4) {
      this.pan(now.x - before.x, now.y - before.y);
    }
    this.pointers.set(event.pointerId, now);
  }

  #up(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    this.svg.classList.remove("dragged");
    if (event.type === "pointerup" && this.moved <= 4) this.choose(this.pressed);
  }

  #key(event) {
    const act = {
      ArrowLeft: () => this.pan(MOVE, 0),
      ArrowRight: () => this.pan(-MOVE, 0),
      ArrowUp: () => this.pan(0, MOVE),
      ArrowDown: () => this.pan(0, -MOVE),
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
