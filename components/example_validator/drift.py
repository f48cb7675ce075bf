"""How far the data of a run is from that of another, and whether that is too far."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components import features
from components.example_validator.profile import Profile
from components.example_validator.settings import Limit, ValidationSettings

OK, WARN, STOP = "ok", "warn", "stop"
Reason = anomalies_pb2.AnomalyInfo.Type

# Each measure: the raw feature that it is of (empty: all of the data), and the sentence that reports its value.
WORDS = {
    "interactions_lost": ("", "{:.1%} fewer interactions"),
    "users_lost": ("", "{:.1%} fewer users"),
    "new_items": (features.ITEM_ID, "{:.1%} of the interactions are of items that had none"),
    "vanished_items": (features.ITEM_ID, "{:.1%} of the earlier interactions were of items that have none now"),
    "item_popularity": (features.ITEM_ID, "the Jensen-Shannon divergence of the interactions by item is {:.3f}"),
    "item_features": (
        features.CATALOG_TOKENS,
        "the Jensen-Shannon divergence of the interactions by {column} is {:.3f}",
    ),
    "rating": (features.RATING, "the ratings moved by {:.2f} standard deviations"),
    "timeline_length": (features.ITEM_ID, "timelines are {:.2f} doublings longer or shorter"),
}


@dataclass(frozen=True)
class Measure:
    """One measure of drift.

    Attributes:
        name: a limit of `ValidationSettings`.
        value: what was found.
        warn: the limit above which there is a warning; None is none.
        stop: the limit above which the run stops; None is none.
        column: the column of the items file that `item_features` is about; empty for other measures.
    """

    name: str
    value: float
    warn: float | None
    stop: float | None
    column: str = ""

    @property
    def level(self) -> str:
        """`ok`, `warn` or `stop`."""
        if self.stop is not None and self.value > self.stop:
            return STOP
        return WARN if self.warn is not None and self.value > self.warn else OK

    @property
    def feature(self) -> str:
        """The raw feature that it is of; empty for all of the data."""
        return WORDS[self.name][0]

    def describe(self) -> str:
        """The value in words, and the limit that it exceeds."""
        words = WORDS[self.name][1].format(self.value, column=self.column)
        level = self.level
        return words if level == OK else f"{words}, over validation.{self.name}.{level} {getattr(self, level):g}"


def compare(now: Profile, before: Profile, settings: ValidationSettings) -> list[Measure]:
    """Returns every measure that both profiles have the data for, in the order of `WORDS`."""
    values = {
        "interactions_lost": _lost(now.interactions, before.interactions),
        "users_lost": _lost(now.users, before.users),
        "new_items": _share_outside(now.items, before.items),
        "vanished_items": _share_outside(before.items, now.items),
        "item_popularity": _beyond_chance(now.items, before.items),
        "timeline_length": float(np.abs(np.log2(now.lengths / before.lengths)).mean()),
    }
    column = ""
    if by_column := {
        name: _beyond_chance(now.features.get(name, {}), counts) for name, counts in before.features.items() if counts
    }:
        column, values["item_features"] = max(by_column.items(), key=lambda pair: pair[1])
    if now.rating and before.rating:
        values["rating"] = _moved(now.rating, before.rating)
    measures = [_judge(name, values[name], getattr(settings, name), settings.stop) for name in WORDS if name in values]
    return [dataclasses.replace(one, column=column) if one.name == "item_features" else one for one in measures]


def jensen_shannon(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    """Jensen-Shannon divergence in bits of two distributions given as counts: 0 (the same) to 1 (nothing shared).

    Source: Lin, "Divergence measures based on the Shannon entropy", IEEE Transactions on Information Theory 1991.
    """
    keys = list(dict.fromkeys([*one, *other]))
    shares = np.array([[counts.get(key, 0) for key in keys] for counts in (one, other)], np.float64)
    if not shares.any(axis=1).all():
        return float(shares.any())  # Nothing shared, where one alone is empty.
    shares /= shares.sum(axis=1, keepdims=True)
    middle = np.broadcast_to(shares.mean(axis=0), shares.shape)
    held = shares > 0
    return max(float((shares[held] * np.log2(shares[held] / middle[held])).sum() / 2), 0.0)


def chance_divergence(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    """The Jensen-Shannon divergence that two samples of one distribution have in the mean.

    About (k - 1) (1/n + 1/m) / (8 ln 2), of n and m interactions over k items; it is too much where most items
    have but few.
    Source: Grosse et al., "Analysis of symbolic sequences using the Jensen-Shannon divergence", Physical Review E 2002.
    """
    sizes = [sum(counts.values()) for counts in (one, other)]
    if not all(sizes):
        return 0.0
    return (len({**one, **other}) - 1) * sum(1 / size for size in sizes) / (8 * math.log(2))


def write_into(anomalies: anomalies_pb2.Anomalies, measures: list[Measure]) -> None:
    """Add what is too much to TFDV's anomalies, as a warning or an error of its feature, and both divergences."""
    for measure in measures:
        path = [measure.feature] if measure.feature else []
        if measure.name in ("item_popularity", "item_features"):
            found = anomalies.drift_skew_info.add()
            found.path.step.extend(path)
            kind = anomalies_pb2.DriftSkewInfo.Measurement.JENSEN_SHANNON_DIVERGENCE
            found.drift_measurements.add(type=kind, value=measure.value, threshold=measure.warn or measure.stop or 0)
        if measure.level == OK:
            continue
        info = anomalies.anomaly_info[measure.feature] if path else anomalies.dataset_anomaly_info
        info.path.step[:] = path
        info.severity = max(
            info.severity,
            anomalies_pb2.AnomalyInfo.ERROR if measure.level == STOP else anomalies_pb2.AnomalyInfo.WARNING,
        )
        words = f"Against the last run, {measure.describe()}."
        reason = _REASONS.get(measure.name, Reason.UNKNOWN_TYPE)
        info.reason.add(type=reason, short_description="Drift", description=words)
        info.short_description = "Drift"
        info.description = " ".join(one.description for one in info.reason)


_REASONS = {
    "interactions_lost": Reason.COMPARATOR_LOW_NUM_EXAMPLES,
    "users_lost": Reason.COMPARATOR_LOW_NUM_EXAMPLES,
    "item_popularity": Reason.COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH,
    "item_features": Reason.COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH,
}


def _judge(name: str, value: float, limit: Limit, stops: bool) -> Measure:
    if stops:
        return Measure(name, value, limit.warn, limit.stop)
    return Measure(name, value, limit.stop if limit.warn is None else limit.warn, None)


def _beyond_chance(now: Mapping[str, int], before: Mapping[str, int]) -> float:
    return max(jensen_shannon(now, before) - chance_divergence(now, before), 0.0)


def _lost(now: int, before: int) -> float:
    return max(1 - now / before, 0.0)


def _share_outside(counts: Mapping[str, int], others: Mapping[str, int]) -> float:
    """The share of counts whose keys the others lack."""
    return sum(count for key, count in counts.items() if key not in others) / max(sum(counts.values()), 1)


def _moved(now: tuple[float, float], before: tuple[float, float]) -> float:
    """How far mean and standard deviation moved together, in standard deviations of before.

    The 2-Wasserstein distance of two normal distributions, and of any others at least that much. Source: Gelbrich, "On
    a formula for the L2 Wasserstein metric between measures on Euclidean and Hilbert spaces", Mathematische Nachrichten
    1990.
    """
    return float(np.hypot(now[0] - before[0], now[1] - before[1]) / (before[1] or 1.0))
