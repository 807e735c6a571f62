"""How long one job takes on a platform with nothing else to do: `python -m benchmarks.latency [--rate 20]`.

Jobs that do nothing arrive one by one. The table has the medians and 95th percentiles of the call that submits, of the
time from its begin until the job runs, and until its outcome is visible to the process that submitted it.
"""

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.peers import marks, measuring, processes, servers
from benchmarks.peers.measuring import percentile
from benchmarks.peers.system import System
from benchmarks.peers.systems import chosen
from benchmarks.peers.workloads import WORKLOADS

_DEFAULT = (
    "poolwise,celery-django-db-threads,celery-django-db-prefork,celery-redis-threads,celery-redis-prefork"
)
_STEPS = {"call_s": "the call", "started_s": "until it runs", "visible_s": "until visible"}
_ROW = "{:26}  {:>20}  {:>20}  {:>20}"

type Seconds = Mapping[str, Sequence[float]]


def measure(system: System, running: servers.Servers, jobs: int, rate: float) -> Seconds:
    """Return the seconds of each step of each job. Raise RuntimeError."""
    workload = WORKLOADS["empty"]
    running.client().flushall()
    running.marks.write_bytes(b"")
    environment = system.environment_for(running, workload)
    command = [*system.program(["python"]), "-m", "benchmarks.peers.light", system.app, str(jobs), str(rate)]
    with system.running(running, workload):
        done = subprocess.run(command, cwd=processes.ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found = json.loads(done.stdout)
    # One by one they run in the order of their submission; the first one warmed up.
    starts_mono = sorted(begin for begin, _ in marks.read(running.marks))[1:]
    pairs = zip(starts_mono, found["began_mono"], strict=False)
    return {**found, "started_s": [start - began for start, began in pairs]}


def row(name: str, rounds: Sequence[Seconds]) -> str:
    """Return a line of the table, in ms: the median over rounds of the median and the 95th percentile of each step."""
    return _ROW.format(name, *(_shown([one[step] for one in rounds]) for step in _STEPS))


def _shown(rounds: Sequence[Sequence[float]]) -> str:
    found = [[percentile(values, percent) for values in rounds if values] for percent in (50, 95)]
    return " / ".join(f"{median(filter(None, values)) * 1e3:.1f}" if any(values) else "–" for values in found)


def main() -> int:
    """Measure the systems in turns and print the table."""
    options = _arguments()
    found: dict[str, list[Seconds]] = {}
    order = random.Random(1)
    systems = chosen(options.systems.split(","))
    processes.clean_up_at_sigterm()
    with servers.running(options.database, durable=True) as running:
        for _ in range(options.rounds):
            for system in order.sample(systems, len(systems)):
                measuring.prepare(system, running)
                found.setdefault(system.name, []).append(measure(system, running, options.jobs, options.rate))
    print(_ROW.format("ms: p50 / p95", *_STEPS.values()))
    for name in sorted(found):
        print(row(name, found[name]))
    if options.json:
        options.json.write_text(json.dumps(found) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--systems", default=_DEFAULT, help="of Poolwise and Celery with results")
    parser.add_argument("--jobs", type=int, default=200, help="jobs of a round (default 200)")
    parser.add_argument("--rate", type=float, default=20.0, help="jobs a second (default 20)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--database", choices=("postgres", "sqlite"), default="postgres")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all times to FILE")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
