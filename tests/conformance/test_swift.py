"""The iOS sample compiles, and its classes pass the conformance suite, if there is a Swift compiler.

TensorFlow Lite's Swift API and CryptoKit exist only for Apple's systems. Modules of the same names in `swift/` stand in
for them. LiteRT runs the model in this process, to which they write calls on standard output.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tests.conformance.answers import check_updates, compare, describe_signatures, read_vectors
from tests.conformance.generate import FOLDER, UPDATES, VECTORS

SAMPLE = Path(__file__).parents[2] / "on_device/samples/ios/Sources/Recommender"
HARNESS = Path(__file__).parent / "swift"
LIMIT = 300  # seconds


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The harness, linked with the sample."""
    if shutil.which("swiftc") is None:
        pytest.skip("no Swift compiler")
    folder = tmp_path_factory.mktemp("swift")
    modules: list[str] = []

    def compile_swift(sources: Path, arguments: Sequence[str]) -> None:
        command = ["swiftc", "-warnings-as-errors", "-swift-version", "5", "-I", str(folder), "-L", str(folder)]
        command += [*arguments, *map(str, sorted(sources.glob("*.swift"))), *(f"-l{name}" for name in modules)]
        process = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT)
        assert process.returncode == 0, process.stderr + process.stdout

    for sources in (HARNESS / "CryptoKit", HARNESS / "TensorFlowLite", SAMPLE):
        name = sources.name
        library = ["-parse-as-library", "-emit-module", "-emit-library", "-static", "-module-name", name]
        compile_swift(sources, [*library, "-o", str(folder / f"lib{name}.a")])
        modules.insert(0, name)
    compile_swift(HARNESS / "Conformance", ["-o", str(folder / "conformance")])
    return folder / "conformance"


class Models:
    """Runs the calls of the harness."""

    def __init__(self) -> None:
        self._runners: dict[str, dict[str, Any]] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Opens a file, or runs a signature of one."""
        if "open" in request:
            interpreter = Interpreter(request["open"])
            names = interpreter.get_signature_list()
            runners = {name: interpreter.get_signature_runner(name) for name in names}
            self._runners[request["open"]] = runners
            return {"signatures": describe_signatures(runners)}
        runner = self._runners[request["run"]][request["signature"]]
        details = runner.get_input_details()
        inputs = {
            name: np.frombuffer(base64.b64decode(text), details[name]["dtype"])[None]
            for name, text in request["inputs"].items()
        }
        outputs = {name: base64.b64encode(value.tobytes()).decode() for name, value in runner(**inputs).items()}
        return {"outputs": outputs}


@pytest.fixture(scope="module")
def outcome(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The answers and the updates of the sample."""
    command = [str(binary), *map(str, (FOLDER, VECTORS, UPDATES, tmp_path_factory.mktemp("work")))]
    models = Models()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        for line in process.stdout:
            message: dict[str, Any] = json.loads(line)
            if "answers" in message:
                return message
            process.stdin.write(json.dumps(models.answer(message)) + "\n")
            process.stdin.flush()
    raise AssertionError(f"the harness ended with {process.returncode} and no answers")


def test_every_question_has_the_expected_answer(outcome: dict[str, Any]) -> None:
    compare(read_vectors(), outcome["answers"])


def test_broken_updates_change_nothing(outcome: dict[str, Any]) -> None:
    check_updates(outcome["updates"])
