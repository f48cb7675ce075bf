"""Tests the report of a run on invented facts, also in Chromium with a light and a dark color scheme."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lineage.runs import list_runs
from lineage.store import open_store
from on_device.recommender import Recommendation
from report import write_report
from report.charts import Share, curve, decimals, slices, ticks
from report.examples import Example
from report.page import render
from report.run_facts import RunFacts
from tests.lineage.conftest import Recorder

EVIL = """<script>alert("1")</script> & 'Tom' </title>"""
METRICS = {"recall_at_10": 0.25, "ndcg_at_10": 0.125}


def summary(**changes: Any) -> dict[str, Any]:
    slice_metrics = {"example_count": 100.0, **METRICS, "popularity_recall_at_10": 0.1, "markov_recall_at_10": 0.2}
    slice_metrics["recall_at_10_standard_error"] = 0.0433
    epochs = [
        {"epoch": n, "loss": 7.0 - n, "recall_at_10": 0.1 * n, "ndcg_at_10": 0.05 * n, "seconds": 9.0 * n}
        for n in (1, 2)
    ]
    files = [("float32", 2_000_000, False), ("float16", 1_000_000, True)]
    values = {
        "outcome": "pushed",
        "seconds": 75.0,
        "steps": {"Trainer": {"cached": False, "seconds": 60.0}, "Pusher": {"cached": False, "seconds": 5.0}},
        "data": {
            "name": "films",
            "fingerprint": "f" * 64,
            "ratings": 1234,
            "users": 100,
            "items": 50,
            "duplicates": 3,
            "bad_rows": ["r, line 1"],
            "short_users": 0,
            "unknown_items": 0,
            "split": {"train": 100, "test": 99},
        },
        "training": {"encoder": "cnn", "parameters": 4321, "history": epochs, "best_epoch": 2},
        "metrics": {
            "model": METRICS,
            "popularity": {"recall_at_10": 0.1, "ndcg_at_10": 0.05},
            "examples": 99,
            "markov": {"recall_at_10": 0.2, "ndcg_at_10": 0.1},
            "standard_errors": {"model": {"recall_at_10": 0.0435}, "popularity": {}, "markov": {"recall_at_10": 0.04}},
            "slices": {"history_bucket:2-4": slice_metrics, "popularity_bucket:tail": slice_metrics},
        },
        "gate": {
            "blessed": True,
            "reasons": ["Recall@10 0.2500, the popularity list has 0.1000"],
            "conditions": [
                {"metric": "example_count", "value": 1001.0, "bound": 100.0, "is_change": False, "passed": True},
                {"metric": "recall_at_10", "value": 0.25, "bound": 0.05, "is_change": False, "passed": True},
            ],
        },
        "artifact": {
            "path": "/serving/films/7",
            "version": "7",
            "size_bytes": 1_000_000,
            "precision": "float16",
            "latency_us": 51.3,
            "metrics": {"tflite": METRICS},
            "precisions": [
                {
                    "precision": name,
                    "size_bytes": size,
                    "latency_us": 51.3,
                    "recall_at_10": 0.2468,
                    "agreement_at_10": 0.9987,
                    "chosen": chosen,
                }
                for name, size, chosen in files
            ],
        },
    }
    values |= changes
    return {key: value for key, value in values.items() if value is not None}


def without(*keys: str, **changes: Any) -> dict[str, Any]:
    return summary(**dict.fromkeys(keys), **changes)


def page(summary: dict[str, Any], **facts: Any) -> str:
    return render(RunFacts(summary, {"name": "films", "trainer": {"dropout": 0.2}}, **facts), Path("/output/films"))


def epochs(*losses: float) -> list[dict[str, Any]]:
    """Returns a history of epochs of 100 seconds."""
    return [{"epoch": n, "seconds": 100.0 * n, "loss": loss} for n, loss in enumerate(losses, 1)]


def text_of(content: str) -> str:
    """Returns the visible text of a page, without the titles of charts."""
    return re.sub(r"\s+", " ", re.sub(r"<(style|title)>.*?</\1>|<[^>]+>", " ", content, flags=re.S))


def example(title: str) -> Example:
    recommendations = [Recommendation(2, "1", title, 1999, ("Drama", "R&B"), 1.5)]
    return Example(9, ["Heat (1995)", title], "Heat (1995)", 3, recommendations)


def test_page_shows_the_values_of_the_summary():
    text = text_of(page(summary()))
    for words in ("pushed as version 7", "0.2500 ± 0.0435", "targets 1001 100", "2.5 times", "0.2000 ± 0.0400",
                  "1,234 interactions", "3 duplicates dropped",
                  "1 bad rows skipped", "Epoch 2 was kept", "2.00 MB", "99.87%", "0.2468", "dropout: 0.2",
                  "not checked: there was none to compare with"):  # fmt: skip
        assert words in text, words
    assert re.search(r"float16 chosen", text) and not re.search(r"float32 chosen", text)


def test_text_from_users_is_escaped():
    data = {**summary()["data"], "name": EVIL}
    content = page(without(data=data), examples=[example(EVIL)], errors=[EVIL])
    assert "<script>alert" not in content and content.count("</title>") == page(summary()).count("</title>")
    assert content.count("&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt; &amp; &#39;Tom&#39;") >= 4
    assert "R&amp;B" in content
    assert "&lt;i&gt;" in curve("<i>", epochs(7.0), "loss", 1) and "<i>" not in slices("<i>", {})


def test_page_shows_drift_with_its_limits_or_the_reason_for_no_comparison():
    measure = {"name": "new_items", "value": 0.08, "warn": 0.05, "stop": None, "level": "warn", "words": "8.0% <new>"}
    drift = {"compared_with": {"fingerprint": "ab" * 32, "statistics": "/s"}, "why_not": "", "measures": [measure]}
    text = text_of(page(summary(drift=drift)))
    assert "Since the last run, whose data was abababababab" in text
    assert "new_items 8.0% &lt;new&gt; 0.0800 0.05 - ! warning" in text
    first = {"compared_with": None, "why_not": "these are the first data of this pipeline", "measures": []}
    assert "Not compared: these are the first data of this pipeline." in text_of(page(summary(drift=first)))


def test_page_of_a_failed_run_shows_the_error_and_the_known_facts():
    content = page(
        without("training", "metrics", "gate", "artifact", outcome="failed", step="Transform", error="no <items> left")
    )
    assert "failed at Transform" in content and "no &lt;items&gt; left" in content and "1,234 interactions" in content
    assert "Recall@10" not in text_of(content) and '<svg class="chart' not in content
    bare = page({"outcome": "failed", "seconds": 1.0, "steps": {}, "step": "ExampleGen", "error": "gone"})
    assert "failed at ExampleGen" in bare and "All settings" in bare


def test_page_of_a_model_that_is_not_blessed_shows_every_condition():
    gate = {
        "blessed": False,
        "reasons": ["Recall@10 0.2500 is below the floor of 0.9900"],
        "conditions": [
            {"metric": "recall_at_10", "value": 0.25, "bound": 0.99, "is_change": False, "passed": False},
            {"metric": "recall_at_10", "value": -0.01, "bound": -0.02, "is_change": True, "passed": True},
        ],
    }
    text = text_of(page(without("artifact", outcome="not blessed", gate=gate)))
    assert "not pushed" in text and "did not bless the model: Recall@10 0.2500 is below the floor" in text
    for words in ("✗ fail", "-0.0100", "-0.0200", "✓ pass"):
        assert words in text, words
    assert "none to compare" not in text and "Precision of the file" not in text


def test_verdict_of_stopped_interrupted_and_unchanged_runs():
    steps = {"Trainer": {"cached": False, "seconds": 1.0}}
    stopped = page(without("artifact", "gate", "metrics", outcome="stopped before the push", steps=steps))
    assert "stopped before the push" in stopped and "to end with Trainer; later steps did not run" in stopped
    interrupted = page(without("artifact", "gate", "metrics", outcome="interrupted", step="Trainer"))
    assert "interrupted in Trainer" in interrupted and "next run goes on" in interrupted
    cached = {"Pusher": {"cached": True, "seconds": 0.0}}
    assert "unchanged, version 7" in page(summary(steps=cached))


def test_page_without_slices_and_with_one_epoch():
    changed = summary()
    changed["metrics"]["slices"] = {}
    changed["training"] = {**changed["training"], "history": changed["training"]["history"][:1], "best_epoch": 1}
    content = page(changed)
    assert "by slice" not in content and "1 epoch in" in content and content.count('class="chart curve"') == 3


def test_charts_stay_within_their_frame():
    certain = {"example_count": 4.0, "recall_at_10": 1.0, "popularity_recall_at_10": 0.0}
    uncertain = {"example_count": 3.0, "recall_at_10": 0.5, "popularity_recall_at_10": 0.25}
    errors = {"recall_at_10_standard_error": 0.29, "popularity_recall_at_10_standard_error": 0.25}
    charts = slices("Recall", {"a": certain, "c": uncertain | errors})
    charts += curve("Loss", epochs(7.0, float("nan"), 6.9999), "loss", 3)
    assert "nan" not in charts.lower() and "5 min 00 s" in charts
    for x in re.findall(r'\b(?:x|cx|x1|x2)="([-\d.]+)"', charts):
        assert 0 <= float(x) <= 346
    assert "no finite value" in curve("Loss", epochs(float("inf")), "loss", 1)
    assert ticks(0.0, 0.31) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4]) and len(ticks(5.0, 5.0)) >= 2
    assert decimals([0.0, 0.25]) == 2 and decimals([1.0, 2.0]) == 0
    assert str(Share(0.5, 0.05)) == "0.5000 ± 0.0500" and str(Share(0.5)) == "0.5000"


def test_page_without_a_store_shows_the_error_and_the_summary(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old", encoding="utf-8")
    write_report(path, without("artifact", outcome="not blessed"), {"name": "films"}, tmp_path / "metadata.db")
    content = path.read_text(encoding="utf-8")
    assert "Missing: " in content and "1,234 interactions" in content
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


@pytest.fixture
def visit(browser, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens reports in the browser; then checks that they logged no errors and requested no other files."""
    path = tmp_path / "report.html"
    problems: list[str] = []
    pages: list[Any] = []

    def open_page(content: str, width: int, scheme: str) -> Any:
        path.write_text(content, encoding="utf-8")
        pages.append(browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme))
        pages[-1].on("pageerror", lambda error: problems.append(str(error)))
        pages[-1].on("console", lambda message: problems.append(message.text))
        pages[-1].on("request", lambda request: None if request.url == path.as_uri() else problems.append(request.url))
        pages[-1].goto(path.as_uri())
        return pages[-1]

    yield open_page
    for opened in pages:
        opened.close()
    assert problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 375])
