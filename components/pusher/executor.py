"""The executor of the Pusher: converts, checks and publishes a model."""

from __future__ import annotations

import json
import logging
import math
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, get_args

import tensorflow as tf
from tfx.components.util import model_utils
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import Artifact, artifact_utils
from tfx.utils import io_utils, path_utils
from tfx.utils.typing_utils import ArtifactMultiDict

from components import features
from components.addresses import address
from components.chance import SURE
from components.errors import StepError
from components.evaluation import read_metrics
from components.evaluator.gate import read_verdict
from components.pusher import manifest
from components.pusher.candidates import File, choose, make_files
from components.pusher.check import Check, check_files, require_agreement
from components.pusher.rollback import AnyStore, damage, open_store, rolled_back
from components.pusher.settings import Precision, PusherSettings
from components.pusher.signatures import check_signatures
from components.pusher.store import COMPLETE, StoreError
from components.settings import STEP
from on_device.artifact import FORMAT, INFO, ITEMS, MODEL
from on_device.errors import ArtifactError
from on_device.recommender import Recommender
from on_device.tflite_model import RECOMMEND

progress = logging.getLogger("recommender.progress")

# For each id in `model_info.json`, the name of the input.
_INPUTS = {
    "model_id": "model",
    "refitted_model_id": "refitted_model",
    "evaluation_id": "evaluation",
    "blessing_id": "model_blessing",
    "catalog_id": "catalog",
    "examples_id": "examples",
}


class Executor(base_executor.BaseExecutor):
    """Publishes a blessed model."""

    def Do(
        self, input_dict: ArtifactMultiDict, output_dict: ArtifactMultiDict, exec_properties: dict[str, Any]
    ) -> None:
        """See the base class.

        Raises:
            StepError: the file does not match the SavedModel, the serving folder is not writable, or the model is not
                blessed and `fail_unblessed` is set.
        """
        pushed = artifact_utils.get_single_instance(output_dict["pushed_model"])
        if not model_utils.is_model_blessed(artifact_utils.get_single_instance(input_dict["model_blessing"])):
            if exec_properties.get("fail_unblessed"):
                evaluation = artifact_utils.get_single_uri(input_dict["evaluation"])
                raise StepError(f"the model is not blessed: {'; '.join(read_verdict(evaluation).reasons)}")
            pushed.set_int_custom_property("pushed", 0)
            progress.info("the model is not blessed, so nothing is pushed")
            return
        settings = PusherSettings.model_validate_json(exec_properties["settings"])
        inputs = {name: artifact_utils.get_single_instance(artifacts) for name, artifacts in input_dict.items()}
        facts = {
            "format": FORMAT,
            "pipeline": exec_properties["pipeline_name"],
            "version": "",  # Set when the version is published.
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "code_version": exec_properties["code_version"],
            "mlmd": self._metadata_ids(inputs, pushed.uri),
        }
        try:
            store = open_store(exec_properties["push_root"], exec_properties["pipeline_name"])
            with store.push() as staging:
                info = write_version(staging, inputs, settings, facts)
                version = _publish(store, staging, info)
        except (StoreError, ArtifactError) as error:
            raise StepError(str(error)) from error
        pushed.set_int_custom_property("pushed", 1)
        pushed.set_string_custom_property("pushed_destination", f"{store.folder}/{version}")
        pushed.set_string_custom_property("pushed_version", version)
        pushed.set_string_custom_property("sha256", info["sha256"][MODEL])

    def _metadata_ids(self, inputs: dict[str, Artifact], pushed: str) -> dict[str, int | str | None]:
        """Returns ids of the inputs and of this execution: ids of ML Metadata, or URIs on a cluster.

        On a cluster, TFX does not know the ids and generates random 63-bit numbers.
        """
        on_cluster = bool(os.environ.get(STEP))
        ids: dict[str, int | str | None] = dict.fromkeys(_INPUTS)
        for key, name in _INPUTS.items():
            if name in inputs:
                ids[key] = address(inputs[name].uri) if on_cluster else inputs[name].id
        if on_cluster:
            return {**ids, "execution_id": os.path.dirname(address(pushed))}  # The folder of the task, below the run's.
        # TFX passes the id of the execution only under this name.
        execution = (self._context._unique_id if self._context else "") or ""
        return {**ids, "execution_id": int(execution) if execution.isdecimal() else execution}


