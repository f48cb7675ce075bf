// Puts the page together around the graph.

function fact(name, value, note, tone = "") {
  return element("div", { class: "card fact" }, [
    element("span", { class: "note" }, [name]),
    element("b", { class: tone }, [value]),
    element("span", { class: "note" }, [note]),
  ]);
}

function qualityCard(evaluation) {
  const found = evaluation.metrics;
  const verdict = evaluation.blessed ? "blessed" : "not blessed";
  if (!("recall_at_10" in found)) return fact("Quality", verdict, "metrics are not in the store", evaluation.blessed ? "good" : "bad");
  const lists = { "popularity list": "popularity_recall_at_10", Markov: "markov_recall_at_10" };
  const beside = Object.entries(lists)
    .filter(([, name]) => name in found)
    .map(([title, name]) => `, ${title} ${found[name].toFixed(4)}`)
    .join("");
  return fact("Recall@10 on the test split", found.recall_at_10.toFixed(4), `${verdict}${beside}`, evaluation.blessed ? "good" : "bad");
}

function dataCard(data) {
  const words = { ratings: "interactions", users: "users", items: "items" };
  const counts = Object.keys(words)
    .filter((key) => key in data)
    .map((key) => `${count(data[key])} ${words[key]}`);
  return fact("Data", data.name ?? "not named", [...counts, `SHA-256 ${(data.fingerprint ?? "").slice(0, 12)}…`].join(", "));
}

function showSettings(settings) {
  const entries = Object.entries(settings);
  part("settings").hidden = !entries.length;
  const sections = Map.groupBy ? Map.groupBy(entries, ([key]) => key.split(".")[0]) : new Map([["all", entries]]);
  part("settings-list").replaceChildren(
    ...[...sections].map(([section, held]) => {
      const rows = held.map(([key, value]) => [key.slice(section === "all" ? 0 : section.length + 1), words(value)]);
      return element("div", {}, [heading(section), facts(rows)]);
    }),
  );
}

function showFound({ story, focus, left_out: leftOut }) {
  if (story) {
    const [evaluation, push] = [story.evaluations.at(-1), story.pushes.at(-1)];
    part("cards").replaceChildren(
      ...(evaluation ? [qualityCard(evaluation)] : []),
      dataCard(story.data),
      push
        ? fact("Pushed", `version ${push.version}`, `${push.pipeline}, ${moment(push.when)}`)
        : fact("Pushed", "no", "nothing was pushed of this model"),
      ...(push?.code_version
        ? [fact("Code", push.code_version.slice(0, 8), push.code_version.includes("+") ? "commit, with changes" : "commit")]
        : []),
    );
    showSettings(story.settings);
  }
  part("left-out").hidden = !leftOut;
  part("left-out").textContent = `The nearest are drawn; ${count(leftOut)} more are in the answer of --json.`;
  draw(null, focus);
  choose(focus);
}

