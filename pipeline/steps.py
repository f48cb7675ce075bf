"""Names of the steps, in the order in which they run: for users, for ML Metadata and for `--from-node`."""

EXAMPLE_GEN = "ExampleGen"
STATISTICS_GEN = "StatisticsGen"
SCHEMA_GEN = "SchemaGen"
EXAMPLE_VALIDATOR = "ExampleValidator"
TRANSFORM = "Transform"
TUNER = "Tuner"  # where it is enabled
TRAINER = "Trainer"
RESOLVER = "LatestBlessedModel"
EVALUATOR = "Evaluator"
PUSHER = "Pusher"

STEPS = (
    EXAMPLE_GEN,
    STATISTICS_GEN,
    SCHEMA_GEN,
    EXAMPLE_VALIDATOR,
    TRANSFORM,
    TUNER,
    TRAINER,
    RESOLVER,
    EVALUATOR,
    PUSHER,
)


def first_of(step: str) -> str:
    """Where a run that starts at a step begins: before the Evaluator its baseline, perhaps another by now."""
    return RESOLVER if step == EVALUATOR else step
