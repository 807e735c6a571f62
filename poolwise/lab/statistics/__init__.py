"""Statistics: samples of rounds give the variants that may be the fastest. docs/statistics.md.

`best` ranks variants on paired rounds, `spread` tells how much rounds differ, `concurrency` counts runs at once and finds
knees.
"""

from poolwise.lab.statistics.best import (
    ALPHA,
    FEWEST_ROUNDS,
    LOOKS,
    MARGIN,
    Difference,
    Ranking,
    Sample,
    difference,
    is_look,
    rank,
    rounds_to_settle,
)
from poolwise.lab.statistics.concurrency import (
    Concurrency,
    achieved_concurrency,
    ideal_makespan_s,
    knee,
    running_over_time,
)
from poolwise.lab.statistics.spread import spreads, time_per_job

__all__ = [
    "ALPHA",
    "FEWEST_ROUNDS",
    "LOOKS",
    "MARGIN",
    "Concurrency",
    "Difference",
    "Ranking",
    "Sample",
    "achieved_concurrency",
    "difference",
    "ideal_makespan_s",
    "is_look",
    "knee",
    "rank",
    "rounds_to_settle",
    "running_over_time",
    "spreads",
    "time_per_job",
]
