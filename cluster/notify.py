"""The last task of a run on a cluster, whatever became of the others: posts the outcome to a webhook.

The message is JSON. Its `text` is what Slack, Mattermost and Google Chat show; the other fields are for programs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import sys

import requests

from cluster.outcomes import FAILED, Outcome, read_outcome, run_folder
from cluster.shown import OUTCOME
from components.settings import STEP, WEBHOOK

SECONDS, TRIES = 30.0, 3


def notify(pipeline: str, folder: str, url: str) -> dict[str, object]:
    """Posts how a run ended; returns the message.

    Args:
        pipeline: its name.
        folder: of the run.
        url: of the webhook.

    Raises:
        requests.RequestException: the webhook did not take it.
    """
    try:
        outcome = read_outcome(folder)
    except OSError as error:
        outcome = Outcome(FAILED, f"the run's records cannot be read: {error}")
    if outcome is None:
        outcome = Outcome(FAILED, "a step ended without a word: its pod was killed, or never started; see its events")
    message = {
        "text": f"{pipeline}: {outcome.outcome}: {outcome.text}",
        "pipeline": pipeline,
        "run": os.path.basename(folder),
        **{name: value for name, value in dataclasses.asdict(outcome).items() if name != "text"},
        "reason": outcome.text,
    }
    session = requests.Session()
    for scheme in ("http://", "https://"):
        retries = requests.adapters.Retry(
            TRIES, backoff_factor=1, status_forcelist=(429, 502, 503), allowed_methods=None
        )
        session.mount(scheme, requests.adapters.HTTPAdapter(max_retries=retries))
    session.post(url, json=message, timeout=SECONDS).raise_for_status()
    return message


def main(arguments: list[str] | None = None) -> int:
    """Runs the task; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", required=True)
    parser.add_argument("--executor_input", required=True, help="of Kubeflow's and Vertex's launcher, JSON")
    options = parser.parse_args(arguments)
    (outcome,) = json.loads(options.executor_input)["outputs"]["artifacts"][OUTCOME]["artifacts"]
    message = notify(options.pipeline, run_folder(outcome["uri"], os.environ[STEP]), os.environ[WEBHOOK])
    logging.getLogger().setLevel(logging.INFO)
    logging.info("posted: %s", message["text"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
