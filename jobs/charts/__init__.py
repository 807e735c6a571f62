"""Charts of the dashboard, declared in Altair and drawn in the browser by Vega under the strict content policy.

Import it where a chart is made: the admin is imported by every process, workers included, and Altair is heavy.
"""

from jobs.charts.backlog import pool_load
from jobs.charts.common import COLOURS, DASHES
from jobs.charts.percentiles import percentiles
from jobs.charts.time_split import time_split

__all__ = ["COLOURS", "DASHES", "percentiles", "pool_load", "time_split"]
