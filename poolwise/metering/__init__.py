"""CPU time, waits and stalls of a job in a thread, a greenlet or a coroutine; it serves any Celery app.

`cpu_clocks` charges CPU time to jobs, `child_threads` and `programs` that of what they start, `run_queue` and `gil`
measure what a thread waits for, `waits` splits a run into parts, `stalls` finds the job that kept a loop, and
`process_stats` reads a worker's memory, CPU time and connections.
"""

from poolwise.metering.cpu_clocks import METER, GreenletClock, LagProbe, Meter, Stints
from poolwise.metering.gil import PROBE, Reading, Watch
from poolwise.metering.stalls import Stalls
from poolwise.metering.waits import UNATTRIBUTED, Span, Waits, computing_share, is_all_of, split

__all__ = [
    "METER",
    "PROBE",
    "UNATTRIBUTED",
    "GreenletClock",
    "LagProbe",
    "Meter",
    "Reading",
    "Span",
    "Stalls",
    "Stints",
    "Waits",
    "Watch",
    "child_threads",
    "computing_share",
    "is_all_of",
    "process_stats",
    "programs",
    "run_queue",
    "split",
]
