"""Outputs of steps on a cluster that TFX does not know.

The compiled pipeline declares them, and the entries of the containers write them. This module imports no TensorFlow
and no TFX, so that compiling stays quick.
"""

from pipeline import steps

METRICS, REPORT = "metrics", "report"
# What the engines' pages show of a run, by step, and the types by which they know it.
SHOWN = {
    steps.EVALUATOR: {METRICS: "system.Metrics"},
    steps.PUSHER: {METRICS: "system.Metrics", REPORT: "system.HTML"},
}
OUTCOME = "outcome"  # of the task that tells how the run ended; its URI names the run's folder
