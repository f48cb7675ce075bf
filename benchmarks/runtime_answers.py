"""Answers histories with the runtime of the environment that it runs in; NumPy and a runtime are all it needs.

    python runtime_answers.py FOLDER OUTPUT

FOLDER holds `.tflite` files and `inputs.npz`: `history` int32 [H, N], `bias` float32 [H, V], and `ratings` and `times`
where the model takes them. OUTPUT gets ids int32 [H, K] by `file|kernels`, and the text of an error where the
runtime refuses a file.
"""

from __future__ import annotations

import pathlib
import sys

import numpy as np

try:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType
except ImportError:
    from tflite_runtime.interpreter import Interpreter, OpResolverType

KERNELS = {"xnnpack": OpResolverType.AUTO, "plain": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES}


def answer(path: pathlib.Path, kernels: str, columns: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the ids, int32 [H, K], of all histories."""
    interpreter = Interpreter(model_path=str(path), num_threads=1, experimental_op_resolver_type=KERNELS[kernels])
    runner = interpreter.get_signature_runner("recommend")
    names = runner.get_input_details()
    rows = len(columns["history"])
    return np.stack([runner(**{name: columns[name][row][None] for name in names})["ids"][0] for row in range(rows)])


def main(folder: pathlib.Path, output: pathlib.Path) -> None:
    """Answers with every file and set of kernels."""
    columns = dict(np.load(folder / "inputs.npz"))
    answers = {}
    for path in sorted(folder.glob("*.tflite")):
        for kernels in KERNELS:
            try:
                ids = answer(path, kernels, columns)
            except (RuntimeError, ValueError) as error:
                ids = np.array(str(error))
            answers[f"{path.stem}|{kernels}"] = ids
    np.savez(output, **answers)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:]))
