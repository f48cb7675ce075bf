"""The log of a shop: the sample with features of items and activities, and kinds of interactions."""

from __future__ import annotations

import csv
import math
from pathlib import Path

SAMPLE = Path(__file__).parent.parent / "data" / "sample"
UNRATED = ("new-1", "new-2", "new-3")
SETTINGS = (
    *("transform.history_length=20", "trainer.item_features=[genres,brand,price,text,year]"),
    *("example_gen.split=temporal", "example_gen.events={look: 0.5, buy: 1}", "example_gen.targets=[buy]"),
    *(
        "trainer.activity_features=[rating,time_gap,event,Device,price]",
        "trainer.min_target_rating=2",
        "trainer.item_dropout=0.2",
    ),
    *("trainer.encoder=bow", "trainer.dimension=16", "trainer.max_epochs=6", "trainer.top_k=150", "trainer.members=[]"),
    *("trainer.learning_rate=0.01", "trainer.batch_positions=1280"),
    "teacher={encoder: cnn, dimension: 16, max_epochs: 2, item_features: [genres], activity_features: [event]}",
    *("pusher.precision=dynamic_int8", "gate.min_targets=0", "gate.min_recall_at_10=0"),
    *("gate.min_lift_over_popularity=0", "gate.min_lift_over_markov=0"),
    *("trainer.warm_start=true", "refit=true", "name=shop"),
)
OPTIONS = tuple(f"--set={setting}" for setting in SETTINGS)


def sample_rows(name: str) -> list[list[str]]:
    """Returns the rows of a file of the sample."""
    return [line.split("::") for line in (SAMPLE / name).read_text(encoding="latin-1").splitlines()]


RATINGS = sample_rows("ratings.dat")


def write_log(folder: Path) -> None:
    """Writes the log and the items, including items without interactions, to a new folder."""
    folder.mkdir(parents=True)
    kinds = ["leave" if number % 10 == 9 else "buy" if number % 3 else "look" for number in range(len(RATINGS))]
    devices = ["", "phone", "tablet"]
    log = [
        [*row, kind, devices[number % 3], f"{number % 90 / 4}" if number % 7 else "n/a"]
        for number, (row, kind) in enumerate(zip(RATINGS, kinds, strict=True))
    ]
    _write(folder / "log.csv", ["user", "item", "rating", "timestamp", "event_type", "device", "price"], log)
    items = [[*row, f"brand {number % 5}"] for number, row in enumerate(sample_rows("movies.dat"))]
    items += [[id_, f"Film {id_}", "Comedy", "brand 1"] for id_ in UNRATED]
    films = len(items) - len(UNRATED)
    for number, row in ((min(position, films), row) for position, row in enumerate(items)):
        vector = " ".join(f"{math.sin(number * position):.3f}" for position in range(1, 9))
        row += [f"{number * 1.5}", f"All that is to say of film number {number}", vector]
    _write(folder / "items.csv", ["item", "title", "genres", "brand", "price", "about", "text"], items)


def _write(path: Path, header: list[str], content: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *content])
