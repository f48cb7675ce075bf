"""Reads the results of the Tuner."""

from __future__ import annotations

import json
import os
from typing import Any

from tfx.utils import io_utils

from components.hyperparameters import best_values, decode


def read_results(hyperparameters_uri: str, results_uri: str) -> dict[str, Any]:
    """Returns the results of a search.

    Args:
        hyperparameters_uri: folder of a HyperParameters artifact.
        results_uri: folder of a TunerResults artifact.

    Returns:
        `chosen`, the best values by setting; `recall_at_10`, of the best trial on the eval split; and `trials`, the
        completed trials, best first, each with its `recall_at_10` and `settings`.
    """
    hyperparameters = json.loads(
        io_utils.read_string_file(os.path.join(hyperparameters_uri, "best_hyperparameters.txt"))
    )
    rows = json.loads(io_utils.read_string_file(os.path.join(results_uri, "tuner_results.json")))
    trials = [
        {
            "recall_at_10": row["score"],
            "settings": {name: decode(row[name]) for name in row if name not in ("trial_id", "score")},
        }
        for row in rows
    ]
    return {"chosen": best_values(hyperparameters), "recall_at_10": trials[0]["recall_at_10"], "trials": trials}
