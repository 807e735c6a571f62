"""Statistics: samples of rounds give *faster*, *slower*, *no difference detected* or *cannot tell*. docs/statistics.md.

`ratio` has the interval and the test, `verdicts` decides, `concurrency` counts runs at once and finds knees.
"""

from poolwise.lab.statistics.concurrency import (
    Concurrency,
    achieved_concurrency,
    ideal_makespan_s,
    knee,
    running_over_time,
)
from poolwise.lab.statistics.ratio import (
    Interval,
    Rounds,
    holm,
    rank_test,
    ratio_interval,
    round_medians,
    spread,
)
from poolwise.lab.statistics.verdicts import (
    BAND,
    CANNOT_TELL,
    FASTER,
    NO_DIFFERENCE,
    SLOWER,
    Verdict,
    VerdictOutcome,
    compare,
    compare_all,
    fewest_rounds,
    sentence,
    time_per_job,
)

__all__ = [
    "BAND",
    "CANNOT_TELL",
    "FASTER",
    "NO_DIFFERENCE",
    "SLOWER",
    "Concurrency",
    "Interval",
    "Rounds",
    "Verdict",
    "VerdictOutcome",
    "achieved_concurrency",
    "compare",
    "compare_all",
    "fewest_rounds",
    "holm",
    "ideal_makespan_s",
    "knee",
    "rank_test",
    "ratio_interval",
    "round_medians",
    "running_over_time",
    "sentence",
    "spread",
    "time_per_job",
]
