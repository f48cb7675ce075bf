"""The table of model and baselines, on timelines that need no pipeline."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks import comparison
from benchmarks.compare import main
from benchmarks.prepared import Prepared, pairs_fingerprint
from benchmarks.ranking import Estimate
from benchmarks.trained import Trained
from benchmarks.tuning import GRIDS
from pipeline.config import load_config

pytestmark = pytest.mark.filterwarnings("ignore:Method expects CSR input")
ITEMS, USERS = 20, 60


@pytest.fixture
def data(tmp_path) -> Path:
    """Everybody goes up through the items, at two items a moment."""
    folder = tmp_path / "log"
    folder.mkdir()
    rows = [f"{user},{(user + step) % ITEMS},{step // 2}" for user in range(USERS) for step in range(6)]
    (folder / "log.csv").write_text("user,item,timestamp\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def prepare(monkeypatch, make_timelines):
    """Stands in for the pipeline's steps: leave one out in the order of the file."""

    def prepare(data, config, output, cache_dir, observer):
        users: dict[str, list[int]] = {}
        for row in (data / "log.csv").read_text(encoding="utf-8").splitlines()[1:]:
            user, item, _ = row.split(",")
            users.setdefault(user, []).append(int(item) + 2)
        rows = list(users.values())
        targets = [row[-1] for row in rows]
        return Prepared(
            train=make_timelines([row[:-2] for row in rows], times=[at // 2 for _ in rows for at in range(4)]),
            holdout=make_timelines([row[:-2] for row in rows], [row[-2] for row in rows]),
            test=make_timelines([row[:-1] for row in rows], targets),
            raw_test=[b""] * len(rows),
            users=np.array([user.encode() for user in users]),
            target_ids=np.array([b"%d" % (target - 2) for target in targets]),
            item_ids=[str(item) for item in range(ITEMS)],
            transform_graph=Path(),
            raw={},
            transformed={},
        )

    monkeypatch.setattr(comparison, "prepare", prepare)
    # A model that is right about every other user.
    ranks = np.where(np.arange(USERS) % 2, 0, 15)
    monkeypatch.setattr(comparison, "train", lambda *unused: Trained(ranks, 0.5, 3, 1.0))


def test_a_report_has_every_number(data, prepare, tmp_path):
    text = io.StringIO()
    bench = comparison.Bench(tmp_path / "output", tmp_path / "cache", Console(file=text, width=160))
    found = comparison.report(
        data, "leave_one_out", [load_config(None)], bench, models=True, listed=True, seeds=[1, 2], models_anew=False
    )
    entries = {entry["name"]: entry for entry in found["entries"]}
    assert list(entries) == [*GRIDS, "movielens"]
    # Every step from an item to the next is in somebody's train split.
    assert entries["Markov"]["recall_at_10"] == {"mean": 1.0, "standard_error": 0.0}
    assert list(entries["Markov"]["above"]) == [name for name in GRIDS if name != "Markov"]
    model = entries["movielens"]
    assert model["recall_at_10"]["mean"] == 0.5
    for name, difference in model["above"].items():
        assert difference["mean"] == pytest.approx(0.5 - entries[name]["recall_at_10"]["mean"])
    assert list(model["above"]) == list(GRIDS)
    assert max(entries["EASE"]["tried"].values()) == entries["EASE"]["eval_recall_at_10"]

    users = np.array([b"%d" % user for user in range(USERS)])
    targets = np.array([b"%d" % ((user + 5) % ITEMS) for user in range(USERS)])
    assert found["fingerprint"] == pairs_fingerprint(users, targets)
    assert found["tied_share"] == 0.5
    ids = found["listing"][0]
    assert ids["name"] == "ids" and ids["next_share"] == pytest.approx(0.95)  # the last id is followed by the first
    assert len(found["shuffled_ties"]) == 2
    assert all(0.2 < run["targets_changed"] < 0.8 for run in found["shuffled_ties"])
    assert list(found["shuffled_ties"][0]["recall_at_10"]) == list(GRIDS)

    printed = text.getvalue()
    assert found["fingerprint"] in printed and "60 test targets among 20 items" in printed
    assert "most common successor" in printed and "seed 2" in printed and str(Estimate(1.0, 0.0)) in printed


def test_mistakes_are_one_line(capsys):
    assert main(["--data", "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("error: nowhere: no such file or folder")
    assert main(["--data", "nowhere", "--config", "nowhere.yaml"]) == 2
    assert "nowhere.yaml: no such configuration file" in capsys.readouterr().err
