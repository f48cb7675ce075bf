"""Timestamps: every notation of logs, one notation per column, at full precision."""

from __future__ import annotations

import pyarrow as pa
import pytest

from data.clock import SECOND, Clock, choose_clock
from data.errors import DataError
from data.formats import open_dataset
from data.settings import DataSettings, Timestamps
from tests.data.reading import read_all

NOON = 1_709_294_400 * SECOND  # 2024-03-01T12:00:00Z
FIRST_OF_MARCH = 1_709_251_200 * SECOND


@pytest.mark.parametrize(
    ("text", "kind", "time"),
    [
        ("1709294400", "s", NOON),
        ("1709294400.123456789", "s", NOON + 123_456_789),
        ("1.7092944e9", "s", NOON),
        ("1709294400123", "ms", NOON + 123_000_000),
        ("1709294400123.5", "ms", NOON + 123_500_000),
        ("1709294400123456", "us", NOON + 123_456_000),
        ("1709294400123456789", "ns", NOON + 123_456_789),
        ("20240301", "format", FIRST_OF_MARCH),
        ("202403", "format", FIRST_OF_MARCH),
        ("2024030112", "format", NOON),
        ("202403011200", "format", NOON),
        ("20240301120000", "format", NOON),
        ("45352.5", "excel", NOON),
        ("2024-03-01", "iso", FIRST_OF_MARCH),
        ("2024/03/01 12:00:00", "iso", NOON),
        ("2024-03-01T12:00:00Z", "iso", NOON),
        ("2024-03-01T13:00:00+0100", "iso", NOON),
        ("2024-03-01 13:00:00+01:00", "iso", NOON),
        ("2024-03-01 13:00 +0100", "iso", NOON),
        ("2024-03-01 13:00:00 +0100", "iso", NOON),
        ("2024/03/01 06:30:00.25  -05:30", "iso", NOON + SECOND // 4),
        ("2024-03-01 12:00:00 UTC", "iso", NOON),
        ("2024-03-01T12:00:00.1234567", "iso", NOON + 123_456_700),
        ("2024-03-01T12:00:00,123Z", "iso", NOON + 123_000_000),
        (" 2024-03-01T12:00 ", "iso", NOON),
    ],
)
def test_every_notation_of_a_time_is_read(text: str, kind: str, time: int) -> None:
    clock, _ = choose_clock(pa.array([text]), Timestamps())
    values, bad = clock.read(pa.array([text]))
    assert (clock.kind, values.tolist(), bad) == (kind, [time], {})


@pytest.mark.parametrize(
    ("column", "time"),
    [
        (pa.array([NOON // 10**6], pa.timestamp("ms")), NOON),
        (pa.array([NOON + 7], pa.timestamp("ns", "UTC")), NOON + 7),
        (pa.array([NOON // 10**3], pa.timestamp("us", "Europe/Berlin")), NOON),
        (pa.array([19_783], pa.date32()), FIRST_OF_MARCH),
        (pa.array([1_709_294_400]), NOON),
        (pa.array([1_709_294_400.5]), NOON + SECOND // 2),
        (pa.array([20_240_301]), FIRST_OF_MARCH),
        (pa.array(["2024-03-01"]).dictionary_encode(), FIRST_OF_MARCH),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_typed_columns_are_read(column: pa.Array, time: int) -> None:
    assert choose_clock(column, Timestamps())[0].read(column)[0].tolist() == [time]


def test_a_column_has_one_notation() -> None:
    clock, _ = choose_clock(pa.array(["1709294400", "1709294401"]), Timestamps())
    values, bad = clock.read(pa.array(["1709294400", "1709294400123", "2024-03-01", "-1", ""]))
    assert values.tolist() == [NOON, 0, 0, 0, 0]
    assert bad == {
        1: "timestamp '1709294400123' is out of range for seconds",
        2: "timestamp '2024-03-01' is not a number",
        3: "timestamp '-1' is negative, or before 1970",
        4: "timestamp '' is not a number",
    }
    iso = Clock("iso").read(pa.array(["2024-02-30", "1969-12-31", "2024-03-01"]))
    assert iso[0].tolist() == [0, 0, FIRST_OF_MARCH] and list(iso[1]) == [0, 1]


def test_years_are_not_timestamps() -> None:
    with pytest.raises(DataError, match="timestamps 1998 to 2003 look like years"):
        choose_clock(pa.array(["1998", "2003"]), Timestamps())


def test_times_within_one_day_of_1970_are_an_order_with_a_note() -> None:
    clock, (note,) = choose_clock(pa.array(["1", "2", "204"]), Timestamps())
    assert clock.kind == "order" and "within one day of 1970" in note
    assert clock.read(pa.array(["3", "100000"]))[0].tolist() == [3 * SECOND, 100_000 * SECOND]


def test_another_order_of_day_and_month_must_be_declared() -> None:
    column = pa.array(["01/03/2024 13:00", "1/3/2024 13:00", "30/02/2024 13:00"])
    with pytest.raises(DataError, match=r"such as '01/03/2024 13:00' are neither.*data\.timestamp\.format="):
        choose_clock(column, Timestamps())
    clock, _ = choose_clock(column, Timestamps(format="%d/%m/%Y %H:%M", zone="Europe/Berlin"))
    values, bad = clock.read(column)
    assert values.tolist() == [NOON, NOON, 0]
    assert bad == {2: "timestamp '30/02/2024 13:00' does not have the format '%d/%m/%Y %H:%M'"}


def test_the_declared_zone_applies_to_times_without_a_zone() -> None:
    clock, _ = choose_clock(pa.array(["2024-03-01"]), Timestamps(zone="Europe/Berlin"))
    values, _ = clock.read(pa.array(["2024-03-01T13:00", "2024-03-01T13:00Z"]))
    assert values.tolist() == [NOON, NOON + 3600 * SECOND]


def test_the_declared_zone_applies_to_days_of_excel() -> None:
    clock, _ = choose_clock(pa.array(["45352.5", "45474.5"]), Timestamps(zone="Europe/Berlin"))
    values, bad = clock.read(pa.array(["45352.5", "45474.5", "200000"]))  # In July, Berlin is 2 h ahead.
    assert values.tolist() == [NOON - 3600 * SECOND, NOON + (122 * 24 - 2) * 3600 * SECOND, 0]
    assert bad == {2: "timestamp '200000' is out of range for days"}


@pytest.mark.parametrize(
    ("text", "declared", "time"),
    [
        ("2024-03-01T12:00:00Z", Timestamps(zone="Europe/Berlin"), NOON),
        ("2024-03-01T13:00:00", Timestamps(zone="Europe/Berlin"), NOON),
        ("2024-01-03", Timestamps(format="%Y-%d-%m"), FIRST_OF_MARCH),
    ],
)
def test_times_in_json_are_read_in_their_notation(text: str, declared: Timestamps, time: int, tmp_path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(f'{{"user": "ann", "item": "tea", "time": "{text}"}}\n' * 2)
    (chunk,) = read_all(open_dataset(path, "", DataSettings(timestamp=declared)))
    assert chunk.table["timestamp"].to_pylist() == [time] * 2


def test_an_invalid_declaration_is_an_error() -> None:
    with pytest.raises(ValueError, match="'Mars/Olympus' is not a time zone"):
        Timestamps(zone="Mars/Olympus")
    with pytest.raises(ValueError, match="set either unit or format, not both"):
        Timestamps(unit="s", format="%Y")


@pytest.mark.parametrize("times", [("1709294400.2", "1709294400.1"), ("1709294400002", "1709294400001")])
def test_the_order_within_a_second_is_kept(times: tuple[str, str], tmp_path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(
        "user,item,time\n" + "".join(f"ann,{item},{time}\n" for item, time in zip("ba", times, strict=True))
    )
    (chunk,) = read_all(open_dataset(path, ""))
    first, second = chunk.table["timestamp"].to_pylist()
    assert first > second


def test_rows_in_order_need_no_timestamps(tmp_path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user,item\nann,tea\nann,jam\n")
    with pytest.raises(DataError, match=r"no column for timestamp.*data\.timestamp\.unit=rows takes the order"):
        open_dataset(path, "")
    dataset = open_dataset(path, "", DataSettings(timestamp=Timestamps(unit="rows")))
    (chunk,) = read_all(dataset)
    positions = chunk.table["position"].to_pylist()
    assert chunk.table["item"].to_pylist() == ["tea", "jam"] and positions == sorted(positions)
