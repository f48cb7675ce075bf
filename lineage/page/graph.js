// The graph scrolls and zooms. A chosen node is marked with its ancestors and descendants, and shows its details.

const ZOOM = { least: 0.1, readable: 0.6, most: 3, step: 1.25 };
const MARGIN = 24; // the padding of the frame
const CLICK = 4; // pixels that the pointer may move during a click

const frame = document.getElementById("graph");
const details = document.getElementById("details");
let drawing; // the <svg> that is shown
let scale;
let origin; // the scroll position at the start
let isZoomed;
let isFitted; // by the user
let dragged = 0;

// Shows the drawing of a run, or the only one.
function show(svg) {
  drawing = svg;
  isZoomed = isFitted = false;
  start();
  choose(svg.dataset.focus);
}

// Fits the graph in. One that would be too small to read begins at its focus, or at its top.
function start() {
  fit();
  if (scale < ZOOM.readable) {
    setScale(ZOOM.readable);
    const top = { x: drawing.viewBox.baseVal.width / 2, y: 0, width: 0, height: 0 };
    const { x, y, width, height } = drawing.querySelector(".focus rect")?.getBBox() ?? top;
    const middle = [x + width / 2, y + height / 2].map((at) => MARGIN + at * scale);
    frame.scrollTo(middle[0] - frame.offsetWidth / 2, middle[1] - frame.offsetHeight / 2);
  }
  origin = [frame.scrollLeft, frame.scrollTop];
}

function fit() {
  const { width, height } = drawing.viewBox.baseVal;
  const across = (frame.offsetWidth - 2 * MARGIN) / width;
  const down = (frame.offsetHeight - 2 * MARGIN) / height;
  setScale(Math.min(1.1, across, down));
}

function fitAll() {
  fit();
  isFitted = true;
}

function setScale(requested) {
  scale = Math.min(ZOOM.most, Math.max(ZOOM.least, requested));
  drawing.style.width = `${drawing.viewBox.baseVal.width * scale}px`;
}

// at: the position in the window that stays where it is; the middle by default.
function zoom(factor, at) {
  const box = frame.getBoundingClientRect();
  const { clientX, clientY } = at ?? { clientX: box.x + box.width / 2, clientY: box.y + box.height / 2 };
  const [before, old] = [drawing.getBoundingClientRect(), scale];
  setScale(scale * factor);
  const after = drawing.getBoundingClientRect();
  const moved = (from, to, fixed) => to + ((fixed - from) * scale) / old - fixed;
  frame.scrollBy(moved(before.x, after.x, clientX), moved(before.y, after.y, clientY));
  isZoomed = true;
  isFitted = false;
}

function choose(key) {
  const sides = [reach(key, "end", "start"), reach(key, "start", "end")];
  for (const { classList, dataset } of drawing.querySelectorAll(".edge")) {
    classList.toggle("lit", sides.some((side) => side.has(dataset.start) && side.has(dataset.end)));
  }
  for (const { classList, dataset } of drawing.querySelectorAll(".node")) {
    classList.toggle("lit", sides.some((side) => side.has(dataset.key)));
    classList.toggle("chosen", dataset.key === key);
  }
  for (const part of details.children) part.hidden = part.id !== (key ?? "overview");
  details.scrollTop = 0;
}

// The keys that can be reached from a key along edges, itself included. A model is not made from its baseline.
function reach(key, near, far) {
  const edges = [...drawing.querySelectorAll(".edge:not(.compared)")].map(({ dataset }) => dataset);
  const reached = new Set([key]);
  for (const from of reached) {
    for (const edge of edges) if (edge[near] === from) reached.add(edge[far]);
  }
  return reached;
}

function showRun(run) {
  for (const part of document.querySelectorAll("[data-run]")) {
    const isOfRun = part.dataset.run === run;
    if (part.matches("tr, circle")) part.classList.toggle("chosen", isOfRun);
    else part.toggleAttribute("hidden", !isOfRun);
  }
  show(frame.querySelector("svg:not([hidden])"));
  for (const link of details.querySelectorAll("button")) {
    link.hidden = !drawing.querySelector(`[data-key="${link.dataset.key}"]`);
  }
}

frame.addEventListener("pointerdown", () => (dragged = 0));
frame.addEventListener("pointerup", () => frame.classList.remove("dragged"));
frame.addEventListener("pointermove", (event) => {
  if (event.pointerType !== "mouse" || !(event.buttons & 1)) return; // A touch screen scrolls by itself.
  dragged += Math.hypot(event.movementX, event.movementY);
  if (dragged > CLICK) {
    frame.classList.add("dragged");
    frame.setPointerCapture(event.pointerId);
  }
  frame.scrollBy(-event.movementX, -event.movementY);
});
frame.addEventListener("click", ({ target }) => {
  if (dragged <= CLICK) choose(target.closest(".node")?.dataset.key);
});
frame.addEventListener("keydown", (event) => {
  const node = event.target.closest(".node");
  const act = {
    "+": () => zoom(ZOOM.step),
    "=": () => zoom(ZOOM.step),
    "-": () => zoom(1 / ZOOM.step),
    0: fitAll,
    Escape: () => choose(),
    ...(node && { Enter: () => choose(node.dataset.key), " ": () => choose(node.dataset.key) }),
  }[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act();
});
const wheel = (event) => {
  event.preventDefault();
  const pixels = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
  zoom(Math.exp(-event.deltaY * pixels * 0.0015), event);
};
frame.addEventListener("wheel", wheel, { passive: false });
document.getElementById("in").addEventListener("click", () => zoom(ZOOM.step));
document.getElementById("out").addEventListener("click", () => zoom(1 / ZOOM.step));
document.getElementById("fit").addEventListener("click", fitAll);
details.addEventListener("click", ({ target }) => {
  if (target.dataset.key) choose(target.dataset.key);
});
document.addEventListener("click", ({ target }) => {
  const run = target.closest("tr[data-run], circle[data-run]")?.dataset.run;
  if (run) showRun(run);
});

const newest = document.querySelector("tr[data-run]");
if (newest) showRun(newest.dataset.run);
else show(frame.querySelector("svg"));
// A larger frame moves the scroll position to the largest that is left; that is not the user's scrolling.
new ResizeObserver(() => {
  const isMoved = (now, before, most) => Math.abs(now - Math.min(before, most)) > 1;
  const isScrolled =
    isMoved(frame.scrollLeft, origin[0], frame.scrollWidth - frame.clientWidth) ||
    isMoved(frame.scrollTop, origin[1], frame.scrollHeight - frame.clientHeight);
  if (isFitted) fit();
  else if (!isZoomed && !isScrolled) start();
}).observe(frame);
