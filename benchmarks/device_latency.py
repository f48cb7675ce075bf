"""Times model files: here, at the start of a process, and in a browser."""

from __future__ import annotations

import contextlib
import re
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
from rich.table import Table

from benchmarks import reference_model
from components.errors import StepError
from on_device.artifact import FIRST_INDEX, Artifact
from on_device.demo.runtime import find_runtime
from on_device.demo.server import DemoServer, make_site
from on_device.errors import ArtifactError

REFERENCE = "reference of 2021, CNN, N = 10"
WARM_UP = 20
STARTS = 7
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FIRST_ANSWER = "import sys; from on_device import Recommender; Recommender.load(sys.argv[1]).recommend([])"
MEASURES = 8  # times 200 answers; the last counts


def report(
    artifacts: list[Artifact], others: dict[str, tuple[bytes, int]], runs: int, browser: bool, console: Console
) -> dict[str, Any]:
    """Measure and print.

    Args:
        artifacts: pushed models.
        others: content of further model files, and what their integer inputs are below, by name.
        runs: answers of each.
        browser: whether pushed models are timed in a browser too.
        console: for people.

    Returns:
        By name, for the reference and each model: `size_bytes`, `median_us`, `p90_us` and, without
        XNNPACK, `plain_us`; `ratio`, to the reference's median; of an artifact also `start_seconds` and, with
        `browser`, `browser_ms`, medians.

    Raises:
        StepError: there is no browser to measure in, or a file is no model.
    """
    named = {_name(artifact): artifact for artifact in artifacts}
    files = {
        REFERENCE: (reference_model.reference_file(), reference_model.ITEMS),
        **{name: (artifact.model, artifact.info["num_items"]) for name, artifact in named.items()},
        **others,
    }
    found = inference_times(files, runs)
    for name, artifact in named.items():
        found[name]["start_seconds"] = _start_seconds(artifact.folder)
    if browser:
        with _chromium() as page:
            for name, artifact in named.items():
                found[name]["browser_ms"] = _browser_milliseconds(page, artifact)
    console.print(_table(found))
    console.print(
        f"one thread, medians of {runs:,} random full histories, with XNNPACK unless it says otherwise; start: import, "
        "load and the first answer"
    )
    return found


def inference_times(files: dict[str, tuple[bytes, int]], runs: int) -> dict[str, dict[str, float]]:
    """Time files in turns.

    Args:
        files: content and number of items of each model file, by name, the reference among them.
        runs: answers of each.

    Returns:
        `size_bytes`, `median_us`, `p90_us`, `plain_us` (the median without XNNPACK) and `ratio` by name.
    """
    with_xnnpack = _times(files, runs, OpResolverType.AUTO)
    without = _times(files, runs, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    medians = {name: float(np.median(times)) for name, times in with_xnnpack.items()}
    return {
        name: {
            "size_bytes": len(content),
            "median_us": round(medians[name] * 1e6, 1),
            "p90_us": round(float(np.percentile(with_xnnpack[name], 90)) * 1e6, 1),
            "plain_us": round(float(np.median(without[name])) * 1e6, 1),
            "ratio": round(medians[name] / medians[REFERENCE], 2),
        }
        for name, (content, _) in files.items()
    }


def _times(files: dict[str, tuple[bytes, int]], runs: int, kernels: OpResolverType) -> dict[str, np.ndarray]:
    """Returns the seconds of each answer, float64 [runs], by file."""
    interpreters = {}
    for name, (content, _) in files.items():
        try:
            interpreters[name] = Interpreter(
                model_content=content, num_threads=1, experimental_op_resolver_type=kernels
            )
            interpreters[name].allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise StepError(f"{name} is no model file that LiteRT runs: {error}") from None
    random = np.random.default_rng(0)
    times = {name: np.empty(WARM_UP + runs) for name in files}
    for run in range(WARM_UP + runs):
        for name, interpreter in interpreters.items():
            for tensor in interpreter.get_input_details():
                interpreter.set_tensor(tensor["index"], _random_input(random, tensor, files[name][1]))
            started = time.perf_counter()
            interpreter.invoke()
            times[name][run] = time.perf_counter() - started
    return {name: of_file[WARM_UP:] for name, of_file in times.items()}


def _random_input(random: np.random.Generator, tensor: dict[str, Any], items: int) -> np.ndarray:
    """A full history of any of the items; where an input is of floats, scores or ratings in random order."""
    drawn: np.ndarray = random.integers(FIRST_INDEX, items, tensor["shape"])
    return drawn.astype(tensor["dtype"])


def _name(artifact: Artifact) -> str:
    info = artifact.info
    return f"{info['pipeline']}/{info['version']}, {info['encoder']}, N = {info['history_length']}, {info['precision']}"


def _start_seconds(folder: Path) -> float:
    """From a new process's first line to the first answer, the start of Python included; a median."""
    times = []
    for _ in range(STARTS):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", FIRST_ANSWER, str(folder)], check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return round(statistics.median(times), 3)


@contextlib.contextmanager
def _chromium() -> Iterator[Any]:
    """A page of a headless browser."""
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        raise StepError(f"no Chromium on PATH ({', '.join(CHROMIUM)}); install one, or leave --browser out")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=program, args=["--headless", "--no-sandbox", "--disable-gpu"])
        yield running.new_page()
        running.close()


def _browser_milliseconds(page: Any, artifact: Artifact) -> float:
    """Median of an answer that the demo's own page measures, warm, copies in and out included."""
    try:
        site = make_site(artifact, find_runtime())
    except ArtifactError as error:
        raise StepError(str(error)) from None
    with DemoServer(site, 0) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            page.goto(server.url)
            told = ""
            for _ in range(MEASURES):
                page.evaluate("document.getElementById('measured').textContent = ''")
                page.click("#measure")
                page.wait_for_function("document.getElementById('measured').textContent")
                told = page.inner_text("#measured")
        finally:
            server.shutdown()
            serving.join()
    return float(re.findall(r"median ([\d.]+) ms", told)[0])


def _table(found: dict[str, dict[str, float]]) -> Table:
    table = Table(title="Latency of an answer", title_justify="left")
    table.add_column("")
    for title in ("size", "median", "90%", "without XNNPACK", "over the reference", "Python start", "Chromium"):
        table.add_column(title, justify="right")
    for name, one in found.items():
        start = f"{one['start_seconds']:.2f} s" if "start_seconds" in one else ""
        browser = f"{one['browser_ms']:.2f} ms" if "browser_ms" in one else ""
        table.add_row(
            *(name, f"{one['size_bytes'] / 1e6:.2f} MB", f"{one['median_us']:,.0f} µs", f"{one['p90_us']:,.0f} µs"),
            f"{one['plain_us']:,.0f} µs",
            *(f"{one['ratio']:.2f} x", start, browser),
        )
    return table
