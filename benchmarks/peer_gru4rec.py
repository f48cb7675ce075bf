"""Trains GRU4Rec by Cornac, and writes its recommendations.

It runs in an environment of its own:

    PYTHON benchmarks/peer_gru4rec.py REQUEST.json

`benchmarks.peers` makes the environment and the request. This file imports nothing of the project.
"""

from __future__ import annotations

import json
import sys
import time
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cornac.data import SequentialDataset
from cornac.models import GRU4Rec

MOST_EPOCHS = 50


def dataset(timelines: Iterable[tuple[int, np.ndarray]], indices: OrderedDict[int, int]) -> SequentialDataset:
    """Returns timelines as Cornac takes sessions.

    Args:
        timelines: the number of each, and its items, int [L].
        indices: Cornac's indices of items, which grow by the items of the timelines.
    """
    rows = [(user, user, item, position) for user, items in timelines for position, item in enumerate(items.tolist())]
    return SequentialDataset.build(rows, fmt="USIT", global_iid_map=indices)


def main(request: dict[str, Any]) -> None:
    """Trains, and writes the best unseen items of each test history.

    The first epoch is timed, and the training then has as many epochs as the minutes permit. Cornac returns the weights
    of the epoch with the best Recall@20 on the last items of the validated train users.

    Args:
        request: as `benchmarks.peers.run_peer` writes it; `model` has arguments of `GRU4Rec`.
    """
    torch.set_num_threads(1)  # Its steps are too small for several threads.
    torch.manual_seed(request["seed"])
    folder, arrays = Path(request["folder"]), np.load(request["data"])
    train = list(enumerate(np.split(arrays["train_items"], arrays["train_starts"][1:-1])))
    validated = set(arrays["validated"].tolist())
    indices: OrderedDict[int, int] = OrderedDict()
    fitted = dataset([(user, items[:-1] if user in validated else items) for user, items in train], indices)
    held_out = [(user, items) for user, items in train if user in validated and set(items.tolist()) <= set(indices)]
    validation = dataset(held_out, indices)

    def fit(epochs: int) -> GRU4Rec:
        choice = {"model_selection": "best", "val_eval_every": 1, "val_k": 20, "val_metric": "recall"}
        model = GRU4Rec(**request["model"], **choice, n_epochs=epochs, seed=request["seed"])
        return model.fit(fitted, validation)

    started = time.monotonic()
    fit(1)
    seconds = time.monotonic() - started
    epochs = min(max(int((60 * request["minutes"] - seconds) / seconds), 1), MOST_EPOCHS)
    model = fit(epochs)

    item_of = np.array(list(indices))
    best = np.zeros((len(arrays["test_starts"]) - 1, request["k"]), np.int64)
    with torch.no_grad():
        for row, items in enumerate(np.split(arrays["test_items"], arrays["test_starts"][1:-1])):
            history = [indices[item] for item in items.tolist() if item in indices]
            if history:
                order = np.argsort(-model.score(row, history), kind="stable")
                if request["filter_seen"]:
                    order = order[~np.isin(order, history)]
                best[row, : len(order)] = item_of[order[: request["k"]]]
    np.save(folder / "recommended.npy", best)
    (folder / "epochs.json").write_text(json.dumps(epochs))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
