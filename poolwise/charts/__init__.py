"""Charts of the dashboard, declared in Altair and drawn in the browser by Vega under the strict content policy.

Import it where a chart is made: the admin is imported by every process, workers included, and Altair is heavy.
"""

from poolwise.charts.common import COLOURS, DASHES
from poolwise.charts.dashboard.backlog import pool_load
from poolwise.charts.dashboard.percentiles import percentiles
from poolwise.charts.dashboard.time_split import time_split

__all__ = ["COLOURS", "DASHES", "percentiles", "pool_load", "time_split"]
