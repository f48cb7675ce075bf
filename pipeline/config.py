"""The configuration of a pipeline: a typed, validated object, read from a YAML file and overrides.

Every error is one line that names the key. This module imports neither TensorFlow nor TFX, so that errors appear
immediately.
"""

from __future__ import annotations

import contextlib
import difflib
import itertools
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError, field_validator, model_validator
from yaml.composer import ComposerError

from components import features
from components.evaluator.settings import GateSettings
from components.example_gen.settings import ExampleGenSettings
from components.example_validator.settings import ValidationSettings
from components.pusher.settings import PusherSettings
from components.settings import Settings
from components.trainer.settings import TrainerSettings
from components.transform.settings import TransformSettings
from components.tuner.settings import TunerSettings
from data.settings import DataSettings
from pipeline import steps
from pipeline.beam_runners import BeamSettings
from pipeline.deployment import DeploymentSettings


class ConfigError(Exception):
    """A configuration cannot be used. The message is one line."""


class _Loader(yaml.SafeLoader):
    """Reads YAML for settings: a repeated key is an error, and text that only resembles a number or a date is text."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Returns a mapping, after a check of its keys.

        Raises:
            ComposerError: a key is repeated; YAML would use the last value.
        """
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.value in lines:
                problem = f"the key {key.value!r} is also in line {lines[key.value]}; keep one of them"
                raise ComposerError(None, None, problem, key.start_mark)
            lines[key.value] = key.start_mark.line + 1
        return node

    def construct_number(self, node: yaml.ScalarNode) -> Any:
        """Returns a number, or its text if Python would write it otherwise, such as `010`, `12:30`, `1.10` or a date.

        Settings convert the text if they are numbers; other settings, such as environment variables, keep it.
        """
        if node.value[:2].lower() in ("0x", "0b"):
            return int(node.value, 0)
        for convert in (int, float):
            with contextlib.suppress(ValueError):
                if str(convert(node.value)) == node.value:
                    return convert(node.value)
        return node.value


for _tag in ("int", "float", "timestamp"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader.construct_number)


