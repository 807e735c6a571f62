"""The faults: what each breaks, on what platform, and within how many seconds all jobs have to go on."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from drills import proof
from drills.machine import Machine, MachineError
from drills.points import COORDINATOR, SUBMITTER, WHOLE_WORKER, WORKER, WORKER_CHILD, file_name
from drills.site import SLOTS, Plan, Site

#: Within this time what a dead worker ran or reserved goes on.
RECOVERY_S = 15.0
OUTAGE_S = 20.0
PAUSE_S = 30.0
LOCK_S = 8.0
_QUICK_OUTAGE_S = 3.0
LONG_S = 2.0
#: The same where another worker or child is there: a death is seen at once, and what it ran is at the broker within 2 s.
#: Then it may wait for a slot until a long job has ended.
SEEN_DEATH_S = 2.0 + LONG_S
#: A drill's workers have no supervisor: their watchdogs see it, and first import what it takes to report it.
WATCHDOG_S = 1.5
#: A lost machine is known by its silence.
LOST_MACHINE_S = 10.0 + LONG_S
_MOST_LONG = 20
_CLOCK = "clock"


class Skipped(Exception):
    """The drill cannot run here; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the table."""

    name: str
    summary: str
    do: Callable[[Site, "Scale"], None]
    plan: Plan = field(default_factory=Plan)
    budget_s: float = RECOVERY_S
    rate_per_s: float = 5.0
    longest_s: float = 0.5
    clock_tolerance_s: float = 0.0
    prepare: Callable[[Path, Plan], Plan] | None = None
    #: What the platform's folder needs to be taken apart after it.
    clean: Callable[[Path], None] | None = None


@dataclass(frozen=True, slots=True)
class Scale:
    """How long an outage lasts and how much load there is."""

    is_quick: bool = False
    seed: int = 0

    def outage_s(self, whole_s: float) -> float:
        """Return for how long something stays away."""
        return min(whole_s, _QUICK_OUTAGE_S) if self.is_quick else whole_s


FAULTS: dict[str, Fault] = {}


def fault(name: str, **options: object) -> Callable[[Callable[[Site, Scale], None]], Fault]:
    """Put a fault into the table; the function's docstring is its summary."""

    def declare(do: Callable[[Site, Scale], None]) -> Fault:
        FAULTS[name] = Fault(name, (do.__doc__ or "").strip().rstrip("."), do, **options)  # type: ignore[arg-type]
        return FAULTS[name]

    return declare


# --- workers
def _strike(site: Site, pool: str, signum: int) -> None:
    name = site.workers(pool)[0].name
    if signum == signal.SIGKILL:
        proof.kill(site, name)
    else:
        site.signal(name, signum)
    site.tracker.begin(pool)


def _fill(site: Site, pool: str) -> None:
    """Have a pool's workers run some long jobs, and reserve more, when the fault comes."""
    # Few and short enough that waiting for a slot is not mistaken for waiting for recovery.
    site.burst(pool, min(site.plan.slots[pool] + 2, _MOST_LONG), LONG_S)
    site.until(
        lambda: site.database.running(longer_than_s=1.0).get(pool, 0) >= 2, 30, f"jobs that run on {pool}"
    )


@fault("worker-kill", plan=Plan(workers=2), budget_s=SEEN_DEATH_S + WATCHDOG_S)
def worker_kill(site: Site, scale: Scale) -> None:
    """SIGKILL a worker while it runs jobs; another one is there."""
    for pool in site.pools:
        _fill(site, pool)
        _strike(site, pool, signal.SIGKILL)


_RECEIVED = {"prefork": 4, "threads": 20, "gevent": 100, "asyncio": 100}


@fault(
    "received-kill",
    plan=Plan(slots=_RECEIVED, environment={"WORKER_PREFETCH_MULTIPLIER": "130"}),
    rate_per_s=0.0,
)
def received_kill(site: Site, scale: Scale) -> None:
    """SIGKILL a worker that has received 500 jobs and runs some."""
    jobs = 150 if scale.is_quick else 520
    for pool in site.pools:
        # The slots are busy until all are received, and all end soon after.
        site.burst(pool, jobs, {"prefork": 0.02, "threads": 0.2}.get(pool, 1.2))
        site.until(
            lambda pool=pool: _received(site, pool) >= jobs * 0.5, 30, f"messages that {pool} received"
        )  # type: ignore[misc]
        _strike(site, pool, signal.SIGKILL)
        # One pool after the other: two thousand jobs at once would measure how fast two cores run them.
        site.until(site.tracker.is_over, 45, f"recovery of {pool}")


