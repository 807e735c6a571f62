"""How many jobs a batch has: a pilot runs waves of jobs, and its last wave sizes the batches of its variant."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from poolwise import metering
from poolwise.lab.report.runs import Run

#: A pilot starts no wave after this time.
PILOT_S = 0.8
#: Each wave of a pilot has this many times as many jobs as all waves before it.
_GROWTH = 3
#: The largest wave of a pool with fewer slots, and the jobs of a batch at least, if there are as many slots.
_SMALLEST_CAP = 4
#: Jobs per second that the platform does not exceed on a usual machine.
_MOST_PER_S = 400.0
#: A job that computes for less than this share of its run gains from more jobs at once.
_WAITS = 0.5
#: Jobs of which fewer ran at once on average ran one after another: they block each other, and more gain nothing.
_OVERLAPS = 1.2
#: How much longer than planned a batch may take to fill its slots.
_TOO_LONG = 3.0
#: Filling the slots of a job that waits for long may take so many times as long as the wait.
_OF_ITS_WAIT = 3.0
#: The time that releasing and recording a batch takes besides its jobs.
_BETWEEN_S = 0.4
_SHORTEST_S, _LONGEST_S = 0.5, 5.0


def next_wave(made: int, slots: int, elapsed_s: float) -> int:
    """Return the number of jobs of a pilot's next wave, once the jobs so far have ended; 0 ends the pilot."""
    if made == 0:
        return 1
    cap = max(slots, _SMALLEST_CAP)
    return 0 if elapsed_s > PILOT_S or made >= 2 * cap else min(_GROWTH * made, cap)


def batch_s(budget_s: float, variants: int, rounds: int) -> float:
    """Return how long the jobs of a batch should take, so that so many rounds fit in the budget."""
    return min(_LONGEST_S, max(_SHORTEST_S, budget_s / (variants * rounds) - _BETWEEN_S))


@dataclass(frozen=True, slots=True)
class Pilot:
    """What the last wave of a pilot showed."""

    jobs: int
    took_s: float
    computing_share: float
    cpu_s: float = 0.0
    at_once: float | None = None
    """How many jobs ran at once on average; None for a single job, which shows nothing."""

    @classmethod
    def of(cls, runs: Sequence[Run]) -> "Pilot | None":
        """Return the figures of the last wave; None without one job that has run."""
        known = [run for run in runs if run.published_at and run.finished_at and run.run_s]
        if not known:
            return None
        wave = _last_wave(known)
        begin = min(run.first_published_at or run.published_at for run in wave if run.published_at)
        end = max(run.finished_at for run in wave if run.finished_at)
        cpu_s = median(run.cpu_s or 0.0 for run in known)
        took_s = max((end - begin).total_seconds(), 1e-4)
        return cls(len(wave), took_s, _computing_share(known), cpu_s, mean_at_once(wave, took_s))

    def copies(self, slots: int, target_s: float, most: int, cores: int = 1) -> int:
        """Return how many jobs take about `target_s` on full slots, a multiple of the slots if they are filled.

        A job that waits needs its slots filled at least once, since fewer jobs take as long; unless it also computes so
        much that `cores` cores are busy for longer, or blocks the others of its worker.
        """
        computed_s = self.cpu_s / cores
        scales = self.computing_share < _WAITS and overlapped(self.at_once)
        rate_per_s = self.jobs / self.took_s
        if scales and self.jobs < slots:
            rate_per_s = max(rate_per_s, min(slots / self.took_s, _MOST_PER_S, 1 / max(computed_s, 1e-6)))
        fills = scales and slots * computed_s <= max(_TOO_LONG * target_s, _OF_ITS_WAIT * self.took_s)
        least = slots if fills else min(slots, _SMALLEST_CAP)
        wanted = max(least, round(rate_per_s * target_s))
        if wanted >= slots:
            wanted = math.ceil(wanted / slots) * slots if wanted < 4 * slots else wanted
        return max(1, min(most, wanted))


def mean_at_once(runs: Sequence[Run], took_s: float) -> float | None:
    """Return how many of the jobs ran at once on average; None for fewer than two."""
    return sum(run.run_s or 0.0 for run in runs) / took_s if len(runs) > 1 and took_s > 0 else None


def overlapped(at_once: float | None) -> bool:
    """Return whether jobs ran beside each other, or may have."""
    return at_once is None or at_once >= _OVERLAPS


def _computing_share(runs: Sequence[Run]) -> float:
    """Return the share of the run that a job computes; jobs that ran beside others may not show it."""
    split = [run for run in runs if run.run_queue_s is not None] or runs
    shares = (
        metering.computing_share(run.run_s, run.cpu_s, run.run_queue_s, run.gil_wait_s) for run in split
    )
    return min(1.0, median(share or 0.0 for share in shares))


def _last_wave(runs: Sequence[Run]) -> Sequence[Run]:
    """Return the jobs that were published after all others had ended."""
    in_order = sorted(runs, key=_published)
    first, latest_end = 0, None
    for index, run in enumerate(in_order):
        if latest_end is not None and _published(run) >= latest_end:
            first = index
        ended = run.finished_at or _published(run)
        latest_end = ended if latest_end is None else max(latest_end, ended)
    return in_order[first:]


def _published(run: Run) -> datetime:
    assert run.published_at is not None  # noqa: S101 - the caller leaves others out
    return run.published_at
