"""The baseline of a new model: the best of the last blessed models or the pinned model, on any file system."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tfx.dsl.io.filesystem_registry import DEFAULT_FILESYSTEM_REGISTRY
from tfx.dsl.io.plugins.local import LocalFilesystem
from tfx.types import standard_artifacts

from components import checksums
from components.errors import StepError
from components.evaluator.baseline import BLESSING, CANDIDATE, CHANGE, MODEL, BestOtherBlessedModel

MakeModel = Callable[..., standard_artifacts.Model]


def write_model(folder: Path) -> None:
    (folder / "Format-Serving").mkdir(parents=True, exist_ok=True)
    (folder / "Format-Serving" / "saved_model.pb").write_text("weights")


@pytest.fixture
def model(tmp_path: Path) -> MakeModel:
    """Returns a function that creates a Model artifact with a file and its checksum."""

    def make(number: int) -> standard_artifacts.Model:
        artifact = standard_artifacts.Model()
        artifact.id, artifact.uri = number, str(tmp_path / str(number))
        write_model(Path(artifact.uri))
        checksums.record(artifact.uri)
        return artifact

    return make


def blessing(
    model_id: int, blessed: bool = True, baseline: int = 0, change: float | None = None
) -> standard_artifacts.ModelBlessing:
    artifact = standard_artifacts.ModelBlessing()
    artifact.id = 100 + model_id
    artifact.set_int_custom_property("current_model_id", model_id)
    artifact.set_int_custom_property("blessed", int(blessed))
    if change is not None:
        artifact.set_int_custom_property("baseline_model_id", baseline)
        artifact.set_float_custom_property(CHANGE, change)
    return artifact


@pytest.mark.parametrize(
    ("verdicts", "candidate", "expected"),
    [
        ({1: True, 2: True}, 3, [2]),  # Equally good: the latest.
        ({1: True, 2: False}, 3, [1]),  # A failed model is skipped.
        ({1: True, 2: True, 3: True}, 3, [2]),  # The candidate is skipped, as in an unchanged second run.
        ({3: True}, 3, []),
        ({1: False}, 3, []),
        ({}, 3, []),
    ],
)
def test_the_baseline_is_the_best_blessed_model_other_than_the_candidate(model, verdicts, candidate, expected):
    artifacts = {
        MODEL: [model(number) for number in {*verdicts, candidate}],
        # Each model was compared with the one before, and is equally good.
        BLESSING: [blessing(number, blessed, number - 1, 0.0) for number, blessed in verdicts.items()],
        CANDIDATE: [model(candidate)],
    }
    resolved = BestOtherBlessedModel(runs=5).resolve_artifacts(None, artifacts)
    assert [artifact.id for artifact in resolved[MODEL]] == expected
    assert [artifact.get_int_custom_property("current_model_id") for artifact in resolved[BLESSING]] == expected
    assert [artifact.id for artifact in resolved[CANDIDATE]] == [candidate]


@pytest.fixture
def declining_models(model: MakeModel) -> dict[str, list]:
    """Models that are each slightly worse than the first, with which they were compared."""
    return {
        MODEL: [model(number) for number in range(1, 6)],
        BLESSING: [blessing(1), *(blessing(number, True, 1, -0.001 * number) for number in range(2, 5))],
        CANDIDATE: [model(5)],
    }


def resolved_ids(artifacts: dict[str, list], **settings: object) -> list[int]:
    return [artifact.id for artifact in BestOtherBlessedModel(**settings).resolve_artifacts(None, artifacts)[MODEL]]


def test_the_best_model_stays_the_baseline_if_each_model_is_slightly_worse(declining_models):
    assert resolved_ids(declining_models, runs=5) == [1]
    assert resolved_ids(declining_models, runs=3) == [2]  # The first model is not among the last three.
    assert resolved_ids(declining_models, runs=1) == [4]
    assert resolved_ids(declining_models, runs=0) == []


def test_a_pinned_model_is_the_baseline(declining_models, tmp_path):
    assert resolved_ids(declining_models, runs=5, pinned="3") == [3]
    assert resolved_ids(declining_models, runs=0, pinned=f"{tmp_path}/3/") == [3]
    assert resolved_ids(declining_models, runs=5, pinned="5") == [], "a model is not compared with itself"
    with pytest.raises(
        StepError, match=r"^gate\.baseline_model: there is no model '77' in ML Metadata; set the id or the"
    ):
        resolved_ids(declining_models, runs=5, pinned="77")


def test_a_damaged_baseline_stops_the_run_with_a_one_line_error(declining_models, tmp_path):
    (tmp_path / "1" / "Format-Serving" / "saved_model.pb").write_text("weight")
    with pytest.raises(StepError) as error:
        resolved_ids(declining_models, runs=5)
    assert str(error.value) == (
        f"{tmp_path}/1/Format-Serving/saved_model.pb is not what the step wrote: the baseline model is damaged; "
        "restore it, or set gate.damaged_baseline=skip to compare with the next best"
    )
    assert resolved_ids(declining_models, runs=1) == [4], "damage of another model is ignored"


def test_damaged_models_can_be_skipped(declining_models, tmp_path, caplog):
    (tmp_path / "1" / "Format-Serving" / "saved_model.pb").write_text("weight")
    shutil.rmtree(tmp_path / "2")
    (tmp_path / "2.sha256").unlink()
    with caplog.at_level(logging.INFO, "recommender.progress"):
        assert resolved_ids(declining_models, runs=5, on_damage="skip") == [3]
    assert caplog.messages == [
        f"{tmp_path}/1/Format-Serving/saved_model.pb is not what the step wrote: the baseline model is damaged "
        "and skipped",
        f"{tmp_path}/2 is missing: the baseline model is damaged and skipped",
    ]
    for number in (3, 4):
        shutil.rmtree(tmp_path / str(number))
    assert resolved_ids(declining_models, runs=5, on_damage="skip") == []


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """A folder that TFX knows only as `fake://bucket`, like an object store."""

    class Remote(LocalFilesystem):
        SUPPORTED_SCHEMES = ["fake://"]

        @staticmethod
        def exists(path: str) -> bool:
            return LocalFilesystem.exists(str(path).replace("fake://bucket", str(tmp_path)))

    DEFAULT_FILESYSTEM_REGISTRY.register(Remote, 0, use_as_fallback=False)
    return tmp_path


def test_models_in_an_object_store_are_found(bucket, model):
    """`pathlib` would treat `gs://bucket/1` as a local folder `gs:`, which never exists."""
    artifacts = {MODEL: [model(1), model(2)], BLESSING: [blessing(1)], CANDIDATE: [model(2)]}
    for artifact in artifacts[MODEL]:
        artifact.uri = f"fake://bucket/{artifact.id}"
    assert resolved_ids(artifacts, runs=5) == [1]
    shutil.rmtree(bucket / "1")
    with pytest.raises(StepError, match=r"^fake://bucket/1 is missing: the baseline model is damaged"):
        resolved_ids(artifacts, runs=5)
