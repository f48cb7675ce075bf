"""Names of the steps, in the order in which they run: for users, for ML Metadata and for `--from-node`."""

from collections.abc import Sequence

EXAMPLE_GEN = "ExampleGen"
STATISTICS_GEN = "StatisticsGen"
SCHEMA_GEN = "SchemaGen"
EXAMPLE_VALIDATOR = "ExampleValidator"
TRANSFORM = "Transform"
TUNER = "Tuner"  # where it is enabled
WARM_START = "WarmStart"  # where the Trainer begins with an earlier model
TEACHER = "Teacher"  # where the Trainer's model learns from a larger one
TRAINER = "Trainer"
RESOLVER = "LatestBlessedModel"
EVALUATOR = "Evaluator"
REFIT_TRANSFORM, REFIT = "RefitTransform", "Refit"  # where the pushed model is refitted
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
    """Returns where a run that starts at a step begins: before it the earlier model that it takes, perhaps another now.

    Args:
        step: name of the step.
        present: the steps that the pipeline has.
    """
    resolver = {EVALUATOR: RESOLVER, TRAINER: WARM_START}.get(step, step)
    return resolver if resolver in present else step
