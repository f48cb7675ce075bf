"""The step over several runs: the statistics it compares with, when it warns or stops, and its records."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.errors import StepError
from components.example_validator.record import is_last, read_record
from components.example_validator.results import read_drift


@pytest.fixture(autouse=True)
def propagate_logs(monkeypatch):
    """Lets `caplog` record the progress lines."""
    monkeypatch.setattr(logging.getLogger("recommender.progress"), "propagate", True)


def compared_with(anomalies) -> str:
    """Returns the fingerprint of the data that a run was compared with, or why it was not compared."""
    drift = read_drift(anomalies.uri)
    return drift["compared_with"]["fingerprint"] if drift["compared_with"] else drift["why_not"]


def fingerprint(anomalies) -> str:
    return anomalies.get_string_custom_property("data_fingerprint")


def marks(anomalies) -> dict[str, str]:
    names = ("data_fingerprint", "made_by", "record")
    return {name: anomalies.get_string_custom_property(name) for name in names}


def test_the_first_run_has_nothing_to_compare_with(pipeline, make_log):
    assert compared_with(pipeline.run(make_log())) == "these are the first data of this pipeline"
    assert len(read_record(str(pipeline.record))) == 1
    assert [path.name for path in pipeline.record.parent.iterdir()] == ["last_statistics"]


def test_new_data_and_its_rerun_are_compared_with_the_same_earlier_data(pipeline, make_log, caplog):
    first = pipeline.run(make_log())
    second = pipeline.run(make_log(users=52, items=54))
    again = pipeline.run(make_log(users=52, items=54))
    assert compared_with(second) == compared_with(again) == fingerprint(first)
    levels = {measure["name"]: measure["level"] for measure in read_drift(second.uri)["measures"]}
    assert levels["users_lost"] == "warn" and levels["new_items"] == "warn" and levels["rating"] == "ok"
    assert "drift: 13.3% fewer users, over validation.users_lost.warn 0.1" in caplog.messages
    file = Path(second.uri) / "Split-train" / "SchemaDiff.pb"
    written = anomalies_pb2.Anomalies.FromString(file.read_bytes())
    assert "had none" in written.anomaly_info["item_id"].description


@pytest.mark.parametrize(
    ("broken", "feature", "message"),
    [
        (
            lambda log: dict(list(log.items())[::2]),
            "",
            r"50\.0% fewer interactions, over validation\.interactions_lost\.stop 0\.4",
        ),
        (lambda log: {user: rows[::2] for user, rows in log.items()}, "", r"49\.1% fewer interactions, over"),
        (lambda log: {user: [(f"x{i}", r) for i, r in rows] for user, rows in log.items()}, "'item_id'", "had none"),
        (lambda log: {user: [(i, 3.0) for i, _ in rows] for user, rows in log.items()}, "'rating'", r"moved by 1\.00"),
    ],
    ids=["half the users", "half of each timeline", "other ids", "one rating for all"],
)
def test_a_broken_export_stops_the_run_and_later_runs_are_not_compared_with_it(
    pipeline, make_log, broken, feature, message
):
    good = pipeline.run(make_log())
    with pytest.raises(StepError, match=message) as error:
        pipeline.run(broken(make_log()))
    assert (feature in str(error.value)) and "--set validation.stop=false" in str(error.value)
    assert "\n" not in str(error.value)
    assert compared_with(pipeline.run(make_log(shift=5))) == fingerprint(good)


def test_a_stop_can_be_accepted_once_and_the_next_run_is_compared_with_that_data(pipeline, make_log):
    pipeline.run(make_log())
    half = pipeline.run(make_log(users=30), settings={"stop": False})
    assert {measure["level"] for measure in read_drift(half.uri)["measures"]} == {"ok", "warn"}
    assert compared_with(pipeline.run(make_log(users=31))) == fingerprint(half)


def test_returning_to_earlier_data_is_a_new_comparison(pipeline, make_log):
    """The cached result of the earlier data is another comparison, so it is outdated."""
    first, second = pipeline.run(make_log()), pipeline.run(make_log(shift=1))
    assert not is_last(marks(first)) and is_last(marks(second))
    back = pipeline.run(make_log())
    assert compared_with(back) == fingerprint(second) and is_last(marks(first))
    assert compared_with(pipeline.run(make_log(shift=2))) == fingerprint(first)


def test_item_features_count_by_interactions(pipeline, make_log):
    genres = {f"i{number}": ["War"] if number < 25 else ["Drama"] for number in range(50)}
    pipeline.run(make_log(), genres=genres)
    changed_genres = {item: ["War"] for item in genres}
    drift = read_drift(pipeline.run(make_log(shift=1), genres=changed_genres, settings={"stop": False}).uri)
    (measure,) = (measure for measure in drift["measures"] if measure["name"] == "item_features")
    assert measure["level"] == "warn" and "by genres" in measure["words"] and 0.2 < measure["value"] < 0.5


def test_statistics_of_other_settings_and_missing_statistics_are_not_compared(pipeline, make_log, caplog):
    pipeline.run(make_log())
    second = pipeline.run(make_log(users=20), made_by="leave_one_out")
    assert compared_with(second) == "the settings of example_gen are not those of the last run"
    shutil.rmtree(Path(read_record(str(pipeline.record))[-1].statistics))
    third = pipeline.run(make_log(shift=1), made_by="leave_one_out")
    assert compared_with(third).startswith("the last run's statistics are missing: ")
    assert any("statistics are missing" in line for line in caplog.messages)


def test_an_unreadable_record_is_an_error_that_names_it(pipeline, make_log):
    pipeline.record.parent.mkdir()
    for text in ("", "{", '["a"]', json.dumps([{"fingerprint": "a"}])):
        pipeline.record.write_text(text, encoding="utf-8")
        with pytest.raises(StepError, match=r"last_statistics should name .* delete it"):
            pipeline.run(make_log())


def test_a_violation_of_the_schema_stops_the_run_before_the_comparison(pipeline, make_log):
    pipeline.run(make_log())
    with pytest.raises(StepError, match=r"does not match data/schema\.pbtxt: train split, feature 'timestamp'"):
        pipeline.run(make_log(users=20), first_time=-9)
    assert len(read_record(str(pipeline.record))) == 1
