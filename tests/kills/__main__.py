"""Kills runs of the pipeline at random moments, starts them again, and checks that nothing is lost.

    .venv/bin/python -m tests.kills --kills 100

Runs of the synthetic sample get SIGKILL at moments that are uniform over the duration of a run. A chain of runs has
one folder and pushes two models. The runs of the first model are killed at three fifths of the moments of the chain
(`--per-chain`); then one run finishes. The runs of the second model, which has another seed, are killed at moments
after the data steps; then one run finishes. After every kill:

- `latest` names a complete version with the right checksums, or does not exist yet;
- every visible version is complete and unchanged;
- a copy of the ML Metadata store opens, and passes SQLite's integrity check.

After every finished run, exactly the expected versions exist, each model once; the store has the same versions; and no
other files are left. If a check fails, the program ends with exit code 1.

Runs are children of a process that has imported TensorFlow and TFX, so a rerun takes seconds. The moments depend on
`--seed`: the tables of several seeds can be added.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from data.errors import DataError
from data.quick_check import quick_check
from pipeline.console import duration, quiet

if TYPE_CHECKING:
    from tests.kills.killed_chains import Moment

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
EXIT_BROKEN, EXIT_USAGE = 1, 2
# The share of a chain's kills in the runs of its first model. The second model needs no kills in the data steps.
FIRST_SHARE = 0.6


def main(arguments: list[str] | None = None) -> int:
    """Kills runs, checks them and prints a table; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        quick_check(options.data)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        folder = (options.output or Path(scratch)).resolve()
        with quiet(folder / "kills.log") as console:
            console.print("importing TensorFlow and TFX, once")
            from tests.kills.forked_runs import import_all

            import_all()
            results = _run_chains(options, folder, console)
            console.print(_table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return EXIT_BROKEN if results["broken"] else 0


def _run_chains(options: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    """Runs chains until there are enough kills, and returns the results."""
    from pipeline import steps
    from tests.kills import killed_chains

    started = time.monotonic()
    moments = random.Random(options.seed)
    data = options.data.resolve()
    results: dict[str, Any] = {"seed": options.seed, "chains": 0, "kills": [], "ended_before": 0, "broken": []}
    seconds = {} if options.every_step else killed_chains.measure(folder / "measured", data)
    if seconds:
        console.print(f"a run that is left alone: {duration(sum(seconds.values()))}")
    total = len(killed_chains.in_every_step(moments)) if options.every_step else options.kills
    while len(results["kills"]) < total:
        results["chains"] += 1
        chain = killed_chains.Chain(folder / f"chain-{results['chains']}", data)
        models: list[list[Moment]]
        if options.every_step:
            models = [killed_chains.in_every_step(moments)]
        else:
            count = min(options.per_chain, total - len(results["kills"]))
            first = round(count * FIRST_SHARE)
            fit_phases = [killed_chains.START, *steps.STEPS[steps.STEPS.index(steps.TRAINER) :], killed_chains.REPORT]
            models = [
                killed_chains.draw(moments, seconds, first, list(seconds)),
                killed_chains.draw(
                    moments, seconds, count - first, [phase for phase in fit_phases if phase in seconds]
                ),
            ]
        try:
            for number, planned in enumerate(models, start=1):
                for moment in planned:
                    kill = chain.kill(number, moment)
                    if kill is None:
                        results["ended_before"] += 1
                        continue
                    results["kills"].append({**asdict(kill), "chain": results["chains"], "survived": False})
                    chain.check()
                    results["kills"][-1]["survived"] = True
                    count, position = len(results["kills"]), f"chain {results['chains']}, model {number}"
                    console.print(f"{count:>4}  {position}: killed in {kill.phase} after {kill.seconds:.1f} s; whole")
                chain.finish(number)
                chain.check_end(number)
        except killed_chains.Broken as error:
            results["broken"].append(f"chain {results['chains']}: {error}")
            if results["kills"]:
                results["kills"][-1]["survived"] = False
            hint = f"see {chain.folder}" if options.output else "--output FOLDER keeps it"
            console.print(f"broken: {results['broken'][-1]}; {hint}", style="red", soft_wrap=True, markup=False)
            if len(results["broken"]) > results["chains"] // 2 + 1:
                break
        else:
            console.print(f"      chain {results['chains']}: pushed {len(models)} of {len(models)}, each once")
            shutil.rmtree(chain.folder)
    return {**results, "seconds": time.monotonic() - started}


def _table(results: dict[str, Any]) -> Table:
    kills = collections.Counter(kill["phase"] for kill in results["kills"])
    survived = collections.Counter(kill["phase"] for kill in results["kills"] if kill["survived"])
    table = Table(title=f"{results['chains']} chains, seed {results['seed']}, {duration(results['seconds'])}")
    for name in ("killed in", "kills", "survived"):
        table.add_column(name, justify="left" if name == "killed in" else "right")
    for phase, count in kills.most_common():
        table.add_row(phase, str(count), str(survived[phase]))
    table.add_section()
    table.add_row("all", str(kills.total()), str(survived.total()))
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SAMPLE, metavar="PATH", help="ratings (default: data/sample)")
    parser.add_argument("--kills", type=int, default=100, help="how many (default: 100)")
    parser.add_argument("--per-chain", type=int, default=10, help="moments drawn in one folder (default: 10)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (default: 1)")
    parser.add_argument("--every-step", action="store_true", help="one kill in each step and one model instead")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="keep there what broke (default: a scratch folder)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
