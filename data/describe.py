"""Describes a log as the pipeline reads it, and the section of the configuration that declares it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from data.clock import SECOND, UNITS
from data.dataset import ACTIVITY, EVENT, ITEM, RATING, TIMESTAMP, USER, WORDS, Dataset
from data.formats import HEADLESS
from data.interactions import Interactions
from data.items import read_items
from data.readers import raw_head, read_unit, units_of
from data.settings import DataSettings

WITHIN = 10.0  # seconds
FIRST_ROWS = 3
MAX_EVENTS = 8


def describe(dataset: Dataset, settings: DataSettings | None = None, within: float = WITHIN) -> str:
    """Returns lines for the user: the recognised layout, counts, and the YAML section to paste.

    Args:
        dataset: the recognised dataset.
        settings: the declarations with which it was opened.
        within: time limit for reading, in seconds. After it, the counts cover only the rows read so far.

    Raises:
        DataError: the data cannot be read.
    """
    lines = [*_layout(dataset), *_counts(dataset, within)]
    width = max(len(label) for label, _ in lines) + 2
    declared = section(dataset, settings)
    paste = yaml.safe_dump({"data": declared}, sort_keys=False).rstrip()
    last = paste if declared else "This is a published layout: nothing has to be declared."
    return "\n".join([*(f"{label:{width}}{text}" for label, text in lines), "", last])


def section(dataset: Dataset, settings: DataSettings | None = None) -> dict[str, Any]:
    """Returns the `data` section that declares the recognised layout; a published layout needs no declaration.

    Args:
        dataset: the recognised dataset.
        settings: the declarations with which it was opened; the section contains them.
    """
    log = dataset.log
    given = (settings or DataSettings()).model_dump(mode="json", exclude_unset=True, exclude_none=True)
    given.pop("activity", None)
    if log.activity:
        given["activity"] = dict(log.activity)
    if log.movielens or log.files[0].name in HEADLESS:
        return given
    columns: dict[str, Any] = {key: name for key, name in log.columns.items() if not key.startswith(ACTIVITY)}
    if log.kind == "text" and not log.header:
        columns = {key: int(number) + 1 for key, number in columns.items()}
    declared: dict[str, Any] = {"columns": {}} | given | {"columns": columns}
    if log.kind == "text":
        declared["separator"] = log.separator
        if not log.header:
            declared["header"] = False
    timestamp = given.get("timestamp", {})
    if log.clock.kind in UNITS or log.clock.kind == "rows":
        timestamp |= {"unit": log.clock.kind}
    elif log.clock.kind == "format":
        timestamp |= {"format": log.clock.format}
    if timestamp:
        declared["timestamp"] = timestamp
    if dataset.items:
        declared["items"] = {"path": dataset.items.file.name, **given.get("items", {})}
    return declared


def _layout(dataset: Dataset) -> Iterator[tuple[str, str]]:
    log = dataset.log
    size = sum(file.size for file in log.files)
    kind = {"text": f"text separated by {log.separator!r}", "json": "JSON Lines", "parquet": "Parquet"}[log.kind]
    more = f" to {log.files[-1].name}" if len(log.files) > 1 else ""
    files = f"{len(log.files):,} files" if len(log.files) > 1 else "1 file"
    yield "log", f"{dataset.name}: {files}, {log.files[0].name}{more}, {size / 1e6:,.1f} MB, {kind}"
    yield "columns", ", ".join(f"{key}: {name}" for key, name in log.columns.items())
    kinds = {
        **UNITS,
        "iso": "ISO 8601",
        "format": log.clock.format,
        "excel": f"Excel's days, in {log.clock.zone}",
        "rows": "order of the rows",
    }
    zone = f", {log.clock.zone} if they have no zone" if log.clock.kind in ("iso", "format") else ""
    yield "timestamps", kinds[log.clock.kind] + zone
    _, head = raw_head(log)
    for row in range(min(FIRST_ROWS, len(next(iter(head.values()), [])))):
        yield "first rows" if not row else "", ", ".join(str(column[row]) for column in head.values())
    for note in dataset.notes:
        yield "note", note


def _counts(dataset: Dataset, within: float) -> Iterator[tuple[str, str]]:
    chunks, share = _read(dataset, within)
    bad = [bad for chunk in chunks for bad in chunk.bad_rows]
    rows = sum(map(len, chunks))
    yield (
        "rows",
        f"{rows:,}" + ("" if share >= 1 else f" in the first {share:.0%} of the bytes, which all counts here cover"),
    )
    if bad:
        yield "bad rows", f"{len(bad):,}, such as {bad[0].describe()}"
    if not rows:
        return
    table = pa.concat_tables([chunk.table for chunk in chunks])
    users, items = (table[name].cast(pa.string()).combine_chunks().dictionary_encode() for name in (USER, ITEM))
    user, item = users.indices.to_numpy(), items.indices.to_numpy()
    time_ns, position, rating = (table[name].to_numpy() for name in (TIMESTAMP, "position", RATING))
    if dataset.log.clock.kind not in ("order", "rows"):
        yield "time", f"{_time_text(int(time_ns.min()))} to {_time_text(int(time_ns.max()))} UTC"
    per_user = np.bincount(user)
    quantiles = ", ".join(f"{np.quantile(per_user, at):,.0f}" for at in (0.1, 0.5, 0.9))
    yield (
        "users",
        f"{len(per_user):,}; interactions per user: {quantiles} at 10, 50 and 90 %, {per_user.max():,} at most",
    )
    short = (per_user < 3).mean()
    if short:
        yield "", f"{short:.1%} of the users have fewer than the three interactions that leave_one_out needs"
    per_item = np.sort(np.bincount(item))[::-1]
    tenth = per_item[: max(1, len(per_item) // 10)].sum() / rows
    yield "items", f"{len(per_item):,}; the most popular tenth has {tenth:.0%} of the interactions"
    if dataset.items:
        known = {each.id for each in read_items(dataset)}
        shared = known.intersection(items.dictionary.to_pylist())
        yield "", f"{len(shared):,} of them are in {dataset.items.file.name}, which has {len(known):,}"
    if rating.min() != rating.max():
        yield "ratings", f"{rating.min():g} to {rating.max():g}, {rating.mean():.2f} on average"
    if EVENT in table.column_names:
        counts = pc.value_counts(table[EVENT])
        pairs = sorted(((each["counts"].as_py(), str(each["values"])) for each in counts), reverse=True)[:MAX_EVENTS]
        yield "events", ", ".join(f"{name} {count / rows:.1%}" for count, name in pairs)
    for name, kind in dataset.log.activity.items():
        yield name, _feature(table[ACTIVITY + name], kind)
    order = np.lexsort((position, position if dataset.log.clock.kind == "rows" else time_ns, user))
    same_user = user[order][1:] == user[order][:-1]
    ties = same_user & (time_ns[order][1:] == time_ns[order][:-1])
    if dataset.log.clock.kind != "rows":
        yield "ties", f"{ties.sum() / rows:.1%} of the interactions have the same time as the user's previous one"
    _, first = np.unique(np.stack([user, item]), axis=1, return_index=True)
    at_once = same_user & (item[order][1:] == item[order][:-1])
    repeats = 1 - len(first) / rows
    yield (
        "repeats",
        f"{repeats:.1%} of the interactions repeat an item of the user, {at_once.sum() / rows:.1%} the previous one",
    )


def _feature(values: pa.ChunkedArray, kind: str) -> str:
    """Returns a line about an activity feature."""
    if kind == WORDS:
        known = values.filter(pc.not_equal(values, ""))
        counts = pc.value_counts(known)
        pairs = sorted(((each["counts"].as_py(), str(each["values"])) for each in counts), reverse=True)[:MAX_EVENTS]
        facts = f"{len(counts):,} words: " + ", ".join(f"{word} {count / len(values):.1%}" for count, word in pairs)
    else:
        known = values.drop_null().filter(pc.invert(pc.is_nan(values.drop_null())))
        facts = f"numbers, {pc.min(known).as_py():g} to {pc.max(known).as_py():g}" if len(known) else "numbers"
    return f"{facts}; missing in {1 - len(known) / len(values):.1%}"


def _read(dataset: Dataset, within: float) -> tuple[list[Interactions], float]:
    """Returns chunks of the log, and their share of its bytes."""
    log, stop = dataset.log, time.monotonic() + within
    chunks: list[Interactions] = []
    total, done = sum(file.size for file in log.files), 0.0
    for number, file in enumerate(log.files):
        units = units_of(log, number)
        for unit in units:
            for chunk in read_unit(log, unit):
                chunks.append(chunk)
                if time.monotonic() > stop:
                    return chunks, min(done / max(total, 1), 0.99)
            done += file.size / len(units)
    return chunks, 1.0


def _time_text(time_ns: int) -> str:
    return f"{datetime.fromtimestamp(time_ns // SECOND, timezone.utc):%Y-%m-%d %H:%M:%S}"
