"""Compares the answers of a model's files on the runtimes that apps ship, each in an environment of its own.

    python -m benchmarks.runtime_matrix output/movielens/artifacts/Trainer/model/ID/Format-Serving

converts the SavedModel in every precision, and prints the mean share of the top 10 that each runtime has in common with
the float32 file on the newest one, over random histories and items that are excluded. The environments come from the
package index, and stay in the cache folder.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import get_args

import numpy as np
from rich.console import Console
from rich.table import Table

from on_device.artifact import FIRST_INDEX
from on_device.command_line import default_cache_dir
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
HISTORIES, TOP = 40, 10
UNWANTED = 0.1  # share of the items
TIMEOUT = 120.0  # seconds for each environment, and for the answers of each


class RuntimeUnavailable(Exception):
    """An environment cannot be made here; the message is one line."""


def environment(requirements: tuple[str, ...], folder: Path) -> Path:
    """Returns the Python of an environment with a runtime; makes it where it is missing.

    Raises:
        RuntimeUnavailable: the package index, or Python 3.11, cannot be had.
    """
    home = folder / re.sub("[^a-z0-9.]+", "-", "-".join(requirements))
    python = home / "bin" / "python"
    ready = home / "ready"
    if not ready.exists():
        uv = [sys.executable, "-m", "uv"]
        for command in (
            [*uv, "venv", "--quiet", "--clear", "--python", PYTHON, str(home)],
            [*uv, "pip", "install", "--quiet", "--python", str(python), *requirements],
        ):
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
            except subprocess.TimeoutExpired:
                raise RuntimeUnavailable(f"{' '.join(requirements)}: no answer within {TIMEOUT:.0f} s") from None
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["uv failed"])[-1].strip()
                raise RuntimeUnavailable(f"{' '.join(requirements)}: {reason}")
        ready.touch()
    return python


def answers(python: Path, folder: Path) -> dict[str, np.ndarray]:
    """Returns what a runtime answers, by `file|kernels`: ids int32 [H, K], or the text of its refusal.

    Args:
        python: of the runtime's environment.
        folder: with `.tflite` files and `inputs.npz`.
    """
    script = Path(__file__).with_name("runtime_answers.py")
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "answers.npz"
        done = subprocess.run(
            [str(python), "-I", str(script), str(folder), str(output)], capture_output=True, text=True, timeout=TIMEOUT
        )
        if done.returncode:
            raise RuntimeError(f"{python}: ended with {done.returncode}: {done.stderr[-2000:]}")
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


def overlap(expected: np.ndarray, ids: np.ndarray) -> float:
    """Returns the mean share of the top 10 in common, of int32 [H, K] each; 0 where a runtime refused the file."""
    if ids.dtype.kind == "U":
        return 0.0
    pairs = zip(expected[:, :TOP].tolist(), ids[:, :TOP].tolist(), strict=True)
    return float(np.mean([len(set(one) & set(other)) / len(one) for one, other in pairs]))


def convert_all(saved_model: Path, folder: Path) -> list[str]:
    """Writes the files of a SavedModel, and inputs for them, to a folder; returns the precisions."""
    import tensorflow as tf

    from components.pusher.convert import convert
    from components.pusher.settings import Precision

    loaded = tf.saved_model.load(str(saved_model))
    facts = json.loads((saved_model / "model_facts.json").read_text(encoding="utf-8"))
    for precision in get_args(Precision):
        (folder / f"{precision}.tflite").write_bytes(convert(loaded, precision))
    write_inputs(folder, len(facts["item_ids"]), facts["history_length"])
    return list(get_args(Precision))


def matrix(saved_model: Path, cache_dir: Path) -> dict[str, dict[str, float] | str]:
    """Returns the overlap by runtime and `precision|kernels`, or why a runtime is not there.

    Raises:
        RuntimeUnavailable: the newest runtime, with which the others are compared, cannot be had.
    """
    overlaps: dict[str, dict[str, float] | str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        convert_all(saved_model, folder)
        newest = answers(environment(RUNTIMES[NEWEST], cache_dir / "runtimes"), folder)
        for name, requirements in RUNTIMES.items():
            try:
                own = newest if name == NEWEST else answers(environment(requirements, cache_dir / "runtimes"), folder)
            except RuntimeUnavailable as reason:
                overlaps[name] = str(reason)
                continue
            overlaps[name] = {key: overlap(newest["float32|xnnpack"], ids) for key, ids in own.items()}
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
        overlaps = matrix(options.saved_model, default_cache_dir())
    except RuntimeUnavailable as reason:
        print(f"error: {reason}", file=sys.stderr)
        return 1
    newest = overlaps[NEWEST]
    assert isinstance(newest, dict)
    table = Table("runtime", *(key.replace("|", ", ") for key in newest))
    for name, of_runtime in overlaps.items():
        if isinstance(of_runtime, str):
            table.add_row(name, of_runtime)
            continue
        table.add_row(name, *(f"{of_runtime[key]:.3f}" for key in newest))
    Console(width=200).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
