"""Pools and definitions that begin no jobs now: the ledger's rows, and the copy in Redis that workers obey.

How a worker obeys it is in `brake`.
"""

from poolwise.lifecycle.pauses.redis_copy import read_copy, write_copy
from poolwise.lifecycle.pauses.rows import Paused, paused_now

__all__ = ["Paused", "paused_now", "read_copy", "write_copy"]
