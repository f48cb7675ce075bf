"""Peers from another library, in an environment of their own: RecTools needs another NumPy than the pipeline."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.prepared import Prepared
from benchmarks.ranking import LIST_LENGTH, Ranking
from components import features
from components.errors import StepError
from components.trainer.input_pipeline import without_unknown

LIBRARY = "rectools[torch]==0.19.0"
LISTED = 100  # items that a peer recommends; a target that is not among them counts as a miss
MOST_MESSAGE = 2000  # characters of a peer's own error

# Settings of github.com/blondered/transformer_benchmark, chosen there on MovieLens 1M and Amazon Beauty.
DENSE = {"n_factors": 64, "n_blocks": 2, "n_heads": 1, "dropout_rate": 0.1, "session_max_len": 200}
SPARSE = {"n_factors": 64, "n_blocks": 1, "n_heads": 1, "dropout_rate": 0.2, "session_max_len": 50}
LONG_HISTORY = 50  # interactions of a user, on average, from which on the data is dense
COVERED = 0.99  # share of the train timelines that a peer's history covers entirely; it limits `session_max_len`
PEERS: dict[str, dict[str, Any]] = {
    "SASRec (RecTools)": {"loss": "softmax"},
    "gSASRec (RecTools)": {"loss": "gBCE", "n_negatives": 256, "gbce_t": 0.75},
    "GRU4Rec (in RecTools)": {"loss": "softmax", "is_recurrent": True},
}


def environment(cache_dir: Path) -> Path:
    """Returns the Python of the peers' environment, which is made where it is missing: some gigabytes from PyPI.

    Raises:
        StepError: the environment cannot be made.
    """
    folder = cache_dir / "peers"
    python, complete = folder / "bin" / "python", folder / f"{LIBRARY}.installed"
    if not complete.exists():
        venv.create(folder, clear=True, with_pip=True)
        _run([str(python), "-m", "pip", "install", "--quiet", LIBRARY], f"installing {LIBRARY}")
        complete.touch()
    return python


def arguments_of(name: str, lengths: np.ndarray) -> dict[str, Any]:
    """Returns the arguments of a peer's model.

    Args:
        name: a key of PEERS.
        lengths: of the train timelines, int64 [U].
    """
    settings = DENSE if lengths.mean() >= LONG_HISTORY else SPARSE
    history_length = min(settings["session_max_len"], int(np.quantile(lengths, COVERED, method="higher")))
    return {**settings, "session_max_len": history_length, **PEERS[name]}


def run_peer(
    name: str, prepared: Prepared, minutes: float, seed: int, folder: Path, cache_dir: Path
) -> tuple[Ranking, int]:
    """Trains a peer on the train split and ranks the test targets.

    Args:
        name: a key of PEERS.
        prepared: the data.
        minutes: most time of training; it stops earlier where its loss on the last interactions of a tenth of the train
            users falls no more.
        seed: of its weights and batches.
        folder: for the results.
        cache_dir: folder of the environment.

    Returns:
        The ranking of the test targets, and the number of epochs of the training.

    Raises:
        StepError: the environment cannot be made, or the peer fails.
    """
    python = environment(cache_dir)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        f"{split}_{key}": getattr(without_unknown(timelines), key)
        for split, timelines in (("train", prepared.train), ("test", prepared.test))
        for key in ("items", "starts")
    }
    np.savez(folder / "timelines.npz", **arrays)
    request = {
        "data": str(folder / "timelines.npz"),
        "folder": str(folder),
        "minutes": minutes,
        "seed": seed,
        "threads": 2,
        "k": min(LISTED, len(prepared.item_ids) - 1),
        "filter_seen": not prepared.recommends_seen,
        "model": arguments_of(name, np.diff(arrays["train_starts"])),
    }
    (folder / "request.json").write_text(json.dumps(request))
    _run([str(python), str(Path(__file__).with_name("peer_model.py")), str(folder / "request.json")], name)
    recommended = np.load(folder / "recommended.npy")
    is_target = recommended == prepared.test.targets[:, None]
    is_target &= recommended >= features.FIRST_INDEX
    ranks = np.where(is_target.any(axis=1), is_target.argmax(axis=1), prepared.size).astype(np.int64)
    return Ranking(ranks, recommended[:, :LIST_LENGTH]), json.loads((folder / "epochs.json").read_text())


def _run(command: list[str], purpose: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(sys.prefix).parent)
    if done.returncode:
        raise StepError(f"{purpose} failed: {done.stderr.strip()[-MOST_MESSAGE:]}")
