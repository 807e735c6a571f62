"""The coordinator: the process that records outcomes and runs periodic duties. Read in this order:

1. `threaded`, `loop`: the two loops of the process, one of which records; `pace`: how long it gathers reports
2. `recording`: read reports from the stream, record them, acknowledge them
3. `hanging`: pause a definition whose jobs end one worker after the other
4. `duties`: the periodic duties of the platform; the lab adds its own
5. `recovery/`: find lost jobs, and publish or try them again
6. `pool_samples`, `pool_history`: figures and configurations of the pools over time
7. `retention`: delete old rows
"""

from poolwise.coordinator.duties import platform_duties, recording_duties
from poolwise.coordinator.loop import Coordinator, own_reader
from poolwise.coordinator.retention import Pruned, prune, would_prune
from poolwise.coordinator.threaded import ThreadedCoordinator

__all__ = [
    "Coordinator",
    "Pruned",
    "ThreadedCoordinator",
    "own_reader",
    "platform_duties",
    "prune",
    "recording_duties",
    "would_prune",
]
