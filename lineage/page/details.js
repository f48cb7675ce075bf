// The details of a node or of a run: facts, metrics, statistics of the data, files.

const HEADLINES = ["recall_at_10", "recall_at_1", "recall_at_5", "recall_at_50", "ndcg_at_10", "mrr", "coverage_at_10"];
const HIDDEN = new Set(["is_external", "tfx_version", "custom_config", "stats_dashboard_link"]);

// node: an artifact or an execution of the page's data with its key; links: [{key, title, isInput}].
function describe(node, links, choose) {
  const isArtifact = node.key.startsWith("a");
  const isEvaluation = node.type === "ModelEvaluation";
  const isMetric = ([, value]) => isEvaluation && typeof value === "number";
  const shown = Object.entries(node.properties).filter(([name]) => !HIDDEN.has(name)).sort();
  const metrics = shown.filter(isMetric);
  const properties = shown.filter((entry) => !isMetric(entry));
  const files = page.files[node.key] ?? [];
  return [
    titleOf(isArtifact ? node.type : node.step, `${isArtifact ? "artifact" : "execution"} ${node.id}`),
    facts(isArtifact ? artifactFacts(node) : executionFacts(node)),
    ...(isEvaluation ? meters(node.properties) : []),
    ...(metrics.length ? [allMetrics(metrics)] : []),
    ...(properties.length ? [heading(isArtifact ? "Properties" : "Parameters"), ...propertyList(properties)] : []),
    ...Object.entries(page.statistics[node.key] ?? {}).flatMap(([split, { examples, features }]) => [
      heading(`Data: ${split} split, ${count(examples)} examples`),
      ...features.flatMap(statistics),
    ]),
    ...(files.length ? [heading("Files on the machine that wrote this page"), fileList(files)] : []),
    ...linkList(isArtifact ? "Produced by" : "Inputs", links.filter(({ isInput }) => isInput), choose),
    ...linkList(isArtifact ? "Used by" : "Outputs", links.filter(({ isInput }) => !isInput), choose),
  ];
}

// Shown for a run while none of its nodes is chosen.
function describeRun(run) {
  const { data, evaluation, push } = run;
  const rows = [
    ["state", run.outcome ? `${run.state}, ${run.outcome}` : run.state],
    ["started", moment(run.started)],
    ["took", duration(run.seconds)],
    ["data", data.name],
    ["SHA-256", data.fingerprint],
    ["commit", run.code_version],
    ["pushed to", push && fileLink(push.destination)],
  ];
  return [titleOf(`Run ${run.id}`, run.pipeline), facts(rows.filter(([, value]) => value)), ...meters(evaluation?.metrics ?? {})];
}

function titleOf(name, kind) {
  return element("div", { class: "row" }, [element("h2", {}, [name]), element("span", { class: "chip" }, [kind])]);
}

function artifactFacts(node) {
  const isKnownState = node.state !== "LIVE" && node.state !== "UNKNOWN";
  const rows = [
    ["created", moment(node.created)],
    ["verdict", node.type === "ModelBlessing" && (node.properties.blessed === 1 ? "blessed" : "not blessed")],
    ["state", isKnownState && node.state.toLowerCase()],
    ["name", node.name],
    ["address", node.uri.startsWith("/") ? fileLink(node.uri) : node.uri],
  ];
  return rows.filter(([, value]) => value);
}

function executionFacts(node) {
  const hasEnded = node.state !== "RUNNING" && node.state !== "NEW";
  return [
    ["state", node.state.toLowerCase()],
    ["started", moment(node.started)],
    ...(hasEnded ? [["took", duration((node.changed - node.started) / 1000)]] : []),
  ];
}

// Bars of the headline metrics, with a mark where the popularity list is.
function meters(metrics) {
  const rows = HEADLINES.filter((name) => name in metrics).flatMap((name) => {
    const other = metrics[`popularity_${name}`];
    const track = element("span", { class: "track" }, [element("i", { style: `width:${100 * metrics[name]}%` })]);
    if (other !== undefined) {
      track.append(element("u", { style: `left:${100 * other}%`, title: `popularity list: ${other.toFixed(4)}` }));
    }
    return [element("span", {}, [page.metrics[name]]), track, element("output", {}, [metrics[name].toFixed(4)])];
  });
  if (!rows.length) return [];
  const { popularity_recall_at_10: popularity, markov_recall_at_10: markov, example_count: targets } = metrics;
  const sentences = [
    popularity !== undefined && `The mark is the popularity list: Recall@10 ${popularity.toFixed(4)}.`,
    markov !== undefined && `Markov has ${markov.toFixed(4)}.`,
    targets !== undefined && `${count(targets)} targets.`,
  ];
  return [heading("On the test split"), element("div", { class: "meter" }, rows), note(sentences.filter(Boolean).join(" "))];
}

function allMetrics(metrics) {
  const rows = metrics.map(([name, value]) => [page.metrics[name] ?? name, words(value)]);
  return element("details", {}, [element("summary", {}, ["All metrics"]), facts(rows)]);
}

function propertyList(entries) {
  const isLong = ([, value]) => typeof value === "object" && value !== null;
  return [
    facts(entries.filter((entry) => !isLong(entry)).map(([name, value]) => [name, words(value)])),
    ...entries.filter(isLong).flatMap(([name, value]) => [
      note(name),
      element("pre", { tabindex: 0 }, [JSON.stringify(value, null, 1)]),
    ]),
  ];
}

// The statistics of a feature, and its histogram.
function statistics(feature) {
  const numbers = feature.name.includes("timestamp") ? ["min", "max"] : ["min", "mean", "max"];
  const values = feature.top?.map(([value, times]) => `${value} (${count(times)})`).join(", ");
  const sentences = [
    `${count(feature.values ?? 0)} values`,
    feature.missing && `${count(feature.missing)} examples without`,
    ...("mean" in feature ? numbers.map((name) => `${name} ${words(feature[name])}`) : []),
    "unique" in feature && `${count(feature.unique)} different`,
    values && `most often ${values}`,
  ];
  const text = ` (${feature.type}): ${sentences.filter(Boolean).join(", ")}`;
  return [note(element("b", {}, [feature.name]), text), ...(feature.histogram?.length ? [histogram(feature.histogram)] : [])];
}

function histogram(bars) {
  const most = Math.max(...bars.map(([, , times]) => times), 1);
  const step = 100 / bars.length;
  const boxes = bars.map(([low, high, times], at) => {
    const height = (30 * times) / most;
    const title = drawing("title", {}, [`${words(low)} to ${words(high)}: ${count(Math.round(times))}`]);
    return drawing("rect", { x: at * step + 0.3, width: step - 0.6, y: 30 - height, height }, [title]);
  });
  const frame = { viewBox: "0 0 100 30", preserveAspectRatio: "none", role: "img", "aria-label": "histogram" };
  return drawing("svg", { class: "histogram", ...frame }, boxes);
}

function fileList(paths) {
  const name = (path) => path.split("/").slice(-2).join("/");
  return element("ul", { class: "note" }, paths.map((path) => element("li", {}, [fileLink(path, name(path))])));
}

function linkList(title, links, choose) {
  if (!links.length) return [];
  const buttons = links.map((link) => {
    const button = element("button", { type: "button" }, [link.title]);
    button.addEventListener("click", () => choose(link.key));
    return button;
  });
  return [heading(title), element("div", { class: "row links" }, buttons)];
}
