"""Runs functions in new processes, and measures their memory."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Set
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
    others = children()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        running = processes.submit(function, *arguments)
        peak = peak_memory(running, others)
        try:
            return running.result(), peak
        except Exception as error:
            raise StepError(f"{function.__name__}, in a new process: {type(error).__name__}: {error}") from error


def children() -> set[psutil.Process]:
    """Returns the processes that this one started, and that run."""
    return set(psutil.Process().children())


def peak_memory(running: Future[Any], others: Set[psutil.Process] = frozenset()) -> int:
    """Waits for a call, and returns the most resident memory of child processes in that time.

    The memory is in bytes, is sampled twice a second, and includes the descendants of the child processes.

    Args:
        running: the call.
        others: child processes that do not count.
    """
    peak = 0
    while not running.done():
        wait([running], SAMPLE_SECONDS)
        peak = max(peak, sum(map(_resident, children() - others)))
    return peak


def _resident(process: psutil.Process) -> int:
    """Returns the resident memory of a process and its descendants, in bytes."""
    try:
        return int(process.memory_info().rss) + sum(map(_resident, process.children()))
    except psutil.Error:  # It has ended.
        return 0
