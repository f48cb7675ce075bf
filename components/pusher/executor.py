"""The work of the Pusher: convert, check, publish."""

from __future__ import annotations

import json
import logging
import math
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

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
from components.evaluation import read_metrics
from components.evaluator.gate import read_verdict
from components.pusher import manifest
from components.pusher.candidates import Candidate, File, choose, make_candidates, make_files
from components.pusher.check import Check, check_files, complain
from components.pusher.errors import PushError
from components.pusher.rollback import AnyStore, damage, open_store, rolled_back
from components.pusher.settings import PusherSettings
from components.pusher.signatures import check_signatures
from components.pusher.store import COMPLETE, StoreError
from components.settings import STEP
from on_device.artifact import FORMAT, INFO, ITEMS, MODEL
from on_device.errors import ArtifactError
from on_device.recommender import Recommender
from on_device.tflite_model import RECOMMEND

progress = logging.getLogger("recommender.progress")


class Executor(base_executor.BaseExecutor):
    """Publishes a blessed model."""

    def Do(
        self, input_dict: ArtifactMultiDict, output_dict: ArtifactMultiDict, exec_properties: dict[str, Any]
    ) -> None:
        """See the base class.

        Raises:
            PushError: the file does not do what the SavedModel does, the serving folder cannot be written to, or, where
                that is an error, the model is not blessed.
        """
        pushed = artifact_utils.get_single_instance(output_dict["pushed_model"])
        if not model_utils.is_model_blessed(artifact_utils.get_single_instance(input_dict["model_blessing"])):
            if exec_properties.get("fail_unblessed"):
                evaluation = artifact_utils.get_single_uri(input_dict["evaluation"])
                raise PushError(f"the model is not blessed: {'; '.join(read_verdict(evaluation).reasons)}")
            pushed.set_int_custom_property("pushed", 0)
            progress.info("the model is not blessed, so nothing is pushed")
            return
        settings = PusherSettings.model_validate_json(exec_properties["settings"])
        inputs = {name: artifact_utils.get_single_instance(artifacts) for name, artifacts in input_dict.items()}
        facts = {
            "format": FORMAT,
            "pipeline": exec_properties["pipeline_name"],
            "version": "",  # Given when it is published.
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
            raise PushError(str(error)) from error
        pushed.set_int_custom_property("pushed", 1)
        pushed.set_string_custom_property("pushed_destination", str(version))
        pushed.set_string_custom_property("pushed_version", os.path.basename(version))
        pushed.set_string_custom_property("sha256", info["sha256"][MODEL])

    def _metadata_ids(self, inputs: dict[str, Artifact], pushed: str) -> dict[str, int | str | None]:
        """Returns what identifies the inputs and this execution: ids of ML Metadata, or URIs on a cluster.

        There, TFX is not given the ids, and makes up numbers of 63 bits, which nobody else knows.
        """
        refitted = inputs.get("refitted_model")
        if os.environ.get(STEP):
            uris = {name: address(artifact.uri) for name, artifact in inputs.items()}
            return {
                "model_id": uris["model"],
                "refitted_model_id": uris.get("refitted_model"),
                "evaluation_id": uris["evaluation"],
                "blessing_id": uris["model_blessing"],
                "catalog_id": uris["catalog"],
                "examples_id": uris["examples"],
                "execution_id": os.path.dirname(address(pushed)),  # The task's folder, in the run's.
            }
        # TFX hands an executor the id of its execution under this name alone.
        execution = (self._context._unique_id if self._context else "") or ""
        return {
            "model_id": inputs["model"].id,
            "refitted_model_id": refitted.id if refitted else None,
            "evaluation_id": inputs["evaluation"].id,
            "blessing_id": inputs["model_blessing"].id,
            "catalog_id": inputs["catalog"].id,
            "examples_id": inputs["examples"].id,
            "execution_id": int(execution) if execution.isdecimal() else execution,
        }


def write_version(
    folder: Path, inputs: dict[str, Artifact], settings: PusherSettings, facts: dict[str, Any]
) -> dict[str, Any]:
    """Converts a model, and checks the file as a user would run it.

    Where there is a refitted model, it is the one that is pushed. Precision and metrics are those of the evaluated
    model, since the refitted one knows the test split; its own file must agree with it.

    Args:
        folder: empty; receives the model, the catalogue and `model_info.json`.
        inputs: the Pusher's.
        settings: of the Pusher.
        facts: that `model_info.json` says besides.

    Returns:
        What `model_info.json` must say in the end.

    Raises:
        PushError: a file fails the check.
    """
    evaluated = _Model(inputs["model"], inputs["catalog"].uri, settings)
    dataset = _read_json(inputs["catalog"].uri, "dataset.json")
    evaluation = read_metrics(inputs["evaluation"].uri)["overall"]
    evals, tests = (_files_of(inputs["examples"], split) for split in (features.EVAL, features.TEST))

    progress.debug("converting the model and trying it on the eval split")
    candidates = make_candidates(evaluated.loaded, evaluated.parsed_items, evaluated.facts, evals, settings)
    chosen = choose(candidates, settings)
    _report(candidates, chosen)
    pushed = evaluated
    file: File = chosen
    check_of_evaluated: Check | None = None
    if "refitted_model" in inputs:
        progress.debug("checking the file of the evaluated model on the test split, and converting the refitted one")
        (check_of_evaluated,) = check_files(evaluated.loaded, [chosen.recommender], tests, settings.check_examples)
        complain(check_of_evaluated, settings, evaluation)
        pushed = _Model(inputs["refitted_model"], inputs["catalog"].uri, settings)
        (file,) = make_files(pushed.loaded, pushed.parsed_items, pushed.facts, [chosen.precision], settings.signatures)
    (folder / MODEL).write_bytes(file.content)
    (folder / ITEMS).write_text(json.dumps(pushed.items, ensure_ascii=False), encoding="utf-8")
    info = {
        **facts,
        "precision": file.precision,
        "min_runtime": file.min_runtime,
        "precisions": [{**candidate.facts(), "chosen": candidate is chosen} for candidate in candidates],
        **manifest.describe_model(pushed.facts, dataset),
        "refit": manifest.describe_refit(pushed.facts) if check_of_evaluated else None,
        **manifest.describe_files(folder),
    }
    (folder / INFO).write_text(json.dumps(info), encoding="utf-8")

    progress.debug("checking the file on the test split")
    (check,) = check_files(pushed.loaded, [Recommender.load(folder)], tests, settings.check_examples)
    complain(check, settings, None if check_of_evaluated else evaluation)
    signatures = check_signatures(pushed.loaded, Recommender.load(folder), tests)
    if check_of_evaluated:
        _compare(check, check_of_evaluated)
    progress.info(
        "%s, %.2f MB, agreement %.2f%%, Recall@10 %.4f%s, %.0f µs with XNNPACK and %.0f µs without",
        *(file.precision, info["size_bytes"] / 1e6, 100 * check.agreement_at_10),
        *((check_of_evaluated or check).metrics["recall_at_10"], " before the refit" if check_of_evaluated else ""),
        *(file.latency_us, file.latency_without_xnnpack_us),
    )
    return {
        **info,
        "metrics": manifest.describe_metrics(evaluation, (check_of_evaluated or check).metrics),
        "examples": check.examples,
        "unreachable": evaluation["unreachable"],
        "agreement_at_10": check.agreement_at_10,
        "signatures": {RECOMMEND: {"latency_us": file.latency_us}, **signatures},
        "latency_us": file.latency_us,
        "latency_without_xnnpack_us": file.latency_without_xnnpack_us,
    }


class _Model:
    """A SavedModel and the facts about it.

    Args:
        model: the artifact.
        catalog_uri: folder of the items.
        settings: of the Pusher.
    """

    def __init__(self, model: Artifact, catalog_uri: str, settings: PusherSettings):
        folder = path_utils.serving_model_path(model.uri)
        self.loaded = tf.saved_model.load(folder)
        self.facts = _read_json(folder, "model_facts.json")
        self.items = manifest.make_items(self.facts, catalog_uri, settings.item_counts)
        self.parsed_items = manifest.parse_items(self.items)


def _compare(refitted: Check, evaluated: Check) -> None:
    """Refuses a refitted model that knows the test targets less well than the model that never saw them.

    Raises:
        PushError: its recall is lower beyond chance.
    """
    recall, before = refitted.recall, evaluated.recall
    if recall + SURE * math.sqrt(before * (1 - before) / evaluated.examples) < before:
        raise PushError(
            f"the refitted model has {refitted.recall_name} {recall:.4f} on the test split that it was fitted on, and "
            f"the evaluated one {before:.4f} without it, so that the refit went wrong; nothing is pushed; push the "
            "evaluated model with --set refit=false"
        )


def _files_of(examples: Artifact, split: str) -> list[str]:
    """The files of a split."""
    folder = artifact_utils.get_split_uri([examples], split)
    return [os.fsdecode(path) for path in fileio.glob(os.path.join(folder, "*"))]


def _report(candidates: list[Candidate], chosen: Candidate) -> None:
    """Tell what was tried, where there was a choice."""
    for candidate in candidates if len(candidates) > 1 else []:
        progress.info(
            "%-12s  %5.2f MB  eval Recall@10 %.4f  agreement %6.2f%%  %4.0f µs%s",
            *(candidate.precision, len(candidate.content) / 1e6, candidate.check.metrics["recall_at_10"]),
            *(100 * candidate.check.agreement_at_10, candidate.latency_us, "  chosen" if candidate is chosen else ""),
        )


def _publish(store: AnyStore, staging: Path, info: dict[str, Any]) -> str | Path:
    """Publish a staged version, unless it is there already.

    The one that is served may be the same, or the newest, whose push was killed before it could tell. One that was
    rolled back stays so, until a person decides otherwise.
    """
    versions = store.versions()
    for name, entry in rolled_back(store).items():
        if name in versions and _is_of(store, name, info):
            progress.info(
                "this file is version %s, which %s took out of service on %s: %s stays served",
                *(name, entry["who"], entry["time"], store.latest()),
            )
            return _address(store, name)
    for same in dict.fromkeys([store.latest() or "", *versions[-1:]]):
        if same in versions and _is_of(store, same, info):
            store.point_latest_at(same)
            progress.info("this file is version %s already", same)
            return _address(store, same)
    version = store.publish(staging, info)
    progress.info("pushed as version %s", os.path.basename(version))
    return version


def _is_of(store: AnyStore, version: str, info: dict[str, Any]) -> bool:
    """Whether a version holds, undamaged, the files that some information is about."""
    if damage(store, version):
        return False
    held: dict[str, Any] = json.loads(store.read(version, COMPLETE))
    return bool(held["source_model"] == info["source_model"])


def _address(store: AnyStore, version: str) -> str:
    return f"{store.folder}/{version}"


def _read_json(folder: str, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(io_utils.read_string_file(os.path.join(folder, name)))
    return content
