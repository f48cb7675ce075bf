"""Peers from other libraries. Each library has an environment of its own: RecTools needs NumPy 1, Cornac NumPy 2."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.prepared import Prepared
from benchmarks.ranking import LIST_LENGTH, Ranking
from components import features
from components.errors import StepError
from components.trainer.input_pipeline import without_unknown

LISTED = 100  # items that a peer recommends; a target that is not among them counts as a miss
MOST_MESSAGE = 2000  # characters of a peer's own error
VALIDATED = 0.1  # share of the train users whose last interaction chooses the epoch

# Settings of github.com/blondered/transformer_benchmark, chosen there on MovieLens 1M and Amazon Beauty.
DENSE = {"n_factors": 64, "n_blocks": 2, "n_heads": 1, "dropout_rate": 0.1, "session_max_len": 200}
SPARSE = {"n_factors": 64, "n_blocks": 1, "n_heads": 1, "dropout_rate": 0.2, "session_max_len": 50}
LONG_HISTORY = 50  # interactions of a user, on average, from which on the data is dense
COVERED = 0.99  # share of the train timelines that a peer's history covers entirely; it limits `session_max_len`


@dataclass(frozen=True)
class Peer:
    """A model of another library.

    Attributes:
        program: the name of the file of this folder that trains it, without `.py`.
        libraries: requirements of its environment, as pip takes them.
        settings: arguments of the model.
    """

    program: str
    libraries: tuple[str, ...]
    settings: Mapping[str, Any]

    def arguments(self, lengths: np.ndarray) -> dict[str, Any]:
        """Returns the arguments of the model for train timelines of these lengths, int64 [U]."""
        if self.program != "peer_rectools":
            return dict(self.settings)
        settings = DENSE if lengths.mean() >= LONG_HISTORY else SPARSE
        history_length = min(settings["session_max_len"], int(np.quantile(lengths, COVERED, method="higher")))
        return {**settings, "session_max_len": history_length, **self.settings}


# The best of eight settings, by Recall@20 on held-out items of the clicks' train sessions.
GRU4REC = {
    **{"layers": [128], "batch_size": 32, "learning_rate": 0.1, "logq": 1.0},
    **{"dropout_p_hidden": 0.3, "dropout_p_embed": 0.4},
}
RECTOOLS = ("peer_rectools", ("rectools[torch]==0.19.0",))
CORNAC = ("peer_gru4rec", ("cornac==3.0.1", "torch==2.15.0"))
PEERS = {
    "SASRec (RecTools)": Peer(*RECTOOLS, {"loss": "softmax"}),
    "gSASRec (RecTools)": Peer(*RECTOOLS, {"loss": "gBCE", "n_negatives": 256, "gbce_t": 0.75}),
    "GRU4Rec (Cornac)": Peer(*CORNAC, GRU4REC),
}


def environment(peer: Peer, cache_dir: Path) -> Path:
    """Returns the Python of a peer's environment, which is made where it is missing: some gigabytes from PyPI.

    Raises:
        StepError: the environment cannot be made.
    """
    folder = cache_dir / peer.program
    requirements = " ".join(peer.libraries)
    python, complete = folder / "bin" / "python", folder / f"{requirements}.installed"
    if not complete.exists():
        venv.create(folder, clear=True, with_pip=True)
        _run([str(python), "-m", "pip", "install", "--quiet", *peer.libraries], f"installing {requirements}")
        complete.touch()
    return python


def run_peer(
    name: str, prepared: Prepared, minutes: float, seed: int, folder: Path, cache_dir: Path
) -> tuple[Ranking, int]:
    """Trains a peer on the train split and ranks the test targets.

    Args:
        name: a key of PEERS.
        prepared: the data.
        minutes: most time of training. The last interactions of a tenth of the train users choose the epoch whose
            weights the peer ranks with; SASRec and gSASRec stop when their loss on these falls no more.
        seed: of its weights and batches.
        folder: for the results.
        cache_dir: folder of the environment.

    Returns:
        The ranking of the test targets, and the number of epochs of the training.

    Raises:
        StepError: the environment cannot be made, or the peer fails.
    """
    peer = PEERS[name]
    python = environment(peer, cache_dir)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        f"{split}_{key}": getattr(without_unknown(timelines), key)
        for split, timelines in (("train", prepared.train), ("test", prepared.test))
        for key in ("items", "starts")
    }
    lengths = np.diff(arrays["train_starts"])
    candidates = np.flatnonzero(lengths > 1)
    size = max(int(VALIDATED * len(candidates)), 1)
    arrays["validated"] = np.random.default_rng(1).choice(candidates, size, replace=False)
    np.savez(folder / "timelines.npz", **arrays)
    request = {
        "data": str(folder / "timelines.npz"),
        "folder": str(folder),
        "minutes": minutes,
        "seed": seed,
        "threads": 2,
        "k": min(LISTED, len(prepared.item_ids) - 1),
        "filter_seen": not prepared.recommends_seen,
        "model": peer.arguments(lengths),
    }
    (folder / "request.json").write_text(json.dumps(request))
    _run([str(python), str(Path(__file__).with_name(f"{peer.program}.py")), str(folder / "request.json")], name)
    recommended = np.load(folder / "recommended.npy")
    is_target = recommended == prepared.test.targets[:, None]
    is_target &= recommended >= features.FIRST_INDEX
    ranks = np.where(is_target.any(axis=1), is_target.argmax(axis=1), prepared.size).astype(np.int64)
    return Ranking(ranks, recommended[:, :LIST_LENGTH]), json.loads((folder / "epochs.json").read_text())


def _run(command: list[str], purpose: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(sys.prefix).parent)
    if done.returncode:
        raise StepError(f"{purpose} failed: {done.stderr.strip()[-MOST_MESSAGE:]}")
