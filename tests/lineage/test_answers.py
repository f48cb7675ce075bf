"""Tests queries for runs, models and data."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from lineage import facts
from lineage.compare import compare
from lineage.errors import LineageError, UnknownError
from lineage.find import find
from lineage.graph import ancestors, descendants
from lineage.proof import prove
from lineage.runs import find_run, list_runs
from lineage.store import open_store
from lineage.text import quality_in_words


@pytest.fixture
def opened(recorder):
    return lambda: open_store(str(recorder.path))


def steps_of(graph) -> list[str]:
    return [facts.step_name(graph.executions[i]) for i in sorted(graph.executions)]


def test_runs_are_listed_newest_first_with_state_outcome_and_cached_steps(recorder, opened):
    first = recorder.run(recall=0.31)
    recorder.run(cached=first)
    recorder.run(cached=first, cached_until="Trainer", blessed=False, recall=0.31)
    recorder.run(last="Trainer", last_state="FAILED", cached=first, cached_until="Transform")
    recorder.run(last="Trainer", last_state="RUNNING", cached=first, cached_until="Transform")
    recorder.run(last="Transform", cached=first, cached_until="Transform")
    runs = list_runs(opened())
    assert [(run.state, run.outcome) for run in runs] == [
        ("complete", "ended with Transform"),
        ("running", "at Trainer"),
        ("failed", "at Trainer"),
        ("complete", "not blessed"),
        ("complete", "unchanged, version 1"),
        ("complete", "pushed version 1"),
    ]
    assert [run.recall for run in runs] == [None, None, None, 0.31, 0.31, 0.31]
    cached = [[step.name for step in run.steps if step.state == "CACHED"] for run in runs]
    assert cached[-1] == [] and cached[1] == [
        "ExampleGen",
        "SchemaGen",
        "StatisticsGen",
        "ExampleValidator",
        "Transform",
    ]
    assert [step.name for step in runs[-2].steps if step.state != "CACHED"] == ["LatestBlessedModel"]
    trainer = runs[1].steps[-1]
    assert (trainer.name, trainer.seconds) == ("Trainer", None)


def test_runs_are_filtered_by_pipeline(recorder, opened):
    for pipeline in ("films", "shop", "films"):
        recorder.run(pipeline)
    assert [run.pipeline for run in list_runs(opened())] == ["films", "shop", "films"]
    assert [run.pipeline for run in list_runs(opened(), limit=1, pipeline="shop")] == ["shop"]
    with pytest.raises(UnknownError, match="no pipeline 'books'; there are films, shop"):
        list_runs(opened(), pipeline="books")


def test_ancestors_of_a_model_exclude_those_of_its_baseline(recorder, opened):
    first = recorder.run(data="ratings-a")
    second = recorder.run(data="ratings-b", baseline=first.artifacts["model"])
    graph = ancestors(opened(), [second.artifacts["pushed_model"]])
    steps = ["ExampleGen", "SchemaGen", "Transform", "Trainer", "Evaluator", "Pusher"]
    assert steps_of(graph) == steps
    assert set(graph.executions) == {second.executions[step] for step in steps}
    assert first.artifacts["model"] in graph.artifacts  # The page shows the baseline.
    story = facts.story(graph, second.artifacts["model"])
    assert story.data["name"] == "ratings-b"
    assert story.evaluations[0].baseline_id == first.artifacts["model"]


def test_descendants_of_data_exclude_cached_executions_resolvers_and_other_data(recorder, opened):
    first = recorder.run(data="ratings-a")
    recorder.run(cached=first)
    other_run = recorder.run(data="ratings-b", baseline=first.artifacts["model"])
    retrained = recorder.run(cached=first, cached_until="Transform", dropout=0.3)
    graph = descendants(opened(), [first.artifacts["examples"]])
    models = {artifact.id for artifact in graph.of_type("Model")}
    assert models == {first.artifacts["model"], retrained.artifacts["model"]}
    assert "LatestBlessedModel" not in steps_of(graph)
    assert not {execution.state for execution in graph.executions.values()} & {"CACHED"}
    assert not set(other_run.executions.values()) & set(graph.executions)


def test_lineage_of_a_model_includes_the_statistics_of_its_data(recorder, opened):
    run = recorder.run()
    other_run = recorder.run(data="ratings-b")
    graph = find(opened(), str(run.artifacts["pushed_model"])).graph
    assert [artifact.id for artifact in graph.of_type("ExampleStatistics")] == [run.artifacts["statistics"]]
    assert other_run.artifacts["statistics"] not in graph.artifacts


def test_lineage_of_a_resolver_includes_the_statistics_of_its_models(recorder, opened):
    first = recorder.run()
    second = recorder.run(data="ratings-b", baseline=first.artifacts["model"])
    graph = find(opened(), f"execution:{second.executions['LatestBlessedModel']}").graph
    statistics = [artifact.id for artifact in graph.of_type("ExampleStatistics")]
    assert statistics == [first.artifacts["statistics"], second.artifacts["statistics"]]


def test_the_maker_of_a_cached_model_is_the_run_that_trained_it(recorder, opened):
    first = recorder.run()
    second = recorder.run(cached=first)
    match = find(opened(), f"execution:{second.executions['Trainer']}")
    assert first.executions["Trainer"] in match.graph.executions
    assert match.graph.maker(first.artifacts["model"]) == first.executions["Trainer"]


def test_story_has_data_code_settings_metrics_and_push(recorder, opened):
    run = recorder.run(recall=0.31)
    match = find(opened(), str(run.artifacts["model"]))
    story = facts.story(match.graph, match.model)
    assert story.data["name"] == "ratings-a" and story.data["path"] == "/data/ratings-a"
    assert (story.data["ratings"], story.data["users"], story.data["items"]) == (1000, 100, 50)
    assert story.code == {"ExampleGen": "e" * 16, "Trainer": "c" * 16, "Pusher": "b" * 16}
    assert story.settings == {
        "example_gen.split": "leave_one_out",
        "trainer.dropout": 0.2,
        "trainer.encoder": "cnn",
        "gate.min_recall_at_10": 0.05,
        "gate.max_regression": 0.02,
        "gate.min_lift_over_markov": 1.0,
        "gate.min_targets": 100.0,
        "gate.max_users": 200,
        "gate.baseline_runs": 3,
        "gate.baseline_model": "",
        "gate.fail_run": False,
        "pusher.precision": "float16",
    }
    assert story.evaluations[0].metrics["recall_at_10"] == 0.31 and story.evaluations[0].blessed
    assert "Recall@10 0.3100 (popularity list 0.0400, Markov 0.2100)" in quality_in_words(story.evaluations[0])
    assert [(push.version, push.code_version) for push in story.pushes] == [("1", "0123456789abcdef")]


def test_pushed_models_are_found_by_address_and_by_content(recorder, opened, tmp_path):
    recorder.run(model=b"old", destination="/serving/films/1")
    last = recorder.run(model=b"new", destination="/serving/films/2")
    for query in ("/serving/films", "/serving/films/2", "/serving/films/2/model.tflite", "/runs/2/Pusher/pushed_model"):
        assert find(opened(), query).node.id == last.artifacts["pushed_model"], query
    for name in ("elsewhere.tflite", "renamed.bin"):
        (tmp_path / name).write_bytes(b"old")
        assert find(opened(), str(tmp_path / name)).node.properties["pushed_version"] == "1", name


def test_artifacts_are_found_by_relative_paths_and_with_a_slash_at_the_end(recorder, opened, tmp_path, monkeypatch):
    run = recorder.run()
    (tmp_path / "link").symlink_to("/runs")
    monkeypatch.chdir(tmp_path)
    for query in ("/runs/1/Trainer/model/", os.path.relpath("/runs/1/Trainer/model"), "link/1/Trainer/model"):
        assert find(opened(), query).node.id == run.artifacts["model"], query


def test_folder_of_versions_stands_for_the_latest_version(recorder, opened, tmp_path):
    for version, content in (("1", b"old"), ("2", b"new")):
        (tmp_path / "films" / version).mkdir(parents=True)
        (tmp_path / "films" / version / "model.tflite").write_bytes(content)
        recorder.run(model=content, destination=str(tmp_path / "films" / version))
    (tmp_path / "films" / "latest").write_text("1\n", encoding="utf-8")
    assert find(opened(), str(tmp_path / "films")).node.properties["pushed_version"] == "1"


@pytest.mark.parametrize(
    "query",
    [
        *("999", "artifact:999", "execution:999", "9" * 19, "execution:" + "9" * 19, "9" * 5000),
        *("/serving/nothing", "nonsense", "x" * 300, "", "/"),
    ],
)
def test_unknown_queries_raise_an_error(recorder, opened, query):
    recorder.run()
    with pytest.raises(UnknownError):
        find(opened(), query)


def test_proof_has_the_push_of_the_content(recorder, opened, tmp_path):
    recorder.run(model=b"other")
    run = recorder.run(model=b"mine", destination="/serving/films/2", data="ratings-b", recall=0.33)
    file = tmp_path / "model.tflite"
    file.write_bytes(b"mine")
    # A proof does not read the files beside it.
    (tmp_path / "model_info.json").write_text('{"data": {"name": "ratings-x"}}', encoding="utf-8")
    proof = prove(opened(), str(file))
    assert proof.push.id == run.artifacts["pushed_model"] and proof.push.version == "2"
    assert proof.run_id == run.context
    assert proof.story.data["name"] == "ratings-b"
    assert [evaluation.id for evaluation in proof.story.evaluations] == [run.artifacts["evaluation"]]
    assert proof.story.evaluations[0].metrics["recall_at_10"] == 0.33
    assert proof.others == []


def test_proof_has_only_the_evaluation_of_its_push(recorder, opened, tmp_path):
    first = recorder.run(model=b"mine")
    recorder.run(cached=first, cached_until="Trainer", blessed=False)
    file = tmp_path / "model.tflite"
    file.write_bytes(b"mine")
    (evaluation,) = prove(opened(), str(file)).story.evaluations
    assert (evaluation.id, evaluation.blessed) == (first.artifacts["evaluation"], True)


def test_proof_fails_after_any_change_of_the_content(recorder, opened, tmp_path):
    recorder.run(model=b"mine")
    file = tmp_path / "model.tflite"
    for index in range(4):
        content = bytearray(b"mine")
        content[index] ^= 1
        file.write_bytes(content)
        with pytest.raises(UnknownError, match="unknown file"):
            prove(opened(), str(file))
    for content in (b"", b"min", b"mine "):
        file.write_bytes(content)
        with pytest.raises(UnknownError, match="unknown file"):
            prove(opened(), str(file))


def test_proof_fails_for_unpushed_and_unreadable_files(recorder, opened, tmp_path):
    recorder.run(model=b"mine", blessed=False)
    file = tmp_path / "model.tflite"
    file.write_bytes(b"mine")
    with pytest.raises(UnknownError, match="unknown file"):
        prove(opened(), str(file))
    with pytest.raises(LineageError, match=r"nothing\.tflite: cannot be read: no such file"):
        prove(opened(), str(tmp_path / "nothing.tflite"))
    with pytest.raises(LineageError, match="cannot be read: file name too long"):
        prove(opened(), str(tmp_path / ("a" * 300)))
    (tmp_path / "folder").mkdir()
    with pytest.raises(LineageError, match=r"folder: a folder without model\.tflite; give the path"):
        prove(opened(), str(tmp_path / "folder"))


@pytest.mark.parametrize("ask", [find, prove])
def test_errors_name_the_folders_with_models_and_the_reason_of_the_system(recorder, opened, ask, tmp_path, monkeypatch):
    recorder.run()
    for name in ("films", "shop", "other"):
        (tmp_path / name).mkdir()
    for name in ("films", "shop"):
        (tmp_path / name / "latest").write_text("1\n", encoding="utf-8")
    with pytest.raises(LineageError, match=f"pushed models are in {tmp_path}/films, {tmp_path}/shop$"):
        ask(opened(), str(tmp_path))
    store = opened()

    def refuse(path: Path) -> bool:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(LineageError, match="films: cannot be read: permission denied"):
        ask(store, str(tmp_path / "films"))


def test_proof_lists_earlier_pushes_of_the_same_content(recorder, opened, tmp_path):
    first = recorder.run(model=b"mine")
    second = recorder.run(model=b"mine", destination="/serving/films/2")
    file = tmp_path / "model.tflite"
    file.write_bytes(b"mine")
    proof = prove(opened(), str(file))
    assert proof.push.id == second.artifacts["pushed_model"] and proof.others == [first.artifacts["pushed_model"]]


def test_compare_returns_the_differences_of_two_runs(recorder, opened):
    left = recorder.run(dropout=0.2, recall=0.31)
    right = recorder.run(dropout=0.3, recall=0.29, data="ratings-b", model=b"new", destination="/serving/films/2")
    store = opened()
    runs = find_run(store, str(left.context)), find_run(store, "run-2")
    differing = {name: pair for pairs in compare(*runs).values() for name, pair in pairs.items()}
    assert differing["trainer.dropout"] == (0.2, 0.3)
    assert differing["Recall@10"] == (0.31, 0.29)
    assert differing["name"] == ("ratings-a", "ratings-b")
    assert differing["version"] == ("1", "2")
    assert "trainer.encoder" not in differing and compare(*runs, with_equal=True)["Settings"]["trainer.encoder"]
    assert right.context == runs[1].id
    with pytest.raises(UnknownError, match="no run '77'"):
        find_run(store, "77")


def test_evaluation_without_metrics_is_read(recorder, opened):
    recorder.run(recall=None)
    (run,) = list_runs(opened())
    assert run.recall is None and run.evaluation.blessed and run.evaluation.metrics == {}
