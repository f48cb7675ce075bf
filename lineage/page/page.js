// The list of runs with its chart, and the settings of a run or of a model.

function showSettings(settings) {
  const sections = new Map();
  for (const [key, value] of Object.entries(settings)) {
    const [section] = key.split(".", 1);
    sections.set(section, [...(sections.get(section) ?? []), [key.slice(section.length + 1), words(value)]]);
  }
  part("settings").hidden = !sections.size;
  part("settings-list").replaceChildren(
    ...[...sections].map(([section, rows]) => element("div", {}, [heading(section), facts(rows)])),
  );
}

function showRun(run) {
  shownRun = run;
  markRun();
  part("graph-title").textContent = `Run ${run.id} of ${run.pipeline}`;
  showSettings(run.settings);
  draw(run.executions.map((id) => `e${id}`));
  choose(undefined);
}

function markRun() {
  for (const mark of document.querySelectorAll("[data-run]")) {
    mark.classList.toggle("chosen", mark.dataset.run === String(shownRun.id));
  }
}

// Recall@10 of the runs over time; filled where the run pushed its model.
function chart(runs, width) {
  const [height, left, bottom] = [150, 46, 22];
  const values = runs.map(({ recall_at_10: recall }) => recall);
  const spread = Math.max(...values) - Math.min(...values) || 0.01;
  const [low, high] = [Math.max(0, Math.min(...values) - 0.15 * spread), Math.max(...values) + 0.15 * spread];
  const x = (at) => left + 14 + (at * (width - left - 28)) / (runs.length - 1);
  const y = (value) => 8 + ((high - value) / (high - low)) * (height - bottom - 16);
  const grid = [low, (low + high) / 2, high].flatMap((value) => [
    drawing("line", { class: "grid", x1: left, x2: width, y1: y(value), y2: y(value) }),
    drawing("text", { x: 0, y: y(value) + 4 }, [value.toFixed(3)]),
  ]);
  const dots = runs.map((run, at) => {
    const title = drawing("title", {}, [`run ${run.id}: Recall@10 ${run.recall_at_10.toFixed(4)}, ${run.outcome}`]);
    const position = { cx: x(at), cy: y(run.recall_at_10), r: 5 };
    const dot = drawing("circle", { ...position, class: run.push ? "full" : "", "data-run": run.id }, [title]);
    dot.addEventListener("click", () => showRun(run));
    return dot;
  });
  const line = runs.map((run, at) => `${at ? "L" : "M"}${x(at)} ${y(run.recall_at_10)}`).join("");
  const ends = [
    drawing("text", { x: left, y: height - 3 }, [moment(runs[0].started)]),
    drawing("text", { x: width, y: height - 3, "text-anchor": "end" }, [moment(runs.at(-1).started)]),
  ];
  const label = "Recall@10 of the runs over time";
  return drawing("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, [
    ...grid,
    drawing("path", { d: line }),
    ...dots,
    ...ends,
  ]);
}

if (page.runs?.length) {
  const runs = new Map(page.runs.map((run) => [String(run.id), run]));
  for (const row of document.querySelectorAll("tr[data-run]")) {
    row.addEventListener("click", () => showRun(runs.get(row.dataset.run)));
  }
  showRun(page.runs[0]);
  const evaluated = page.runs.filter(({ recall_at_10: recall }) => recall !== null).reverse();
  const redraw = () => {
    part("chart").replaceChildren(chart(evaluated, part("chart").clientWidth));
    markRun();
  };
  if (evaluated.length > 1) new ResizeObserver(redraw).observe(part("chart"));
}
if (page.match?.story) showSettings(page.match.story.settings);
