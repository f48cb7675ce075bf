"""Measures of drift between the data of two runs, and the limits on them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import rel_entr
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components import features
from components.example_validator.profile import Profile
from components.example_validator.settings import Limit, ValidationSettings

OK, WARN, STOP = "ok", "warn", "stop"
Reason = anomalies_pb2.AnomalyInfo.Type

# For each measure: the raw feature that it describes (empty: the entire data), and the sentence that reports its value.
MEASURES = {
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
        name: name of the measure, and of its limit in `ValidationSettings`.
        value: the measured value.
        warn: limit above which the run warns; None for no limit.
        stop: limit above which the run stops; None for no limit.
        column: for `item_features`, the column of the items file; empty for other measures.
    """

    name: str
    value: float
    warn: float | None
    stop: float | None
    column: str = ""

    @property
    def level(self) -> str:
        """Returns `ok`, `warn` or `stop`, by the limits that the value exceeds."""
        if self.stop is not None and self.value > self.stop:
            return STOP
        return WARN if self.warn is not None and self.value > self.warn else OK

    @property
    def feature(self) -> str:
        """Returns the raw feature that the measure describes; empty for the entire data."""
        return MEASURES[self.name][0]

    def describe(self) -> str:
        """Returns a sentence with the value and, if it exceeds a limit, with that limit."""
        sentence = MEASURES[self.name][1].format(self.value, column=self.column)
        level = self.level
        return sentence if level == OK else f"{sentence}, over validation.{self.name}.{level} {getattr(self, level):g}"


def compare(now: Profile, before: Profile, settings: ValidationSettings) -> list[Measure]:
    """Returns every measure for which both profiles have data, in the order of `MEASURES`."""
    values = {
        "interactions_lost": _lost(now.interactions, before.interactions),
        "users_lost": _lost(now.users, before.users),
        "new_items": _share_outside(now.items, before.items),
        "vanished_items": _share_outside(before.items, now.items),
        "item_popularity": _beyond_chance(now.items, before.items),
        "timeline_length": float(np.abs(np.log2(now.lengths / before.lengths)).mean()),
    }
    column = ""
    divergences = {
        name: _beyond_chance(now.features.get(name, {}), counts) for name, counts in before.features.items() if counts
    }
    if divergences:
        column, values["item_features"] = max(divergences.items(), key=lambda pair: pair[1])
    if now.rating and before.rating:
        values["rating"] = _moved(now.rating, before.rating)
    return [
        _measure(name, values[name], settings, column if name == "item_features" else "")
        for name in MEASURES
        if name in values
    ]


def jensen_shannon(first: Mapping[str, int], second: Mapping[str, int]) -> float:
    """Returns the Jensen-Shannon divergence of two distributions in bits, from 0 (equal) to 1 (disjoint).

    Args:
        first: counts by key.
        second: counts by key.

    Source: Lin, "Divergence measures based on the Shannon entropy", IEEE Transactions on Information Theory 1991.
    """
    keys = list(dict.fromkeys([*first, *second]))
    shares = np.array([[counts.get(key, 0) for key in keys] for counts in (first, second)], np.float64)
    if not shares.any(axis=1).all():
        return float(shares.any())  # 1 if exactly one distribution is empty, 0 if both are.
    shares /= shares.sum(axis=1, keepdims=True)
    return max(float(rel_entr(shares, shares.mean(axis=0)).sum()) / (2 * math.log(2)), 0.0)


def chance_divergence(first: Mapping[str, int], second: Mapping[str, int]) -> float:
    """Returns the expected Jensen-Shannon divergence of two samples from the same distribution, in bits.

    It is about (k - 1) (1/n + 1/m) / (8 ln 2) for n and m interactions with k items. The formula gives too high a value
    if most items have only a few interactions.

    Args:
        first: counts by key.
        second: counts by key.
    Source: Grosse et al., "Analysis of symbolic sequences using the Jensen-Shannon divergence", Physical Review E 2002.
    """
    sizes = [sum(counts.values()) for counts in (first, second)]
    if not all(sizes):
        return 0.0
    return (len({**first, **second}) - 1) * sum(1 / size for size in sizes) / (8 * math.log(2))


def write_into(anomalies: anomalies_pb2.Anomalies, measures: list[Measure]) -> None:
    """Adds drift to TFDV's anomalies.

    A measure over its limit becomes a warning or an error of its feature. The divergences of items and of item features
    are always added.
    """
    for measure in measures:
        path = [measure.feature] if measure.feature else []
        if measure.name in ("item_popularity", "item_features"):
            drift = anomalies.drift_skew_info.add()
            drift.path.step.extend(path)
            kind = anomalies_pb2.DriftSkewInfo.Measurement.JENSEN_SHANNON_DIVERGENCE
            drift.drift_measurements.add(type=kind, value=measure.value, threshold=measure.warn or measure.stop or 0)
        if measure.level == OK:
            continue
        info = anomalies.anomaly_info[measure.feature] if path else anomalies.dataset_anomaly_info
        info.path.step[:] = path
        info.severity = max(
            info.severity,
            anomalies_pb2.AnomalyInfo.ERROR if measure.level == STOP else anomalies_pb2.AnomalyInfo.WARNING,
        )
        description = f"Against the last run, {measure.describe()}."
        reason_type = _REASONS.get(measure.name, Reason.UNKNOWN_TYPE)
        info.reason.add(type=reason_type, short_description="Drift", description=description)
        info.short_description = "Drift"
        info.description = " ".join(reason.description for reason in info.reason)


_REASONS = {
    "interactions_lost": Reason.COMPARATOR_LOW_NUM_EXAMPLES,
    "users_lost": Reason.COMPARATOR_LOW_NUM_EXAMPLES,
    "item_popularity": Reason.COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH,
    "item_features": Reason.COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH,
}


def _measure(name: str, value: float, settings: ValidationSettings, column: str) -> Measure:
    limit: Limit = getattr(settings, name)
    if settings.stop:
        return Measure(name, value, limit.warn, limit.stop, column)
    return Measure(name, value, limit.stop if limit.warn is None else limit.warn, None, column)


def _beyond_chance(now: Mapping[str, int], before: Mapping[str, int]) -> float:
    return max(jensen_shannon(now, before) - chance_divergence(now, before), 0.0)


def _lost(now: int, before: int) -> float:
    return max(1 - now / before, 0.0)


def _share_outside(counts: Mapping[str, int], others: Mapping[str, int]) -> float:
    """Returns the share of `counts` whose keys are not in `others`."""
    return sum(count for key, count in counts.items() if key not in others) / max(sum(counts.values()), 1)


def _moved(now: tuple[float, float], before: tuple[float, float]) -> float:
    """Returns how far the ratings moved, in standard deviations of the earlier ratings.

    It is the 2-Wasserstein distance of two normal distributions, and a lower bound of it for other distributions.
    Source: Gelbrich, "On a formula for the L2 Wasserstein metric between measures on Euclidean and Hilbert spaces",
    Mathematische Nachrichten 1990.

    Args:
        now: mean and standard deviation.
        before: mean and standard deviation.
    """
    return float(np.hypot(now[0] - before[0], now[1] - before[1]) / (before[1] or 1.0))
