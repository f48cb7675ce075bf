"""The Pusher, from blessed SavedModel to pushed version."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf
from tfx.components.evaluator.executor import Executor as EvaluatorExecutor
from tfx.types import Artifact, standard_artifacts
from tfx.utils import proto_utils

from components import addresses, features
from components.errors import StepError
from components.evaluator.eval_config import make_eval_config
from components.evaluator.settings import GateSettings
from components.pusher import candidates, executor
from components.pusher.convert import convert_each
from components.pusher.store import VersionStore
from on_device.recommender import Recommender
from pipeline.beam_runners import LOCAL_ARGUMENTS

Push = Callable[..., Artifact]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "serving" / "rings"


def _names(folder: Path) -> set[str]:
    return {child.name for child in folder.iterdir()} - {".lock"}


def _property(artifact: Artifact, name: str) -> Any:
    return artifact.get_custom_property(name)


def test_pushed_files_match_their_description(
    push: Push, evaluated: dict[str, float], folder: Path, ring: SimpleNamespace
) -> None:
    pushed = push({"precision": "auto"})

    assert _names(folder) == {"1", "latest"}
    assert _names(folder / "1") == {"model.tflite", "items.json", "model_info.json"}
    info = json.loads((folder / "1" / "model_info.json").read_text(encoding="utf-8"))
    sha256 = hashlib.sha256((folder / "1" / "model.tflite").read_bytes()).hexdigest()
    assert info["sha256"]["model.tflite"] == sha256
    assert _property(pushed, "pushed") == 1
    assert _property(pushed, "pushed_version") == info["version"] == "1"
    assert _property(pushed, "pushed_destination") == str(folder / "1")
    assert _property(pushed, "sha256") == sha256
    assert info["metrics"]["tflite"] == pytest.approx(ring.metrics)
    assert info["metrics"]["saved_model"] == pytest.approx(ring.metrics)
    assert set(info["metrics"]["popularity"].values()) == {0.125}
    assert (info["examples"], info["agreement_at_10"]) == (6, 1.0)
    assert info["latency_us"] > 0
    assert info["size_bytes"] == (folder / "1" / "model.tflite").stat().st_size
    assert (info["pipeline"], info["precision"], info["encoder"]) == ("rings", "float16", "bow")
    files = info["precisions"]
    assert [file["precision"] for file in files] == ["float32", "float16", "int8_tables", "dynamic_int8"]
    assert [file["chosen"] for file in files] == [False, True, False, False]
    assert {file["recall_at_10"] for file in files} == {ring.metrics["recall_at_10"]}
    assert files[1]["size_bytes"] == info["size_bytes"] == min(file["size_bytes"] for file in files)
    assert (info["history_length"], info["top_k"], info["num_items"]) == (ring.history_length, ring.top_k, ring.items)
    assert info["data"] == {"name": "ring", "fingerprint": "f00d", "ratings": 99, "users": 6, "items": 31}
    assert info["mlmd"]["model_id"] == 1
    assert info["mlmd"]["blessing_id"] == 2
    assert info["code_version"] == "c0de"


def test_on_a_cluster_uris_identify_the_inputs(
    push: Push, inputs: dict, evaluated: dict[str, float], folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On a cluster, TFX generates random ids, which are too large for JavaScript."""
    monkeypatch.setenv("PIPELINE_STEP", "Pusher")
    monkeypatch.setattr(addresses, "_URIS", {inputs["model"][0].uri: "minio://bucket/run/Trainer/task/model"})
    push()
    ids = json.loads((folder / "1" / "model_info.json").read_text(encoding="utf-8"))["mlmd"]
    assert ids["model_id"] == "minio://bucket/run/Trainer/task/model"
    assert ids["evaluation_id"] == inputs["evaluation"][0].uri and ids["refitted_model_id"] is None
    assert ids["execution_id"] == str(tmp_path)


def test_a_client_recommends_from_the_pushed_folder(pushed_once: Path) -> None:
    recommender = Recommender.load(pushed_once.parent)
    recommended = recommender.recommend(["103", "110"], k=3, deny=[112])
    assert [(item.id, item.title) for item in recommended] == [(i, f"Fält\u2028{i}") for i in ("111", "113", "114")]
    assert recommender.items[0].count == 1000


