"""The executor of Refit: fits a model like the blessed one on all interactions and all items."""

from __future__ import annotations

import logging
import time
from typing import Any

from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.util import model_utils
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils
from tfx.utils.typing_utils import ArtifactMultiDict

from components import features
from components.trainer.decisions import check
from components.trainer.devices import make_strategy
from components.trainer.fit import Plan
from components.trainer.run import WARM_START, fit_and_save, read_facts
from components.trainer.settings import TrainerSettings
from components.trainer.training_data import read_training_data

progress = logging.getLogger("recommender.progress")


class Executor(base_executor.BaseExecutor):
    """Refits a blessed model; writes nothing if the model is not blessed.

    The fit trains for the candidate's best number of epochs, because no split is held out to decide when to stop. It
    starts from new weights. A fit that starts from the candidate's weights, in the middle of the learning rate
    schedule, takes half of the time but gains half as much: on MovieLens 100K and a click stream, Recall@10 on the
    events after the last training event rose by 0.008 and 0.013, instead of 0.013 and 0.026 with new weights. If the
    candidate itself started from an earlier model, it took fewer epochs than new weights need. Its refit therefore
    starts from its weights.
    """

    def Do(
        self, input_dict: ArtifactMultiDict, output_dict: ArtifactMultiDict, exec_properties: dict[str, Any]
    ) -> None:
        """See the base class.

        Raises:
            StepError: the catalogue is too large for the settings, or training diverges.
        """
        inputs = {name: artifact_utils.get_single_instance(artifacts) for name, artifacts in input_dict.items()}
        if not model_utils.is_model_blessed(inputs["model_blessing"]):
            progress.info("the model is not blessed, so nothing is refitted")
            return
        started = time.monotonic()
        candidate = path_utils.serving_model_path(inputs["candidate"].uri)
        teacher = path_utils.serving_model_path(inputs["teacher"].uri) if "teacher" in inputs else ""
        facts = read_facts(candidate)
        repeats = "recommend" if facts["recommends_seen"] else "keep"
        settings = TrainerSettings(**{**facts["settings"], "repeats": repeats, "repeat_gain": facts["repeat_gain"]})
        graph = inputs["transform_graph"].uri
        splits = [
            f"{artifact_utils.get_split_uri([inputs['examples']], split)}/*"
            for split in (features.ALL, features.CATALOG)
        ]
        data = read_training_data(FnArgs(transform_graph_path=graph, train_files=splits, eval_files=[]))
        check(settings, data, has_teacher=bool(teacher))
        epochs = facts["best_epoch"]
        fit_and_save(
            settings,
            data,
            graph,
            path_utils.serving_model_dir(artifact_utils.get_single_instance(output_dict["model"]).uri),
            exec_properties["checkpoints"],
            plan=Plan(epochs),
            strategy=make_strategy(),
            base=(candidate, Plan(epochs, begin=WARM_START)) if facts["started_from"] else None,
            facts={
                "split": facts["split"],
                "candidate_trained_on": facts["trained_on"],
                "candidate_items": len(facts["item_ids"]),
            },
            teacher=teacher,
        )
        progress.info(
            "fitted on %s interactions instead of %s, with %s items instead of %s, in %.0f s",
            *(f"{len(data.train.items):,}", f"{facts['trained_on']:,}", f"{len(data.ids):,}"),
            *(f"{len(facts['item_ids']):,}", time.monotonic() - started),
        )
