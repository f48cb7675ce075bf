"""Recall by length of history, against answers worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from benchmarks import cold_start, short_histories


class LastItemPlusOne:
    """Recommends the item after the last one; nothing to those of whom it knows nothing."""

    def __init__(self):
        self.asked: list[tuple[list[int], list[int]]] = []

    def rank_indices(self, history, exclude, *, ratings, times):
        assert len(ratings) == len(times) == len(history)
        self.asked.append((history.tolist(), exclude.tolist()))
        return (history[-1:] + 1 if len(history) else np.array([], np.int32)), None


def test_each_length_keeps_the_last_items_and_leaves_out_all(make_timelines):
    histories = [[2, 3, 4], list(range(2, 14))]
    test = make_timelines(histories, [5, 20])
    prepared = SimpleNamespace(train=test, test=test, size=30, users=np.array([b"a", b"b"]))
    file = LastItemPlusOne()
    found = {row["length"]: row for row in short_histories.measure(prepared, file)}
    assert [row["targets"] for row in found.values()] == [2, 2, 2, 1, 1]
    assert [row["file"]["mean"] for row in found.values()] == [0.0, 0.5, 0.5, 0.0, 0.0]
    # By popularity the second item is hit: 2, 3 and 4 are seen, 5 comes first; 20 is the seventh of the other's.
    assert found["1"]["popularity"]["mean"] == 1.0
    assert found["1"]["difference"]["mean"] == -0.5
    for history, exclude in file.asked:
        whole = next(one for one in histories if one == exclude)
        assert history == whole[len(whole) - len(history) :]
    lengths = [len(history) for history, _ in file.asked]
    assert lengths[:4] == [0, 0, 1, 1] and lengths[-1] == 12
    assert all(2 <= length <= 4 for length in lengths[4:6]) and 5 <= lengths[6] <= 9


def test_mistakes_are_one_line(capsys):
    assert cold_start.main(["--data", "nowhere", "--set", "trainer.droput=1"]) == 2
    assert "did you mean 'dropout'?" in capsys.readouterr().err
    assert cold_start.main(["--data", "nowhere", "--set", "nothing"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert cold_start.main(["--data", "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("error: nowhere: no such file")
