"""Trains a peer by RecTools, SASRec or gSASRec, and writes its recommendations.

It runs in an environment of its own:

    PYTHON benchmarks/peer_rectools.py REQUEST.json

`benchmarks.peers` makes the environment and the request. This file imports nothing of the project.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel

PATIENCE = 10  # epochs
MOST_EPOCHS = 200


def frame(items: np.ndarray, starts: np.ndarray, prefix: str) -> pd.DataFrame:
    """Returns timelines as RecTools takes interactions, in order of time.

    Args:
        items: int [E], timeline by timeline.
        starts: int [U + 1], bounds of the timelines.
        prefix: of the names of users.
    """
    lengths = np.diff(starts)
    return pd.DataFrame(
        {
            Columns.User: np.char.add(prefix, np.repeat(np.arange(len(lengths)), lengths).astype(str)),
            Columns.Item: items,
            Columns.Weight: 1.0,
            Columns.Datetime: pd.to_datetime(np.arange(len(items)), unit="s"),
        }
    )


def main(request: dict[str, Any]) -> None:
    """Trains, and writes the best unseen items of each test history.

    Args:
        request: as `benchmarks.peers.run_peer` writes it; `model` has arguments of `SASRecModel`.
    """
    warnings.filterwarnings("ignore")
    seed_everything(request["seed"])
    torch.set_num_threads(request["threads"])
    folder, arrays = Path(request["folder"]), np.load(request["data"])
    checkpoint = ModelCheckpoint(folder, "best", monitor="val_loss", enable_version_counter=False)

    def trainer() -> Trainer:
        return Trainer(
            max_time={"minutes": request["minutes"]},
            max_epochs=MOST_EPOCHS,
            callbacks=[EarlyStopping("val_loss", patience=PATIENCE), checkpoint],
            enable_progress_bar=False,
            enable_model_summary=False,
            logger=False,
            accelerator="cpu",
            default_root_dir=folder,
        )

    def is_validated(interactions: pd.DataFrame) -> np.ndarray:
        users = interactions[Columns.User]
        last = ~users.duplicated(keep="last")
        return (last & users.isin([f"train{user}" for user in arrays["validated"]])).to_numpy()

    model = SASRecModel(**request["model"], get_trainer_func=trainer, get_val_mask_func=is_validated)
    model.fit(Dataset.construct(frame(arrays["train_items"], arrays["train_starts"], "train")))
    epochs = model.fit_trainer.current_epoch
    if checkpoint.best_model_path:
        model.load_weights_from_checkpoint(checkpoint.best_model_path)

    histories = frame(arrays["test_items"], arrays["test_starts"], "test")
    trained = set(arrays["train_items"].tolist())
    histories = histories[histories[Columns.Item].isin(trained)]
    recommended = model.recommend(
        histories[Columns.User].unique(),
        Dataset.construct(histories),
        k=request["k"],
        filter_viewed=request["filter_seen"],
        on_unsupported_targets="ignore",
    )
    best = np.zeros((len(arrays["test_starts"]) - 1, request["k"]), np.int64)
    rows = recommended[Columns.User].str.removeprefix("test").astype(int)
    best[rows, recommended[Columns.Rank] - 1] = recommended[Columns.Item]
    np.save(folder / "recommended.npy", best)
    (folder / "epochs.json").write_text(json.dumps(epochs))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
