"""The CPU that a process may use: its cores, limited by the quota of its control group."""

import math
import os
from collections.abc import Callable
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def cores() -> int:
    """Return the cores that this process may use."""
    counted: Callable[[], int | None] = getattr(os, "process_cpu_count", os.cpu_count)
    return counted() or 1


def cpu_quota(root: Path = _CGROUPS) -> float | None:
    """Return the CPU quota of the control group in cores; None for no limit."""
    try:
        text = (root / "cpu.max").read_text().split()
        quota, period = text[0], text[1]
    except (OSError, IndexError):
        try:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text()
        except OSError:
            return None
    try:
        return round(int(quota) / int(period), 2) if int(quota) > 0 else None
    except (ValueError, ZeroDivisionError):  # «max»: no limit
        return None


def usable_cores() -> float:
    """Return the cores that this process may use, limited by the quota of its control group; may be a fraction."""
    return min(float(cores()), cpu_quota() or math.inf)


def whole_cores() -> int:
    """Return the usable cores, rounded up: as many computing processes can be kept busy."""
    return max(1, math.ceil(usable_cores()))
