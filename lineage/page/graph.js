// The graph of the page's data, and the details of the node that is chosen in it.

const page = JSON.parse(part("data").textContent);
const artifacts = page.graph.artifacts.map((artifact) => ({ ...artifact, key: `a${artifact.id}` }));
const executions = page.graph.executions.map((execution) => ({ ...execution, key: `e${execution.id}` }));
const known = new Map([...artifacts, ...executions].map((node) => [node.key, node]));
const edges = page.graph.links
  .map(({ execution, artifact, name, made }) => {
    const ends = [`a${artifact}`, `e${execution}`];
    const [from, to] = made ? ends.reverse() : ends;
    return { from, to, isCompared: name === "baseline_model" };
  })
  .filter(({ from, to }) => known.has(from) && known.has(to));
const compared = new Set(edges.filter(({ isCompared }) => isCompared).map(({ from }) => from));
let shownRun = null;
const view = new GraphView(part("graph"), choose);

function choose(key) {
  view.mark(key);
  const node = known.get(key);
  if (node) {
    const links = edges
      .filter(({ from, to }) => (from === key || to === key) && view.nodes.has(from) && view.nodes.has(to))
      .map(({ from, to }) => (to === key ? { key: from, isInput: true } : { key: to, isInput: false }))
      .map((link) => ({ ...link, title: `${nameOf(known.get(link.key))} ${known.get(link.key).id}` }));
    part("details").replaceChildren(...describe(node, links, choose));
    part("details").scrollTop = 0;
  } else {
    const hint = note("Choose a step or an artifact in the graph to see its details.");
    part("details").replaceChildren(...(shownRun ? describeRun(shownRun) : []), hint);
  }
}

function nameOf(node) {
  return node.step ?? node.type;
}

function about(node) {
  const held = node.properties;
  if (node.step) return `${node.state.toLowerCase()}, execution ${node.id}`;
  if (node.type === "ModelEvaluation" && "recall_at_10" in held) return `Recall@10 ${held.recall_at_10.toFixed(4)}`;
  if (node.type === "ModelBlessing") return held.blessed === 1 ? "blessed" : "not blessed";
  if (node.type === "PushedModel") return held.pushed ? `version ${held.pushed_version}` : "nothing pushed";
  if (held.data_fingerprint) return `data ${held.data_fingerprint.slice(0, 12)}`;
  const isEarlier = compared.has(node.key) && !edges.some(({ to }) => to === node.key);
  return isEarlier ? `${node.id}, compared with` : `artifact ${node.id}`;
}

// Draws the executions with these keys and their artifacts, or the entire graph. An artifact that a resolver hands on
// hangs below the execution that made it, where that is drawn too.
function draw(drawn, focus) {
  const wanted = new Set(drawn ?? executions.map(({ key }) => key));
  const shown = edges.filter(({ from, to }) => wanted.has(from) || wanted.has(to));
  const keys = drawn ? new Set([...wanted, ...shown.flatMap(({ from, to }) => [from, to])]) : new Set(known.keys());
  const isResolver = (key) => known.get(key).type === "Resolver";
  const made = new Set(shown.filter(({ from }) => !isResolver(from)).map(({ to }) => to));
  const nodes = [...keys].filter((key) => known.has(key)).map((key) => {
    const node = known.get(key);
    const kind = node.step ? `execution ${node.state.toLowerCase()}` : "artifact";
    return { key, title: nameOf(node), about: about(node), classes: key === focus ? `${kind} focus` : kind };
  });
  view.draw(nodes, shown.filter(({ from, to }) => !isResolver(from) || !made.has(to)), focus);
}

part("in").addEventListener("click", () => view.zoom(ZOOM.step));
part("out").addEventListener("click", () => view.zoom(1 / ZOOM.step));
part("fit").addEventListener("click", () => view.fit());
if (!page.runs) {
  draw(null, page.focus);
  choose(page.focus);
}
