"""Which model a new one is compared with."""

from __future__ import annotations

import logging
from pathlib import Path

import ml_metadata as mlmd
from tfx import types
from tfx.dsl.components.common import resolver
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy

from components import checksums

CANDIDATE = "candidate"

progress = logging.getLogger("recommender.progress")


class LatestOtherBlessedModel(resolver.ResolverStrategy):
    """The last blessed model that is whole, and not the candidate itself.

    TFX's own strategy takes a candidate that an earlier run blessed as its own baseline; the Evaluator's inputs then
    differ from that run's, and nothing after it comes from the cache.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """See the base class; the input `candidate` is left out of the search."""
        known = {key: artifacts for key, artifacts in input_dict.items() if key != CANDIDATE}
        others = _without(known, {artifact.id for artifact in input_dict[CANDIDATE]})
        while found := LatestBlessedModelStrategy().resolve_artifacts(store, others):
            damaged = {model.id: wrong for model in found["model"] if (wrong := _damage(model))}
            if not damaged:
                break
            for wrong in damaged.values():
                progress.info("%s: the last blessed model, which is passed over", wrong)
            others = _without(others, set(damaged))
        return {**(found or {key: [] for key in known}), CANDIDATE: input_dict[CANDIDATE]}


def _without(artifacts: dict[str, list[types.Artifact]], ids: set[int]) -> dict[str, list[types.Artifact]]:
    return {key: [artifact for artifact in some if artifact.id not in ids] for key, some in artifacts.items()}


def _damage(model: types.Artifact) -> str:
    """What is wrong with a model's files, one line; empty where nothing is."""
    folder = Path(model.uri)
    return checksums.damage(folder) or ("" if folder.is_dir() else f"{folder} is missing")
