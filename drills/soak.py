"""The soak: steady load and a random fault every so often, for minutes; then the result, and whether memory stayed flat."""

import json
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from drills import proof
from drills.run import SETTLE_S, Cell, _fill, check
from drills.site import DrillError, Plan, Site
from drills.table import table

JOBS_PER_S = 200.0  # of all pools together
FAULT_EVERY_S = 20.0
SAMPLE_EVERY_S = 5.0
MINUTE_S = 60.0
FLAT_WITHIN = 0.10
#: Jobs per submission, to one pool after the other; 200 single inserts a second would be a test of SQLite.
_BATCH = 100
_LONGEST_S = 0.02
_BURST_S = 2.0
#: How long claims outlive their attempts here (by default five minutes), and how long the load runs before the soak
#: begins: Redis then has as much data as it will ever have.
_CLAIM_AFTERLIFE_S = 60
#: The 15 s of a kill, and the time that the queue which grew meanwhile takes before the recovered jobs run.
_BUDGET_S = 20.0

type Window = tuple[float, float]  # seconds since the begin
type Growth = dict[str, tuple[int, int, float]]  # bytes before and after, and the share, by part
FaultAction = Callable[[Site, random.Random], None]


def _kill_worker(site: Site, chance: random.Random) -> None:
    proof.kill(site, f"{chance.choice(site.pools)}-1")


def _stop_worker(site: Site, chance: random.Random) -> None:
    site.signal(f"{chance.choice(site.pools)}-1", signal.SIGTERM)


def _freeze_worker(site: Site, chance: random.Random) -> None:
    name = f"{chance.choice(site.pools)}-1"
    site.signal(name, signal.SIGSTOP)
    proof.require_stopped([site.parts[name].pid])
    site.wait(4.0)
    site.signal(name, signal.SIGCONT)


def _kill_coordinator(site: Site, chance: random.Random) -> None:
    proof.kill(site, "coordinator-1")


def _restart_redis(site: Site, chance: random.Random) -> None:
    proof.restart_redis(site, wipe=False, away_s=1.0)


def _wipe_redis(site: Site, chance: random.Random) -> None:
    proof.restart_redis(site, wipe=True)


def _freeze_redis(site: Site, chance: random.Random) -> None:
    site.redis.freeze()
    proof.require(proof.redis_fault(site) == "silent", "Redis answered, or refused")
    site.wait(4.0)
    site.redis.thaw()


def _lock_database(site: Site, chance: random.Random) -> None:
    with site.database.locked():
        proof.require_locked(site.database)
        site.wait(4.0)


FAULT_ACTIONS: dict[str, FaultAction] = {
    "SIGKILL of a worker": _kill_worker,
    "SIGTERM of a worker": _stop_worker,
    "a worker frozen for 4 s": _freeze_worker,
    "SIGKILL of the coordinator": _kill_coordinator,
    "restart of Redis": _restart_redis,
    "restart of Redis without its data": _wipe_redis,
    "Redis frozen for 4 s": _freeze_redis,
    "the database locked for 4 s": _lock_database,
}


class Memory:
    """The proportional share of memory of each part, with its children, over time."""

    def __init__(self, measure: Callable[[str, int], int] | None = None) -> None:
        self._measure = measure or (lambda _name, pid: pss_bytes(pid))
        self.samples: dict[str, list[tuple[float, int]]] = {}

    def sample(self, site: Site, at_s: float) -> None:
        """Measure each part that runs now."""
        parts = [(part.name, part.process) for part in site.parts.values()]
        for name, process in [*parts, ("redis", site.redis.process)]:
            if process is not None and process.poll() is None and (size := self._measure(name, process.pid)):
                self.samples.setdefault(name, []).append((at_s, size))

    def growth(self, seconds: float, first: Window, redis_first: Window, last_s: float) -> Growth:
        """Return the medians of a first time and of the last, in bytes, and the growth as a share."""
        growth: Growth = {}
        for name, samples in sorted(self.samples.items()):
            begin_s, end_s = redis_first if name == "redis" else first
            early = [size for at_s, size in samples if begin_s <= at_s < end_s]
            late = [size for at_s, size in samples if at_s >= seconds - last_s]
            if early and late:
                before, after = int(statistics.median(early)), int(statistics.median(late))
                growth[name] = (before, after, after / before - 1)
        return growth


