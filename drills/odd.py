"""The soak `--odd`: steady load in which one job in fifty forks, hangs, leaks or ends its process; then what is left."""

import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from drills.endings import HANGING_PROGRAM, ODD
from drills.run import SETTLE_S, Cell, _fill, check
from drills.site import Plan, Site
from drills.soak import SAMPLE_EVERY_S, Memory, finish, pss_bytes

JOBS_PER_S = 12.0  # of all pools together
_NEIGHBOURS = 49  # for each odd job
_LONGEST_S = 0.5
_WARM_S = 60.0
#: That of recovered attempts, too, which otherwise live for 30 days, so that Redis would grow all the time.
_CLAIM_AFTERLIFE_S = 300
#: Redis grows at first, and workers do so for their first seconds.
_FIRST, _LAST_S = (240.0, 420.0), 180.0
_YOUNG_S = 20.0
_DRAIN_S = 300.0
_STOP_S = 90.0
_CGROUP_BYTES = 64 * 2**20
_CGROUPS = (("memory", "memory.limit_in_bytes"), ("", "memory.max"))


def odd_soak(pools: Sequence[str], seconds: int, *, seed: int, as_json: bool) -> int:
    """Run the soak and print its result; return the exit status."""
    folder = Path(tempfile.mkdtemp(prefix="poolwise-odd-"))
    with _memory_cgroup(folder.name) as cgroup:
        odd = [name for name in ODD if cgroup or name != "odd.out_of_memory"]
        environment = {
            "POOLWISE_DRILL_CGROUP": cgroup,
            "POOLWISE_DRILL_CLAIM_AFTERLIFE_S": str(_CLAIM_AFTERLIFE_S),
            "JOB_PAUSE_AFTER_HANGS": "0",
            "LOG_LEVEL": "WARNING",
        }
        plan = Plan(pools=tuple(pools), seed=seed, supervised=True, environment=environment)
        cells = [Cell("odd", pool, budget_s=_DRAIN_S) for pool in plan.pools]
        with Site(folder, plan) as site, _killed_at_the_end(site):
            memory = _run(site, seconds, odd)
            site.tracker.begin()  # the last jobs have to end, too
            has_drained = site.drain(_DRAIN_S)
            site.wait(SETTLE_S)
            trouble = "; ".join(_end(site))
            checked = check(site)
            times = Counter((job["definition"], job["pool"]) for job in site.database.jobs())
            least = min(times[name, pool] for name in odd for pool in plan.pools)
            print(f"each of {len(odd)} odd jobs ran {least} times or more on each pool", file=sys.stderr)
            # In place of what a fault caught, the table shows the odd jobs.
            site.tracker.caught = {pool: counts["odd"] for pool, counts in checked["pools"].items()}
            for cell in cells:
                _fill(cell, site, checked, has_drained=has_drained, trouble=trouble)
    growth = memory.growth(seconds, _FIRST, _FIRST, _LAST_S) if seconds >= 2 * _FIRST[1] else {}
    return finish(cells, growth, seed, folder, as_json=as_json)


@contextmanager
def _memory_cgroup(name: str) -> Iterator[str]:
    """Make a small memory cgroup; give its path, or nothing where that needs other rights."""
    folder = _new_cgroup(name)
    if folder is None:
        print("no job exhausts the memory of a cgroup: making one needs root", file=sys.stderr)
    try:
        yield str(folder or "")
    finally:
        with suppress(OSError):  # what was killed just now may not have left it
            if folder:
                folder.rmdir()


def _new_cgroup(name: str) -> Path | None:
    for controller, limit in _CGROUPS:
        folder = Path("/sys/fs/cgroup", controller, name)
        with suppress(OSError):
            folder.mkdir()
            if (folder / limit).exists():
                (folder / limit).write_text(str(_CGROUP_BYTES))
                return folder
            folder.rmdir()
    return None


@contextmanager
def _killed_at_the_end(site: Site) -> Iterator[None]:
    """Kill what is left of the platform; an interrupted soak ends so, too."""
    try:
        yield
    finally:
        # Supervisors first, which would start their workers again.
        for process in sorted(_processes(site), key=lambda each: each.pid):
            with suppress(psutil.Error):
                process.kill()


def _run(site: Site, seconds: int, odd: Sequence[str]) -> Memory:
    memory = Memory(_bytes_of)
    rate_per_s = JOBS_PER_S / len(site.pools)
    site.load(
        rate_per_s=rate_per_s, longest_s=_LONGEST_S, batch=_NEIGHBOURS, definition="odd.neighbour", odd=odd
    )
    site.wait(min(_WARM_S, seconds))
    begin_mono = time.monotonic()
    while (at_s := time.monotonic() - begin_mono) < seconds:
        memory.sample(site, at_s)
        site.wait(SAMPLE_EVERY_S)
    return memory


def _bytes_of(name: str, pid: int) -> int:
    """Return the memory of a part; 0 while its worker is young, or has a process of a job beside it.

    The watchdog of a worker that is started anew every few seconds has now 8 MB, now 30.
    """
    if not name.startswith(("threads", "gevent", "asyncio")):
        return pss_bytes(pid)
    with suppress(psutil.Error):
        workers = [
            each
            for each in psutil.Process(pid).children(recursive=True)
            if "poolwise.worker.program" in each.cmdline()
        ]
        if len(workers) == 1 and time.time() - workers[0].create_time() > _YOUNG_S:
            return int(workers[0].memory_full_info().pss)
    return 0


def _end(site: Site, within_s: float = _STOP_S) -> Iterator[str]:
    """End the platform as an operator does; give what does not end."""
    if hanging := [name for name in map(_named, _processes(site)) if HANGING_PROGRAM in name]:
        yield f"programs of stopped jobs run still: {hanging}"
    for part in site.parts.values():
        part.is_wanted = False
        site.signal(part.name, signal.SIGTERM)
    until_mono = time.monotonic() + within_s
    while (left := _processes(site)) and time.monotonic() < until_mono:
        time.sleep(0.2)
    if left:
        yield f"{len(left)} processes are left: {'; '.join(map(_named, left[:5]))}"


def _processes(site: Site) -> list[psutil.Process]:
    """Return the processes with an environment of the platform's, whoever is their parent."""
    return [each for each in psutil.process_iter() if _folder_of(each) == str(site.folder)]


def _folder_of(process: psutil.Process) -> str | None:
    with suppress(psutil.Error):
        return process.environ().get("POOLWISE_DRILL_FOLDER")
    return None


def _named(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return f"{process.pid} {' '.join(process.cmdline())[:80]}"
    return str(process.pid)