def _received(site: Site, pool: str) -> int:
    with site.redis.client() as client:
        unacked = client.hvals("unacked")
    return sum(json.loads(text)[2] == pool for text in unacked)  # type: ignore[union-attr]


@fault("child-kill", plan=Plan(pools=("prefork",)), budget_s=SEEN_DEATH_S)
def child_kill(site: Site, scale: Scale) -> None:
    """SIGKILL a prefork child in mid-job."""
    _fill(site, "prefork")
    children = site.children("prefork-1")[:2]
    for child in children:
        os.kill(child, signal.SIGKILL)
    site.tracker.begin()
    proof.require_ended(children)


@fault("worker-freeze", plan=Plan(workers=2))
def worker_freeze(site: Site, scale: Scale) -> None:
    """SIGSTOP a worker for 30 s, then SIGCONT; another one is there."""
    for pool in site.pools:
        _fill(site, pool)
    frozen = {pool: [site.workers(pool)[0].pid, *site.children(f"{pool}-1")] for pool in site.pools}
    for pids in frozen.values():
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
    site.tracker.begin()
    proof.require_stopped([pid for pids in frozen.values() for pid in pids])
    site.wait(16.0 if scale.is_quick else PAUSE_S)
    for pids in frozen.values():
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)
    site.wait(3.0)  # its late reports come now


def _elsewhere(folder: Path, plan: Plan) -> Plan:
    machine = Machine(folder)
    try:
        machine.create()
    except MachineError as error:
        raise Skipped(f"needs the right to create a network namespace: run as root ({error})") from error
    return replace(plan, elsewhere={f"{pool}-1": machine for pool in plan.pools})


@fault(
    "machine-lost",
    plan=Plan(workers=2),
    budget_s=LOST_MACHINE_S,
    prepare=_elsewhere,
    clean=lambda folder: Machine(folder).remove(),
)
def machine_lost(site: Site, scale: Scale) -> None:
    """Cut a machine with one worker of each pool off the network for 30 s; other workers are there."""
    machine = site.plan.elsewhere[f"{site.pools[0]}-1"]
    for pool in site.pools:
        _fill(site, pool)
    machine.cut()
    site.tracker.begin()
    proof.require(not machine.reaches(site.redis.port), "the machine reaches Redis")
    site.wait(16.0 if scale.is_quick else PAUSE_S)
    machine.mend()
    proof.require(machine.reaches(site.redis.port), "the machine does not reach Redis again")
    site.until_renewed([site.parts[f"{pool}-1"].pid for pool in site.pools])
    site.wait(3.0)  # its late reports come now


@fault("worker-stop")
def worker_stop(site: Site, scale: Scale) -> None:
    """SIGTERM every worker under load; others start at once."""
    stopped = []
    for pool in site.pools:
        _fill(site, pool)
        stopped.append(site.workers(pool)[0].process)
        _strike(site, pool, signal.SIGTERM)
    site.until(lambda: all(process and process.poll() is not None for process in stopped), 60, "their end")


# --- Redis
@fault("redis-restart")
def redis_restart(site: Site, scale: Scale) -> None:
    """Restart Redis; its append-only file brings the data back."""
    for pool in site.pools:
        _fill(site, pool)
    proof.restart_redis(site, wipe=False, away_s=1.0)
    site.tracker.begin()


@fault("redis-wipe")
def redis_wipe(site: Site, scale: Scale) -> None:
    """Restart Redis without its data."""
    for pool in site.pools:
        _fill(site, pool)
    proof.restart_redis(site, wipe=True)
    site.tracker.begin()


@fault("redis-frozen")
def redis_frozen(site: Site, scale: Scale) -> None:
    """Redis keeps its connections and answers nothing for 20 s (SIGSTOP)."""
    site.tracker.begin()
    site.redis.freeze()
    proof.require(proof.redis_fault(site) == "silent", "Redis answered, or refused")
    site.wait(scale.outage_s(OUTAGE_S))
    site.redis.thaw()
    site.tracker.begin()


