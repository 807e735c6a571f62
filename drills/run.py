"""Run one drill: start a platform, load it, break it, wait, and call the checker."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from dev.own_postgres import PostgresError
from drills.checker import BROKEN, INFORMATION
from drills.faults import Fault, Scale, Skipped
from drills.site import ROOT, DrillError, Site

WARM_S = 3.0
#: Late reports, duplicate deliveries and second records have this long to come before the check.
SETTLE_S = 2.0
DRAIN_S = 90.0


@dataclass(slots=True)
class Cell:
    """One fault on one pool, as the table shows it."""

    fault: str
    pool: str
    counts: dict[str, int] = field(default_factory=dict)
    caught: int = 0
    recovered: bool = False
    recovery_s: float | None = None
    budget_s: float = 0.0
    skipped: str = ""
    trouble: str = ""

    @property
    def is_good(self) -> bool:
        """Return whether nothing was lost or recorded twice, and all went on in time."""
        if self.skipped:
            return True
        in_time = self.recovery_s is None or self.recovery_s <= self.budget_s
        return not self.trouble and self.recovered and in_time and not any(map(self.counts.get, BROKEN))

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {**asdict(self), "good": self.is_good}


def run_drill(fault: Fault, pools: Sequence[str], scale: Scale, *, keep: bool = False) -> list[Cell]:
    """Run one drill on these pools, and return a cell for each that the fault concerns."""
    wanted = tuple(pool for pool in fault.plan.pools if pool in pools)
    cells = [Cell(fault.name, pool, budget_s=fault.budget_s) for pool in wanted]
    if not wanted:
        return []
    folder = Path(tempfile.mkdtemp(prefix=f"poolwise-drill-{fault.name}-"))
    try:
        _run(fault, folder, cells, replace(fault.plan, pools=wanted, seed=scale.seed), scale)
    except (Skipped, PostgresError) as reason:
        for cell in cells:
            cell.skipped = str(reason)
    except Exception as error:  # the other drills run all the same
        if not isinstance(error, DrillError):
            traceback.print_exc()
        for cell in cells:
            cell.trouble = str(error)
    finally:
        if fault.clean:
            fault.clean(folder)
        if keep or not all(cell.is_good for cell in cells):
            print(f"kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return cells


def _run(fault: Fault, folder: Path, cells: list[Cell], plan: Any, scale: Scale) -> None:
    if fault.prepare:
        plan = fault.prepare(folder, plan)
    with Site(folder, plan) as site:
        if fault.rate_per_s:
            site.load(rate_per_s=fault.rate_per_s, longest_s=fault.longest_s)
            site.wait(WARM_S)
        trouble = ""
        try:
            fault.do(site, scale)
            site.until(site.tracker.is_over, max(fault.budget_s * 3, 45.0), "recovery")
            site.wait(1.0)
        except DrillError as error:  # the checker runs all the same
            trouble = str(error)
        has_drained = site.drain(DRAIN_S)
        site.wait(SETTLE_S)
        checked = check(site, fault.clock_tolerance_s)
        for cell in cells:
            _fill(cell, site, checked, has_drained=has_drained, trouble=trouble)


def check(site: Site, clock_tolerance_s: float = 0.0) -> dict[str, Any]:
    """Return the counts of the checker, a program of its own."""
    command = [sys.executable, "-m", "drills.checker", str(site.folder), site.database.url]
    command += ["--clock-tolerance-s", str(clock_tolerance_s)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    try:
        checked: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise DrillError(f"the checker failed: {done.stderr[-2000:]}") from error
    (site.folder / "counts.json").write_text(done.stdout)
    return checked


def _fill(cell: Cell, site: Site, checked: dict[str, Any], *, has_drained: bool, trouble: str) -> None:
    nothing = dict.fromkeys((*INFORMATION, *BROKEN), 0)
    cell.counts = checked["pools"].get(cell.pool, nothing)
    cell.caught = site.tracker.caught.get(cell.pool, 0)
    cell.recovered = has_drained and not site.tracker.stuck(cell.pool)
    seconds = site.tracker.recovered_in_s.get(cell.pool)
    cell.recovery_s = None if seconds is None else round(seconds, 1)
    cell.trouble = trouble
    if not cell.counts["accepted"]:
        cell.trouble = cell.trouble or "no job was accepted, so that nothing was tested"
    elif not cell.caught:
        cell.trouble = cell.trouble or "the fault caught no job, so that nothing was tested"


def timed(begin_mono: float) -> str:
    """Return how long something took, as text."""
    return f"{time.monotonic() - begin_mono:.0f} s"
