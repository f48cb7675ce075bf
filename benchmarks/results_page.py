"""Formats docs/results.md: Markdown from the results of `study_runs`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from benchmarks.prepared import Prepared
from benchmarks.ranking import Estimate, mrr, paired_difference, quality, recall
from benchmarks.study_runs import BASELINE, MODEL, PEER, Row, StudyResult
from components import features

HEAD = """# Results

`python -m benchmarks.results` wrote this page; [`benchmarks/README.md`](../benchmarks/README.md) has the commands.

- Every target is ranked among all items that training saw. Items of the user's history are left out, unless the
  log has many repeats. A target that training did not see is a miss for every model.
- Settings and epochs are chosen on the eval split. The test split is only reported. `trials` counts the settings that
  were tried on the eval split in the run that made this page. The settings of our models are those of the
  configuration. The rule that derives the default's settings from the data was chosen with about 35 fits on the eval
  splits of these logs: the default's eval figures are therefore optimistic.
- ± is one standard error, over users. Where there are several seeds, a figure is the mean over seeds, and `seeds` gives
  the range of Recall@10.
- `over` is the difference of Recall@10 to the best baseline on the test split, with the standard error of the paired
  differences.
- Peers are SASRec and gSASRec of RecTools, and GRU4Rec of Cornac, trained on the same data on the same processor for as
  many minutes as our default took. The settings of SASRec and gSASRec are those that
  github.com/blondered/transformer_benchmark publishes for MovieLens 1M and Amazon Beauty, with shorter histories where
  99% of the train timelines are shorter. Those of GRU4Rec are the best of eight on the clicks, by held-out items of
  train sessions. The last interactions of a tenth of the train users choose a peer's epoch. Peers list 100 items, and
  a target below counts as a miss. The number of their epochs stands beside the name: where it is small, the row gives
  their recall after that time, and not their best.
- `coverage` is the share of the items that are among the best 10 for at least one test target.
- Tables with the same fingerprint of targets have the same targets.
- MovieLens showed its users pages of films, and users rated the films of a page in its order. The tables "the site's
  order" therefore measure a rule without a model: recommend the items that follow the user's last item in an assumed
  order of the site. "Ties in its order" is the share of consecutive interactions with the same time that are in this
  order; "targets next in it" is the share of targets that directly follow the user's last item in it.
