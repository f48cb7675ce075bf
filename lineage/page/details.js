// What is told of a node: facts, metrics, statistics of the data, files.

const HEADLINES = ["recall_at_10", "recall_at_1", "recall_at_5", "recall_at_50", "ndcg_at_10", "mrr", "coverage_at_10"];
const HIDDEN = new Set(["is_external", "tfx_version", "custom_config", "stats_dashboard_link"]);

// node: an artifact or an execution of the page's data with its key; links: [{key, title, word}].
function describe(node, page, links, choose) {
  const held = node.properties;
  const isArtifact = node.key.startsWith("a");
  const parts = [
    element("div", { class: "kind" }, [
      element("h2", {}, [isArtifact ? node.type : node.step]),
      element("span", { class: "tag" }, [`${isArtifact ? "artifact" : "execution"} ${node.id}`]),
    ]),
    facts(isArtifact ? artifactFacts(node) : executionFacts(node)),
  ];
  const metrics = node.type === "ModelEvaluation" ? held : null;
  if (metrics && HEADLINES.some((name) => name in metrics)) {
    parts.push(heading("On the test split"), meters(metrics, page.metrics));
  }
  const isMetric = ([, value]) => metrics && typeof value === "number";
  const shown = Object.entries(held).filter(([name]) => !HIDDEN.has(name)).sort(([one], [other]) => (one < other ? -1 : 1));
  const own = shown.filter((entry) => !isMetric(entry));
  const measured = shown.filter(isMetric);
  if (measured.length) {
    const rows = measured.map(([name, value]) => [page.metrics[name] ?? name, words(value)]);
    parts.push(element("details", {}, [element("summary", {}, ["All metrics"]), facts(rows)]));
  }
  if (own.length) parts.push(heading(isArtifact ? "Properties" : "Parameters"), properties(own));
  for (const [split, told] of Object.entries(page.statistics[node.key] ?? {})) {
    parts.push(heading(`Data: ${split} split, ${count(told.examples)} examples`), statistics(told.features));
  }
  const files = page.files[node.key] ?? [];
  if (files.length) {
    const list = files.map((path) =>
      element("li", {}, [element("a", { href: fileAddress(path), title: path }, [path.split("/").slice(-2).join("/")])]),
    );
    parts.push(heading("Files on the machine that wrote this page"), element("ul", { class: "files" }, list));
  }
  for (const word of ["from", "to"]) {
    const some = links.filter((link) => link.word === word);
    if (!some.length) continue;
    const buttons = some.map(({ key, title }) => {
      const button = element("button", { type: "button" }, [title]);
      button.addEventListener("click", () => choose(key));
      return button;
    });
    const title = isArtifact ? { from: "Made by", to: "Taken by" }[word] : { from: "Took", to: "Made" }[word];
    parts.push(heading(title), element("div", { class: "links" }, buttons));
  }
  return parts;
}

// What is told of a run while none of its nodes is chosen.
function describeRun(run, page) {
  const { data, evaluation, push } = run;
  const told = [
    ["state", run.outcome ? `${run.state}, ${run.outcome}` : run.state],
    ["started", moment(run.started)],
    ["took", duration(run.seconds)],
    ...(data.name ? [["data", data.name]] : []),
    ...(data.fingerprint ? [["SHA-256", data.fingerprint]] : []),
    ...(run.code_version ? [["commit", run.code_version]] : []),
    ...(push ? [["pushed to", link(fileAddress(push.destination), push.destination)]] : []),
  ];
  const title = element("div", { class: "kind" }, [
    element("h2", {}, [`Run ${run.id}`]),
    element("span", { class: "tag" }, [run.pipeline]),
  ]);
  const metrics = evaluation?.metrics ?? {};
  const measured = HEADLINES.some((name) => name in metrics) ? [heading("On the test split"), meters(metrics, page.metrics)] : [];
  return [title, facts(told), ...measured];
}

function artifactFacts(node) {
  const told = [["made", moment(node.created)]];
  if (node.type === "ModelBlessing") told.push(["verdict", node.properties.blessed === 1 ? "blessed" : "not blessed"]);
  if (node.state !== "LIVE" && node.state !== "UNKNOWN") told.push(["state", node.state.toLowerCase()]);
  if (node.name) told.push(["name", node.name]);
  if (node.uri) told.push(["address", node.uri.startsWith("/") ? link(fileAddress(node.uri), node.uri) : node.uri]);
  return told;
}

