"""Tests the lineage page in Chromium: one file without requests to the network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import markupsafe
import pytest
from ml_metadata.proto import metadata_store_pb2 as pb
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.trees import copy_tree
from lineage import statistics
from lineage.__main__ import main
from lineage.graph import Artifact, Execution, Graph, Link
from lineage.page import drawing, write_runs
from tests.pages import DESKTOP, PHONE, collect_errors, save_screenshot


@pytest.fixture
def write(recorder, capsys) -> Callable[..., Path]:
    """Returns a function that runs a command with `--html` and returns the path of the page."""

    def run(*arguments: str) -> Path:
        path = recorder.path.with_name("page.html")
        assert main([*arguments, "--metadata", str(recorder.path), "--html", str(path)]) == 0
        capsys.readouterr()
        return path

    return run


def test_page_loads_no_other_files(recorder, write):
    recorder.run()
    for arguments in (["runs"], ["show", "/serving/films"]):
        text = write(*arguments).read_text(encoding="utf-8")
        assert not re.search(r"https?://", text)
        assert not re.search(r"<(link|script|img)[^>]+(src|href)=|@import|url\((?!#)", text)


def test_text_from_the_store_is_escaped(recorder, write):
    evil = """"'></script><script>alert(1)</script><!--"""
    recorder.run(data=evil)
    for arguments in (["show", "/serving/films"], ["runs"]):
        text = write(*arguments).read_text(encoding="utf-8")
        assert evil not in text and text.count("<script") == 1
        assert str(markupsafe.escape(evil)) in text


@pytest.mark.parametrize("recalls", [(0.340232, 0.340242), (0.31, 0.33), (0.2, 0.9), (0.3, 0.3)])
def test_marks_of_the_chart_enclose_the_values_and_have_different_labels(recorder, write, recalls):
    for recall in recalls:
        recorder.run(recall=recall)
    text = write("runs").read_text(encoding="utf-8")
    labels = re.findall(r'text-anchor="end">([\d.]+)</text>', text)
    assert 2 <= len(labels) == len(set(labels)) <= 5
    assert float(labels[0]) <= min(recalls) and max(recalls) <= float(labels[-1])


def test_large_graphs_are_cut_to_the_nearest_nodes(recorder, write, monkeypatch):
    monkeypatch.setattr(drawing, "MAX_NODES", 12)
    first = recorder.run()
    for _ in range(5):
        recorder.run(cached=first, cached_until="Transform")
    text = write("show", str(first.artifacts["examples"])).read_text(encoding="utf-8")
    left_out = re.search(r"(\d+) more are in the answer of --json", text)
    drawn = re.findall(r'<g class="node[^>]*? data-key="(\w+)"', text)
    assert len(drawn) == 12 and left_out and int(left_out[1]) > 20 and f"a{first.artifacts['examples']}" in drawn
    assert re.findall(r'<section id="(\w+)" hidden>', text) == drawn, "details of the drawn nodes"
    ends = re.findall(r'data-start="(\w+)" data-end="(\w+)"', text)
    assert ends and {key for pair in ends for key in pair} <= set(drawn)


def test_statistics_are_summarised_without_tfdv(tmp_path):
    lists = statistics_pb2.DatasetFeatureStatisticsList()
    dataset = lists.datasets.add(num_examples=300)
    rating = dataset.features.add(type=statistics_pb2.FeatureNameStatistics.FLOAT)
    rating.path.step.append("rating")
    counts = rating.num_stats.common_stats
    counts.tot_num_values, counts.min_num_values, counts.max_num_values = 7721, 2, 90
    for bound in (10, 20, 30, 90):
        counts.num_values_histogram.buckets.add(high_value=bound, sample_count=75)
    rating.num_stats.min, rating.num_stats.mean, rating.num_stats.max = 1, 3.5, 5
    rating.num_stats.histograms.add(type=statistics_pb2.Histogram.QUANTILES).buckets.add(sample_count=1)
    rating.num_stats.histograms.add().buckets.add(low_value=1, high_value=5, sample_count=7721)
    item = dataset.features.add(type=statistics_pb2.FeatureNameStatistics.STRING)
    item.path.step.append("item_id")
    item.string_stats.common_stats.num_missing = 2
    item.string_stats.unique = 150
    item.string_stats.top_values.add(value="7", frequency=90)
    (tmp_path / "Split-train").mkdir()
    (tmp_path / "Split-train" / "FeatureStats.pb").write_bytes(lists.SerializeToString())
    (tmp_path / "Split-eval").mkdir()
    (tmp_path / "Split-eval" / "FeatureStats.pb").write_bytes(b"\xff no message")
    summary = statistics.summarise(str(tmp_path))
    assert list(summary) == ["train"] and summary["train"]["examples"] == 300
    copy_tree(str(tmp_path), "ram://statistics/7")
    assert statistics.summarise("ram://statistics/7") == summary, "of an object store"
    first, second = summary["train"]["features"]
    assert first == {
        "name": "rating",
        "type": "float",
        "values": 7721,
        "missing": 0,
        "lengths": [2, 20, 90],
        "min": 1,
        "mean": 3.5,
        "max": 5,
        "zeros": 0,
        "histogram": [[1, 5, 7721]],
    }
    assert (second["unique"], second["missing"], second["top"]) == (150, 2, [["7", 90]])
    assert statistics.summarise("gs://bucket/statistics") == {}