@fault("redis-refused")
def redis_refused(site: Site, scale: Scale) -> None:
    """Redis refuses connections for 20 s."""
    site.tracker.begin()
    site.redis.stop()
    proof.require(proof.redis_fault(site) == "refused", "Redis answered")
    site.wait(scale.outage_s(OUTAGE_S))
    site.redis.start()
    site.tracker.begin()


# --- coordinator
@fault("coordinator-kill")
def coordinator_kill(site: Site, scale: Scale) -> None:
    """SIGKILL the only coordinator; another one starts 3 s later."""
    site.parts["coordinator-1"].is_wanted = False
    proof.kill(site, "coordinator-1")
    site.tracker.begin()
    site.wait(3.0)
    site.spawn("coordinator-1")


@fault("two-coordinators", plan=Plan(coordinators=2))
def two_coordinators(site: Site, scale: Scale) -> None:
    """Two coordinators at once; SIGKILL one of them, twice."""
    for number in (1, 2):
        proof.kill(site, f"coordinator-{number}")
        site.tracker.begin()
        site.wait(4.0)


# --- web
@fault("web-kill", plan=Plan(web=True), rate_per_s=3.0)
def web_kill(site: Site, scale: Scale) -> None:
    """SIGKILL the web server between the commit and publishing, then all of it."""
    for pool in site.pools:
        file = file_name(SUBMITTER[1], pool)
        site.arm(file)
        site.until(lambda file=file: site.has_crashed(file), 20, file)  # type: ignore[misc]
        site.tracker.begin(pool)
    members = [site.parts["web"].pid, *site.children("web")]
    os.killpg(members[0], signal.SIGKILL)
    site.tracker.begin()
    proof.require_ended(members)
    site.wait(10.0)  # it is back, and takes jobs again


# --- database
@fault("postgres-restart", plan=Plan(database="postgres"))
def postgres_restart(site: Site, scale: Scale) -> None:
    """Restart PostgreSQL, which cuts every connection; it is away for 3 s."""
    assert site.postgres is not None
    site.tracker.begin()
    site.postgres.stop()
    proof.require_database_away(site)
    site.wait(3.0)
    site.postgres.start()
    site.tracker.begin()


@fault("postgres-crash", plan=Plan(database="postgres"))
def postgres_crash(site: Site, scale: Scale) -> None:
    """End PostgreSQL without a shutdown, so that it recovers from its log."""
    assert site.postgres is not None
    site.tracker.begin()
    site.postgres.stop(signal.SIGQUIT)
    proof.require_database_away(site)
    site.wait(1.0)
    site.postgres.start()
    site.tracker.begin()


def _lock(site: Site, scale: Scale) -> None:
    site.tracker.begin()
    with site.database.locked():
        proof.require_locked(site.database)
        site.wait(scale.outage_s(LOCK_S))
    site.tracker.begin()


@fault("sqlite-locked")
def sqlite_locked(site: Site, scale: Scale) -> None:
    """A slow database: another program keeps SQLite's write lock for 8 s."""
    _lock(site, scale)


@fault("postgres-locked", plan=Plan(database="postgres"))
def postgres_locked(site: Site, scale: Scale) -> None:
    """A slow database: another program keeps PostgreSQL's table of jobs locked for 8 s."""
    _lock(site, scale)


_SMALL_BYTES = 48 * 1024 * 1024
#: An empty PostgreSQL has 40 MB of tables and one or two files of its log of 16 MB each.
_SMALL_POSTGRES_BYTES = 160 * 1024 * 1024


def _small_disk(name: str, size_bytes: int = _SMALL_BYTES) -> dict[str, Any]:
    """Return how to mount a small disk as a folder of the platform's, and how to unmount it."""

    def mount(folder: Path, plan: Plan) -> Plan:
        target = folder / name
        target.mkdir()
        options = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "none", str(target)]
        if os.getuid() != 0 or subprocess.run(options, capture_output=True).returncode:
            raise Skipped("needs the right to mount a small tmpfs: run as root")
        return plan

    def unmount(folder: Path) -> None:
        subprocess.run(["umount", "--lazy", str(folder / name)], capture_output=True)

    return {"prepare": mount, "clean": unmount}


