"""Tests the table of times and memory."""

from __future__ import annotations

from benchmarks.beam_speed import STEPS, Run, table_of


def test_the_table_has_sums_and_growth() -> None:
    def run(ratings: int, seconds: float) -> Run:
        return Run(ratings, dict.fromkeys(STEPS, seconds), 3 << 30)

    table = table_of([run(1_000, 2.0), run(4_000, 6.0)])
    columns = {column.header: list(column.cells) for column in table.columns}
    assert columns["together"] == ["6.0 s", "18.0 s"]
    assert columns["growth"] == ["1.00", "0.75"]
    assert columns["peak"] == ["3.00 GiB"] * 2