@pytest.fixture
def visit(browser) -> Iterator[Callable[..., Any]]:
    """Returns a function that opens a page; then checks that there were no errors and no requests to the network."""
    errors: list[str] = []
    contexts = []

    def open_page(path: Path, wait_for: str = "#graph .node", **options: object) -> Any:
        context = browser.new_context(**{**DESKTOP, **options})
        contexts.append(context)
        page = context.new_page()
        collect_errors(page, path.as_uri(), errors)
        page.goto(path.as_uri())
        page.wait_for_selector(wait_for, state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


def place(page: Any) -> list[float]:
    """Returns x, y and width of the graph in the window."""
    box = page.locator("#graph > svg").bounding_box()
    return [box[side] for side in ("x", "y", "width")]


def test_details_of_a_selected_node_are_shown(recorder, write, visit):
    run = recorder.run(recall=0.3146)
    page = visit(write("show", "/serving/films"))
    assert page.inner_text("#details h2:visible") == "PushedModel"
    page.click(f'[data-key="a{run.artifacts["evaluation"]}"]')
    assert page.inner_text("#details h2:visible") == "ModelEvaluation" and "0.3146" in page.inner_text(
        "#details .meter:visible"
    )
    page.focus(f'[data-key="e{run.executions["Trainer"]}"]')
    page.keyboard.press("Enter")
    assert page.inner_text("#details h2:visible") == "Trainer" and "run_fn" in page.inner_text("#details")
    lit = page.eval_on_selector_all(".node.lit", "nodes => nodes.map(node => node.dataset.key)")
    assert f"e{run.executions['ExampleGen']}" in lit and f"e{run.executions['Pusher']}" in lit
    page.click("#details .links button:visible >> text=Model ")
    assert page.inner_text("#details h2:visible") == "Model"
    save_screenshot(page, "lineage-show")


def test_rows_follow_the_data_and_nodes_do_not_overlap(recorder, write, visit):
    run = recorder.run()
    page = visit(write("show", "/serving/films"))
    read = """nodes => nodes.map((node) => {
        const { x, y, width, height } = node.querySelector("rect").getBBox();
        return [node.dataset.key, x, y, width, height];
    })"""
    boxes = {key: box for key, *box in page.eval_on_selector_all("#graph .node", read)}
    order = [run.executions[step] for step in ("ExampleGen", "Transform", "Trainer", "Evaluator", "Pusher")]
    heights = [boxes[f"e{execution}"][1] for execution in order]
    assert heights == sorted(heights) and len(set(heights)) == len(heights)
    for key, (x, y, width, height) in boxes.items():
        for other_key, (left, top, *_) in boxes.items():
            assert key == other_key or abs(x - left) >= width or abs(y - top) >= height, (key, other_key)


def test_graph_moves_and_zooms(recorder, write, visit):
    recorder.run()
    page = visit(write("show", "/serving/films"), viewport={"width": 1280, "height": 1100})
    fitted = place(page)
    frame = page.locator("#graph").bounding_box()
    assert fitted[0] > frame["x"] and fitted[0] + fitted[2] < frame["x"] + frame["width"]
    # The point under the pointer stays there.
    node = page.locator("#graph .focus rect").bounding_box()
    middle = node["x"] + node["width"] / 2, node["y"] + node["height"] / 2
    page.mouse.move(*middle)
    for _ in range(3):
        page.mouse.wheel(0, -200)
    page.wait_for_function("width => document.querySelector('#graph > svg').clientWidth > 2 * width", arg=fitted[2])
    zoomed = page.locator("#graph .focus rect").bounding_box()
    assert zoomed["x"] + zoomed["width"] / 2 == pytest.approx(middle[0], abs=2)
    x, y, width = place(page)
    page.mouse.down()
    page.mouse.move(middle[0] + 30, middle[1] + 40, steps=3)
    page.mouse.up()
    assert place(page) == pytest.approx([x + 30, y + 40, width], abs=2)
    page.focus("#graph")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("x => document.querySelector('#graph > svg').getBoundingClientRect().x < x", arg=x + 20)
    page.keyboard.press("0")
    assert place(page) == pytest.approx(fitted, abs=1)
    page.keyboard.press("+")
    assert place(page)[2] == pytest.approx(fitted[2] * 1.25, abs=1)
    page.keyboard.press("-")
    assert place(page)[2] == pytest.approx(fitted[2], abs=1)
    assert page.inner_text("#details h2:visible") == "PushedModel", "a drag selects no node"


def test_a_resize_keeps_the_scroll_position_of_the_user(recorder, write, visit):
    recorder.run()
    page = visit(write("show", "/serving/films"), viewport={"width": 480, "height": 800})
    page.focus("#graph")
    start = page.evaluate("document.querySelector('#graph').scrollTop")
    page.evaluate("document.querySelector('#graph').scrollBy(0, -50)")
    page.set_viewport_size({"width": 460, "height": 800})
    page.wait_for_timeout(300)
    assert page.evaluate("document.querySelector('#graph').scrollTop") == pytest.approx(start - 50, abs=2)


def test_a_larger_window_fits_the_graph(recorder, write, visit):
    recorder.run()
    path = write("show", "/serving/films")
    page = visit(path, viewport={"width": 480, "height": 800})
    page.set_viewport_size({"width": 1280, "height": 1100})
    page.wait_for_timeout(300)
    assert place(page) == pytest.approx(place(visit(path, viewport={"width": 1280, "height": 1100})), abs=2)


def test_a_page_without_runs_has_no_graph(tmp_path, visit):
    path = tmp_path / "page.html"
    write_runs(path, "metadata.db", [])
    page = visit(path, wait_for="h1")
    assert page.inner_text("h1") == "Runs of no pipeline" and page.locator("#graph").count() == 0


def test_a_run_without_steps_has_an_empty_graph(recorder, write, visit):
    recorder.store.put_contexts([pb.Context(type_id=recorder.context_types["pipeline_run"], name="empty")])
    page = visit(write("runs"), wait_for="#graph svg")
    page.focus("#graph")
    page.keyboard.press("0")
    assert "before the first step" in page.inner_text("#details") and page.locator("#graph .node").count() == 0


def test_cycles_of_damaged_stores_are_drawn():
    artifacts = {number: Artifact(number, "Model", "LIVE", {}, uri="", name="", created=0) for number in (1, 2)}
    execution = Execution(1, "Trainer", "COMPLETE", {}, started=0, changed=0)
    links = {Link(1, 1, "input", False), Link(1, 2, "input", False), Link(1, 2, "output", True)}
    drawn = drawing.draw(Graph(artifacts, {1: execution}, frozenset(links)))
    assert len({(cell.x, cell.y) for cell in drawn.cells.values()}) == 3 and set(drawn.curves) == links


def test_links_lead_only_to_nodes_of_the_shown_run(recorder, write, visit):
    first = recorder.run()
    second = recorder.run(cached=first, cached_until="Transform", dropout=0.3)
    page = visit(write("runs"))
    page.click(f'[data-run="{second.context}"] [data-key="a{first.artifacts["examples"]}"]')
    shown = [text.split()[-1] for text in page.locator("#details .links button:visible").all_inner_texts()]
    steps = ("ExampleGen", "StatisticsGen", "Transform", "Evaluator", "Pusher")
    assert set(map(int, shown)) == {second.executions[step] for step in steps}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_runs_can_be_selected_and_the_page_fits_the_window(recorder, write, visit, scheme, device, request):
    first = recorder.run(recall=0.31)
    recorder.run(recall=0.33, model=b"new", destination="/serving/films/2")
    recorder.run(cached=first, cached_until="Transform", last="Trainer", last_state="FAILED")
    page = visit(write("runs"), color_scheme=scheme, **device)
    assert page.locator("#run-table tbody tr").count() == 3 and page.locator("#chart circle").count() == 2
    assert page.locator(".node.failed:visible").count() == 1
    page.click(f'tr[data-run="{first.context}"] button')
    assert (
        f"Run {first.context}" in page.inner_text("#graph-title") and page.locator(".node.failed:visible").count() == 0
    )
    assert "0.3100" in page.inner_text("#details")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator(".mark").bounding_box()["width"] == 36
    shown = "[...document.querySelectorAll('dd')].filter(value => value.checkVisibility())"
    assert page.evaluate(f"{shown}.every(value => value.offsetWidth > 90)"), "also values beside long names"
    save_screenshot(page, f"lineage-runs-{request.node.callspec.id}")
