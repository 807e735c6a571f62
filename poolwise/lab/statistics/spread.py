"""How much the rounds of a variant differ, without what slowed whole rounds."""

import math
from collections.abc import Mapping
from statistics import fmean, stdev

from poolwise.lab.statistics.best import Sample


def time_per_job(makespan_s: float | None, jobs: int) -> float | None:
    """Return the time per job of a batch in seconds; None without a makespan or jobs."""
    return makespan_s / jobs if makespan_s is not None and jobs else None


def spreads(samples: Mapping[str, Sample]) -> dict[str, float | None]:
    """Return by what share a variant's rounds differ from what its mean and the round's mean let expect.

    The standard deviation of log(time) after the means of variants and of rounds are taken out; None for fewer than two
    rounds.
    """
    kept = {name: {n: math.log(v) for n, v in sample.items() if v > 0} for name, sample in samples.items()}
    common = set.intersection(*map(set, kept.values())) if kept else set()
    if len(common) < 2:
        return dict.fromkeys(samples)
    means = {name: fmean(logs[number] for number in common) for name, logs in kept.items()}
    of_round = {number: fmean(kept[name][number] - means[name] for name in kept) for number in common}
    return {
        name: math.expm1(stdev(logs[number] - means[name] - of_round[number] for number in common))
        for name, logs in kept.items()
    }
