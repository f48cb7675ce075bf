"""Runs functions in new processes, and measures the memory of all processes that this one starts."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

import psutil

from components.errors import StepError

ROOT = Path(__file__).parent.parent
SAMPLE_SECONDS = 0.5  # between two samples of the memory

Result = TypeVar("Result")


def in_new_process(function: Callable[..., Result], *arguments: Any) -> tuple[Result, int]:
    """Calls a function in a new process.

    Args:
        function: of a module.
        arguments: of the function.

    Returns:
        The result of the function, and the peak memory of `peak_memory`.

    Raises:
        StepError: the function failed, or the process was killed.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        running = processes.submit(function, *arguments)
        peak = peak_memory(running)
        try:
            return running.result(), peak
        except Exception as error:
            raise StepError(f"{function.__name__}, in a new process: {type(error).__name__}: {error}") from error


def peak_memory(running: Future[Any]) -> int:
    """Waits for a call, and returns the most resident memory of all child processes in that time.

    The memory is in bytes, is sampled twice a second, and includes the descendants of the child processes.
    """
    peak = 0
    while not running.done():
        wait([running], SAMPLE_SECONDS)
        peak = max(peak, sum(map(_resident, psutil.Process().children(recursive=True))))
    return peak


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # It has ended.
        return 0