- The columns "seed" repeat the study after shuffling the interactions of a user with the same time (ties).
"""

COLUMNS = (
    "",
    "eval Recall@10",
    "Recall@10",
    "Recall@20",
    "NDCG@10",
    "MRR@20",
    "coverage",
    "over",
    "seeds",
    "trials",
    "fitting",
)
LENGTHS = ((1, 4), (5, 9), (10, 49), (50, None))
POPULARITIES = (
    ("the most popular tenth of the items", 0.0, 0.1),
    ("the next four tenths", 0.1, 0.5),
    ("the less popular half", 0.5, 1.0),
)


def page(results: Sequence[StudyResult]) -> str:
    """Returns the page."""
    return "\n".join([HEAD, *(_section(result) for result in results)])


def _section(result: StudyResult) -> str:
    prepared = result.prepared
    unseen = float((prepared.test.targets < features.FIRST_INDEX).mean())
    facts = [
        f"{len(prepared.train.items):,} interactions and {len(prepared.train):,} users in the train split, "
        f"{len(prepared.item_ids):,} items, {len(prepared.test):,} test targets of "
        f"{len(np.unique(prepared.users)):,} users.",
        f"{unseen:.2%} of the targets are items that training did not see. "
        f"{result.tied_share:.1%} of the train events tie in time with the one before. "
        f"Repeats are {'recommended' if prepared.recommends_seen else 'not recommended'}.",
        f"Targets: sha256 `{prepared.fingerprint}`.",
    ]
    best = _best_baseline(result)
    rows = [
        _row(entries, best, prepared) for kind in (BASELINE, PEER, MODEL) for entries in result.of_kind(kind).values()
    ]
    parts = [f"## {result.study.title}\n", "\n".join(facts), "", _table(COLUMNS, rows)]
    if result.missing:
        parts += ["", f"Left out: {'; '.join(result.missing)}."]
    parts += ["", _slices(result, best)]
    if result.listings:
        parts += ["", _listings(result)]
    if result.shuffled:
        parts += ["", _shuffled(result)]
    return "\n".join([*parts, ""])


def _best_baseline(result: StudyResult) -> Row:
    baselines = [entries[0] for entries in result.of_kind(BASELINE).values()]
    return max(baselines, key=lambda entry: quality(entry.ranks)["recall_at_10"].mean)


def _row(entries: list[Row], best: Row, prepared: Prepared) -> list[str]:
    first, users = entries[0], prepared.users
    metrics = [quality(entry.ranks, users) for entry in entries]
    recalls = [metric["recall_at_10"].mean for metric in metrics]
    mrrs = [mrr(entry.ranks, 20, users) for entry in entries]
    over = _mean([paired_difference(entry.ranks, best.ranks, users) for entry in entries])
    name = f"**{first.name}**" if first.kind == MODEL else first.name
    return [
        name + (f" ({first.settings})" if first.settings else ""),
        "" if math.isnan(first.eval_recall) else f"{np.mean([entry.eval_recall for entry in entries]):.4f}",
        *(str(_mean([metric[key] for metric in metrics])) for key in ("recall_at_10", "recall_at_20", "ndcg_at_10")),
        str(_mean(mrrs)),
        f"{np.mean([entry.ranking.coverage(len(prepared.item_ids)) for entry in entries]):.1%}",
        "" if first is best else over.signed,
        f"{len(entries)}: {min(recalls):.4f} to {max(recalls):.4f}" if len(entries) > 1 else "1",
        str(first.trials),
        _duration(float(np.median([entry.seconds for entry in entries]))),
    ]


def _mean(estimates: list[Estimate]) -> Estimate:
    """Returns the mean over seeds. They share users, so that their errors do not average out."""
    return Estimate(
        float(np.mean([estimate.mean for estimate in estimates])),
        float(np.mean([estimate.standard_error for estimate in estimates])),
    )


def _slices(result: StudyResult, best: Row) -> str:
    """Returns Recall@10 of parts of the targets: the default, the best baseline and the peers."""
    prepared = result.prepared
    compared = [result.of_kind(MODEL)["default"][0], best, *(entries[0] for entries in result.of_kind(PEER).values())]
    lengths = np.diff(prepared.test.starts)
    parts: list[tuple[str, np.ndarray]] = [
        (
            f"history of {low} to {high}" if high else f"history of {low} and more",
            (lengths >= low) & (lengths <= (high or lengths.max(initial=low))),
        )
        for low, high in LENGTHS
    ]
    position = (prepared.test.targets - features.FIRST_INDEX) / max(len(prepared.item_ids), 1)
    parts += [(f"target among {name}", (position >= low) & (position < high)) for name, low, high in POPULARITIES]
    rows = [
        [name, f"{int(chosen.sum()):,}"]
        + [str(recall(entry.ranks[chosen], 10, prepared.users[chosen])) for entry in compared]
        for name, chosen in parts
        if chosen.any()
    ]
    return _table(("Recall@10 of", "targets", *(entry.name for entry in compared)), rows)


def _listings(result: StudyResult) -> str:
    rows = [
        [
            entry.name,
            "" if entry.forward is None else f"{entry.forward:.1%}",
            f"{entry.next_share:.2%}",
            str(entry.recall_at_1),
            str(entry.recall_at_10),
        ]
        for entry in result.listings
    ]
    head = ("the site's order, read as", "ties in its order", "targets next in it", "Recall@1 of the rule", "Recall@10")
    return _table(head, rows)


def _shuffled(result: StudyResult) -> str:
    """Returns Recall@10 with the interactions of one user at one time in random order."""
    before = {row.name: recall(row.ranks, 10).mean for row in reversed(result.rows)}
    head = ("Recall@10 with ties in random order", "as logged", *(f"seed {run.seed}" for run in result.shuffled))
    rows = [
        [name, f"{before[name]:.4f}", *(f"{run.recalls[name]:.4f}" for run in result.shuffled)]
        for name in result.shuffled[0].recalls
    ]
    changed = ["targets that change", "", *(f"{run.changed_share:.1%}" for run in result.shuffled)]
    return _table(head, [*rows, changed])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
