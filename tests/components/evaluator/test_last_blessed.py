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
    """The URI that the step hands on; `own` is where its output would lie."""
    model = standard_artifacts.Model()
    model.uri = str(own)
    Executor().Do({}, {"model": [model]}, {"record": str(record)})
    return str(model.uri)


def test_none_was_blessed_yet(tmp_path):
    assert found(tmp_path / "record", tmp_path / "own") == str(tmp_path / "own")
    assert list(tmp_path.iterdir()) == []


def test_the_last_blessed_model_is_handed_on(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name / "Format-Serving").mkdir(parents=True)
        (tmp_path / name / "Format-Serving" / "saved_model.pb").touch()
        remember(str(tmp_path / "p" / "record"), str(tmp_path / name))
    assert found(tmp_path / "p" / "record", tmp_path / "own") == str(tmp_path / "second")


def test_a_model_that_is_gone_stops_the_run(tmp_path):
    remember(str(tmp_path / "record"), str(tmp_path / "gone"))
    with pytest.raises(StepError, match=r"record names \S+/gone as the last blessed model, which is gone; bring it"):
        found(tmp_path / "record", tmp_path / "own")


def test_another_floor_changes_the_floor_alone():
    settings = GateSettings(min_recall_at_10=0.1)
    before = json_format.MessageToJson(make_eval_config(settings), preserving_proto_field_name=True)
    after = json_format.Parse(with_floor(before, 0.3), config_pb2.EvalConfig())
    assert after == make_eval_config(settings.model_copy(update={"min_recall_at_10": 0.3}))
