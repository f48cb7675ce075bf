"""The record of blessed models on a cluster, and the floor that is set at submission."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import json_format
from tensorflow_model_analysis.proto import config_pb2
from tfx.types import standard_artifacts

from components.errors import StepError
from components.evaluator.blessed import Blessed
from components.evaluator.eval_config import make_eval_config, with_floor
from components.evaluator.last_blessed import MAX_RECORDED, Executor, add_to_record, read_record
from components.evaluator.settings import GateSettings


def resolve(record: Path, output: Path, **settings: object) -> str:
    """Runs the step; returns the URI of the model that it copied to `output`."""
    model = standard_artifacts.Model()
    model.uri = str(output)
    properties = {"record": str(record), "settings": GateSettings(**settings).model_dump_json()}
    Executor().Do({}, {"model": [model]}, properties)
    assert model.uri == str(output), "Kubeflow accepts no output elsewhere"
    return model.get_string_custom_property("copy_of")


def write_model(folder: Path) -> str:
    (folder / "Format-Serving" / "variables").mkdir(parents=True)
    (folder / "Format-Serving" / "saved_model.pb").write_text(folder.name)
    (folder / "Format-Serving" / "variables" / "variables.index").touch()
    return str(folder)


def test_without_a_blessed_model_nothing_is_copied(tmp_path):
    assert resolve(tmp_path / "record", tmp_path / "output") == ""
    assert list(tmp_path.iterdir()) == []


def test_the_best_of_the_last_blessed_models_is_copied(tmp_path):
    record = tmp_path / "p" / "record"
    first, second = (write_model(tmp_path / name) for name in ("first", "second"))
    add_to_record(str(record), Blessed(first))
    add_to_record(str(record), Blessed(second, first, 0.01))
    assert resolve(record, tmp_path / "output") == second
    assert (tmp_path / "output" / "Format-Serving" / "saved_model.pb").read_text() == "second"
    assert (tmp_path / "output" / "Format-Serving" / "variables" / "variables.index").exists()
    add_to_record(str(record), Blessed(write_model(tmp_path / "third"), second, -0.02))
    assert resolve(record, tmp_path / "again") == second
    assert resolve(record, tmp_path / "last", baseline_runs=1) == str(tmp_path / "third")
    assert resolve(record, tmp_path / "pinned", baseline_model=first) == first
    assert resolve(record, tmp_path / "none", baseline_runs=0) == ""


def test_a_record_of_an_earlier_version_is_read(tmp_path):
    model = write_model(tmp_path / "model")
    (tmp_path / "record").write_text(f"{model}\n")
    assert resolve(tmp_path / "record", tmp_path / "output") == model
    add_to_record(str(tmp_path / "record"), Blessed("next", model, 0.01))
    assert read_record(str(tmp_path / "record")) == [Blessed(model), Blessed("next", model, 0.01)]


def test_a_record_has_a_maximum_length(tmp_path):
    record = tmp_path / "record"
    for number in range(MAX_RECORDED + 1):
        add_to_record(str(record), Blessed(str(number)))
    assert len(read_record(str(record))) == MAX_RECORDED


def test_a_record_that_cannot_be_read_stops_the_run(tmp_path):
    (tmp_path / "record").write_text('{"model": ')
    with pytest.raises(StepError, match="record: not a record of blessed models; delete it to bless the next model"):
        resolve(tmp_path / "record", tmp_path / "output")


def test_a_missing_model_stops_the_run_or_is_skipped(tmp_path):
    record = str(tmp_path / "record")
    complete = write_model(tmp_path / "complete")
    add_to_record(record, Blessed(complete))
    add_to_record(record, Blessed(f"{tmp_path}/gone", complete, 0.01))
    with pytest.raises(StepError, match=r"record names \S+/gone, which holds no model: the baseline model is damaged"):
        resolve(tmp_path / "record", tmp_path / "output")
    assert resolve(tmp_path / "record", tmp_path / "output", damaged_baseline="skip") == complete


def test_with_floor_changes_only_the_floor():
    settings = GateSettings(min_recall_at_10=0.1)
    before = json_format.MessageToJson(make_eval_config(settings), preserving_proto_field_name=True)
    after = json_format.Parse(with_floor(before, 0.3), config_pb2.EvalConfig())
    assert after == make_eval_config(settings.model_copy(update={"min_recall_at_10": 0.3}))
