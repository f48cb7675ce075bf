"""Answers on a large store, in seconds of the processor: the clock would measure what else this machine does."""

from __future__ import annotations

import time

from lineage import as_json, facts
from lineage.find import find
from lineage.runs import list_runs
from lineage.store import open_store

EXECUTIONS = 5_000
SECONDS = 3.0


def test_five_thousand_executions(recorder, capsys):
    """Half of the runs take the first steps from the cache, all compare with the model before."""
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
    took = {}
    for what in ("/serving/films", str(first.artifacts["examples"])):
        started = time.process_time()
        found = find(open_store(str(recorder.path)), what)
        as_json.found(found)
        took[f"show {found.artifact.type}"] = time.process_time() - started
    models = {artifact.id for artifact in found.graph.of_type(facts.MODEL)}
    started = time.process_time()
    runs = list_runs(open_store(str(recorder.path)), limit=20)
    took["20 runs"] = time.process_time() - started
    started = time.process_time()
    every = list_runs(open_store(str(recorder.path)))
    took[f"all {len(every)} runs"] = time.process_time() - started
    with capsys.disabled():
        told = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in took.items())
        print(f"\n{executions:,} executions: {told}")
    assert len(models) > len(every) / 2 - 2 and [run.id for run in runs] == [run.id for run in every[:20]]
    assert max(took["show PushedModel"], took["show Examples"], took["20 runs"]) < SECONDS
