"""How the steps fit together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tensorflow_data_validation import StatsOptions
from tfx.components import StatisticsGen, Transform, Tuner  # `tfx.v1` costs seconds more
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import trainer_pb2, transform_pb2
from tfx.types import BaseChannel, Channel, standard_artifacts

from components import features
from components.code_version import code_version, file_version, library_version, step_version
from components.evaluator.baseline import BLESSING, CANDIDATE, MODEL, BestOtherBlessedModel
from components.evaluator.component import FLOOR, MAX_USERS, RECORD, GatingEvaluator
from components.evaluator.eval_config import make_eval_config
from components.evaluator.last_blessed import LastBlessedModel
from components.evaluator.settings import GateSettings
from components.example_gen.component import RatingsExampleGen
from components.example_validator.component import StrictExampleValidator
from components.pusher.component import TFLitePusher
from components.refit.component import Refit
from components.trainer.component import RecommenderTrainer
from components.trainer.settings import TrainerSettings
from pipeline import steps
from pipeline.config import PipelineConfig

SCHEMA = Path(__file__).parent.parent / "data" / "schema.pbtxt"


@dataclass(frozen=True)
class Places:
    """Where a run reads and writes.

    Attributes:
        data: path or URI of a folder, a pattern, a zip or a file with interactions; or a runtime parameter for it.
        data_fingerprint: SHA-256 of its content; empty where it is not known yet.
        cache_dir: folder for unpacked archives.
        pipeline_root: folder of the artifacts of every run.
        serving_root: folder where models are pushed to.
        statistics_record: file that names the statistics of the last run's data.
        schema: the curated schema file.
        blessed_record: file that names the last blessed models, for engines whose pipelines cannot look it up in ML
            Metadata; empty for those that can.
    """

    data: Any
    data_fingerprint: str
    cache_dir: str
    pipeline_root: str
    serving_root: str
    statistics_record: str
    schema: str = str(SCHEMA)
    blessed_record: str = ""


def create_pipeline(
    config: PipelineConfig,
    places: Places,
    *,
    enable_cache: bool = True,
    metadata_connection_config: metadata_store_pb2.ConnectionConfig | None = None,
    beam_pipeline_args: list[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Pipeline:
    """The pipeline from ratings to a pushed file. Pure: nothing is read, written or run.

    Args:
        config: what to compute.
        places: where to read and write.
        enable_cache: whether results of earlier runs may be taken.
        metadata_connection_config: of the ML Metadata store, for runners that need it told.
        beam_pipeline_args: for the steps that run on Beam.
        parameters: runtime parameters, given when a compiled pipeline is started: any setting of the Trainer, and
            `min_recall_at_10` of the gate, by name. They win over the configuration.
    """
    parameters = parameters or {}

    # Ratings -> one example per user timeline, split by time, and the catalogue of items.
    example_gen = RatingsExampleGen(
        data=places.data,
        data_fingerprint=places.data_fingerprint,
        cache_dir=places.cache_dir,
        reading=config.reading,
        settings=config.example_gen,
        with_all=config.refits,
        drop_repeats=config.trainer.repeats == "drop",
    ).with_id(steps.EXAMPLE_GEN)

    # What the timelines look like, in numbers.
    statistics_gen = StatisticsGen(
        examples=example_gen.outputs["examples"],
        exclude_splits=[features.CATALOG, features.WORDS, features.ALL],
        # Sketches: the exact way hands Beam an element for each value of each batch. Numbers of different values are
        # exact up to 65,536 of them.
        stats_options=StatsOptions(use_sketch_based_topk_uniques=True),
    )
    # The stock component's cache knows its inputs and options, but not the libraries that count.
    statistics_gen.spec.exec_properties["code"] = library_version("tfx", "tensorflow-data-validation")

    # What they must look like, as a person wrote it down.
    schema_gen = ImportSchemaGen(schema_file=places.schema).with_id(steps.SCHEMA_GEN)
    # The stock component is cached by the path of the file; its content decides the result.
    schema_gen.spec.exec_properties["content"] = file_version("data/schema.pbtxt")

    # Compares the two, and the data with that of the last run; an anomaly, or too much drift, stops the run.
    example_validator = StrictExampleValidator(
        statistics=statistics_gen.outputs["statistics"],
        schema=schema_gen.outputs["schema"],
        catalog=example_gen.outputs["catalog"],
        record=places.statistics_record,
        made_by=config.example_gen.model_dump_json(exclude={"max_bad_rows"}),
        settings=config.validation,
    ).with_id(steps.EXAMPLE_VALIDATOR)

    columns = list(map(features.activity_input, features.activity_columns(config.trainer.activity_features)))

    # Vocabularies of the catalogue, which knows each item's train events; indices, fixed-length histories.
    def make_transform(step: str, after: BaseNode, splits: list[str], refit: bool) -> Transform:
        more = {"item_features": config.trainer.item_features} if refit or config.transform.catalog == "all" else {}
        analyzed = [features.CATALOG, *([features.WORDS] if columns else [])]
        transform = Transform(
            examples=example_gen.outputs["examples"],
            schema=schema_gen.outputs["schema"],
            preprocessing_fn="components.transform.preprocessing.preprocessing_fn",
            splits_config=transform_pb2.SplitsConfig(analyze=analyzed, transform=[*splits, features.CATALOG]),
            custom_config={
                **{"settings": config.transform.model_dump(), "code": step_version("transform"), "refit": refit},
                **more,
                **({"activity_columns": columns} if columns else {}),
            },
            disable_statistics=True,
            disable_analyzer_cache=True,  # What is analysed, the catalog split, is read as fast as a cache of it.
        )
        transform.add_upstream_node(after)
        return transform.with_id(step)

    transform = make_transform(steps.TRANSFORM, example_validator, [features.TRAIN, features.EVAL], refit=False)

    training = {
        "examples": transform.outputs["transformed_examples"],
        "transform_graph": transform.outputs["transform_graph"],
        "train_args": trainer_pb2.TrainArgs(splits=[features.TRAIN, features.CATALOG]),
        "eval_args": trainer_pb2.EvalArgs(splits=[features.EVAL]),
    }

    # Optional: short fits with other settings of the Trainer; those that are best on the eval split win over its own.
    tuner = None
    if config.tuner.enabled:
        tuner = Tuner(
            tuner_fn="components.tuner.run.tuner_fn",
            custom_config={
                # Trials have a budget of their own: with another one for the Trainer, the search still holds.
                "settings": config.trainer.model_dump(mode="json", exclude={"max_epochs", "max_minutes"}),
                "tuner": config.tuner.model_dump(mode="json"),
                "code": f"{step_version('tuner')} {step_version('trainer')}",
            },
            **training,
        )

    # Optional: the last blessed model, whose weights the Trainer begins with.
    last_blessed: BaseNode | None = None
    if config.trainer.warm_start:
        last_blessed = _blessed_model(
            steps.WARM_START, GateSettings(baseline_runs=1, damaged_baseline="skip"), places.blessed_record
        )

    # Fits a recommender; keeps the epoch that is best on the eval split.
    def make_trainer(step: str, settings: TrainerSettings, **more: Any) -> RecommenderTrainer:
        return RecommenderTrainer(
            run_fn="components.trainer.run.run_fn",
            custom_config={
                "settings": settings.model_dump(mode="json"),
                "checkpoints": os.path.join(places.pipeline_root, "checkpoints"),
                "split": config.example_gen.split,
                "code": step_version("trainer"),
                **({"teaches": True} if step == steps.TEACHER else {}),
            },
            **more,
            **training,
        ).with_id(step)

    # Optional: a larger model, from which the Trainer's model learns.
    teacher = make_trainer(steps.TEACHER, config.teacher) if config.teacher else None

    trainer = make_trainer(
        steps.TRAINER,
        config.trainer,
        hyperparameters=tuner.outputs["best_hyperparameters"] if tuner else None,
        base_model=last_blessed.outputs["model"] if last_blessed else None,
        teacher=teacher.outputs["model"] if teacher else None,
        overrides={name: value for name, value in parameters.items() if name in TrainerSettings.model_fields},
    )

    # The best of the last models that were good enough, to compare with.
    best_blessed = _blessed_model(
        steps.RESOLVER, config.gate, places.blessed_record, {CANDIDATE: trainer.outputs["model"]}
    )

    # Ranks the whole catalogue for every user of the test split, and blesses the model or not.
    evaluator = GatingEvaluator(
        examples=example_gen.outputs["examples"],
        example_splits=[features.TEST],
        model=trainer.outputs["model"],
        baseline_model=best_blessed.outputs["model"],
        eval_config=make_eval_config(config.gate),
        parameters={
            **({RECORD: places.blessed_record} if places.blessed_record else {}),
            **({FLOOR: parameters[FLOOR]} if FLOOR in parameters else {}),
            **({MAX_USERS: config.gate.max_users} if config.gate.max_users else {}),
        },
    ).with_id(steps.EVALUATOR)

    # A blessed model learns what was held out, and gets to know the items that are new in it.
    refit_transform, refit = None, None
    if config.refits:
        refit_transform = make_transform(steps.REFIT_TRANSFORM, evaluator, [features.ALL], refit=True)
        refit = Refit(
            candidate=trainer.outputs["model"],
            model_blessing=evaluator.outputs["blessing"],
            examples=refit_transform.outputs["transformed_examples"],
            transform_graph=refit_transform.outputs["transform_graph"],
            checkpoints=os.path.join(places.pipeline_root, "checkpoints"),
            teacher=teacher.outputs["model"] if teacher else None,
        ).with_id(steps.REFIT)

    # Converts a blessed model, checks the file as a device would run it, and publishes it.
    pusher = TFLitePusher(
        model=trainer.outputs["model"],
        refitted_model=refit.outputs["model"] if refit else None,
        model_blessing=evaluator.outputs["blessing"],
        evaluation=evaluator.outputs["evaluation"],
        catalog=example_gen.outputs["catalog"],
        examples=example_gen.outputs["examples"],
        pipeline_name=config.name,
        push_root=places.serving_root,
        settings=config.pusher.model_dump_json(),
        code_version=code_version(),
        fail_unblessed=config.gate.fail_run,
    ).with_id(steps.PUSHER)

    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=places.pipeline_root,
        components=[
            example_gen,
            statistics_gen,
            schema_gen,
            example_validator,
            transform,
            *([tuner] if tuner else []),
            *([last_blessed] if last_blessed else []),
            *([teacher] if teacher else []),
            trainer,
            best_blessed,
            evaluator,
            *([refit_transform, refit] if refit_transform and refit else []),
            pusher,
        ],
        enable_cache=enable_cache,
        metadata_connection_config=metadata_connection_config,
        beam_pipeline_args=beam_pipeline_args or [],
    )


def _blessed_model(
    step: str, settings: GateSettings, record: str, candidate: Mapping[str, BaseChannel] | None = None
) -> BaseNode:
    """Returns the step that finds an earlier model: the best of the last blessed ones, but never the candidate.

    Args:
        step: its name.
        settings: which of the models.
        record: file that names them, for engines whose pipelines cannot look it up in ML Metadata; or empty.
        candidate: channel of the model that they are compared with, by the name of the resolver's input; None before
            there is one.
    """
    if record:
        return LastBlessedModel(record, settings).with_id(step)
    return Resolver(
        strategy_class=BestOtherBlessedModel,
        config={
            "runs": settings.baseline_runs,
            "pinned": settings.baseline_model,
            "on_damage": settings.damaged_baseline,
        },
        **{MODEL: Channel(type=standard_artifacts.Model), BLESSING: Channel(type=standard_artifacts.ModelBlessing)},
        **(candidate or {}),
    ).with_id(step)