def test_page_fits_the_window_and_follows_the_color_scheme(visit, scheme, width):
    opened = visit(page(summary(), examples=[example(EVIL)] * 3), width, scheme)
    background = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 300) == (scheme == "dark")
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert "pushed as version 7" in opened.inner_text("header")
    folder = Path(__file__).parents[2] / os.environ.get("TEST_ARTIFACTS", "output/test-artifacts")
    folder.mkdir(parents=True, exist_ok=True)
    opened.screenshot(path=folder / f"report-{scheme}-{width}.png", full_page=True)


def test_graph_of_the_run_has_all_nodes_and_shows_their_details(visit, tmp_path):
    recorded = Recorder(tmp_path / "metadata.db").run()
    (run,) = list_runs(open_store(str(tmp_path / "metadata.db")))
    opened = visit(page(summary(), run=run), 1280, "light")
    opened.click("text=The graph")
    nodes = opened.eval_on_selector_all("#graph .node", "nodes => nodes.map(node => node.dataset.key)")
    assert sorted(nodes) == sorted(
        [f"e{id_}" for id_ in recorded.executions.values()] + [f"a{id_}" for id_ in recorded.artifacts.values()]
    )
    assert opened.inner_text("#details h2:visible") == "PushedModel"
    opened.focus(f'[data-key="e{recorded.executions["Trainer"]}"]')
    opened.keyboard.press("Enter")
    assert opened.inner_text("#details h2:visible") == "Trainer"
    before = opened.locator("#graph > svg").bounding_box()
    opened.focus("#graph")
    opened.keyboard.press("+")
    assert opened.locator("#graph > svg").bounding_box()["width"] == pytest.approx(1.25 * before["width"], abs=1)
