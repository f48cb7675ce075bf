"""Tests the output of the commands."""

from __future__ import annotations

import json

import pytest

from lineage import text
from lineage.__main__ import main


@pytest.fixture
def ask(recorder, capsys):
    """Returns a function that runs a command and returns its exit code and its output."""

    def run(*arguments: str) -> tuple[int, str]:
        code = main([*arguments, "--metadata", str(recorder.path)])
        return code, capsys.readouterr().out

    return run


def test_runs_prints_a_table(recorder, ask):
    first = recorder.run(recall=0.3146)
    recorder.run(cached=first)
    recorder.run(last="Trainer", last_state="FAILED")
    code, out = ask("runs")
    header, failed, cached, complete = out.splitlines()
    assert code == 0
    assert header.split() == [
        "run",
        "pipeline",
        "when",
        "state",
        "time",
        "from",
        "the",
        "cache",
        "Recall@10",
        "outcome",
    ]
    assert "failed" in failed and "at Trainer" in failed and "0.3" not in failed.split("failed")[1]
    assert "all but LatestBlessedModel" in cached and "unchanged, version 1" in cached
    assert "0.3146" in complete and "pushed version 1" in complete
    assert len(ask("runs", "--limit", "2")[1].splitlines()) == 2 + 2
    assert [run["id"] for run in json.loads(ask("runs", "--json")[1])][-1] == first.context


def test_show_prints_lines_without_wrapping_them(recorder, ask):
    run = recorder.run(data="a-rather-long-name-for-some-data" * 4)
    code, out = ask("show", "/serving/films")
    assert code == 0
    assert f"PushedModel {run.artifacts['pushed_model']}" in out
    ancestors, descendants = out.split("Ancestors")[1].split("Descendants")
    for step in ("Pusher", "Evaluator", "Trainer", "Transform", "ExampleGen", "SchemaGen"):
        assert f"{step} (execution {run.executions[step]}, complete" in ancestors
    assert f"/data/{'a-rather-long-name-for-some-data' * 4}, SHA-256 " in ancestors
    for words in (f"Pusher (execution {run.executions['Pusher']}", "version 1, /serving/films/1"):
        assert words in descendants, words


def test_show_lists_an_evaluation_under_the_evaluated_model(recorder, ask):
    """The second evaluation also took the first model, as the baseline."""
    first = recorder.run()
    second = recorder.run(cached=first, cached_until="Transform", dropout=0.3, baseline=first.artifacts["model"])
    descendants = ask("show", str(first.artifacts["examples"]))[1].split("Descendants")[1]
    lines = descendants.splitlines()
    (model,) = [index for index, line in enumerate(lines) if f"Model {second.artifacts['model']} " in line]
    (evaluator,) = [
        index for index, line in enumerate(lines) if f"(execution {second.executions['Evaluator']}," in line
    ]
    between = [line for line in lines[model + 1 : evaluator] if "Trainer" in line or " Model " in line]
    assert model < evaluator and between == []


def test_show_counts_the_branches_that_it_leaves_out(recorder, ask, monkeypatch):
    first = recorder.run()
    for dropout in (0.3, 0.4):
        recorder.run(cached=first, cached_until="Transform", dropout=dropout)
    monkeypatch.setattr(text, "MAX_BRANCHES", 1)
    descendants = ask("show", str(first.artifacts["transform_graph"]))[1].split("Descendants")[1]
    assert descendants.count("Trainer (execution") == 1 and "and 2 more; --json has all" in descendants


def test_show_prints_brackets_literally(recorder, ask):
    recorder.run(data="[red]x[/red]")
    assert "[red]x[/red], 1,000 interactions" in ask("show", "/serving/films")[1]


def test_show_as_json_has_graph_and_story(recorder, ask):
    run = recorder.run()
    answer = json.loads(ask("show", str(run.artifacts["model"]), "--json")[1])
    assert answer["story"]["data"]["name"] == "ratings-a"
    assert answer["artifact"] == run.artifacts["model"]
    outputs = {(link["execution"], link["artifact"]) for link in answer["graph"]["links"] if link["made"]}
    assert (run.executions["Trainer"], run.artifacts["model"]) in outputs


def test_diff_shows_differences_and_on_request_equal_values(recorder, ask):
    left, right = recorder.run(dropout=0.2), recorder.run(dropout=0.3)
    out = ask("diff", str(left.context), str(right.context))[1]
    assert "trainer.dropout" in out and "trainer.encoder" not in out
    out = ask("diff", str(left.context), str(right.context), "--all")[1]
    assert "trainer.dropout" in out and "trainer.encoder" in out
    answer = json.loads(ask("diff", str(left.context), str(right.context), "--json")[1])
    assert answer["settings"] == {"trainer.dropout": [0.2, 0.3]} and answer["data"] == {}
    assert "The runs agree" in ask("diff", str(left.context), str(left.context))[1]


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ((0.340232, 0.340242), ["0.34023", "0.34024"]),
        ((0.34, 0.3402), ["0.34", "0.3402"]),
        ((1 / 3, 1 / 3), ["0.3333", "0.3333"]),
        ((0.1 + 0.2, 0.3), ["0.30000000000000004", "0.29999999999999999"]),
        ((12345.2, 12345.4), ["12,345.2", "12,345.4"]),
        ((1.00001, 1), ["1.00001", "1"]),
    ],
)
def test_diff_shows_enough_digits_for_different_numbers_to_differ(recorder, ask, pair, words):
    runs = [recorder.run(dropout=value).context for value in pair]
    (line,) = [line for line in ask("diff", *map(str, runs), "--all")[1].splitlines() if "trainer.dropout" in line]
    assert line.split()[1:] == words


def test_text_of_tables_is_wrapped_not_cut(recorder, ask, monkeypatch):
    monkeypatch.setattr(text, "LOG_WIDTH", 80)
    run = recorder.run(data="d" * 200)
    recorder.run(cached=run)
    runs, difference = ask("runs")[1], ask("diff", str(run.context), str(run.context), "--all")[1]
    assert "…" not in runs + difference and difference.count("d") > 2 * 200
    dates = [run["started"] for run in json.loads(ask("runs", "--json")[1])]
    assert len(dates) == 2 and all(text.moment(date) in runs for date in dates)


def test_runs_takes_any_limit(recorder, ask):
    recorder.run()
    assert len(ask("runs", "--limit", "9" * 23)[1].splitlines()) == 2


def test_prove_prints_the_origin_of_a_file(recorder, ask, tmp_path):
    run = recorder.run(model=b"mine")
    file = tmp_path / "model.tflite"
    file.write_bytes(b"mine")
    code, out = ask("prove", str(file))
    assert code == 0
    for fact in ("ratings-a, 1,000 interactions", "commit 0123456789abcdef", "Recall@10 0.3000", "blessed (evaluation"):
        assert fact in out
    answer = json.loads(ask("prove", str(file), "--json")[1])
    assert answer["known"] and answer["run"] == run.context
    file.write_bytes(b"mine!")
    code, out = ask("prove", str(file), "--json")
    assert code == 1 and json.loads(out) == {"file": str(file), "known": False}


def test_runs_reports_an_empty_store(recorder, ask):
    assert ask("runs") == (0, "no runs yet\n") and ask("runs", "--json") == (0, "[]\n")