def write_version(
    folder: Path, inputs: dict[str, Artifact], settings: PusherSettings, facts: dict[str, Any]
) -> dict[str, Any]:
    """Converts a model, and checks the file with the client that apps use.

    A refitted model, if there is one, is pushed instead of the evaluated one. The precision and the metrics still come
    from the evaluated model, because the refitted one was trained on the test split. The refitted model's file is only
    compared with its own SavedModel.

    Args:
        folder: an empty folder; receives the model, the catalogue and a preliminary `model_info.json`.
        inputs: inputs of the Pusher.
        settings: settings of the Pusher.
        facts: other facts for `model_info.json`.

    Returns:
        The final content of `model_info.json`.

    Raises:
        StepError: a file fails a check.
    """
    evaluated = _Model(inputs["model"], inputs["catalog"].uri, settings)
    dataset = _read_json(inputs["catalog"].uri, "dataset.json")
    evaluation = read_metrics(inputs["evaluation"].uri)["overall"]
    eval_files, test_files = (_split_files(inputs["examples"], split) for split in (features.EVAL, features.TEST))

    progress.debug("converting the model and checking the files on the eval split")
    precisions = get_args(Precision) if settings.precision == "auto" else (settings.precision,)
    files = make_files(evaluated.loaded, evaluated.parsed_items, evaluated.facts, precisions, settings.signatures)
    checks = check_files(evaluated.loaded, [file.recommender for file in files], eval_files, settings.check_examples)
    chosen = file = choose(files, checks, settings)
    _report(files, checks, chosen)
    pushed = evaluated
    evaluated_check: Check | None = None
    if "refitted_model" in inputs:
        progress.debug("checking the file of the evaluated model on the test split, and converting the refitted one")
        (evaluated_check,) = check_files(evaluated.loaded, [chosen.recommender], test_files, settings.check_examples)
        require_agreement(evaluated_check, settings, evaluation)
        pushed = _Model(inputs["refitted_model"], inputs["catalog"].uri, settings)
        (file,) = make_files(pushed.loaded, pushed.parsed_items, pushed.facts, [chosen.precision], settings.signatures)
    (folder / MODEL).write_bytes(file.content)
    (folder / ITEMS).write_text(json.dumps(pushed.items, ensure_ascii=False), encoding="utf-8")
    info = {
        **facts,
        "precision": file.precision,
        "min_runtime": file.min_runtime,
        "precisions": [
            {**choice.facts(check), "chosen": choice is chosen} for choice, check in zip(files, checks, strict=True)
        ],
        **manifest.describe_model(pushed.facts, dataset),
        "refit": manifest.describe_refit(pushed.facts) if evaluated_check else None,
        **manifest.describe_files(folder),
    }
    (folder / INFO).write_text(json.dumps(info), encoding="utf-8")

    progress.debug("checking the file on the test split")
    (check,) = check_files(pushed.loaded, [Recommender.load(folder)], test_files, settings.check_examples)
    require_agreement(check, settings, None if evaluated_check else evaluation)
    signatures = check_signatures(pushed.loaded, Recommender.load(folder), test_files)
    if evaluated_check:
        _require_recall(check, evaluated_check)
    metrics = (evaluated_check or check).metrics
    progress.info(
        "%s, %.2f MB, agreement %.2f%%, Recall@10 %.4f%s, %.0f µs with XNNPACK and %.0f µs without",
        *(file.precision, info["size_bytes"] / 1e6, 100 * check.agreement_at_10),
        *(metrics["recall_at_10"], " before the refit" if evaluated_check else ""),
        *(file.latency_us, file.latency_without_xnnpack_us),
    )
    return {
        **info,
        "metrics": manifest.describe_metrics(evaluation, metrics),
        "examples": check.examples,
        "unreachable": evaluation["unreachable"],
        "agreement_at_10": check.agreement_at_10,
        "signatures": {RECOMMEND: {"latency_us": file.latency_us}, **signatures},
        "latency_us": file.latency_us,
        "latency_without_xnnpack_us": file.latency_without_xnnpack_us,
    }


