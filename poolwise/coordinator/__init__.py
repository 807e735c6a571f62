"""The process beside web and workers: records outcomes and runs periodic duties."""

from poolwise.coordinator.duties import platform_duties
from poolwise.coordinator.loop import Coordinator, own_reader
from poolwise.coordinator.retention import Pruned, prune, would_prune

__all__ = [
    "Coordinator",
    "Pruned",
    "own_reader",
    "platform_duties",
    "prune",
    "would_prune",
]
