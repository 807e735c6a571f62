"""One measurement: a warm worker finds its queue full. How long until each outcome is stored, and how much CPU time?"""

import math
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from benchmarks.peers import marks, processes
from benchmarks.peers.servers import Servers
from benchmarks.peers.system import Counter, System
from benchmarks.peers.workloads import WORKLOADS, Workload

_TIMEOUT_S = float(os.environ.get("BENCH_TIMEOUT_S", "120"))
_POLL_S = 0.005
_SETTLE_S = 0.3


@dataclass(frozen=True, slots=True)
class Measured:
    """What one system did in one round; CPU times are of all its processes for each job, in µs."""

    system: str
    workload: str
    database: str
    round: int
    jobs: int
    slots: int
    #: From the moment that the worker runs until the first and the last body ended, and until the last outcome was stored.
    first_s: float
    bodies_s: float
    stored_s: float
    cpu_us: Mapping[str, float]
    submit_s: float
    submit_cpu_us: Mapping[str, float] = field(default_factory=dict)
    #: Within which 99 % of the outcomes were stored after their job had ended; None if the system does not note it.
    lag_p99_s: float | None = None

    @property
    def rate(self) -> float:
        """Return jobs a second, stored ones if the system stores any."""
        return self.jobs / self.stored_s

    @property
    def total_cpu_us(self) -> float:
        """Return the CPU time of all processes for a job."""
        return sum(self.cpu_us.values())

    def as_json(self) -> dict[str, object]:
        """Return it with its derived figures."""
        return {**asdict(self), "rate": self.rate, "total_cpu_us": self.total_cpu_us}


def prepare(system: System, servers: Servers) -> None:
    """Make the database of a system, once in a run."""
    made = servers.directory / f"prepared-{system.database}"
    if not system.database or made.exists():
        return
    servers.create_database(system.database)
    environment = system.environment_for(servers, WORKLOADS["empty"])
    with (servers.directory / f"{system.name}-prepare.log").open("ab") as log:
        for words in system.prepare:
            command = system.program(words)
            subprocess.run(command, cwd=processes.ROOT, env=environment, check=True, stdout=log, stderr=log)
    made.touch()


def measure(system: System, workload: Workload, servers: Servers, *, number: int, wanted: int) -> Measured:
    """Measure one round of a system. Raise TimeoutError or RuntimeError."""
    servers.client().flushall()
    servers.marks.write_bytes(b"")
    slots = system.slots_for(workload)
    jobs = workload.jobs_on(slots, wanted)
    environment = system.environment_for(servers, workload)
    log = servers.directory / f"{system.name}-producer.log"
    with (
        system.counter(servers) as count,
        system.running(servers, workload) as started,
        processes.Producer(system.bin / "python", system.app, environment, log) as producer,
    ):
        pids = {**started, **servers.pids()}
        _warm_up(producer, workload, count, servers, max(50, slots))
        before = _Before(marks.count(servers.marks), count())
        with processes.frozen(pids["workers"]):
            submitted, submit_cpu_s = _submit(system, workload, producer, servers, jobs)
            cpu_s = {role: processes.cpu_s(pid) for role, pid in pids.items()}
            begin_mono = time.monotonic()
        stored_mono = _drained(servers, count, before, jobs)
        used_s = {role: processes.cpu_s(pid) - cpu_s[role] for role, pid in pids.items()}
    ends_s = [end - begin_mono for _, end in marks.read(servers.marks)[before.bodies :]]
    stored_s = ends_s[-1] if system.stored is None else max(stored_mono - begin_mono, ends_s[-1])
    return Measured(
        system.name, workload.name, servers.database, number, jobs, slots, ends_s[0], ends_s[-1], stored_s,
        _each_us(used_s, jobs), submitted, _each_us(submit_cpu_s, jobs), _lag_p99_s(system, servers, jobs),
    )  # fmt: skip


def _each_us(spent_s: Mapping[str, float], jobs: int) -> dict[str, float]:
    return {role: seconds / jobs * 1e6 for role, seconds in spent_s.items()}


def _lag_p99_s(system: System, servers: Servers, jobs: int) -> float | None:
    if not system.lags:
        return None
    with servers.connected(system.database) as connection:
        lags = [row[0] for row in connection.execute(system.lags.format(jobs=jobs)).fetchall()]
    return percentile([lag for lag in lags if lag is not None], 99)


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Return the smallest value that so many percent of the values do not exceed; None without values."""
    ordered = sorted(values)
    return ordered[math.ceil(len(ordered) * percent / 100) - 1] if ordered else None


@dataclass(frozen=True, slots=True)
class _Before:
    bodies: int
    stored: int


def _warm_up(
    producer: processes.Producer, workload: Workload, count: Counter, servers: Servers, jobs: int
) -> None:
    before = count()
    producer.enqueue(workload.name, jobs)
    until(lambda: marks.count(servers.marks) >= jobs and count() - before >= jobs, "the first jobs")
    time.sleep(_SETTLE_S)


def _submit(
    system: System, workload: Workload, producer: processes.Producer, servers: Servers, jobs: int
) -> tuple[float, dict[str, float]]:
    """Submit the jobs; return the seconds, and the CPU time of the producer and of the servers."""
    pids = servers.pids()
    before_s = {role: processes.cpu_s(pid) for role, pid in pids.items()}
    answer = producer.enqueue(workload.name, jobs)
    if system.unpublished:
        with servers.counting(system.database, system.unpublished) as unpublished:
            until(lambda: unpublished() == 0, "the last messages")
    cpu_s = {role: processes.cpu_s(pid) - before_s[role] for role, pid in pids.items()}
    return answer["seconds"], {"producer": answer["cpu_s"], **cpu_s}


def _drained(servers: Servers, count: Counter, before: _Before, jobs: int) -> float:
    """Wait until all has run and is stored; return when that was."""
    wanted = before.bodies + jobs
    until(lambda: marks.count(servers.marks) >= wanted, "the jobs")
    # Only now, since counting takes CPU time of the database.
    until(lambda: count() - before.stored >= jobs, "the outcomes")
    return time.monotonic()


def until(is_so: Callable[[], bool], what: str) -> None:
    """Wait until something is so. Raise TimeoutError."""
    until_mono = time.monotonic() + _TIMEOUT_S
    while not is_so():
        if time.monotonic() > until_mono:
            raise TimeoutError(f"{what} did not end within {_TIMEOUT_S:g} s")
        time.sleep(_POLL_S)
