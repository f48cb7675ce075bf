"""Runs programs of the project in children of a process that has imported TensorFlow and TFX.

A child starts in the state of a new process after some ten seconds of imports, with its own folder, environment and
streams. Each worker of pytest has one such parent. Tests of the start of a process start a new process instead.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parent.parent


def run_forked(
    module: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a module as `python -m MODULE` does, and returns its exit code and all that it printed.

    Args:
        module: The module, such as `local_runner`.
        arguments: The arguments of its command line.
        folder: The working directory.
        environment: The environment of the process; by default that of this process.
    """
    return run_together(module, arguments, folder, [environment or os.environ], seconds=0)[0]


def run_together(
    module: str, arguments: Sequence[str], folder: Path, environments: Sequence[Mapping[str, str]], seconds: int = 240
) -> list[subprocess.CompletedProcess[str]]:
    """Runs a module in several processes at the same time, one for each environment; see `run_forked`.

    Args:
        module: As in `run_forked`.
        arguments: As in `run_forked`.
        folder: As in `run_forked`.
        environments: The environments of the processes.
        seconds: After this time, a process is killed; 0: no limit.
    """
    with tempfile.TemporaryDirectory() as scratch:
        outputs = [[f"{scratch}/{stream}-{number}" for stream in ("out", "err")] for number in range(len(environments))]
        requests = [
            [module, list(arguments), str(folder), dict(environment), *output, seconds]
            for environment, output in zip(environments, outputs, strict=True)
        ]
        parent = _parent()
        assert parent.stdin is not None and parent.stdout is not None
        parent.stdin.write(json.dumps(requests) + "\n")
        parent.stdin.flush()
        codes = json.loads(parent.stdout.readline())
        texts = [[Path(file).read_text(encoding="utf-8", errors="replace") for file in output] for output in outputs]
    return [
        subprocess.CompletedProcess([module, *arguments], code, out, err)
        for code, (out, err) in zip(codes, texts, strict=True)
    ]


@functools.cache
def _parent() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.forked"]
    parent = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(_end, parent)
    return parent


def _end(parent: subprocess.Popen[str]) -> None:
    parent.kill()
    parent.wait()


def _serve() -> None:
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor  # noqa: F401

    from tests.kills.forked_runs import import_all

    exit_codes = os.fdopen(os.dup(1), "w")  # Children print to other files.
    import_all()
    for line in sys.stdin:
        pids = []
        for request in json.loads(line):
            pid = os.fork()
            if not pid:
                end_with(functools.partial(_run_program, *request))
            pids.append(pid)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        exit_codes.write(json.dumps(codes) + "\n")
        exit_codes.flush()


def _run_program(
    module: str, arguments: list[str], folder: str, environment: dict[str, str], out: str, err: str, seconds: int
) -> None:
    """Runs a program in this process, with its own streams, folder, environment and time limit."""
    signal.alarm(seconds)
    for path, stream in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    sys.path[0] = str(ROOT)
    runpy.run_module(module, run_name="__main__")


def end_with(work: Callable[[], int | None]) -> NoReturn:
    """Runs the function of a child process, and ends the process with its exit code; None is 0."""
    code: object = 1
    try:
        code = work()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(bool(code)))


if __name__ == "__main__":
    _serve()
