// The graph of the data that is written into the page, and what is told of what is chosen in it.

const page = JSON.parse(document.getElementById("data").textContent);
const part = (id) => document.getElementById(id);
const artifacts = page.graph.artifacts.map((one) => ({ ...one, key: `a${one.id}` }));
const executions = page.graph.executions.map((one) => ({ ...one, key: `e${one.id}` }));
const known = new Map([...artifacts, ...executions].map((node) => [node.key, node]));
const edges = page.graph.links
  .map(({ execution, artifact, name, made }) => {
    const classes = name === "baseline_model" ? "compared" : "";
    const [from, to] = made ? [`e${execution}`, `a${artifact}`] : [`a${artifact}`, `e${execution}`];
    return { from, to, classes };
  })
  .filter(({ from, to }) => known.has(from) && known.has(to));
const compared = new Set(edges.filter(({ classes }) => classes).map(({ from }) => from));
let shownRun = null;
const view = new GraphView(part("graph"), choose);

function choose(key) {
  view.mark(key);
  const node = known.get(key);
  if (!node) {
    const hint = "Choose a step or an artifact in the graph to see what is known of it.";
    const run = shownRun ? describeRun(shownRun, page) : [];
    part("details").replaceChildren(...run, element("p", { class: "note hint" }, [hint]));
    return;
  }
  const links = edges.flatMap(({ from, to }) => {
    if (to === key) return [{ key: from, title: title(known.get(from)), word: "from" }];
    return from === key ? [{ key: to, title: title(known.get(to)), word: "to" }] : [];
  });
  const shown = links.filter((one) => view.nodes.has(one.key));
  part("details").replaceChildren(...describe(node, page, shown, choose));
  part("details").scrollTop = 0;
}

function title(node) {
  return `${node.step ?? node.type} ${node.id}`;
}

function about(node) {
  const held = node.properties;
  if (node.step) return `${node.state.toLowerCase()}, execution ${node.id}`;
  if (node.type === "ModelEvaluation" && "recall_at_10" in held) return `Recall@10 ${held.recall_at_10.toFixed(4)}`;
  if (node.type === "ModelBlessing") return held.blessed === 1 ? "blessed" : "not blessed";
  if (node.type === "PushedModel") return held.pushed ? `version ${held.pushed_version}` : "nothing pushed";
  if (held.data_fingerprint) return `data ${held.data_fingerprint.slice(0, 12)}`;
  const early = compared.has(node.key) && !edges.some(({ to }) => to === node.key);
  return early ? `${node.id}, compared with` : `artifact ${node.id}`;
}

// Draws some executions with their artifacts, or all there is. Of what a resolver hands on, what others made here stays
// theirs.
function draw(only, focus) {
  const wanted = new Set(only ?? executions.map(({ key }) => key));
  const shown = edges.filter(({ from, to }) => wanted.has(from) || wanted.has(to));
  const keys = new Set([...wanted, ...shown.flatMap(({ from, to }) => [from, to]), ...(focus ? [focus] : [])]);
  if (!only) known.forEach((_, key) => keys.add(key));
  const resolvers = new Set(executions.filter(({ type }) => type === "Resolver").map(({ key }) => key));
  const nodes = [...keys].filter((key) => known.has(key)).map((key) => {
    const node = known.get(key);
    const classes = [node.step ? `execution ${node.state.toLowerCase()}` : "artifact", key === focus ? "focus" : ""];
    return { key, title: node.step ?? node.type, about: about(node), classes: classes.join(" ") };
  });
  const made = new Set(shown.filter(({ from }) => !resolvers.has(from)).map(({ to }) => to));
  view.draw(nodes, shown.filter(({ from, to }) => !resolvers.has(from) || !made.has(to)), focus);
}

part("in").addEventListener("click", () => view.zoom(ZOOM.step));
part("out").addEventListener("click", () => view.zoom(1 / ZOOM.step));
part("fit").addEventListener("click", () => view.fit());
