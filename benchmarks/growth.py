"""Does a long queue slow Poolwise down? `python -m benchmarks.growth --depths 1000,100000 [--pools threads]`.

Fills the queue of a pool, notes the coordinator's CPU time while nothing runs, starts the worker and notes how fast it runs
the first jobs. The queue is not drained.
"""

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks import ended_jobs
from benchmarks.peers import marks, measuring, processes, servers
from benchmarks.peers.measuring import until
from benchmarks.peers.system import System
from benchmarks.peers.systems import SYSTEMS
from benchmarks.peers.workloads import WORKLOADS

_IDLE_S = 3.0
#: Jobs that run before the clock starts: the worker has warmed up then.
_FIRST = 200
_ROW = "{:10}  {:>9}  {:>12}  {:>24}  {:>28}"


@dataclass(frozen=True, slots=True)
class Grown:
    """One pool with a queue of a length."""

    pool: str
    depth: int
    rate: float
    submit_s: float
    #: The share of a core that the coordinator uses while jobs are queued and none runs.
    idle_cores: float


def measure(pool: str, depth: int, running: servers.Servers, rows: int = 0) -> Grown:
    """Return how fast the first jobs of a queue run, beside so many rows of jobs that have ended."""
    system, workload = SYSTEMS[f"poolwise-{pool}"], WORKLOADS["empty"]
    measuring.prepare(system, running)
    running.client().flushall()
    environment = system.environment_for(running, workload)
    log = running.directory / "producer.log"
    with system.running(running, workload, role="coordinator") as pids:
        with processes.Producer(system.bin / "python", system.app, environment, log) as producer:
            if rows:
                _run_one(producer, system, running)
                ended_jobs.fill(running.database_url(system.database), rows)
            running.marks.write_bytes(b"")
            submit_s = producer.enqueue(workload.name, depth)["seconds"]
        with running.counting(system.database, system.unpublished) as unpublished:
            until(lambda: unpublished() == 0, "the last messages")
        before_s = processes.cpu_s(pids["coordinator"])
        time.sleep(_IDLE_S)
        idle_cores = (processes.cpu_s(pids["coordinator"]) - before_s) / _IDLE_S
        with system.running(running, workload, role="workers"):
            return Grown(pool, depth, _rate(running, min(depth, 2_000)), submit_s, idle_cores)


def _run_one(producer: processes.Producer, system: System, running: servers.Servers) -> None:
    workload = WORKLOADS["empty"]
    producer.enqueue(workload.name, 1)
    with system.running(running, workload, role="workers"), system.counter(running) as count:
        until(lambda: count() == 1, "the first job")


def _rate(running: servers.Servers, jobs: int) -> float:
    until(lambda: marks.count(running.marks) >= jobs, "the first jobs")
    ends_mono = [end for _, end in marks.read(running.marks)][_FIRST:jobs]
    return (len(ends_mono) - 1) / (ends_mono[-1] - ends_mono[0])


def main() -> int:
    """Measure every length on every pool in turns and print the medians."""
    options = _arguments()
    processes.clean_up_at_sigterm()
    depths = [int(depth) for depth in options.depths.split(",")]
    cases = [(pool, depth) for pool in options.pools.split(",") for depth in depths]
    found: list[Grown] = []
    order = random.Random(1)
    for _ in range(options.rounds):
        for case in order.sample(cases, len(cases)):
            # Each has an empty database: jobs that stay queued in one would count for the next.
            with servers.running(options.database, durable=True) as running:
                found.append(measure(*case, running, options.rows))
    print(_ROW.format("pool", "queued", "jobs/s", "submitting one job, ms", "idle coordinator, % of a core"))
    for case in cases:
        print(_line([one for one in found if (one.pool, one.depth) == case]))
    return 0


def _line(rounds: Sequence[Grown]) -> str:
    first = rounds[0]
    submit_ms = median(one.submit_s for one in rounds) / first.depth * 1e3
    rate, idle = (median(getattr(one, name) for one in rounds) for name in ("rate", "idle_cores"))
    return _ROW.format(first.pool, f"{first.depth:,}", f"{rate:,.0f}", f"{submit_ms:.2f}", f"{idle:.1%}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pools", default="prefork,threads,gevent,asyncio", help="pools (default: all four)")
    parser.add_argument("--depths", default="1000,100000", help="jobs queued (default 1000,100000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    parser.add_argument(
        "--rows", type=int, default=0, help="jobs that have ended in the database (default 0)"
    )
    parser.add_argument(
        "--database", choices=("postgres", "sqlite"), default="postgres", help="no rows in SQLite"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
