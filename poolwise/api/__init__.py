"""The HTTP API under /api/: what the pages do, for programs.

`app` has authentication and errors, `schemas` and `request_bodies` the shapes; then one file per resource.
"""

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
