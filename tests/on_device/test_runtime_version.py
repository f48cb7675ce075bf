"""The client refuses a model file that needs a newer runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from on_device import runtime
from on_device.errors import ArtifactError
from on_device.recommender import Recommender


@pytest.mark.parametrize("min_runtime", [None, "2.5.0", "2.17.0"])
def test_file_for_this_runtime_or_an_older_one_loads(
    pushed: Path, sign: Callable[..., None], min_runtime: str | None
) -> None:
    sign(min_runtime=min_runtime)
    assert len(Recommender.load(pushed).recommend([], 3)) == 3


def test_file_for_a_newer_runtime_is_refused(
    pushed: Path, sign: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sign(min_runtime="2.10.0")
    monkeypatch.setattr(runtime, "TENSORFLOW_LITE_VERSION", "2.9.1")
    with pytest.raises(ArtifactError, match=r"model\.tflite: needs TensorFlow Lite 2\.10\.0 or newer") as raised:
        Recommender.load(pushed)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("min_runtime", ["new", 2.5, "2.x", ""])
def test_invalid_version_is_refused(pushed: Path, sign: Callable[..., None], min_runtime: object) -> None:
    sign(min_runtime=min_runtime)
    with pytest.raises(ArtifactError, match=r"min_runtime is .*not a version"):
        Recommender.load(pushed)
