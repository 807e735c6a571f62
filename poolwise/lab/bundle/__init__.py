"""Result bundles (docs/report.md): write one, read it, store it, and compare a new run with it.

In reading order: `shape`, `rows`, `writing`, `reading`, `storing`, `regression`, `baseline`.
"""

from poolwise.lab.bundle.baseline import environment_now, faults, plan_again, slots_now, smallest_found
from poolwise.lab.bundle.reading import Bundle, read
from poolwise.lab.bundle.regression import ALLOWANCE, Change, changes, ratio_text, rounds_of, summary
from poolwise.lab.bundle.storing import store
from poolwise.lab.bundle.writing import command, write
from poolwise.lab.statistics.sessions import Round

__all__ = [
    "ALLOWANCE",
    "Bundle",
    "Change",
    "Round",
    "changes",
    "command",
    "environment_now",
    "faults",
    "plan_again",
    "ratio_text",
    "read",
    "rounds_of",
    "slots_now",
    "smallest_found",
    "store",
    "summary",
    "write",
]
