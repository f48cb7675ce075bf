"""The Android sample compiles, and its classes pass the conformance suite on a JVM.

TensorFlow Lite has no build for a desktop JVM. LiteRT runs the model in this process, and `kotlin/Interpreter.kt` sends
its calls here. The activity is compiled against Android's classes and not run.
"""

from __future__ import annotations

import json
import shutil
import socketserver
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tests.conformance import maven
from tests.conformance.answers import check_updates, compare, describe_signatures, read_vectors
from tests.conformance.generate import FOLDER, UPDATES, VECTORS
from tests.on_device.servers import running

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "on_device/samples/android/app/src/main/kotlin/recommender"
HARNESS = Path(__file__).parent / "kotlin"
LIMIT = 300  # seconds


@pytest.fixture(scope="module")
def java() -> str:
    path = shutil.which("java")
    if path is None:
        pytest.skip("no Java, which runs the Kotlin compiler")
    return path


@pytest.fixture(scope="module")
def jars() -> dict[str, Path]:
    try:
        return {name: maven.jar(name) for name in {**maven.COMPILER, **maven.LIBRARIES}}
    except OSError as error:
        pytest.skip(f"Maven Central: {error}")


def compile_kotlin(
    java: str, jars: dict[str, Path], sources: Sequence[Path], classes: Sequence[Path], to: Path
) -> None:
    """Compiles Kotlin, with warnings as errors."""
    compiler = ":".join(str(jars[name]) for name in maven.COMPILER)
    command = [java, "-cp", compiler, "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-no-stdlib", "-no-reflect"]
    class_path = ":".join(map(str, [jars[maven.STDLIB], *classes]))
    command += ["-Werror", "-jvm-target", "17", "-cp", class_path, "-d", str(to)]
    process = subprocess.run([*command, *map(str, sources)], capture_output=True, text=True, timeout=LIMIT)
    assert process.returncode == 0, process.stderr


@pytest.fixture(scope="module")
def sample(java: str, jars: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classes of the sample."""
    folder = tmp_path_factory.mktemp("sample")
    classes = [jars[name] for name in (maven.TFLITE, maven.TFLITE_API, maven.ANDROID)]
    compile_kotlin(java, jars, sorted(SAMPLE.glob("*.kt")), classes, folder)
    return folder


class Bridge(socketserver.StreamRequestHandler):
    """Runs a model file: the first line names the file, and each other line is a call."""

    def handle(self) -> None:
        interpreter = None
        for line in self.rfile:
            request = json.loads(line)
            if interpreter is None:
                interpreter = Interpreter(request["model"])
                runners = {name: interpreter.get_signature_runner(name) for name in interpreter.get_signature_list()}
                self.respond({"signatures": describe_signatures(runners)})
                continue
            runner = runners[request["signature"]]
            details = runner.get_input_details()
            inputs = {
                name: np.array([np.nan if value is None else value for value in values], details[name]["dtype"])[None]
                for name, values in request["inputs"].items()
            }
            self.respond({"outputs": {name: value[0].tolist() for name, value in runner(**inputs).items()}})

    def respond(self, content: dict[str, Any]) -> None:
        self.wfile.write(json.dumps(content).encode() + b"\n")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Bridge)
    server.daemon_threads = True
    with running(server):
        yield server.server_address[1]


@pytest.fixture(scope="module")
def outcome(
    java: str, jars: dict[str, Path], sample: Path, port: int, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The answers and the updates of the sample."""
    harness, work = tmp_path_factory.mktemp("harness"), tmp_path_factory.mktemp("work")
    libraries = [jars[name] for name in (maven.TFLITE_API, maven.JSON)]
    compile_kotlin(java, jars, sorted(HARNESS.glob("*.kt")), [sample, *libraries], harness)
    # The harness comes first, so that its Interpreter replaces TensorFlow Lite's.
    classes = ":".join(map(str, [harness, sample, jars[maven.STDLIB], *libraries]))
    command = [java, f"-Dlitert.port={port}", "-Dfile.encoding=UTF-8", "-cp", classes, "recommender.ConformanceKt"]
    process = subprocess.run(
        [*command, *map(str, (FOLDER, VECTORS, UPDATES, work))], capture_output=True, text=True, timeout=LIMIT
    )
    assert process.returncode == 0, process.stderr
    result: dict[str, Any] = json.loads(process.stdout)
    return result


def test_every_question_has_the_expected_answer(outcome: dict[str, Any]) -> None:
    compare(read_vectors(), outcome["answers"])


def test_broken_updates_change_nothing(outcome: dict[str, Any]) -> None:
    check_updates(outcome["updates"])
