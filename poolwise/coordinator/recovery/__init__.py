"""Finds again what went missing, so that no accepted job is lost.

The ledger is the truth; workers, broker and stream only hold hints. A job that has not ended must be somewhere: run
or held by a living worker, or waiting at the broker. What is nowhere for long enough is tried or published again.
Doing so needlessly is harmless: an attempt can be claimed once only.
"""

from poolwise.coordinator.recovery.sweep import Recovery
from poolwise.coordinator.recovery.undeclared_pools import UndeclaredPools

__all__ = ["Recovery", "UndeclaredPools"]
