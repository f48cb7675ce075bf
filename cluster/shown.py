"""Additional outputs of steps on a cluster, which TFX does not declare.

The compiled pipeline declares them, and the entry points of the containers write them.
"""

from pipeline import steps

METRICS, REPORT = "metrics", "report"
# Outputs that the user interfaces of the engines show, with their types, by step.
SHOWN = {
    steps.EVALUATOR: {METRICS: "system.Metrics"},
    steps.PUSHER: {METRICS: "system.Metrics", REPORT: "system.HTML"},
}
OUTCOME = "outcome"  # output of the last task, whose URI contains the run's folder