class _Model:
    """A SavedModel, its facts and its items.

    Args:
        model: the Model artifact.
        catalog_uri: folder of an ItemCatalog artifact.
        settings: settings of the Pusher.
    """

    def __init__(self, model: Artifact, catalog_uri: str, settings: PusherSettings):
        folder = path_utils.serving_model_path(model.uri)
        self.loaded = tf.saved_model.load(folder)
        self.facts = _read_json(folder, "model_facts.json")
        self.items = manifest.make_items(self.facts, catalog_uri, settings.item_counts)
        self.parsed_items = manifest.parse_items(self.items)


def _require_recall(refitted: Check, evaluated: Check) -> None:
    """Checks that the refitted model is as good on the test split, which it saw, as the model that did not see it.

    Raises:
        StepError: the recall of the refitted model is significantly lower.
    """
    recall, before = refitted.recall, evaluated.recall
    if recall + SURE * math.sqrt(before * (1 - before) / evaluated.examples) < before:
        raise StepError(
            f"the refitted model has {refitted.recall_name} {recall:.4f} on the test split, which it was fitted on, "
            f"but the evaluated model has {before:.4f} without it: the refit failed; nothing is pushed; push the "
            "evaluated model with --set refit=false"
        )


def _split_files(examples: Artifact, split: str) -> list[str]:
    """Returns the paths of the files of a split."""
    folder = artifact_utils.get_split_uri([examples], split)
    return [os.fsdecode(path) for path in fileio.glob(os.path.join(folder, "*"))]


def _report(files: list[File], checks: list[Check], chosen: File) -> None:
    """Logs the files among which one was chosen, if there are several."""
    for file, check in zip(files, checks, strict=True) if len(files) > 1 else []:
        progress.info(
            "%-12s  %5.2f MB  eval Recall@10 %.4f  agreement %6.2f%%  %4.0f µs%s",
            *(file.precision, len(file.content) / 1e6, check.metrics["recall_at_10"]),
            *(100 * check.agreement_at_10, file.latency_us, "  chosen" if file is chosen else ""),
        )


def _publish(store: AnyStore, staging: Path, info: dict[str, Any]) -> str:
    """Publishes a staged version, unless the same files were pushed before; returns the name of the version.

    The same files may be in the served version or, if a push was killed before it ended, in the newest one. A version
    that was rolled back is not served again.
    """
    versions = store.versions()
    for name, entry in rolled_back(store).items():
        if name in versions and _has_files(store, name, info):
            progress.info(
                "these files are version %s, which %s rolled back on %s: version %s stays served",
                *(name, entry["who"], entry["time"], store.latest()),
            )
            return name
    for name in dict.fromkeys([store.latest() or "", *versions[-1:]]):
        if name in versions and _has_files(store, name, info):
            store.point_latest_at(name)
            progress.info("these files are already version %s", name)
            return name
    version = store.publish(staging, info)
    progress.info("pushed as version %s", version)
    return version


def _has_files(store: AnyStore, version: str, info: dict[str, Any]) -> bool:
    """Returns whether a version is undamaged and has the files that `info` describes."""
    if damage(store, version):
        return False
    version_info: dict[str, Any] = json.loads(store.read(version, COMPLETE))
    return bool(version_info.get("source_model") == info["source_model"])


def _read_json(folder: str, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(io_utils.read_string_file(os.path.join(folder, name)))
    return content
