"""ExampleGen for ratings: one example per user timeline, and the catalogue of items."""

from __future__ import annotations

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import channel_utils, component_spec, standard_artifacts

from components.artifacts import ItemCatalog
from components.code_version import step_version
from components.example_gen.executor import Executor
from components.example_gen.settings import ExampleGenSettings
from data.settings import DataSettings


class RatingsExampleGenSpec(component_spec.ComponentSpec):
    """Parameters and outputs of `RatingsExampleGen`."""

    PARAMETERS = {
        "data": component_spec.ExecutionParameter(type=str),
        "data_fingerprint": component_spec.ExecutionParameter(type=str),
        "cache_dir": component_spec.ExecutionParameter(type=str),
        "reading": component_spec.ExecutionParameter(type=str),
        "settings": component_spec.ExecutionParameter(type=str),
        "with_all": component_spec.ExecutionParameter(type=int),
        "drop_repeats": component_spec.ExecutionParameter(type=int),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, component_spec.ChannelParameter] = {}
    OUTPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "catalog": component_spec.ChannelParameter(type=ItemCatalog),
    }


class RatingsExampleGen(base_beam_component.BaseBeamComponent):
    """Reads interactions in any shape that `data/` knows, and writes timelines split by time.

    Args:
        data: path or URI of a folder, a pattern, a zip or a file with interactions.
        data_fingerprint: SHA-256 of its content where it is known: the results are cached under it, so that data
            which changed under the same path is read again. Empty where it is not known.
        cache_dir: folder for unpacked archives.
        reading: how the data is to be read, as far as it is declared.
        settings: which split.
        with_all: whether there is also a split `all` of complete timelines.
        drop_repeats: whether an item stands in a timeline once.

    Outputs:
        examples: raw examples of `components/features.py`, splits `train`, `eval`, `test`, `catalog` and, if asked
            for, `all`.
        catalog: the items.
    """

    SPEC_CLASS = RatingsExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        data: str,
        data_fingerprint: str,
        cache_dir: str,
        reading: DataSettings,
        settings: ExampleGenSettings,
        with_all: bool = False,
        drop_repeats: bool = False,
    ):
        super().__init__(
            spec=RatingsExampleGenSpec(
                data=data,
                data_fingerprint=data_fingerprint,
                cache_dir=cache_dir,
                reading=reading.model_dump_json(),
                settings=settings.model_dump_json(),
                with_all=int(with_all),
                drop_repeats=int(drop_repeats),
                code=step_version("example_gen"),
                examples=channel_utils.as_channel([standard_artifacts.Examples()]),
                catalog=channel_utils.as_channel([ItemCatalog()]),
            )
        )
