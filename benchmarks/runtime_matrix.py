"""Compares the answers of a model's files on the runtimes that apps ship, each in an environment of its own.

    python -m benchmarks.runtime_matrix output/movielens/artifacts/Trainer/model/ID/Format-Serving

converts the SavedModel in every precision, and prints the mean share of the top 10 that each runtime has in common with
the float32 file on the newest one, over random histories and items that are excluded. uv makes the environments from
the package index.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from rich.console import Console
from rich.table import Table

from on_device.artifact import FIRST_INDEX
from on_device.tflite_model import EXCLUDED

NEWEST = "ai-edge-litert"
# What each runtime needs, as uv takes it. The oldest were built for NumPy 1.
RUNTIMES = {
    "tflite-runtime 2.14.0": ("tflite-runtime==2.14.0", "numpy<2"),
    "ai-edge-litert 1.0.1": ("ai-edge-litert==1.0.1", "numpy<2"),
    "ai-edge-litert 1.2.0": ("ai-edge-litert==1.2.0",),
    "ai-edge-litert 1.4.0": ("ai-edge-litert==1.4.0",),
    NEWEST: ("ai-edge-litert",),
}
PYTHON = "3.11"  # The last that all of them have wheels for.
UV_RUN = (sys.executable, "-m", "uv", "run", "--quiet", "--isolated", "--no-project", "--python", PYTHON)
HISTORIES, TOP = 40, 10
UNWANTED = 0.1  # share of the items
TIMEOUT = 120.0  # seconds for each environment, and for the answers of each


class RuntimeUnavailable(Exception):
    """An environment cannot be made here; the message is one line."""


def answers(requirements: Sequence[str], folder: Path) -> dict[str, np.ndarray]:
    """Returns what a runtime answers, by `file|kernels`: ids int32 [H, K], or the text of its refusal.

    Args:
        requirements: of the runtime's environment.
        folder: with `.tflite` files and `inputs.npz`.

    Raises:
        RuntimeUnavailable: the package index, or Python 3.11, is not available.
        RuntimeError: the runtime crashes.
    """
    names = " ".join(requirements)
    python = [*UV_RUN, *(f"--with={requirement}" for requirement in requirements), "python", "-I"]
    script, output = Path(__file__).with_name("runtime_answers.py"), folder / "answers.npz"
    try:
        installed = subprocess.run([*python, "-c", ""], capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise RuntimeUnavailable(f"{names}: no answer within {TIMEOUT:.0f} s") from None
    if installed.returncode:
        reason = (installed.stderr.strip().splitlines() or ["uv failed"])[-1].strip()
        raise RuntimeUnavailable(f"{names}: {reason}")
    done = subprocess.run([*python, script, folder, output], capture_output=True, text=True, timeout=TIMEOUT)
    if done.returncode:
        raise RuntimeError(f"{names}: ended with {done.returncode}: {done.stderr[-2000:]}")
    return dict(np.load(output))


def write_inputs(folder: Path, items: int, length: int) -> None:
    """Writes random histories of all lengths, with ratings and times, as `inputs.npz`."""
    random = np.random.default_rng(0)
    history = random.integers(FIRST_INDEX, items + FIRST_INDEX, [HISTORIES, length], np.int32)
    filled = np.arange(length) < random.integers(1, length + 1, HISTORIES)[:, None]
    times = np.cumsum(random.integers(1, 10**6, history.shape), axis=1) + 10**9
    np.savez(
        folder / "inputs.npz",
        history=np.where(filled, history, 0).astype(np.int32),
        bias=np.where(random.random([HISTORIES, items + FIRST_INDEX]) < UNWANTED, EXCLUDED, 0).astype(np.float32),
        ratings=np.where(filled, random.integers(1, 6, history.shape), np.nan).astype(np.float32),
        times=np.where(filled, times, 0).astype(np.int32),
    )


def overlap(expected: Iterable[np.ndarray], answers: Iterable[np.ndarray]) -> float:
    """Returns the mean share of the top 10 in common, of the ids of each history: int32 [K], best first."""
    pairs = zip(expected, answers, strict=True)
    return float(np.mean([len(np.intersect1d(ids[:TOP], others[:TOP])) / len(ids[:TOP]) for ids, others in pairs]))


def matrix(saved_model: Path) -> dict[str, dict[str, float] | str]:
    """Returns the overlap by runtime and `precision|kernels`, or why a runtime is not available.

    Where a runtime refuses a file, the overlap is 0.

    Raises:
        RuntimeUnavailable: the newest runtime, with which the others are compared, is not available.
    """
    import tensorflow as tf

    from components.pusher.convert import convert_each
    from components.pusher.settings import Precision

    loaded = tf.saved_model.load(str(saved_model))
    facts = json.loads((saved_model / "model_facts.json").read_text(encoding="utf-8"))
    overlaps: dict[str, dict[str, float] | str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        precisions = get_args(Precision)
        for precision, content in zip(precisions, convert_each(loaded, precisions), strict=True):
            (folder / f"{precision}.tflite").write_bytes(content)
        write_inputs(folder, len(facts["item_ids"]), facts["history_length"])
        newest = answers(RUNTIMES[NEWEST], folder)
        for name, requirements in RUNTIMES.items():
            try:
                own = newest if name == NEWEST else answers(requirements, folder)
            except RuntimeUnavailable as reason:
                overlaps[name] = str(reason)
                continue
            overlaps[name] = {
                key: overlap(newest["float32|xnnpack"], ids) if ids.ndim else 0.0 for key, ids in own.items()
            }
    return overlaps


def main(arguments: list[str] | None = None) -> int:
    """Prints the matrix; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runtime_matrix", description=__doc__.splitlines()[0])
    parser.add_argument("saved_model", type=Path, help="folder Format-Serving of a Trainer's model")
    options = parser.parse_args(arguments)
    if not (options.saved_model / "model_facts.json").is_file():
        print(f"error: {options.saved_model}: not the SavedModel of a Trainer, Format-Serving", file=sys.stderr)
        return 2
    try:
        overlaps = matrix(options.saved_model)
    except RuntimeUnavailable as reason:
        print(f"error: {reason}", file=sys.stderr)
        return 1
    newest = overlaps[NEWEST]
    assert isinstance(newest, dict)
    table = Table("runtime", *(key.replace("|", ", ") for key in newest))
    for name, shares in overlaps.items():
        cells = [shares] if isinstance(shares, str) else [f"{shares[key]:.3f}" for key in newest]
        table.add_row(name, *cells)
    Console(width=200).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
