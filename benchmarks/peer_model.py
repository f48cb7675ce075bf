"""Trains a peer by RecTools, SASRec, gSASRec or GRU4Rec, and writes its recommendations.

It runs in an environment of its own:

    PYTHON benchmarks/peer_model.py REQUEST.json

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
from rectools.models.nn.transformers.net_blocks import TransformerLayersBase

VALIDATED = 0.1  # share of the train users whose last interaction decides when fitting stops
PATIENCE = 10  # epochs
MOST_EPOCHS = 200


class RecurrentLayers(TransformerLayersBase):
    """GRUs in place of SASRec's attention blocks.

    This is GRU4Rec (Hidasi et al., ICLR 2016) with item embeddings shared by histories and candidates, and the softmax
    over all items as its loss.
    """

    def __init__(self, n_blocks: int, n_factors: int, dropout_rate: float, **unused: Any):
        super().__init__()
        dropout = dropout_rate if n_blocks > 1 else 0.0  # between layers
        self._gru = torch.nn.GRU(n_factors, n_factors, n_blocks, batch_first=True, dropout=dropout)

    def forward(self, seqs: torch.Tensor, timeline_mask: torch.Tensor, *masks: Any, **unused: Any) -> torch.Tensor:
        """Returns the states after every item: float32 [B, L, d] -> float32 [B, L, d]; padding comes first."""
        length = seqs.shape[1]
        padding = length - timeline_mask.sum(dim=1)
        # Items first, so that the state before the first item does not depend on the padding.
        places = (torch.arange(length) + padding) % length
        states = self._gru(torch.take_along_dim(seqs, places[:, :, None], dim=1))[0]
        back = (torch.arange(length) - padding) % length
        return torch.take_along_dim(states, back[:, :, None], dim=1)


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


def last_of_some(interactions: pd.DataFrame) -> np.ndarray:
    """Returns which interactions are for validation, bool [E]: the last of some users."""
    users = interactions[Columns.User].unique()
    drawn = np.random.default_rng(1).choice(users, max(int(VALIDATED * len(users)), 1), replace=False)
    last = ~interactions[Columns.User].duplicated(keep="last")
    return (last & interactions[Columns.User].isin(drawn)).to_numpy()


def main(request: dict[str, Any]) -> None:
    """Trains, and writes the best unseen items of each test history.

    Args:
        request: `data`, an .npz file with `train_items`, `train_starts`, `test_items` and `test_starts`; `folder` for
            the results; `minutes` of training; `seed`; `threads`; `k`, how many items; `filter_seen`; `model`, the
            arguments of `SASRecModel` and optionally `is_recurrent`, which makes it GRU4Rec.
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

    arguments = dict(request["model"])
    if arguments.pop("is_recurrent", False):
        arguments |= {"transformer_layers_type": RecurrentLayers, "use_pos_emb": False}
    model = SASRecModel(**arguments, get_trainer_func=trainer, get_val_mask_func=last_of_some)
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
