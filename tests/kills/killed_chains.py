"""Chains of runs that are killed at random moments, and the checks after every kill."""

from __future__ import annotations

import contextlib
import json
import random
import re
import shutil
import signal
import sqlite3
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from on_device.artifact import LATEST, MODEL, open_artifact
from on_device.errors import ArtifactError
from pipeline import steps
from tests.kills.forked_runs import ForkedRun, in_child

ROOT = Path(__file__).parents[2]
NAME = "sample"
PUSHED_MODEL = "PushedModel"
# The phases of a run before its first step and after its last step.
START, REPORT = "start", "report"
# The smallest encoder compiles fastest, and the Pusher makes only one file.
FIT = ("--max-epochs", "6", "--set", "trainer.encoder=bow", "--set", "pusher.precision=dynamic_int8")
# Models of so few epochs are pushed regardless of their quality: these tests check that no push is lost.
for name in ("min_targets", "min_recall_at_10", "min_lift_over_popularity", "min_lift_over_markov", "baseline_runs"):
    FIT += ("--set", f"gate.{name}=0")


class Broken(Exception):
    """A check failed; the message is one line."""


@dataclass(frozen=True)
class Moment:
    """When to kill a run.

    Attributes:
        phase: a step, or START or REPORT.
        seconds: after the start of the phase, or after the line with `sign`.
        sign: text of a line of the output; empty for the start of the phase.
    """

    phase: str
    seconds: float
    sign: str = ""


@dataclass(frozen=True)
class Kill:
    """A kill.

    Attributes:
        phase: the phase of the run.
        seconds: after the start of the run.
        resumed: the line of the killed run's Trainer about the epochs that it did not fit again.
        epochs: the epochs that the killed run fitted.
    """

    phase: str
    seconds: float
    resumed: str = ""
    epochs: tuple[int, ...] = ()


@dataclass
class Chain:
    """A folder in which runs are killed.

    Attributes:
        folder: for output and serving models.
        data: ratings.
        kills: so far.
        visible: SHA-256 of the model of every version that was visible after the last kill.
    """

    folder: Path
    data: Path
    kills: list[Kill] = field(default_factory=list)
    visible: dict[str, str] = field(default_factory=dict)

    @property
    def serving(self) -> Path:
        """The folder of the versions."""
        return self.folder / "serving" / NAME

    @property
    def database(self) -> Path:
        """The ML Metadata store."""
        return self.folder / "output" / NAME / "metadata.db"

    def start(self, seed: int) -> ForkedRun:
        """Starts a run with a seed of the Trainer."""
        self.folder.mkdir(parents=True, exist_ok=True)
        outputs = ["--output", str(self.folder / "output"), "--serving-dir", str(self.folder / "serving")]
        config = ["--config", str(ROOT / "configs" / "sample.yaml"), "--set", f"trainer.seed={seed}", *FIT]
        return ForkedRun(["--data", str(self.data), *outputs, *config], self.folder)

    def kill(self, seed: int, moment: Moment) -> Kill | None:
        """Starts a run and kills it at a moment, or soon after; returns None if the run ended before."""
        run = self.start(seed)
        lines, printed = run.lines(), []
        if moment.phase != START:
            for line in lines:
                printed.append(line)
                if _begins(line, moment):
                    break
        time.sleep(moment.seconds)
        run.kill()
        seconds = time.monotonic() - run.started
        printed += lines
        code = run.wait()
        text = "\n".join(printed)
        if code == 0:
            return None
        if code != -signal.SIGKILL:
            raise Broken(f"the run failed by itself, with exit code {code}: {text[-2000:]}")
        resumed = re.search(r"resuming after epoch .*", text)
        epochs = tuple(int(epoch) for epoch in re.findall(r"epoch (\d+)/", text))
        kill = Kill(_phase(printed), seconds, resumed[0] if resumed else "", epochs)
        self.kills.append(kill)
        return kill

    def finish(self, seed: int) -> str:
        """Runs to the end; returns the output."""
        run = self.start(seed)
        text = "\n".join(run.lines())
        if code := run.wait():
            raise Broken(f"the run that was left alone ended with exit code {code}: {text[-2000:]}")
        return text

    def check(self) -> None:
        """Checks the folder after a kill.

        Raises:
            Broken: `latest` names no complete version, a visible version is incomplete or has changed, or the
                store does not open.
        """
        versions = {}
        for path in self.serving.iterdir() if self.serving.is_dir() else []:
            if path.name.startswith(".") or path.name == LATEST:
                continue
            versions[path.name] = _digest(path)
        for name, digest in self.visible.items():
            if versions.get(name) != digest:
                raise Broken(f"version {name} is lost or was written anew")
        self.visible = versions
        pointer = self.serving / LATEST
        if pointer.exists():
            name = pointer.read_text(encoding="utf-8")
            if name.strip() not in versions:
                raise Broken(f"latest names {name!r}, there are {sorted(versions)}")
        self._known()

    def check_end(self, pushed: int) -> None:
        """Checks the folder after a run to the end.

        Args:
            pushed: the number of models.

        Raises:
            Broken: a version is missing or unexpected, two versions have the same model, or the store differs.
        """
        self.check()
        expected = [str(number) for number in range(1, pushed + 1)]
        if sorted(self.visible) != expected or len(set(self.visible.values())) != pushed:
            raise Broken(f"{pushed} models were to be pushed, the versions are {self.visible}")
        if (self.serving / LATEST).read_text(encoding="utf-8") != f"{pushed}\n":
            raise Broken(f"latest does not name version {pushed}")
        if (stored := self._known()) != self.visible:
            raise Broken(f"the store knows the versions {stored}, there are {self.visible}")
        leftovers = [path.name for path in self.serving.iterdir() if path.name.startswith(".staging")]
        leftovers += [str(path) for path in (self.folder / "output").glob("**/checkpoints/*")]
        if leftovers:
            raise Broken(f"left behind: {leftovers}")

    def _known(self) -> dict[str, str]:
        """Returns the pushes in a copy of the store: opening it repairs it, which the next run must do."""
        if not self.database.exists() or not self.database.stat().st_size:  # Killed while it created the file.
            return {}
        with tempfile.TemporaryDirectory() as scratch:
            for path in self.database.parent.glob(f"{self.database.name}*"):
                shutil.copy(path, scratch)
            copy = Path(scratch) / self.database.name
            try:
                versions: dict[str, str] = json.loads(in_child(lambda: json.dumps(pushes(copy))))
            except (RuntimeError, ValueError) as error:
                raise Broken(f"{self.database} does not open: {error}") from None
            with contextlib.closing(sqlite3.connect(copy)) as connection:
                ((verdict,),) = connection.execute("PRAGMA integrity_check").fetchall()
        if verdict != "ok":
            raise Broken(f"{self.database}: {verdict}")
        return versions