function showRuns(runs) {
  part("runs").hidden = false;
  part("asked").hidden = true;
  const best = runs.filter(({ recall_at_10: recall }) => recall !== null);
  const last = runs[0];
  if (last) {
    const running = runs.filter(({ state }) => state === "running").length;
    const failed = runs.filter(({ state }) => state === "failed").length;
    const top = best.reduce((one, other) => (one && one.recall_at_10 >= other.recall_at_10 ? one : other), null);
    const tone = { complete: "good", failed: "bad", canceled: "bad", running: "busy" };
    const pushed = runs.find(({ push }) => push);
    part("cards").replaceChildren(
      fact("Last run", last.state, `run ${last.id}, ${last.outcome}`, tone[last.state]),
      fact("Runs", count(runs.length), `${running} running, ${failed} failed`),
      top ? fact("Best Recall@10", top.recall_at_10.toFixed(4), `run ${top.id}`) : fact("Best Recall@10", "none", "no evaluation yet"),
      pushed ? fact("Last pushed", `version ${pushed.push.version}`, `run ${pushed.id}, ${pushed.push.pipeline}`) : fact("Last pushed", "none", ""),
    );
  }
  const several = new Set(runs.map(({ pipeline }) => pipeline)).size > 1;
  const titles = ["run", ...(several ? ["pipeline"] : []), "started", "state", "took", "Recall@10", "outcome", "from the cache"];
  const head = titles.map((name) => element("th", ["took", "Recall@10"].includes(name) ? { class: "number" } : {}, [name]));
  const rows = runs.map((run) => {
    const tone = { complete: "good", failed: "bad", canceled: "bad", running: "busy" }[run.state];
    const button = element("button", { type: "button", "aria-label": `Show run ${run.id}` }, [String(run.id)]);
    const cached = run.cached.length === run.steps.length ? "all" : run.cached.join(", ");
    const row = element("tr", { "data-run": run.id }, [
      element("td", {}, [button]),
      ...(several ? [element("td", {}, [run.pipeline])] : []),
      element("td", {}, [moment(run.started)]),
      element("td", { class: tone }, [run.state]),
      element("td", { class: "number" }, [duration(run.seconds)]),
      element("td", { class: "number" }, [run.recall_at_10?.toFixed(4) ?? ""]),
      element("td", {}, [run.outcome]),
      element("td", { class: "wide" }, [cached]),
    ]);
    row.addEventListener("click", () => showRun(run));
    return row;
  });
  part("run-table").replaceChildren(element("thead", {}, [element("tr", {}, head)]), element("tbody", {}, rows));
  if (best.length > 1) {
    const redraw = () => {
      part("chart").replaceChildren(chart([...best].reverse(), part("chart").clientWidth));
      if (shownRun) markRun(shownRun);
    };
    new ResizeObserver(redraw).observe(part("chart"));
  }
  if (runs.length) showRun(runs[0]);
}

function markRun(run) {
  for (const mark of document.querySelectorAll("[data-run]")) {
    mark.classList.toggle("chosen", mark.getAttribute("data-run") === String(run.id));
  }
}

function showRun(run) {
  markRun(run);
  shownRun = run;
  part("graph-title").textContent = `Run ${run.id} of ${run.pipeline}`;
  showSettings(run.settings);
  draw(run.executions.map((id) => `e${id}`), null);
  choose(undefined);
}

// Recall@10 of the runs over time; filled where the run pushed its model.
function chart(runs, width) {
  const [height, left, bottom] = [150, 46, 22];
  const values = runs.map(({ recall_at_10: recall }) => recall);
  const spread = Math.max(...values) - Math.min(...values) || 0.01;
  const [low, high] = [Math.max(0, Math.min(...values) - 0.15 * spread), Math.max(...values) + 0.15 * spread];
  const x = (at) => left + 14 + (at * (width - left - 28)) / Math.max(1, runs.length - 1);
  const y = (value) => 8 + ((high - value) / (high - low)) * (height - bottom - 16);
  const grid = [low, (low + high) / 2, high].flatMap((value) => [
    make("line", { x1: left, x2: width, y1: y(value), y2: y(value) }),
    make("text", { x: 0, y: y(value) + 4 }, [value.toFixed(3)]),
  ]);
  const dots = runs.map((run, at) => {
    const classes = run.push ? "pushed" : "";
    const dot = make("circle", { cx: x(at), cy: y(run.recall_at_10), r: 5, class: classes, "data-run": run.id }, [
      make("title", {}, [`run ${run.id}: Recall@10 ${run.recall_at_10.toFixed(4)}, ${run.outcome}`]),
    ]);
    dot.addEventListener("click", () => showRun(run));
    return dot;
  });
  const line = runs.map((run, at) => `${at ? "L" : "M"}${x(at)} ${y(run.recall_at_10)}`).join("");
  const ends = [runs[0], runs.at(-1)].map((run, at) =>
    make("text", { x: at ? width : left, y: height - 3, "text-anchor": at ? "end" : "start" }, [moment(run.started)]),
  );
  const label = "Recall@10 of the runs over time";
  return make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, [
    ...grid,
    make("path", { d: line }),
    ...dots,
    ...ends,
  ]);
}

document.title = `${page.title} · lineage`;
part("title").textContent = page.title;
part("source").textContent = `Read from ${page.store}, ${moment(Date.parse(page.written))}`;
if (page.runs) showRuns(page.runs);
else showFound(page.found);
