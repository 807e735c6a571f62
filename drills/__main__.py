"""`make drill`: break running platforms on purpose, and print what was lost, recorded twice, and how long it took."""

import argparse
import json
import random
import signal
import sys
import time

from dev import redis_server
from drills.faults import FAULTS, Scale
from drills.odd import odd_soak
from drills.run import Cell, run_drill, timed
from drills.site import POOLS
from drills.soak import soak
from drills.table import table

#: A quick round, about two minutes.
QUICK = ("worker-kill", "redis-wipe", "coordinator-kill", "crash-worker")
#: What `make test` runs is part of the others.
WHOLE = tuple(name for name in FAULTS if name != "sampler")


def main() -> int:
    """Run the drills that the options choose; return 0 if every one passed."""
    options = _options()
    if redis_server.find_binary() is None:
        print("drill: no Redis found: sudo apt install redis-server", file=sys.stderr)
        return 2
    # SIGTERM ends a round as Ctrl-C does, so that no process stays behind.
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, signal.default_int_handler)
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    pools = options.pool or POOLS
    if options.soak:
        run = odd_soak if options.odd else soak
        return run(pools, options.soak, seed=seed, as_json=options.json)
    cells = _run_all(options, pools, Scale(is_quick=options.quick, seed=seed))
    if options.json:
        print(json.dumps({"seed": seed, "cells": [cell.as_dict() for cell in cells]}, indent=2))
    else:
        print(f"\nseed {seed}\n\n{table(cells)}")
    return 0 if cells and all(cell.is_good for cell in cells) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make drill", description=__doc__)
    parser.add_argument(
        "--fault", action="append", choices=sorted(FAULTS), help="only this fault; may be repeated"
    )
    parser.add_argument("--pool", action="append", choices=POOLS, help="only this pool; may be repeated")
    parser.add_argument("--quick", action="store_true", help="fewer faults, shorter outages")
    parser.add_argument("--soak", type=int, metavar="SECONDS", help="load and random faults for this long")
    parser.add_argument("--odd", action="store_true", help="with --soak: odd jobs in place of random faults")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--seed", type=int, help="repeat the random choices of an earlier round")
    parser.add_argument("--keep", action="store_true", help="keep the folders of drills that passed, too")
    parser.add_argument("--list", action="store_true", help="list the faults")
    options = parser.parse_args()
    if options.list:
        for fault in FAULTS.values():
            print(f"{fault.name:20}{fault.summary}")
        raise SystemExit(0)
    return options


def _run_all(options: argparse.Namespace, pools: list[str], scale: Scale) -> list[Cell]:
    names = options.fault or (QUICK if options.quick else WHOLE)
    cells: list[Cell] = []
    for name in names:
        begin_mono = time.monotonic()
        try:
            of_fault = run_drill(FAULTS[name], pools, scale, keep=options.keep)
        except KeyboardInterrupt:
            return [*cells, Cell(name, "", trouble="interrupted")]
        cells += of_fault
        good = "good" if all(cell.is_good for cell in of_fault) else "BROKEN"
        print(f"{name}: {good}, {timed(begin_mono)}", file=sys.stderr, flush=True)
    return cells


if __name__ == "__main__":
    sys.exit(main())