def test_with_fail_unblessed_a_model_without_blessing_is_an_error(
    push: Push, evaluated: dict[str, float], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blessing = standard_artifacts.ModelBlessing()
    blessing.set_int_custom_property("blessed", 0)
    verdict = SimpleNamespace(reasons=("Recall@10 0.2500 is below the floor of 0.9900", "too few targets"))
    monkeypatch.setattr(executor, "read_verdict", lambda uri: verdict)
    with pytest.raises(StepError, match=r"the model is not blessed: Recall@10 0\.2500 is below .*; too few targets"):
        push(model_blessing=blessing, fail_unblessed=True)
    assert not folder.exists()


def test_a_model_without_blessing_is_not_pushed(
    push: Push, evaluated: dict[str, float], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blessing = standard_artifacts.ModelBlessing()
    blessing.set_int_custom_property("blessed", 0)
    with caplog.at_level(logging.INFO, "recommender.progress"):
        pushed = push(model_blessing=blessing)
    assert _property(pushed, "pushed") == 0
    assert not folder.exists()
    assert "not blessed" in caplog.text


@pytest.mark.parametrize("precision", ["float32", "float16", "int8_tables", "dynamic_int8"])
def test_a_file_of_every_precision_agrees_with_the_saved_model(
    push: Push, evaluated: dict[str, float], folder: Path, precision: str
) -> None:
    push({"precision": precision})
    info = json.loads((folder / "1" / "model_info.json").read_text(encoding="utf-8"))
    assert (info["precision"], info["agreement_at_10"]) == (precision, 1.0)
    assert [file["precision"] for file in info["precisions"]] == [precision]


def test_a_file_that_disagrees_with_the_saved_model_is_not_pushed(
    push: Push,
    evaluated: dict[str, float],
    folder: Path,
    ring: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    push()
    ring.Model(step=-1).save(tmp_path / "backwards")
    backwards = tf.saved_model.load(str(tmp_path / "backwards"))
    monkeypatch.setattr(candidates, "convert_each", lambda loaded, *arguments: convert_each(backwards, *arguments))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(StepError, match=r"^the file returns .*%.*pusher.min_agreement 95.00%; nothing is pushed"):
        push()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_file_that_loses_too_much_recall_is_not_pushed(push: Push, evaluated: dict[str, float], folder: Path) -> None:
    evaluated["recall_at_10"] = 0.68  # The file's 0.6667 is 1.96% less.
    with pytest.raises(StepError, match=r"recall_at_10 0.6667 and the SavedModel 0.6800, .* 1.90%"):
        push({"max_recall_loss": 0.019})
    assert _names(folder) == set()
    push({"max_recall_loss": 0.02})
    assert _names(folder) == {"1", "latest"}


def test_check_examples_limits_the_number_of_checked_examples(
    push: Push, evaluated: dict[str, float], folder: Path
) -> None:
    push({"check_examples": 2})
    info = json.loads((folder / "1" / "model_info.json").read_text(encoding="utf-8"))
    assert info["examples"] == 2
    assert info["metrics"]["tflite"]["recall_at_1"] == 0.5


def test_the_same_model_is_pushed_once(push: Push, evaluated: dict[str, float], folder: Path) -> None:
    push()
    again = push()
    assert (_property(again, "pushed"), _property(again, "pushed_version")) == (1, "1")
    assert _names(folder) == {"1", "latest"}
    push({"precision": "float16"})
    assert _names(folder) == {"1", "2", "latest"}
    assert (folder / "latest").read_text(encoding="utf-8") == "2\n"


@pytest.mark.parametrize(
    ("module", "step"),
    [(candidates, "convert_each"), (candidates, "latencies"), (executor, "check_files"), (executor, "_publish")],
)
def test_a_push_can_be_repeated_after_an_interruption_at_any_step(
    push: Push,
    evaluated: dict[str, float],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    step: str,
) -> None:
    def interrupt(*unused: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, step, interrupt)
        with pytest.raises(KeyboardInterrupt):
            push()
    assert _names(folder) == set()
    assert _property(push(), "pushed_version") == "1"


def test_a_push_can_be_repeated_after_a_kill_before_it_moves_latest(
    push: Push, evaluated: dict[str, float], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(store: VersionStore) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(VersionStore, "_move_latest", interrupt)
        with pytest.raises(KeyboardInterrupt):
            push()
    assert "latest" not in _names(folder)
    assert _property(push(), "pushed_version") == "1"
    assert _names(folder) == {"1", "latest"}


def test_two_concurrent_pushes_of_a_model_publish_one_version(
    push: Push, evaluated: dict[str, float], folder: Path
) -> None:
    pushed: list[Artifact] = []
    threads = [threading.Thread(target=lambda: pushed.append(push())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [_property(artifact, "pushed_version") for artifact in pushed] == ["1", "1"]
    assert _names(folder) == {"1", "latest"}


def test_an_unwritable_folder_is_an_error_before_any_work(
    push: Push, evaluated: dict[str, float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(
        candidates, "convert_each", lambda *unused: pytest.fail("the model is converted before the folder is checked")
    )
    with pytest.raises(
        StepError, match=r"^\S+/file/serving/rings: cannot be written to \(.+\); choose another folder$"
    ):
        push(push_root=tmp_path / "file" / "serving")


def test_an_item_without_a_catalogue_entry_is_an_error(
    push: Push, evaluated: dict[str, float], folder: Path, tmp_path: Path
) -> None:
    catalog = standard_artifacts.Examples()
    catalog.uri = str(tmp_path)
    (tmp_path / "items.jsonl").write_text(
        '{"id": "101", "title": "One", "genres": [], "year": null}\n', encoding="utf-8"
    )
    (tmp_path / "dataset.json").write_text("{}", encoding="utf-8")
    with pytest.raises(StepError, match="no item '102', which the model has"):
        push(catalog=catalog)
    assert _names(folder) == set()


@pytest.mark.parametrize("empty", ["eval", "test"])
def test_an_empty_split_is_an_error(
    push: Push, inputs: dict[str, list[Artifact]], evaluated: dict[str, float], tmp_path: Path, empty: str
) -> None:
    examples = standard_artifacts.Examples()
    examples.uri, examples.split_names = str(tmp_path / "examples"), '["eval", "test"]'
    shutil.copytree(inputs["examples"][0].uri, examples.uri)
    shutil.rmtree(tmp_path / "examples" / f"Split-{empty}")
    (tmp_path / "examples" / f"Split-{empty}").mkdir()
    with tf.io.TFRecordWriter(str(tmp_path / "examples" / f"Split-{empty}" / "part.gz"), "GZIP"):
        pass
    with pytest.raises(StepError, match=rf"Split-{empty}/part.gz: has no examples to check the file with"):
        push(examples=examples)


def test_pushed_metrics_are_those_of_the_evaluator(
    push: Push, inputs: dict[str, list[Artifact]], folder: Path, ring: SimpleNamespace, tmp_path: Path
) -> None:
    evaluation, blessing = standard_artifacts.ModelEvaluation(), standard_artifacts.ModelBlessing()
    evaluation.uri, blessing.uri = str(tmp_path / "evaluation"), str(tmp_path / "blessing")
    beam = EvaluatorExecutor.Context(
        beam_pipeline_args=list(LOCAL_ARGUMENTS), tmp_dir=str(tmp_path / "temporary"), unique_id="1"
    )
    EvaluatorExecutor(beam).Do(
        {"examples": inputs["examples"], "model": inputs["model"]},
        {"evaluation": [evaluation], "blessing": [blessing]},
        {
            "eval_config": proto_utils.proto_to_json(
                make_eval_config(GateSettings(min_targets=0, min_lift_over_popularity=0.5, min_lift_over_markov=0))
            ),
            "example_splits": json.dumps([features.TEST]),
        },
    )
    push(evaluation=evaluation, model_blessing=blessing)
    metrics = json.loads((folder / "1" / "model_info.json").read_text(encoding="utf-8"))["metrics"]
    assert metrics["saved_model"] == pytest.approx(ring.metrics)
    # By popularity, the targets have the ranks 0, 9, 8, 11, 2 and none.
    assert metrics["popularity"]["recall_at_1"] == pytest.approx(1 / 6)
    assert metrics["popularity"]["recall_at_5"] == pytest.approx(2 / 6)
    assert metrics["popularity"]["recall_at_10"] == pytest.approx(4 / 6)


def _refitted_model(inputs: dict[str, list[Artifact]], folder: Path, model: Any, trained_on: int = 99) -> Artifact:
    """Returns a model that was fitted after the evaluation; the evaluated model has two items fewer."""
    saved_model = folder / "refitted" / "Format-Serving"
    model.save(saved_model)
    (facts,) = (Path(artifact.uri) / "Format-Serving" / "model_facts.json" for artifact in inputs["model"])
    content = json.loads(facts.read_text(encoding="utf-8"))
    content |= {"trained_on": trained_on, "candidate_trained_on": 80, "candidate_items": 28}
    content |= {"history": [{"epoch": 1, "seconds": 5.0}, {"epoch": 2, "seconds": 9.5}]}
    (saved_model / "model_facts.json").write_text(json.dumps(content), encoding="utf-8")
    refitted = standard_artifacts.Model()
    refitted.uri, refitted.id = str(folder / "refitted"), 77
    return refitted


def test_the_refitted_model_is_pushed_with_the_metrics_of_the_evaluated_one(
    push: Push, inputs: dict, evaluated: dict[str, float], folder: Path, ring: SimpleNamespace, tmp_path: Path
) -> None:
    refitted = _refitted_model(inputs, tmp_path, ring.Model(2))
    evaluated["recall_at_10"] = ring.metrics["recall_at_10"]
    push(refitted_model=refitted)
    info = json.loads((folder / "1" / "model_info.json").read_text(encoding="utf-8"))
    assert info["refit"] == {
        **{"trained_on": 99, "evaluated_trained_on": 80, "evaluated_num_items": 28, "epochs": 2, "seconds": 9.5}
    }
    assert (info["mlmd"]["model_id"], info["mlmd"]["refitted_model_id"]) == (1, 77)
    assert info["metrics"]["tflite"] == pytest.approx(ring.metrics)
    assert info["agreement_at_10"] == 1
    # The refitted model recommends these items: it walks the ring in steps of two.
    recommender = Recommender.load(folder / "1")
    assert [each.index for each in recommender.recommend(["101"], k=3)] == [3, 18, 4]


def test_a_failed_refit_is_not_pushed(
    push: Push, inputs: dict, evaluated: dict[str, float], folder: Path, ring: SimpleNamespace, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(executor, "SURE", 0)  # Six timelines are too few for a significant difference.
    with pytest.raises(StepError, match=r"the refitted model has recall_at_10 0\.\d+ on the test split.*refit=false"):
        push(refitted_model=_refitted_model(inputs, tmp_path, ring.Model(-1)))
    assert not folder.exists() or _names(folder) <= {"latest"}
