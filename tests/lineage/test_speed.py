"""Measures queries on a large store, in CPU seconds, which depend little on other work of the machine."""

from __future__ import annotations

import time

from lineage import as_json, facts
from lineage.find import find
from lineage.runs import list_runs
from lineage.store import open_store

EXECUTIONS = 5_000
SECONDS = 3.0


def test_queries_of_five_thousand_executions_are_fast(recorder, capsys):
    """Half of the runs take the first steps from the cache; all compare with the previous model."""
    first = last = recorder.run()
    executions = len(first.executions)
    while executions < EXECUTIONS:
        even = recorder.count % 2 == 0
        content = f"model {recorder.count}".encode()
        last = recorder.run(
            cached=first if even else None,
            cached_until="Transform",
            baseline=last.artifacts["model"],
            model=content,
            destination=f"/serving/films/{recorder.count + 1}",
        )
        executions += len(last.executions)
    durations = {}
    for query in ("/serving/films", str(first.artifacts["examples"])):
        started = time.process_time()
        match = find(open_store(str(recorder.path)), query)
        as_json.match(match)
        durations[f"show {match.node.type}"] = time.process_time() - started
    models = {artifact.id for artifact in match.graph.of_type(facts.MODEL)}
    started = time.process_time()
    newest = list_runs(open_store(str(recorder.path)), limit=20)
    durations["20 runs"] = time.process_time() - started
    started = time.process_time()
    all_runs = list_runs(open_store(str(recorder.path)))
    durations[f"all {len(all_runs)} runs"] = time.process_time() - started
    with capsys.disabled():
        times = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in durations.items())
        print(f"\n{executions:,} executions: {times}")
    assert len(models) > len(all_runs) / 2 - 2 and [run.id for run in newest] == [run.id for run in all_runs[:20]]
    assert max(durations["show PushedModel"], durations["show Examples"], durations["20 runs"]) < SECONDS
