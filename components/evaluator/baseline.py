"""Finds the baseline of a new model in ML Metadata."""

from __future__ import annotations

import ml_metadata as mlmd
from tfx import types
from tfx.components.evaluator import constants
from tfx.dsl.components.common import resolver

from components import checksums
from components.errors import StepError
from components.evaluator.blessed import Blessed, best_first, first_undamaged, holds_model

CANDIDATE, MODEL, BLESSING = "candidate", "model", "model_blessing"
CHANGE = "recall_at_10_change"  # custom property of a blessing; missing without a baseline


class BestOtherBlessedModel(resolver.ResolverStrategy):
    """Resolves to the best of the last blessed models, or the pinned model, but never to the candidate itself.

    TFX's own strategy resolves to the latest blessed model. A series of models, each a little worse than the one
    before, would then lower the bar. It can also resolve to the candidate itself, if an earlier run blessed it. The
    inputs of the Evaluator then differ from those of the earlier run, so that the Evaluator and the later steps run
    again.

    Args:
        runs: `GateSettings.baseline_runs`.
        pinned: `GateSettings.baseline_model`.
        on_damage: `GateSettings.damaged_baseline`.
    """

    def __init__(self, runs: int, pinned: str = "", on_damage: str = "stop"):
        self._runs = runs
        self._pinned = pinned
        self._on_damage = on_damage

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """See the base class; never resolves to a model of the optional input `candidate`.

        Raises:
            StepError: the pinned model does not exist, or the baseline is damaged.
        """
        candidates = {str(artifact.id) for artifact in input_dict.get(CANDIDATE, [])}
        blessings = {
            str(blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY)): blessing
            for blessing in sorted(input_dict[BLESSING], key=lambda artifact: artifact.id)
            if blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY) == constants.BLESSED_VALUE
        }
        models = {str(model.id): model for model in input_dict[MODEL]}
        if self._pinned:
            pinned = self._find_pinned(list(models.values()))
            names = [] if pinned in candidates else [pinned]
        else:
            in_order = sorted(blessings.items(), key=lambda item: item[1].id)
            known = [_read(name, blessing) for name, blessing in in_order if name in models]
            names = best_first(known, self._runs, candidates)
        baseline = first_undamaged(names, lambda name: _damage(models[name]), self._on_damage)
        return {
            MODEL: [models[baseline]] if baseline else [],
            BLESSING: [blessings[baseline]] if baseline in blessings else [],
            **{name: artifacts for name, artifacts in input_dict.items() if name == CANDIDATE},
        }

    def _find_pinned(self, models: list[types.Artifact]) -> str:
        for model in models:
            if self._pinned == str(model.id) or self._pinned.rstrip("/") == model.uri.rstrip("/"):
                return str(model.id)
        raise StepError(
            f"gate.baseline_model: there is no model {self._pinned!r} in ML Metadata; set the id or the URI of a "
            "model, as `python -m lineage` shows them"
        )


def _read(model: str, blessing: types.Artifact) -> Blessed:
    """Returns the comparison that a blessing stores; blessings of earlier versions store none."""
    if not blessing.has_custom_property(CHANGE):
        return Blessed(model)
    baseline = blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY)
    return Blessed(model, str(baseline), blessing.get_float_custom_property(CHANGE))


def _damage(model: types.Artifact) -> str:
    """Returns what is wrong with a model's files, in one line; empty if nothing is. Reads only local files."""
    problem = checksums.damage(model.uri)
    return problem or ("" if holds_model(model.uri) else f"{model.uri} is missing")
