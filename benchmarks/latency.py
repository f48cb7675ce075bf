"""Measures the latency of model files beside the reference of 2021, in one process and on one thread.

    .venv/bin/python -m benchmarks.latency serving_models/movielens serving_models/movielens-cnn --browser
    .venv/bin/python -m benchmarks.latency serving_models/movielens path/to/your.tflite --items 3953

Only the inference is timed, without the client around it. The files take turns, so that other load on the machine
affects all of them. `--browser` also times them in Chromium, as the demo runs them.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from rich.console import Console

from benchmarks import program
from components.errors import StepError
from on_device.artifact import FIRST_INDEX, MODEL, Artifact, open_artifact
from on_device.demo.runtime import find_runtime
from on_device.demo.server import DemoServer
from on_device.errors import ArtifactError
from on_device.tflite_model import RECOMMEND
from pipeline.config import ConfigError

REFERENCE = "reference of 2021, CNN, N = 10"
Files = dict[str, tuple[bytes, int]]  # content, and upper bound of the integer inputs, by name
WARM_UP = 20  # answers before those that count
STARTS = 7
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FIRST_ANSWER = "import sys; from on_device import Recommender; Recommender.load(sys.argv[1]).recommend([])"
BROWSER_BATCHES, BROWSER_BATCH = 16, 100  # The first half of the batches compiles and warms up.
# Returns the milliseconds of an answer in each batch, because the clocks of browsers are too coarse for one answer.
BROWSER_ANSWERS = """
async ([batches, answers]) => {
  const { readArtifact, Recommender } = await import("on-device-recommender-client");
  const recommender = await Recommender.open(await readArtifact("model/"), "runtime/@litertjs/core/wasm/");
  const { items } = recommender.catalogue;
  const history = Array.from({ length: 200 }, (_, place) => items[place % items.length]);
  const times = [];
  for (let batch = 0; batch < batches; batch += 1) {
    const start = performance.now();
    for (let answer = 0; answer < answers; answer += 1) await recommender.recommend(history);
    times.push((performance.now() - start) / answers);
  }
  return times;
}
"""


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "models", nargs="+", type=Path, metavar="PATH", help="a version's folder, a pipeline's, or a .tflite file"
    )
    about_items = "upper bound of the integer inputs of .tflite files (default: %(default)s)"
    parser.add_argument("--items", type=int, default=1000, metavar="N", help=about_items)
    parser.add_argument("--runs", type=int, default=1000, metavar="N", help="answers per file (default: %(default)s)")
    parser.add_argument("--browser", action="store_true", help="also in Chromium; needs it and playwright")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="keep the log there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    options = parser.parse_args(arguments)

    def read() -> tuple[list[Artifact], Files]:
        files = [path for path in options.models if path.suffix == ".tflite"]
        try:
            artifacts = [open_artifact(path) for path in options.models if path not in files]
            return artifacts, {str(path): (path.read_bytes(), options.items) for path in files}
        except (ArtifactError, OSError) as error:
            raise ConfigError(str(error)) from None

    def work(task: tuple[list[Artifact], Files], output: Path, console: Console) -> dict[str, Any]:
        return report(*task, options.runs, options.browser, console)

    return program.run(options, "latency", read, work)


def report(
    artifacts: list[Artifact], files: Files, runs: int, browser: bool, console: Console
) -> dict[str, dict[str, float]]:
    """Measures and prints.

    Args:
        artifacts: pushed models.
        files: other model files.
        runs: number of answers of each file.
        browser: whether pushed models are also timed in a browser.
        console: for the table.

    Returns:
        For the reference and each model, by name: the values of `inference_times`. Pushed models also have
        `start_seconds` and, with `browser`, `browser_ms`; both are medians.

    Raises:
        StepError: there is no browser, or LiteRT cannot run a file.
    """
    from benchmarks import reference_model

    pushed = {_name(artifact): artifact for artifact in artifacts}
    all_files = {REFERENCE: (reference_model.reference_file(), reference_model.ITEMS)}
    for name, artifact in pushed.items():
        all_files[name] = ((artifact.folder / MODEL).read_bytes(), artifact.info["num_items"])
    times = inference_times({**all_files, **files}, runs)
    for name, artifact in pushed.items():
        times[name]["start_seconds"] = round(start_seconds(artifact.folder, STARTS), 3)
    if browser:
        with _chromium() as page:
            for name, artifact in pushed.items():
                times[name]["browser_ms"] = _browser_milliseconds(page, artifact)
    rows = [
        (
            name,
            f"{row['size_bytes'] / 1e6:.2f} MB",
            *(f"{row[key]:,.0f} µs" for key in ("median_us", "p90_us", "plain_us")),
            f"{row['ratio']:.2f} x",
            f"{row['start_seconds']:.2f} s" if "start_seconds" in row else "",
            f"{row['browser_ms']:.2f} ms" if "browser_ms" in row else "",
        )
        for name, row in times.items()
    ]
    columns = ("", "size", "median", "90%", "without XNNPACK", "over the reference", "Python start", "Chromium")
    console.print(program.table("Latency of an answer", columns, rows))
    console.print(
        f"one thread, medians of {runs:,} random full histories, with XNNPACK unless stated otherwise; start: import, "
        "load and the first answer"
    )
    return times


def inference_times(files: Files, runs: int) -> dict[str, dict[str, float]]:
    """Times the inference of files, which take turns.

    Args:
        files: the model files, with REFERENCE.
        runs: number of answers of each file.

    Returns:
        `size_bytes`, `median_us`, `p90_us`, `plain_us` (the median without XNNPACK) and `ratio` (of the median to the
        reference's) by name.
    """
    with_xnnpack = _microseconds(files, runs, OpResolverType.AUTO)
    plain = _microseconds(files, runs, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    reference = np.median(with_xnnpack[REFERENCE])
    return {
        name: {
            "size_bytes": len(content),
            "median_us": round(float(np.median(with_xnnpack[name])), 1),
            "p90_us": round(float(np.percentile(with_xnnpack[name], 90)), 1),
            "plain_us": round(float(np.median(plain[name])), 1),
            "ratio": round(float(np.median(with_xnnpack[name]) / reference), 2),
        }
        for name, (content, _) in files.items()
    }


def start_seconds(folder: Path, starts: int) -> float:
    """Returns the median seconds from the start of a Python process to its first answer."""
    times = []
    for _ in range(starts):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", FIRST_ANSWER, str(folder)], check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _microseconds(files: Files, runs: int, kernels: OpResolverType) -> dict[str, np.ndarray]:
    """Returns the microseconds of each answer, float64 [runs], by file."""
    models = {}
    for name, (content, _) in files.items():
        try:
            models[name] = _Model(content, kernels)
        except (RuntimeError, ValueError) as error:
            raise StepError(f"{name}: LiteRT cannot run this file: {error}") from None
    random = np.random.default_rng(0)
    times = {name: np.empty(WARM_UP + runs) for name in files}
    for run in range(WARM_UP + runs):
        for name, model in models.items():
            model.fill(random, files[name][1])
            started = time.perf_counter()
            model.invoke()
            times[name][run] = 1e6 * (time.perf_counter() - started)
    return {name: values[WARM_UP:] for name, values in times.items()}


class _Model:
    """The signature `recommend` of a file, or its first subgraph if the file has no such signature.

    LiteRT's signature runner also sets and copies tensors in Python, and `Interpreter.invoke` runs only the first
    subgraph. This class therefore calls the private wrapper below both, so that only the inference is timed.
    """

    def __init__(self, content: bytes, kernels: OpResolverType):
        interpreter = Interpreter(model_content=content, num_threads=1, experimental_op_resolver_type=kernels)
        self._wrapper, self._subgraph, self._inputs = interpreter._interpreter, 0, {}
        if RECOMMEND in interpreter.get_signature_list():
            self._subgraph = self._wrapper.GetSubgraphIndexFromSignature(RECOMMEND)
            self._inputs = interpreter.get_signature_runner(RECOMMEND).get_input_details()
        self._wrapper.AllocateTensors(self._subgraph)
        self._inputs = self._inputs or {tensor["name"]: tensor for tensor in interpreter.get_input_details()}

    def fill(self, random: np.random.Generator, size: int) -> None:
        """Sets a full history of random items, random integers for inputs such as ratings, and zeros for the bias."""
        for name, tensor in self._inputs.items():
            values = (
                np.zeros(tensor["shape"]) if name == "bias" else random.integers(FIRST_INDEX, size, tensor["shape"])
            )
            self._wrapper.SetTensor(tensor["index"], values.astype(tensor["dtype"]), self._subgraph)

    def invoke(self) -> None:
        self._wrapper.Invoke(self._subgraph)


def _name(artifact: Artifact) -> str:
    info = artifact.info
    return f"{info['pipeline']}/{info['version']}, {info['encoder']}, N = {info['history_length']}, {info['precision']}"


@contextlib.contextmanager
def _chromium() -> Iterator[Any]:
    """Yields a page of a headless browser."""
    executable = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if executable is None:
        raise StepError(f"no Chromium on PATH ({', '.join(CHROMIUM)}); install one, or omit --browser")
    from playwright.sync_api import sync_playwright

    arguments = ["--headless", "--no-sandbox", "--disable-gpu"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=arguments)
        yield browser.new_page()
        browser.close()


def _browser_milliseconds(page: Any, artifact: Artifact) -> float:
    """Returns the median time of a warm answer of the web client, with copies in and out, in the demo's page."""
    try:
        server = DemoServer(artifact, find_runtime())
    except ArtifactError as error:
        raise StepError(str(error)) from None
    with server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            page.goto(server.url)
            batches: list[float] = page.evaluate(BROWSER_ANSWERS, [BROWSER_BATCHES, BROWSER_BATCH])
        finally:
            server.shutdown()
            serving.join()
    return statistics.median(batches[len(batches) // 2 :])


if __name__ == "__main__":
    sys.exit(main())
