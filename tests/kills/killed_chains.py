"""Chains of runs that are killed at random moments, and what must hold after every kill."""

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
# What a run does before its first step and after its last one.
START, REPORT = "start", "report"
# The smallest encoder compiles fastest, and the Pusher makes only one file.
FIT = ("--max-epochs", "6", "--set", "trainer.encoder=bow", "--set", "pusher.precision=dynamic_int8")
# The models of so few epochs are pushed whatever their quality: these tests are about pushes that must not be lost.
for name in ("min_targets", "min_recall_at_10", "min_lift_over_popularity", "min_lift_over_markov", "baseline_runs"):
    FIT += ("--set", f"gate.{name}=0")


class Broken(Exception):
    """Something does not hold; the message is one line."""


@dataclass(frozen=True)
class Moment:
    """When to kill a run.

    Attributes:
        phase: a step, or START or REPORT.
        seconds: after its start.
        sign: what a line must say for the clock to start; empty: that the phase starts.
    """

    phase: str
    seconds: float
    sign: str = ""


@dataclass(frozen=True)
class Kill:
    """A kill.

    Attributes:
        phase: that the run was in.
        seconds: after the start of the run.
        resumed: what the Trainer of the killed run said of the epochs that it did not have to fit again.
        epochs: those that it did fit.
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
        seen: SHA-256 of the model of every version that was ever visible.
    """

    folder: Path
    data: Path
    kills: list[Kill] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)

    @property
    def serving(self) -> Path:
        """The folder of the versions."""
        return self.folder / "serving" / NAME

    @property
    def database(self) -> Path:
        """The ML Metadata store."""
        return self.folder / "output" / NAME / "metadata.db"

    def start(self, seed: int) -> ForkedRun:
        """Start a run that fits with a seed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        places = ["--output", str(self.folder / "output"), "--serving-dir", str(self.folder / "serving")]
        config = ["--config", str(ROOT / "configs" / "sample.yaml"), "--set", f"trainer.seed={seed}", *FIT]
        return ForkedRun(["--data", str(self.data), *places, *config], self.folder)

    def kill(self, seed: int, moment: Moment) -> Kill | None:
        """Start a run and kill it at a moment, or soon after; None where it ended before."""
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
        """Run to the end; returns its output."""
        run = self.start(seed)
        text = "\n".join(run.lines())
        if code := run.wait():
            raise Broken(f"the run that was left alone ended with exit code {code}: {text[-2000:]}")
        return text

    def check(self) -> None:
        """What must hold whenever a run was killed.

        Raises:
            Broken: `latest` names no complete version, a visible one is incomplete or has changed, or the
                store does not open.
        """
        versions = {}
        for path in self.serving.iterdir() if self.serving.is_dir() else []:
            if path.name.startswith(".") or path.name == LATEST:
                continue
            versions[path.name] = _digest(path)
        for name, digest in self.seen.items():
            if versions.get(name) != digest:
                raise Broken(f"version {name} is lost or was written anew")
        self.seen = versions
        pointer = self.serving / LATEST
        if pointer.exists():
            name = pointer.read_text(encoding="utf-8")
            if name.strip() not in versions:
                raise Broken(f"latest names {name!r}, there are {sorted(versions)}")
        self._known()

    def check_end(self, pushed: int) -> None:
        """What must hold when everything ran to its end.

        Args:
            pushed: how many models.

        Raises:
            Broken: a version is missing, there is one too many, one is there twice, or the store contradicts them.
        """
        self.check()
        expected = [str(number) for number in range(1, pushed + 1)]
        if sorted(self.seen) != expected or len(set(self.seen.values())) != pushed:
            raise Broken(f"{pushed} models were to be pushed, the versions are {self.seen}")
        if (self.serving / LATEST).read_text(encoding="utf-8") != f"{pushed}\n":
            raise Broken(f"latest does not name version {pushed}")
        if (known := self._known()) != self.seen:
            raise Broken(f"the store knows the versions {known}, there are {self.seen}")
        left = [path.name for path in self.serving.iterdir() if path.name.startswith(".staging")]
        left += [str(path) for path in (self.folder / "output").glob("**/checkpoints/*")]
        if left:
            raise Broken(f"left behind: {left}")

    def _known(self) -> dict[str, str]:
        """What the store knows of pushes. A copy is asked: opening mends what a kill left, which is the next run's."""
        if not self.database.exists() or not self.database.stat().st_size:  # Killed as it made the file.
            return {}
        with tempfile.TemporaryDirectory() as scratch:
            for path in self.database.parent.glob(f"{self.database.name}*"):
                shutil.copy(path, scratch)
            copy = Path(scratch) / self.database.name
            try:
                known: dict[str, str] = json.loads(in_child(lambda: json.dumps(pushes(copy))))
            except (RuntimeError, ValueError) as error:
                raise Broken(f"{self.database} does not open: {error}") from None
            with contextlib.closing(sqlite3.connect(copy)) as connection:
                ((verdict,),) = connection.execute("PRAGMA integrity_check").fetchall()
        if verdict != "ok":
            raise Broken(f"{self.database}: {verdict}")
        return known