class PipelineConfig(Settings):
    """The configuration of a pipeline.

    Attributes:
        name: name of the pipeline, of its folder in the serving models and of its runs in ML Metadata. Without it, a
            local run on data other than MovieLens uses the name of the data.
        data: how to read the log; everything else is recognised.
        example_gen: how interactions become timelines and splits.
        validation: limits on the drift of the data since the last run.
        transform: vocabularies and histories.
        tuner: the search for the Trainer's settings, an optional step.
        trainer: the model and its training.
        teacher: settings of a larger model, with the keys of the section `trainer`. The teacher is fitted first, and
            the Trainer's model learns from it (`trainer.teacher_weight`). The teacher is never pushed, and the Tuner's
            trials do not use it. None: no teacher.
        gate: conditions for blessing a model.
        refit: whether the pushed model is fitted again, after the gate, on all interactions and all items. None: yes
            for the splits `temporal` and `sessions`, no for `leave_one_out`, the protocol of the literature.
        pusher: how the file is created and checked.
        beam: where the steps on Beam run in a run of `local_runner.py`.
        deployment: image, places and resources on a cluster; not used by local runs.
    """

    name: str = "movielens"
    data: DataSettings = DataSettings()
    example_gen: ExampleGenSettings = ExampleGenSettings()
    validation: ValidationSettings = ValidationSettings()
    transform: TransformSettings = TransformSettings()
    tuner: TunerSettings = TunerSettings()
    trainer: TrainerSettings = TrainerSettings()
    teacher: TrainerSettings | None = None
    gate: GateSettings = GateSettings()
    refit: bool | None = None
    pusher: PusherSettings = PusherSettings()
    beam: BeamSettings = BeamSettings()
    deployment: DeploymentSettings = DeploymentSettings()

    @property
    def refits(self) -> bool:
        """Returns whether the pushed model is refitted."""
        return self.example_gen.split != "leave_one_out" if self.refit is None else self.refit

    @property
    def reading(self) -> DataSettings:
        """Returns the settings for reading the log, with the columns of the Trainer's activity features."""
        return self.data.with_activity(features.activity_columns(self.trainer.activity_features))

    def steps(self) -> tuple[str, ...]:
        """Returns the names of the pipeline's steps, in order."""
        optional = {
            steps.TUNER: self.tuner.enabled,
            steps.WARM_START: self.trainer.warm_start,
            steps.TEACHER: self.teacher is not None,
            **dict.fromkeys((steps.REFIT_TRANSFORM, steps.REFIT), self.refits),
        }
        return tuple(step for step in steps.STEPS if optional.get(step, True))

    @field_validator("name")
    @classmethod
    def _name_is_a_folder(cls, name: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", name):
            raise ValueError("may contain only lower-case letters, digits, '-' and '_'")
        return name

    @model_validator(mode="after")
    def _declared_activity_is_used(self) -> PipelineConfig:
        used = features.activity_columns(self.trainer.activity_features)
        for name in self.data.activity:
            if name not in used:
                near = difflib.get_close_matches(name, used, n=1)
                hint = f"did you mean {near[0]!r}?" if near else "add it there, or remove it here"
                raise ValueError(f"data.activity names {name!r}, no column in trainer.activity_features; {hint}")
        return self

    @model_validator(mode="after")
    def _heads_divide_the_dimension(self) -> PipelineConfig:
        for section, settings in {"trainer": self.trainer, "teacher": self.teacher}.items():
            for member in settings.all_members() if settings else ():
                if member.encoder == "transformer" and member.dimension % member.heads:
                    raise ValueError(f"{section}.dimension {member.dimension} is not divisible by {member.heads} heads")
        return self

    @model_validator(mode="after")
    def _teacher_suits_the_trainer(self) -> PipelineConfig:
        if self.teacher is None:
            return self
        if missing := sorted({*self.teacher.activity_features} - {*self.trainer.activity_features}):
            raise ValueError(
                f"teacher.activity_features names {', '.join(missing)}, which trainer.activity_features lacks"
            )
        if self.teacher.repeats != self.trainer.repeats:
            raise ValueError(
                f"teacher.repeats {self.teacher.repeats} differs from trainer.repeats {self.trainer.repeats}; set both"
            )
        if self.teacher.warm_start:
            raise ValueError("teacher.warm_start is not possible: a teacher begins with fresh weights")
        if self.trainer.label_smoothing:
            raise ValueError("with a teacher, trainer.label_smoothing must be 0: the teacher's scores take its place")
        if self.trainer.loss not in ("auto", "full_softmax"):
            raise ValueError(f"with a teacher, trainer.loss must be full_softmax, not {self.trainer.loss}")
        return self

    @model_validator(mode="after")
    def _searched_heads_divide_the_dimension(self) -> PipelineConfig:
        names = ("encoder", "dimension", "heads")
        searched = [self.tuner.whole_values(name, getattr(self.trainer, name)) for name in names]
        for encoder, dimension, heads in itertools.product(*searched) if self.tuner.enabled else ():
            if encoder == "transformer" and dimension % heads:
                raise ValueError(f"tuner.search_space: dimension {dimension} is not divisible by {heads} heads")
        return self


def folder_name(text: str) -> str:
    """Returns a valid pipeline name, derived from the name of the data."""
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:63] or "recommender"


def read_assignments(assignments: list[str]) -> dict[str, Any]:
    """Returns overrides by dotted key from the `KEY=VALUE` arguments of `--set`.

    Raises:
        ConfigError: an argument is not KEY=VALUE, or its value is an incomplete list, map or quoted text.
    """
    values = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set {assignment}: expected KEY=VALUE, such as trainer.dropout=0.1")
        values[key.strip()] = _read_value(value.strip() or value, assignment)
    return values


