"""The last task of a run on a cluster, which posts the outcome to a webhook even if other tasks failed.

The message is JSON. Slack, Mattermost and Google Chat show its `text`; the other fields are for programs.
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
    """Posts the outcome of a run and returns the message.

    Args:
        pipeline: name of the pipeline.
        folder: folder of the run.
        url: URL of the webhook.

    Raises:
        requests.RequestException: the webhook did not accept the message.
    """
    try:
        outcome = read_outcome(folder)
    except OSError as error:
        outcome = Outcome(FAILED, f"the run's records cannot be read: {error}")
    if outcome is None:
        outcome = Outcome(
            FAILED, "a step recorded no outcome: its pod was killed or never started; see the pod's events"
        )
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
    """Runs the task and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", required=True)
    parser.add_argument("--executor_input", required=True, help="executor input of the launcher, JSON")
    options = parser.parse_args(arguments)
    (outcome,) = json.loads(options.executor_input)["outputs"]["artifacts"][OUTCOME]["artifacts"]
    message = notify(options.pipeline, run_folder(outcome["uri"], os.environ[STEP]), os.environ[WEBHOOK])
    logging.getLogger().setLevel(logging.INFO)
    logging.info("posted: %s", message["text"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