def pushes(database: Path) -> dict[str, str]:
    """SHA-256 of the model of every version that a store says was pushed.

    Raises:
        RuntimeError: the store does not open.
    """
    import ml_metadata as mlmd
    from ml_metadata.proto import metadata_store_pb2 as pb

    connection = pb.ConnectionConfig()
    connection.sqlite.filename_uri = str(database)
    store = mlmd.MetadataStore(connection)
    if PUSHED_MODEL not in {kind.name for kind in store.get_artifact_types()}:
        return {}
    held = [artifact.custom_properties for artifact in store.get_artifacts_by_type(PUSHED_MODEL)]
    return {one["pushed_version"].string_value: one["sha256"].string_value for one in held if one["pushed"].int_value}


def measure(folder: Path, data: Path) -> dict[str, float]:
    """Seconds of each phase of a run that is left alone."""
    run = Chain(folder, data).start(seed=1)
    phase, since = START, run.started
    seconds: dict[str, float] = {}
    for line in run.lines():
        began = line.split()[0] if line.endswith(" running") else REPORT if f"✓ {steps.PUSHER} " in line else ""
        if began:
            now = time.monotonic()
            seconds[phase] = now - since
            phase, since = began, now
    seconds[phase] = time.monotonic() - since
    if code := run.wait():
        raise Broken(f"a run that nobody killed ended with exit code {code}")
    return seconds


def draw(random_: random.Random, seconds: dict[str, float], count: int, phases: list[str]) -> list[Moment]:
    """Moments that are uniform over the time of some phases, in order."""
    total = sum(seconds[phase] for phase in phases)
    moments = []
    for at in sorted(random_.uniform(0, total) for _ in range(count)):
        for phase in phases:
            if at < seconds[phase]:
                moments.append(Moment(phase, at))
                break
            at -= seconds[phase]
    return moments


def in_every_step(random_: random.Random) -> list[Moment]:
    """A moment within the first second of each step that takes time; the Trainer's, once two epochs are fitted."""
    signs = {steps.TRAINER: "epoch 2/"}  # The state after an epoch is saved behind the line on it.
    worked = (
        *(steps.EXAMPLE_GEN, steps.STATISTICS_GEN, steps.TRANSFORM),
        *(steps.TRAINER, steps.EVALUATOR, steps.PUSHER),
    )
    return [Moment(step, random_.uniform(0, 1), signs.get(step, "")) for step in worked]


def _begins(line: str, moment: Moment) -> bool:
    if moment.sign:
        return moment.sign in line
    return line.startswith(f"✓ {steps.PUSHER} ") if moment.phase == REPORT else line == f"{moment.phase} running"


def _phase(printed: list[str]) -> str:
    """The phase that a run was in which printed some lines."""
    running = [line.split()[0] for line in printed if line.endswith(" running")]
    if not running:
        return START
    return REPORT if any(line.startswith(f"✓ {steps.PUSHER} ") for line in printed) else running[-1]


def _digest(version: Path) -> str:
    """SHA-256 of the model of a version.

    Raises:
        Broken: it is not whole.
    """
    try:
        checksum: str = open_artifact(version).info["sha256"][MODEL]
    except ArtifactError as error:
        raise Broken(f"half a version is visible: {error}") from None
    return checksum
