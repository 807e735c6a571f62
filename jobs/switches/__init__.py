"""Pools and definitions that begin no jobs now: the ledger's rows, and the copy in Redis that workers obey.

How a worker obeys it is in `brake`.
"""

from jobs.switches.ledger import Held, held
from jobs.switches.mirror import read, write

__all__ = ["Held", "held", "read", "write"]
