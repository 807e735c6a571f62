"""Pools and definitions that begin no jobs now: the ledger's rows, and the copy in Redis that workers obey.

How a worker obeys it is in `brake`.
"""

from jobs.switches.ledger import Paused, paused_now
from jobs.switches.mirror import read_copy, write_copy

__all__ = ["Paused", "paused_now", "read_copy", "write_copy"]
