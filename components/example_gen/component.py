"""ExampleGen for interaction logs: one example per user timeline, and the catalogue of items."""

from __future__ import annotations

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types.standard_artifacts import Examples

from components.artifacts import ItemCatalog
from components.component import StepComponent
from components.example_gen.executor import Executor


class RatingsExampleGen(StepComponent, base_beam_component.BaseBeamComponent):
    """Reads interactions in any format that `data/` supports, and writes timelines split by time.

    Args:
        data: path or URI of a folder, a pattern, a zip or a file with interactions.
        data_fingerprint: SHA-256 of the content of the data; empty if it is not known. It is part of the cache key, so
            that changed data under the same path is read again.
        cache_dir: folder for unpacked archives.
        reading: `DataSettings`, the declared format of the data.
        settings: `ExampleGenSettings`.
        with_all: whether to write a split `all` of complete timelines.
        drop_repeats: whether each item occurs only once in a timeline.

    Outputs:
        examples: raw examples, see `components/features.py`, with the splits `train`, `eval`, `test`, `catalog` and,
            with `with_all`, `all`.
        catalog: the items.
    """

    PARAMETERS = {
        "data": str,
        "data_fingerprint": str,
        "cache_dir": str,
        "reading": str,
        "settings": str,
        "with_all": int,
        "drop_repeats": int,
    }
    OUTPUTS = {"examples": Examples, "catalog": ItemCatalog}
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
    STEP = "example_gen"