def pushes(database: Path) -> dict[str, str]:
    """Returns the SHA-256 of the model of every pushed version in a store, by version.

    Raises:
        RuntimeError: The store does not open.
    """
    import ml_metadata as mlmd
    from ml_metadata.proto import metadata_store_pb2 as pb

    connection = pb.ConnectionConfig()
    connection.sqlite.filename_uri = str(database)
    store = mlmd.MetadataStore(connection)
    if PUSHED_MODEL not in {kind.name for kind in store.get_artifact_types()}:
        return {}
    properties = [artifact.custom_properties for artifact in store.get_artifacts_by_type(PUSHED_MODEL)]
    return {
        values["pushed_version"].string_value: values["sha256"].string_value
        for values in properties
        if values["pushed"].int_value
    }


def measure(folder: Path, data: Path) -> dict[str, float]:
    """Returns the seconds of each phase of a run to the end."""
    run = Chain(folder, data).start(seed=1)
    phase, since = START, run.started
    seconds: dict[str, float] = {}
    for line in run.lines():
        next_phase = line.split()[0] if line.endswith(" running") else REPORT if f"✓ {steps.PUSHER} " in line else ""
        if next_phase:
            now = time.monotonic()
            seconds[phase] = now - since
            phase, since = next_phase, now
    seconds[phase] = time.monotonic() - since
    if code := run.wait():
        raise Broken(f"a run that nobody killed ended with exit code {code}")
    return seconds


def draw(random_: random.Random, seconds: dict[str, float], count: int, phases: list[str]) -> list[Moment]:
    """Returns moments that are uniform over the duration of some phases, in order."""
    total = sum(seconds[phase] for phase in phases)
    moments = []
    for seconds_left in sorted(random_.uniform(0, total) for _ in range(count)):
        for phase in phases:
            if seconds_left < seconds[phase]:
                moments.append(Moment(phase, seconds_left))
                break
            seconds_left -= seconds[phase]
    return moments


def in_every_step(random_: random.Random) -> list[Moment]:
    """Returns a moment in the first second of each step that takes time; in the Trainer, after two epochs."""
    signs = {steps.TRAINER: "epoch 2/"}  # The state after an epoch is saved after its line.
    slow_steps = (
        *(steps.EXAMPLE_GEN, steps.STATISTICS_GEN, steps.TRANSFORM),
        *(steps.TRAINER, steps.EVALUATOR, steps.PUSHER),
    )
    return [Moment(step, random_.uniform(0, 1), signs.get(step, "")) for step in slow_steps]


def _begins(line: str, moment: Moment) -> bool:
    if moment.sign:
        return moment.sign in line
    return line.startswith(f"✓ {steps.PUSHER} ") if moment.phase == REPORT else line == f"{moment.phase} running"


def _phase(printed: list[str]) -> str:
    """Returns the phase of a run from its printed lines."""
    running = [line.split()[0] for line in printed if line.endswith(" running")]
    if not running:
        return START
    return REPORT if any(line.startswith(f"✓ {steps.PUSHER} ") for line in printed) else running[-1]


def _digest(version: Path) -> str:
    """Returns the SHA-256 of the model of a version.

    Raises:
        Broken: The version is incomplete.
    """
    try:
        checksum: str = open_artifact(version).info["sha256"][MODEL]
    except ArtifactError as error:
        raise Broken(f"half a version is visible: {error}") from None
    return checksum
