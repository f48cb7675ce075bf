"""Which model a new one is compared with."""

from __future__ import annotations

import ml_metadata as mlmd
from tfx import types
from tfx.dsl.components.common import resolver
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy

CANDIDATE = "candidate"


class LatestOtherBlessedModel(resolver.ResolverStrategy):
    """The last blessed model that is not the candidate itself.

    TFX's own strategy takes a candidate that an earlier run blessed as its own baseline; the Evaluator's inputs then
    differ from that run's, and nothing after it comes from the cache.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """See the base class; the input `candidate` is left out of the search."""
        candidates = {artifact.id for artifact in input_dict[CANDIDATE]}
        others = {
            key: [artifact for artifact in artifacts if artifact.id not in candidates]
            for key, artifacts in input_dict.items()
            if key != CANDIDATE
        }
        found = LatestBlessedModelStrategy().resolve_artifacts(store, others) or {key: [] for key in others}
        return {**found, CANDIDATE: input_dict[CANDIDATE]}
