"""Tests the results page on synthetic timelines, with fakes for the training and for the peers."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from benchmarks import peers, results, study_runs
from benchmarks.prepared import Prepared
from benchmarks.ranking import Estimate, Ranking
from benchmarks.results_page import page
from benchmarks.studies import STUDIES, Study
from benchmarks.trained import Trained
from benchmarks.tuning import GRIDS
from components.errors import StepError
from pipeline.config import load_config

pytestmark = pytest.mark.filterwarnings("ignore:Method expects CSR input")
ITEMS, USERS = 20, 60
STUDY = Study("A circle", "circle", "generated", "leave_one_out", ordered_by_site=True)


@pytest.fixture
def prepared(make_timelines) -> Prepared:
    """Returns data whose users take the items in order; the test target of user 0 is an unknown item."""
    rows = [[(user + step) % ITEMS + 2 for step in range(6)] for user in range(USERS)]
    targets = [row[-1] for row in rows]
    targets[0] = 1
    return Prepared(
        train=make_timelines([row[:-2] for row in rows], times=[position // 2 for _ in rows for position in range(4)]),
        holdout=make_timelines([row[:-2] for row in rows], [row[-2] for row in rows]),
        test=make_timelines([row[:-1] for row in rows], targets),
        raw_test=[b""] * USERS,
        users=np.array([b"%d" % user for user in range(USERS)]),
        target_ids=np.array([b"%d" % target for target in targets]),
        item_ids=[str(item) for item in range(ITEMS)],
    )


@pytest.fixture
def fits(monkeypatch, prepared) -> list[int]:
    """Replaces training; returns the seeds of the fits. Seed 1 has hits for all users, other seeds for half of them."""
    seeds: list[int] = []

    def train(data, config, output, cache_dir, observer, raw_test):
        seeds.append(config.trainer.seed)
        ranks = np.where((np.arange(USERS) % 2 == 0) | (config.trainer.seed == 1), 0, 15)
        return Trained(Ranking(ranks, np.tile([2, 3, 4, 0], (USERS, 1))), 0.75, 61.0)

    monkeypatch.setattr(study_runs, "train", train)
    monkeypatch.setattr(study_runs, "prepare", lambda *_: prepared)
    return seeds


def run(folder: Path, seeds: list[int], peers: bool = False) -> study_runs.StudyResult:
    runs = study_runs.Runs(STUDY, folder, folder / "out", folder, Console(file=io.StringIO()))
    return runs.run(seeds, [], peers=peers)


def cells(text: str, name: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {name}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_page_has_means_over_seeds_and_paired_errors(tmp_path, fits):
    text = page([run(tmp_path, [1, 2])])
    head, model = cells(text, " |"), cells(text, "**default**")
    assert head[2] == "Recall@10" and model[2] == str(Estimate(0.75, np.sqrt(0.25 / USERS) / 2))
    assert model[1] == "0.7500" and model[8] == "2: 0.5000 to 1.0000" and model[10] == "61 s"
    assert head[6] == "coverage" and model[6] == f"{3 / ITEMS:.1%}"
    markov = cells(text, "Markov")
    # Markov is right for all targets except the unknown item.
    assert markov[2].startswith(f"{(USERS - 1) / USERS:.4f}") and markov[9] == "7"
    assert f"{1 / USERS:.2%} of the targets are items that training did not see" in text
    assert f"Left out: {'; '.join(f'{name}: not requested' for name in peers.PEERS)}." in text


def test_finished_fits_are_not_repeated(tmp_path, fits):
    first = page([run(tmp_path, [1])])
    assert fits == [1]
    assert page([run(tmp_path, [1])]) == first
    run(tmp_path, [1, 2])
    assert fits == [1, 2]


def test_a_change_of_the_trainer_repeats_the_fits(tmp_path, fits, monkeypatch):
    run(tmp_path, [1])
    monkeypatch.setattr(study_runs, "step_version", lambda step: "other")
    run(tmp_path, [1])
    assert fits == [1, 1]


def test_a_peer_is_ranked_by_its_list_and_gets_the_time_of_the_default(tmp_path, fits, prepared, monkeypatch):
    requests = []

    def fake_run(command: list[str], purpose: str) -> None:
        request = json.loads(Path(command[-1]).read_text())
        requests.append(request)
        lists = np.zeros((USERS, request["k"]), np.int64)
        lists[:, 3] = prepared.test.targets  # The target of user 0 is unknown: a miss, although it is listed.
        np.save(Path(request["folder"]) / "recommended.npy", lists)
        (Path(request["folder"]) / "epochs.json").write_text("7")

    monkeypatch.setattr(peers, "environment", lambda peer, cache_dir: Path("python"))
    monkeypatch.setattr(peers, "_run", fake_run)
    result = run(tmp_path, [1], peers=True)
    assert [request["minutes"] for request in requests] == [2] * len(peers.PEERS)  # 61 seconds
    assert all(request["filter_seen"] for request in requests)
    longest = max(np.diff(prepared.train.starts))
    assert [request["model"].get("session_max_len") for request in requests] == [min(longest, 50)] * 2 + [None]
    with np.load(requests[0]["data"]) as arrays:
        assert len(set(arrays["validated"])) == USERS * peers.VALIDATED
    assert run(tmp_path, [1]).of_kind(study_runs.PEER).keys() == peers.PEERS.keys(), "finished runs are shown"
    (sasrec,) = result.of_kind(study_runs.PEER)["SASRec (RecTools)"]
    assert sasrec.ranks.tolist() == [prepared.size, *[3] * (USERS - 1)]
    assert cells(page([result]), "gSASRec (RecTools) (7 epochs)")[2].startswith(f"{(USERS - 1) / USERS:.4f}")


def test_a_peer_gets_no_unknown_items(make_timelines, monkeypatch, tmp_path):
    timelines = make_timelines([[1, 5, 1], [1], [6, 7]])
    prepared = SimpleNamespace(train=timelines, test=timelines, item_ids=["a", "b", "c"], recommends_seen=False)
    monkeypatch.setattr(peers, "environment", lambda peer, cache_dir: cache_dir)
    monkeypatch.setattr(peers, "_run", lambda command, purpose: None)
    with pytest.raises(FileNotFoundError, match="recommended"):
        peers.run_peer(next(iter(peers.PEERS)), prepared, 1, 1, tmp_path, tmp_path)
    with np.load(tmp_path / "timelines.npz") as arrays:
        for split in ("train", "test"):
            assert arrays[f"{split}_items"].tolist() == [5, 6, 7]
            assert arrays[f"{split}_starts"].tolist() == [0, 1, 1, 3]


def test_the_error_of_a_failed_peer_has_the_reason():
    with pytest.raises(StepError, match="gSASRec failed: no such model"):
        peers._run(["sh", "-c", "echo no such model >&2; exit 3"], "gSASRec")


def test_every_study_has_configurations_that_exist():
    for study in STUDIES:
        assert "default" in study.configs
        for path in study.configs.values():
            assert load_config(path, study.overrides).example_gen.split == study.split


def test_missing_data_is_an_error_before_any_training(capsys):
    assert results.main(["--beauty", "no/such/file.zip"]) == 2
    assert "no/such/file.zip" in capsys.readouterr().err


def test_data_without_the_option_page_is_an_error(capsys):
    assert results.main(["--data", "log.csv"]) == 2
    assert "--data needs --page FILE" in capsys.readouterr().err


def test_all_models_are_fitted_again_with_shuffled_ties(tmp_path, fits, make_timelines, monkeypatch):
    """All users take the items in order, two items at a time."""
    log = "".join(f"{user},{(user + step) % ITEMS},{step // 2}\n" for user in range(USERS) for step in range(6))
    (tmp_path / "log.csv").write_text("user,item,timestamp\n" + log, encoding="utf-8")

    def prepare(data, config, output, cache_dir, observer) -> Prepared:
        file = data if data.is_file() else data / "log.csv"
        histories: dict[str, list[int]] = {}
        for line in file.read_text(encoding="utf-8").splitlines()[1:]:
            user, item, _ = line.split(",")
            histories.setdefault(user, []).append(int(item) + 2)
        rows = list(histories.values())
        return Prepared(
            train=make_timelines(
                [row[:-2] for row in rows], times=[position // 2 for _ in rows for position in range(4)]
            ),
            holdout=make_timelines([row[:-2] for row in rows], [row[-2] for row in rows]),
            test=make_timelines([row[:-1] for row in rows], [row[-1] for row in rows]),
            raw_test=[b""] * len(rows),
            users=np.array([user.encode() for user in histories]),
            target_ids=np.array([b"%d" % row[-1] for row in rows]),
            item_ids=[str(item) for item in range(ITEMS)],
        )

    monkeypatch.setattr(study_runs, "prepare", prepare)
    runs = study_runs.Runs(STUDY, tmp_path / "log.csv", tmp_path / "out", tmp_path, Console(file=io.StringIO()))
    result = runs.run([1], [5, 6], peers=False)
    assert result.tied_share == 0.5 and fits == [1, 1, 1]
    (first, second) = result.shuffled
    assert 0.2 < first.changed_share < 0.8 and first.changed_share != second.changed_share
    assert list(first.recalls) == [*GRIDS, "default"]
    text = page([result])
    assert cells(text, "Recall@10 with ties in random order")[2:] == ["seed 5", "seed 6"]
    assert cells(text, "targets that change")[2] == f"{first.changed_share:.1%}"
    row = next(line for line in text.split("ties in random order")[1].splitlines() if line.startswith("| Markov"))
    assert row.split("|")[2:4] == [" 1.0000 ", f" {first.recalls['Markov']:.4f} "]