def pss_bytes(pid: int) -> int:
    """Return the proportional share of memory of a process and its children."""
    total = 0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for member in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                total += member.memory_full_info().pss
    return total


def soak(pools: Sequence[str], seconds: int, *, seed: int, as_json: bool) -> int:
    """Run the soak and print its result; return the exit status."""
    folder = Path(tempfile.mkdtemp(prefix="poolwise-soak-"))
    # Two lines of log for each of a hundred thousand jobs are of no use, and not free.
    environment = {"POOLWISE_DRILL_CLAIM_AFTERLIFE_S": str(_CLAIM_AFTERLIFE_S), "LOG_LEVEL": "WARNING"}
    plan = Plan(pools=tuple(pools), seed=seed, environment=environment)
    cells = [Cell("soak", pool, budget_s=_BUDGET_S) for pool in plan.pools]
    with Site(folder, plan) as site:
        memory, trouble = _run(site, seconds, random.Random(seed))
        has_drained = site.drain(120.0)
        site.wait(SETTLE_S)
        checked = check(site)
        for cell in cells:
            _fill(cell, site, checked, has_drained=has_drained, trouble=trouble)
    # A Redis that lost its data has to fill again: its first median is that before the first fault.
    windows = ((MINUTE_S, 2 * MINUTE_S), (0.0, FAULT_EVERY_S), MINUTE_S)
    growth = memory.growth(seconds, *windows) if seconds >= 3 * MINUTE_S else {}
    return finish(cells, growth, seed, folder, as_json=as_json)


def finish(cells: list[Cell], growth: Growth, seed: int, folder: Path, *, as_json: bool) -> int:
    """Print the result and return the exit status; the folder stays unless all is good."""
    grown = [name for name, (_, _, share) in growth.items() if share > FLAT_WITHIN]
    good = all(cell.is_good for cell in cells) and not grown
    _print(cells, growth, seed, as_json=as_json)
    if good:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"kept: {folder}", file=sys.stderr)
    return 0 if good else 1


def _run(site: Site, seconds: int, chance: random.Random) -> tuple[Memory, str]:
    memory, trouble = Memory(), ""
    # Each slot is used once before memory counts, as an outage will have it used later.
    for pool in site.pools:
        site.burst(pool, 2 * site.plan.slots[pool], _BURST_S)
    site.load(rate_per_s=JOBS_PER_S / len(site.pools), longest_s=_LONGEST_S, batch=_BATCH)
    site.wait(_CLAIM_AFTERLIFE_S)
    begin_mono = time.monotonic()
    next_fault_s, next_sample_s = FAULT_EVERY_S, 0.0
    while (at_s := time.monotonic() - begin_mono) < seconds:
        if at_s >= next_sample_s:
            memory.sample(site, at_s)
            next_sample_s = at_s + SAMPLE_EVERY_S
        if next_fault_s <= at_s < seconds - FAULT_EVERY_S:
            name = chance.choice(list(FAULT_ACTIONS))
            print(f"{at_s:6.0f} s: {name}", file=sys.stderr, flush=True)
            try:
                FAULT_ACTIONS[name](site, chance)
                site.tracker.begin()
            except DrillError as error:
                trouble = f"{name}: {error}"
            next_fault_s += FAULT_EVERY_S
        site.wait(0.5)
    return memory, trouble


def _print(cells: list[Cell], growth: Growth, seed: int, *, as_json: bool) -> None:
    if as_json:
        memory = {name: {"before": a, "after": b, "growth": share} for name, (a, b, share) in growth.items()}
        print(json.dumps({"seed": seed, "cells": [c.as_dict() for c in cells], "memory": memory}, indent=2))
        return
    print(f"\nseed {seed}\n\n{table(cells)}\n")
    for name, (before, after, share) in growth.items():
        trend = "GROWN" if share > FLAT_WITHIN else "flat"
        print(f"{name:16}{before / 1e6:8.1f} MB {after / 1e6:8.1f} MB {share:+7.1%}  {trend}")