_NULLS = ("", "~", "null", "Null", "NULL")


def _read_value(text: str, assignment: str) -> Any:
    """Returns a value of `--set`: YAML for `[...]`, `{...}` and quotes; otherwise the text, which settings convert.

    Raises:
        ConfigError: the text cannot be read.
    """
    if text in _NULLS:
        return None
    if not text.startswith(("[", "{", '"', "'")) and text.replace("\t", " ").isprintable():
        return text
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError) as error:
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "too deeply nested"
        raise ConfigError(f"--set {assignment!r}: the value is not YAML: {reason}; quote text as in YAML") from None
    except ValueError:  # For example, a date with month 13.
        return text


def check_literal(folder: str | Path, name: str) -> None:
    """Checks that a folder of artifacts does not contain wildcards.

    Beam and TensorFlow would interpret the path as a pattern, and Beam's patterns have no escape character.

    Args:
        folder: path or URI.
        name: name of the option or setting, for the error.

    Raises:
        ConfigError: the path contains `*`, `?`, `[` or a backslash.
    """
    if marks := sorted(set("*?[\\") & set(str(folder))):
        raise ConfigError(
            f"{name} {folder}: Beam and TensorFlow read {' and '.join(marks)} in a folder of artifacts as a pattern; "
            f"choose another {name}"
        )


def load_config(path: Path | None, overrides: Mapping[str, Any] | None = None) -> PipelineConfig:
    """Reads a configuration.

    Args:
        path: YAML file with the keys of `PipelineConfig`; None uses the defaults.
        overrides: values by dotted key, such as `{"trainer.encoder": "cnn"}`; they override the file.

    Raises:
        ConfigError: the file cannot be read, or a key or value is wrong.
    """
    values = _read_yaml(path) if path else {}
    for dotted, value in (overrides or {}).items():
        *sections, key = dotted.split(".")
        section = values
        for name in sections:
            section = section.setdefault(name, {})
            if not isinstance(section, dict):
                raise ConfigError(f"{path or 'configuration'}: {name}: expected a section with keys, found {section!r}")
        section[key] = value
    try:
        return PipelineConfig.model_validate(values)
    except ValidationError as error:
        origin = f"{path}: " if path else "configuration: "
        raise ConfigError(origin + "; ".join(_describe(problem) for problem in error.errors())) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        known = ", ".join(sorted(str(file) for file in Path("configs").glob("*.yaml")))
        hint = f"; the files in configs/ are {known}" if known else ""
        raise ConfigError(f"{path}: no such configuration file{hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: not YAML: {getattr(error, 'problem', None) or 'unreadable'}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys and values, found {type(values).__name__}")
    return values


def _describe(problem: Any) -> str:
    """Returns a line about a problem that pydantic found."""
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(location[-1], _keys_of(location[:-1]), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(_keys_of(location[:-1]))}"
        return f"{key}: unknown key; {hint}"
    message = problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if not key:
        return message
    if problem["type"] == "string_type" and isinstance(problem["input"], bool | None):
        return f"{key}: expected text, not {problem['input']!r}; put words such as null, yes and on in quotes"
    if problem["type"] in ("search_space", "removed"):  # The message already names the value.
        return f"{key}: {message}"
    return f"{key}: {message}, not {problem['input']!r}"


def _keys_of(sections: list[str]) -> list[str]:
    """Returns the keys of a section; the index of a list and the key of a mapping are also parts of its location."""
    model: type[BaseModel] = PipelineConfig
    for section in sections:
        if field := model.model_fields.get(section):
            nested = settings_of(field.annotation)
            if nested is None:
                return []
            model = nested
    return list(model.model_fields)


def settings_of(annotation: Any) -> type[BaseModel] | None:
    """Returns the class of settings in a type, also of those in a list or a mapping; None if there is none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(settings_of, typing.get_args(annotation))), None)
