"""Pools and definitions that begin no jobs now: the ledger's rows, and the copy in Redis that workers obey."""

from jobs.switches.brake import Brake
from jobs.switches.ledger import Held, held
from jobs.switches.mirror import read, write

__all__ = ["Brake", "Held", "held", "read", "write"]
