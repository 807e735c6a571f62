"""The dashboard's charts, declared in Altair and drawn in the browser by Vega."""

from poolwise.charts.dashboard.backlog import pool_load
from poolwise.charts.dashboard.percentiles import percentiles
from poolwise.charts.dashboard.time_split import time_split

__all__ = ["percentiles", "pool_load", "time_split"]