def _fill_disk(folder: Path) -> Path:
    """Fill the disk of a folder; return the file that does so."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 65536)
    proof.require_full(folder)
    return filler


@fault("disk-full", **_small_disk("database"))
def disk_full(site: Site, scale: Scale) -> None:
    """The disk of the SQLite database is full for 8 s."""
    site.tracker.begin()
    filler = _fill_disk(site.database_folder)
    site.wait(scale.outage_s(LOCK_S))
    filler.unlink()
    site.tracker.begin()


@fault(
    "postgres-disk-full",
    plan=Plan(database="postgres", web=True),
    longest_s=3.0,
    **_small_disk("pg", _SMALL_POSTGRES_BYTES),
)
def postgres_disk_full(site: Site, scale: Scale) -> None:
    """The disk of PostgreSQL is full for 20 s, and for the last of them its log, too, which ends the server."""
    assert site.postgres is not None
    site.until(lambda: len(site.database.live()) > 1, 30, "jobs by the site's form")
    site.tracker.begin()
    filler = _fill_disk(site.postgres.directory)
    proof.require_no_room_for_rows(site.database)
    site.wait(scale.outage_s(OUTAGE_S))
    proof.require_no_room_for_log(site.database)
    site.wait(2.0)
    filler.unlink()
    if not site.postgres.is_running:
        site.postgres.start()
    site.tracker.begin()
    proof.require_refused(site, "HTTP 503")


@fault("redis-disk-full", **_small_disk("redis"))
def redis_disk_full(site: Site, scale: Scale) -> None:
    """The disk of Redis' append-only file is full for 20 s: it answers, and refuses every write."""
    for pool in site.pools:
        _fill(site, pool)
    site.tracker.begin()
    filler = _fill_disk(site.redis.directory)
    site.until(
        lambda: proof.redis_fault(site) == "refuses writes", 10, "the fault did not take place: a refusal"
    )
    site.wait(scale.outage_s(OUTAGE_S))
    proof.require(proof.redis_fault(site) == "refuses writes", "Redis took a write")
    filler.unlink()
    site.tracker.begin()


# --- clocks
def _own_clock(of: str) -> Callable[[Path, Plan], Plan]:
    """Return what gives the pools, or the coordinator, a wall clock of their own: libfaketime breaks `time.sleep`."""

    def prepare(folder: Path, plan: Plan) -> Plan:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise Skipped("needs a C compiler: sudo apt install gcc")
        library = folder / "clock.so"
        source = Path(__file__).with_name("clock.c")
        built = subprocess.run(
            [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(source)],
            capture_output=True,
            text=True,
        )
        if built.returncode:
            raise Skipped(f"the clock cannot be compiled: {built.stderr.strip().splitlines()[-1]}")
        environment = {"LD_PRELOAD": str(library), "POOLWISE_DRILL_CLOCK": str(folder / _CLOCK)}
        if abs(_seen_through(environment, folder, 7200) - 7200) > 60:
            raise Skipped("preloading a library shifts no clock here")
        prefixes = plan.pools if of == "worker" else (of,)
        return replace(plan, environment_of={prefix: environment for prefix in prefixes})

    return prepare


def _seen_through(environment: dict[str, str], folder: Path, offset_s: int) -> float:
    """Return by how much a process sees its clock moved."""
    _set_clock(folder, offset_s)
    code = "import time; time.sleep(0.01); print(time.time())"
    result = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True
    )
    _set_clock(folder, 0)
    return float(result.stdout or "0") - time.time()


def _set_clock(folder: Path, offset_s: int) -> None:
    # In place: the processes have the file mapped.
    with (folder / _CLOCK).open("r+b" if (folder / _CLOCK).exists() else "wb") as file:
        file.write(offset_s.to_bytes(8, sys.byteorder, signed=True))


def _move_clock(site: Site, scale: Scale, column: str) -> None:
    for offset_s in (3600, -3600, 0):
        site.tracker.begin()
        _set_clock(site.folder, offset_s)
        site.wait(3.0 if scale.is_quick else 8.0)
        if offset_s:
            proof.require_moved(site, column, offset_s)


@fault("worker-clock", prepare=_own_clock("worker"), clock_tolerance_s=3700.0)
def worker_clock(site: Site, scale: Scale) -> None:
    """Step the workers' clock an hour ahead, then an hour back, under load."""
    _move_clock(site, scale, "started_at")


