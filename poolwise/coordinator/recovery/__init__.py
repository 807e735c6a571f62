"""Recovery: find lost jobs, so that no accepted job stays unfinished. Read `sweep` first.

The database is the truth; workers, broker and stream only give hints. A job that has not ended must be running or
reserved at a living worker, or its message must wait at the broker. A job that is in neither place for long enough is
tried or published again. Doing so without need is harmless: an attempt can be claimed only once.
"""

from poolwise.coordinator.recovery.sweep import Recovery
from poolwise.coordinator.recovery.undeclared_pools import UndeclaredPools

__all__ = ["Recovery", "UndeclaredPools"]
