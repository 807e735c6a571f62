"""Clocks of a thread, a greenlet and a coroutine. Serves any Celery app: no Django model, no definition."""

from poolwise.metering.cpu_clocks import METER, GreenletClock, LagProbe, Meter, Stints, _clock
from poolwise.metering.gil import PROBE, Reading
from poolwise.metering.stalls import Stalls
from poolwise.metering.waits import UNKNOWN, Span, Waits, is_all_of, split

__all__ = [
    "METER",
    "PROBE",
    "UNKNOWN",
    "GreenletClock",
    "LagProbe",
    "Meter",
    "Reading",
    "Span",
    "Stalls",
    "Stints",
    "Waits",
    "_clock",
    "is_all_of",
    "process_stats",
    "run_queue",
    "split",
]
