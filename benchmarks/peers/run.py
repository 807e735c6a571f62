"""A run: each round measures every system once, in another order, and what the machine can do at most."""

import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import redis

from benchmarks import limits
from benchmarks.peers import measuring, servers
from benchmarks.peers.measuring import Measured
from benchmarks.peers.system import System
from benchmarks.peers.workloads import Workload

_LOG_CHARS = 2_000
_FAULTS = (
    TimeoutError, RuntimeError, OSError, subprocess.SubprocessError, psycopg.Error, sqlite3.Error, redis.RedisError
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure."""

    systems: Sequence[System]
    workloads: Sequence[Workload]
    databases: Sequence[str]
    rounds: int
    #: Jobs of each measurement; zero: as many as the workload says.
    jobs: int = 0
    durable: bool = True
    limits: bool = True
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Machine:
    """Versions of the servers, limits of the machine, a figure for each round, and the systems that failed."""

    versions: dict[str, str] = field(default_factory=dict)
    limits: dict[str, list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def measured(plan: Plan, machine: Machine) -> Iterator[Measured]:
    """Yield each measurement; those that fail are reported on standard error."""
    for number, database in enumerate(plan.databases):
        with servers.running(database, durable=plan.durable) as running:
            machine.versions.update(servers.versions(running))
            # Systems without a database do the same with any.
            systems = [system for system in plan.systems if _fits(system, database, first=not number)]
            yield from _rounds(plan, systems, running, machine)


def _fits(system: System, database: str, *, first: bool) -> bool:
    return system.only in ("", database) and (first or bool(system.database))


def _rounds(
    plan: Plan, systems: Sequence[System], running: servers.Servers, machine: Machine
) -> Iterator[Measured]:
    order = random.Random(plan.seed)
    for workload in plan.workloads:
        for number in range(1, plan.rounds + 1):
            for name, value in limits.measured(running) if plan.limits else ():
                machine.limits.setdefault(name, []).append(value)
            for system in order.sample(systems, len(systems)):
                try:
                    measuring.prepare(system, running)
                    yield measuring.measure(system, workload, running, number=number, wanted=plan.jobs)
                except _FAULTS as error:
                    machine.failures.append(system.name)
                    print(_failure(system, running.directory, error), file=sys.stderr, flush=True)


def _failure(system: System, directory: Path, error: Exception) -> str:
    logs = [log.read_text(errors="replace")[-_LOG_CHARS:] for log in directory.glob(f"{system.name}-*.log")]
    return "\n".join([f"{system.name}: {error}", *filter(None, logs)])


def described(plan: Plan, results: Sequence[Measured], machine: Machine) -> dict[str, Any]:
    """Return a run as its JSON."""
    cores = os.cpu_count() or 1
    by_name = {workload.name: workload for workload in plan.workloads}
    rows = []
    for one in results:
        ideal_s = by_name[one.workload].ideal_s(one.jobs, one.slots, cores)
        rows.append({**one.as_json(), "ideal_s": ideal_s, "ideal_share": ideal_s / one.stored_s})
    return {
        "begun": time.strftime("%Y-%m-%d %H:%M"),
        "cores": cores,
        "rounds": plan.rounds,
        "versions": {"Python": sys.version.split()[0], "": servers.kernel(), **machine.versions},
        "servers": f"PostgreSQL with fsync {'on' if plan.durable else 'off'}, Redis without a file",
        "limits": machine.limits,
        "systems": {system.name: _system(system) for system in plan.systems},
        "measured": rows,
    }


def _system(system: System) -> dict[str, Any]:
    return {
        "settings": system.settings,
        "note": system.note,
        "database": system.database,
        "versions": list(_versions(system)),
    }


def _versions(system: System) -> Iterator[str]:
    code = "import sys, importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in sys.argv[1:]), sep='\\n')"
    command = [*system.program(["python"]), "-c", code, *system.packages]
    yield from subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[:-1]
