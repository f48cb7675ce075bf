"""What a cluster knows of the last blessed model, and the floor that is given at submission."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import json_format
from tensorflow_model_analysis.proto import config_pb2
from tfx.types import standard_artifacts

from components.errors import StepError
from components.evaluator.eval_config import make_eval_config, with_floor
from components.evaluator.last_blessed import Executor, remember
from components.evaluator.settings import GateSettings


def found(record: Path, own: Path) -> str:
    """Of which model the step hands on a copy; `own` is where its output lies."""
    model = standard_artifacts.Model()
    model.uri = str(own)
    Executor().Do({}, {"model": [model]}, {"record": str(record)})
    assert model.uri == str(own), "Kubeflow takes no output from elsewhere"
    return model.get_string_custom_property("copy_of")


def test_none_was_blessed_yet(tmp_path):
    assert found(tmp_path / "record", tmp_path / "own") == ""
    assert list(tmp_path.iterdir()) == []


def test_a_copy_of_the_last_blessed_model_is_handed_on(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name / "Format-Serving" / "variables").mkdir(parents=True)
        (tmp_path / name / "Format-Serving" / "saved_model.pb").write_text(name)
        (tmp_path / name / "Format-Serving" / "variables" / "variables.index").touch()
        remember(str(tmp_path / "p" / "record"), str(tmp_path / name))
    assert found(tmp_path / "p" / "record", tmp_path / "own") == str(tmp_path / "second")
    assert (tmp_path / "own" / "Format-Serving" / "saved_model.pb").read_text() == "second"
    assert (tmp_path / "own" / "Format-Serving" / "variables" / "variables.index").exists()


def test_a_model_that_is_gone_stops_the_run(tmp_path):
    remember(str(tmp_path / "record"), str(tmp_path / "gone"))
    with pytest.raises(StepError, match=r"record names \S+/gone as the last blessed model, which is gone; bring it"):
        found(tmp_path / "record", tmp_path / "own")


def test_another_floor_changes_the_floor_alone():
    settings = GateSettings(min_recall_at_10=0.1)
    before = json_format.MessageToJson(make_eval_config(settings), preserving_proto_field_name=True)
    after = json_format.Parse(with_floor(before, 0.3), config_pb2.EvalConfig())
    assert after == make_eval_config(settings.model_copy(update={"min_recall_at_10": 0.3}))
