"""The HTTP API under /api/: what the pages can do, for programs."""

from poolwise.api import comparisons, definitions, jobs, pools, query_params
from poolwise.api.app import api, unknown_endpoint

__all__ = [
    "api",
    "comparisons",
    "definitions",
    "jobs",
    "pools",
    "query_params",
    "unknown_endpoint",
]