@fault("coordinator-clock", prepare=_own_clock("coordinator"), clock_tolerance_s=3700.0)
def coordinator_clock(site: Site, scale: Scale) -> None:
    """Step the coordinator's clock an hour ahead, then an hour back, under load."""
    _move_clock(site, scale, "recorded_at")


# --- many at once
@fault("kill20", rate_per_s=0.0, budget_s=120.0)
def kill20(site: Site, scale: Scale) -> None:
    """20 SIGKILLs at random moments under 8,000 jobs of 4 ms."""
    kills, jobs = (3, 1000) if scale.is_quick else (20, 8000)
    chance = random.Random(scale.seed)
    for pool in site.pools:  # one after the other: four workers that start at once take ten seconds for it
        site.burst(pool, jobs, 0.004)
        site.until(lambda pool=pool: len(site.database.live()) > 0, 30, f"jobs on {pool}")  # type: ignore[misc]
        for _ in range(kills):
            site.wait(chance.uniform(0.05, 0.5))
            proof.kill(site, f"{pool}-1")
            site.wait(0.2)
            site.until_up()
        site.tracker.begin(pool)
        site.until(site.tracker.is_over, 120, f"the rest of the jobs on {pool}")


# --- crash points
_IMPATIENT = {"JOB_HEARTBEAT_S": "0.5", "JOB_WORKER_DEAD_AFTER_S": "3"}


_CRASHES: dict[str, Any] = {"plan": Plan(environment=_IMPATIENT), "rate_per_s": 6.0, "longest_s": 0.2}


@fault("crash-worker", **_CRASHES)
def crash_worker(site: Site, scale: Scale) -> None:
    """End a worker's process at each point of a job's way, one after the other."""
    for point in WORKER[1:3] if scale.is_quick else WORKER:
        _crash(site, point, site.pools)


@fault("crash-whole-worker", **{**_CRASHES, "plan": Plan(pools=("prefork",), environment=_IMPATIENT)})
def crash_whole_worker(site: Site, scale: Scale) -> None:
    """End a prefork child at each point, and its worker's main process with it."""
    for point in WORKER_CHILD:
        _crash(site, point, site.pools, WHOLE_WORKER)


@fault("crash-recorder", **_CRASHES)
def crash_recorder(site: Site, scale: Scale) -> None:
    """End the coordinator before and after the recorder's commit and its acknowledgement."""
    for point in COORDINATOR:
        for pool in site.pools:  # it is one process for all: it dies once for each
            _crash(site, point, (pool,))


@fault("crash-submitter", **_CRASHES)
def crash_submitter(site: Site, scale: Scale) -> None:
    """End what submits before the commit, before publishing and after it."""
    for point in SUBMITTER:
        for pool in site.pools:
            _crash(site, point, (pool,))


_SAMPLER = {**_IMPATIENT, "WORKER_PREFETCH_MULTIPLIER": "10"}


@fault("sampler", plan=Plan(pools=("gevent",), slots={**SLOTS, "gevent": 20}, environment=_SAMPLER))
def sampler(site: Site, scale: Scale) -> None:
    """A worker killed with 100 jobs received, Redis wiped, and two crash points: what `make test` runs."""
    for pool in site.pools:
        site.burst(pool, 120, 0.5)
        site.until(lambda pool=pool: _received(site, pool) >= 60, 30, f"messages that {pool} received")  # type: ignore[misc]
        _strike(site, pool, signal.SIGKILL)
    site.until(site.tracker.is_over, 40, "recovery from the kill")
    proof.restart_redis(site, wipe=True)
    site.tracker.begin()
    site.until(site.tracker.is_over, 40, "recovery from the wiped Redis")
    for point in ("after the effect", "after the recorder's commit"):
        _crash(site, point, site.pools)


def _crash(site: Site, point: str, pools: tuple[str, ...], victim: str = "process") -> None:
    files = [file_name(point, pool) for pool in pools]
    for file in files:
        site.arm(file, victim)
    site.until(lambda: all(map(site.has_crashed, files)), 40, f"the point {point!r}")
    site.tracker.begin()
    site.until(site.tracker.is_over, 40, f"recovery from {point!r}")
    site.until_up()