function executionFacts(node) {
  const ended = node.state !== "RUNNING" && node.state !== "NEW";
  return [
    ["state", node.state.toLowerCase()],
    ["started", moment(node.started)],
    ...(ended ? [["took", duration((node.changed - node.started) / 1000)]] : []),
  ];
}

function meters(metrics, titles) {
  const known = HEADLINES.filter((name) => name in metrics);
  const rows = known.flatMap((name) => {
    const other = metrics[`popularity_${name}`];
    const track = element("span", { class: "track" }, [element("i", { style: `width:${100 * metrics[name]}%` })]);
    if (other !== undefined) {
      track.append(element("u", { style: `left:${100 * other}%`, title: `popularity list: ${other.toFixed(4)}` }));
    }
    return [element("span", {}, [titles[name]]), track, element("output", {}, [metrics[name].toFixed(4)])];
  });
  const note = [];
  if ("popularity_recall_at_10" in metrics) {
    note.push(`The mark is the popularity list: Recall@10 ${metrics.popularity_recall_at_10.toFixed(4)}.`);
  }
  if ("markov_recall_at_10" in metrics) note.push(`Markov has ${metrics.markov_recall_at_10.toFixed(4)}.`);
  if ("example_count" in metrics) note.push(`${count(metrics.example_count)} targets.`);
  return element("div", {}, [
    element("div", { class: "meter" }, rows),
    element("p", { class: "note" }, [note.join(" ")]),
  ]);
}

function properties(entries) {
  const short = entries.filter(([, value]) => typeof value !== "object" || value === null);
  const long = entries.filter(([, value]) => typeof value === "object" && value !== null);
  return element("div", {}, [
    facts(short.map(([name, value]) => [name, words(value)])),
    ...long.flatMap(([name, value]) => [
      element("p", { class: "note" }, [name]),
      element("pre", { tabindex: 0 }, [JSON.stringify(value, null, 1)]),
    ]),
  ]);
}

function statistics(features) {
  return element("div", {}, features.flatMap((feature) => {
    const told = [`${count(feature.values ?? 0)} values`];
    if (feature.missing) told.push(`${count(feature.missing)} examples without`);
    if ("mean" in feature) {
      const numbers = ["min", "mean", "max"].map((name) => `${name} ${words(feature[name])}`);
      told.push(feature.name.includes("timestamp") ? numbers[0] : "", ...numbers.slice(feature.name.includes("timestamp") ? 2 : 0));
    }
    if ("unique" in feature) told.push(`${count(feature.unique)} different`);
    if (feature.top?.length) told.push(`most often ${feature.top.map(([value, times]) => `${value} (${count(times)})`).join(", ")}`);
    const line = [element("b", {}, [feature.name]), ` (${feature.type}): ${told.filter(Boolean).join(", ")}`];
    return [element("p", { class: "note" }, line), ...(feature.histogram?.length ? [histogram(feature.histogram)] : [])];
  }));
}

function histogram(bars) {
  const most = Math.max(...bars.map(([, , times]) => times), 1);
  const step = 100 / bars.length;
  return make("svg", { class: "histogram", viewBox: "0 0 100 30", preserveAspectRatio: "none", role: "img", "aria-label": "histogram" },
    bars.map(([low, high, times], at) => {
      const height = (30 * times) / most;
      const title = make("title", {}, [`${words(low)} to ${words(high)}: ${count(Math.round(times))}`]);
      return make("rect", { x: at * step + 0.3, width: step - 0.6, y: 30 - height, height }, [title]);
    }),
  );
}

function facts(rows) {
  return element("dl", {}, rows.flatMap(([name, value]) => [element("dt", {}, [name]), element("dd", {}, [value])]));
}

function heading(text) {
  return element("h3", {}, [text]);
}

function link(address, text) {
  return element("a", { href: address }, [text]);
}

function fileAddress(path) {
  return `file://${path.split("/").map(encodeURIComponent).join("/")}`;
}

function element(name, attributes, children = []) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function words(value) {
  if (typeof value === "number" && !Number.isInteger(value)) return Number(value.toPrecision(5)).toString();
  if (typeof value === "string" || typeof value === "number") return String(value);
  return JSON.stringify(value);
}

function count(number) {
  return Number(number).toLocaleString("en");
}

function moment(milliseconds) {
  return new Date(milliseconds).toLocaleString("sv");
}

function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.floor(seconds / 60)} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
  return `${Math.floor(seconds / 3600)} h ${String(Math.floor((seconds % 3600) / 60)).padStart(2, "0")} min`;
}
