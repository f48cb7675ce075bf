"""Connects the steps of the pipeline.

Files with the code of the steps, in `components/`; the steps marked TFX are those of TFX itself:

    ExampleGen          example_gen/executor.py
    StatisticsGen       TFX
    SchemaGen           TFX, with data/schema.pbtxt
    ExampleValidator    example_validator/executor.py
    Transform           transform/preprocessing.py
    Tuner               tuner/run.py
    WarmStart           evaluator/baseline.py; on a cluster evaluator/last_blessed.py
    Teacher, Trainer    trainer/run.py
    LatestBlessedModel  as WarmStart
    Evaluator           evaluator/component.py
    RefitTransform      as Transform
    Refit               refit/executor.py
    Pusher              pusher/executor.py
"""

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
from components.evaluator.last_blessed import BASELINE_SETTINGS, LastBlessedModel
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
        data_fingerprint: SHA-256 of the content; empty if it is not known yet.
        cache_dir: folder for unpacked archives.
        pipeline_root: folder of the artifacts of every run.
        serving_root: folder that models are pushed to.
        statistics_record: file that names the statistics of the last run's data.
        schema: the curated schema file.
        blessed_record: file that names the last blessed models, for engines whose pipelines cannot query ML Metadata;
            empty for other engines.
    """

    data: Any
    data_fingerprint: str
    cache_dir: str
    pipeline_root: str
    serving_root: str
    statistics_record: str
    schema: str = str(SCHEMA)
    blessed_record: str = ""

    @property
    def checkpoints(self) -> str:
        """Returns the folder for the checkpoints of interrupted fits."""
        return os.path.join(self.pipeline_root, "checkpoints")


def create_pipeline(
    config: PipelineConfig,
    places: Places,
    *,
    enable_cache: bool = True,
    metadata_connection_config: metadata_store_pb2.ConnectionConfig | None = None,
    beam_pipeline_args: list[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Pipeline:
    """Returns the pipeline from interactions to a pushed file, without reading, writing or running anything.

    Args:
        config: the configuration.
        places: where to read and write.
        enable_cache: whether a step may reuse the result of an earlier run.
        metadata_connection_config: connection to the ML Metadata store, for runners that need it.
        beam_pipeline_args: Beam's arguments for the steps that run on Beam.
        parameters: runtime parameters by name, set when a compiled pipeline is started: any setting of the Trainer, and
            `min_recall_at_10` of the gate. They override the configuration.
    """
    parameters = parameters or {}

    # Splits the interactions by time: one example per user timeline, and the item catalogue.
    example_gen = RatingsExampleGen(
        data=places.data,
        data_fingerprint=places.data_fingerprint,
        cache_dir=places.cache_dir,
        reading=config.reading,
        settings=config.example_gen,
        with_all=config.refits,
        drop_repeats=config.trainer.repeats == "drop",
    ).with_id(steps.EXAMPLE_GEN)

    # Computes statistics of the timelines.
    statistics_gen = StatisticsGen(
        examples=example_gen.outputs["examples"],
        exclude_splits=[features.CATALOG, features.WORDS, features.ALL],
        # Sketches, because the exact computation gives Beam an element for each value of each batch. Counts of unique
        # values are exact up to 65,536.
        stats_options=StatsOptions(use_sketch_based_topk_uniques=True),
    )
    # The cache key of the stock component covers its inputs and options, but not the libraries that count.
    statistics_gen.spec.exec_properties["code"] = library_version("tfx", "tensorflow-data-validation")

    # Imports the curated schema.
    schema_gen = ImportSchemaGen(schema_file=places.schema).with_id(steps.SCHEMA_GEN)
    # The cache key of the stock component covers the path of the file, but not its content.
    schema_gen.spec.exec_properties["content"] = file_version("data/schema.pbtxt")

    # Compares the statistics with the schema and with the last run's statistics; anomalies or drift stop the run.
    example_validator = StrictExampleValidator(
        statistics=statistics_gen.outputs["statistics"],
        schema=schema_gen.outputs["schema"],
        catalog=example_gen.outputs["catalog"],
        record=places.statistics_record,
        made_by=config.example_gen.model_dump_json(exclude={"max_bad_rows"}),
        settings=config.validation,
    ).with_id(steps.EXAMPLE_VALIDATOR)

    # Builds vocabularies from the catalogue, which has each item's training events, and fixed-length histories.
    columns = list(map(features.activity_input, features.activity_columns(config.trainer.activity_features)))

    def make_transform(step: str, after: BaseNode, splits: list[str], refit: bool) -> Transform:
        custom_config = {"settings": config.transform.model_dump(), "code": step_version("transform"), "refit": refit}
        if refit or config.transform.catalog == "all":
            custom_config["item_features"] = config.trainer.item_features
        analyzed = [features.CATALOG]
        if columns:
            custom_config["activity_columns"] = columns
            analyzed.append(features.WORDS)
        transform = Transform(
            examples=example_gen.outputs["examples"],
            schema=schema_gen.outputs["schema"],
            preprocessing_fn="components.transform.preprocessing.preprocessing_fn",
            splits_config=transform_pb2.SplitsConfig(analyze=analyzed, transform=[*splits, features.CATALOG]),
            custom_config=custom_config,
            disable_statistics=True,
            disable_analyzer_cache=True,  # Reading the catalogue is as fast as reading a cache of it.
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

    # Optional: short fits with other settings of the Trainer; the best settings on the eval split replace its own.
    tuner = None
    if config.tuner.enabled:
        tuner = Tuner(
            tuner_fn="components.tuner.run.tuner_fn",
            custom_config={
                # Trials have their own budget, so another budget of the Trainer does not invalidate the search.
                "settings": config.trainer.model_dump(mode="json", exclude={"max_epochs", "max_minutes"}),
                "tuner": config.tuner.model_dump(mode="json"),
                "code": f"{step_version('tuner')} {step_version('trainer')}",
            },
            **training,
        )

    # Optional: finds the last blessed model, whose weights initialize the Trainer's model.
    warm_start = None
    if config.trainer.warm_start:
        last_one = GateSettings(baseline_runs=1, damaged_baseline="skip")
        warm_start = _blessed_model(steps.WARM_START, last_one, places.blessed_record)

    # Fits a model and keeps the epoch that is best on the eval split.
    def make_trainer(step: str, settings: TrainerSettings, **inputs: Any) -> RecommenderTrainer:
        custom_config: dict[str, Any] = {
            "settings": settings.model_dump(mode="json"),
            "checkpoints": places.checkpoints,
            "split": config.example_gen.split,
            "code": step_version("trainer"),
        }
        if step == steps.TEACHER:
            custom_config["teaches"] = True
        return RecommenderTrainer(
            run_fn="components.trainer.run.run_fn", custom_config=custom_config, **inputs, **training
        ).with_id(step)

    # Optional: a larger model, which the Trainer's model learns from.
    teacher = make_trainer(steps.TEACHER, config.teacher) if config.teacher else None

    trainer = make_trainer(
        steps.TRAINER,
        config.trainer,
        hyperparameters=tuner.outputs["best_hyperparameters"] if tuner else None,
        base_model=warm_start.outputs["model"] if warm_start else None,
        teacher=teacher.outputs["model"] if teacher else None,
        overrides={name: value for name, value in parameters.items() if name in TrainerSettings.model_fields},
    )

    # Finds the best of the last blessed models, for comparison.
    best_blessed = _blessed_model(
        steps.RESOLVER, config.gate, places.blessed_record, {CANDIDATE: trainer.outputs["model"]}
    )

    # Ranks the entire catalogue for every user of the test split, and blesses the model if it passes the gate.
    # TFX's resolver records no parameters, so the Evaluator records the settings that choose the baseline.
    gate_parameters: dict[str, Any] = {"settings": config.gate.model_dump_json(include=BASELINE_SETTINGS)}
    if places.blessed_record:
        gate_parameters[RECORD] = places.blessed_record
    if FLOOR in parameters:
        gate_parameters[FLOOR] = parameters[FLOOR]
    if config.gate.max_users:
        gate_parameters[MAX_USERS] = config.gate.max_users
    evaluator = GatingEvaluator(
        examples=example_gen.outputs["examples"],
        example_splits=[features.TEST],
        model=trainer.outputs["model"],
        baseline_model=best_blessed.outputs["model"],
        eval_config=make_eval_config(config.gate),
        parameters=gate_parameters,
    ).with_id(steps.EVALUATOR)

    # Optional: fits a blessed model on all interactions and all items, including those held out.
    refit_transform, refit = None, None
    if config.refits:
        refit_transform = make_transform(steps.REFIT_TRANSFORM, evaluator, [features.ALL], refit=True)
        refit = Refit(
            candidate=trainer.outputs["model"],
            model_blessing=evaluator.outputs["blessing"],
            examples=refit_transform.outputs["transformed_examples"],
            transform_graph=refit_transform.outputs["transform_graph"],
            checkpoints=places.checkpoints,
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

    data_steps = [example_gen, statistics_gen, schema_gen, example_validator, transform]
    model_steps = [tuner, warm_start, teacher, trainer, best_blessed, evaluator, refit_transform, refit, pusher]
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=places.pipeline_root,
        components=[step for step in (*data_steps, *model_steps) if step is not None],
        enable_cache=enable_cache,
        metadata_connection_config=metadata_connection_config,
        beam_pipeline_args=beam_pipeline_args or [],
    )


def _blessed_model(
    step: str, settings: GateSettings, record: str, candidate: Mapping[str, BaseChannel] | None = None
) -> BaseNode:
    """Returns the step that finds the best of the last blessed models, other than the candidate.

    Args:
        step: name of the step.
        settings: which models to consider.
        record: file that names them, for engines whose pipelines cannot query ML Metadata; empty for other engines.
        candidate: channel of the new model, by the name of the resolver's input; None before there is one.
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
