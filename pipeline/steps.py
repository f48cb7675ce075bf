"""Names of the steps, in the order in which they run."""

from collections.abc import Sequence

EXAMPLE_GEN = "ExampleGen"
STATISTICS_GEN = "StatisticsGen"
SCHEMA_GEN = "SchemaGen"
EXAMPLE_VALIDATOR = "ExampleValidator"
TRANSFORM = "Transform"
TUNER = "Tuner"  # optional
WARM_START = "WarmStart"  # optional: finds the model that initializes the Trainer's
TEACHER = "Teacher"  # optional: fits a larger model that the Trainer's model learns from
TRAINER = "Trainer"
RESOLVER = "LatestBlessedModel"
EVALUATOR = "Evaluator"
REFIT_TRANSFORM, REFIT = "RefitTransform", "Refit"  # optional: fit the pushed model on all interactions
PUSHER = "Pusher"

STEPS = (
    EXAMPLE_GEN,
    STATISTICS_GEN,
    SCHEMA_GEN,
    EXAMPLE_VALIDATOR,
    TRANSFORM,
    TUNER,
    WARM_START,
    TEACHER,
    TRAINER,
    RESOLVER,
    EVALUATOR,
    REFIT_TRANSFORM,
    REFIT,
    PUSHER,
)


def first_of(step: str, present: Sequence[str]) -> str:
    """Returns the first step of a run with `--from-node`.

    The steps that find an earlier model run again before the step that uses it, because there may be a newer model.

    Args:
        step: the step of `--from-node`.
        present: the steps of the pipeline.
    """
    resolver = {EVALUATOR: RESOLVER, TRAINER: WARM_START}.get(step, step)
    return resolver if resolver in present else step
