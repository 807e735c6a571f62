"""Result bundles (docs/report.md): write one, read it, store it, and compare a new run with it.

In reading order: `shape`, `rows`, `writing`, `reading`, `storing`, `regression`.
"""

from poolwise.lab.bundle.reading import Bundle, read
from poolwise.lab.bundle.regression import Change, changes, rounds_of, summary
from poolwise.lab.bundle.storing import store
from poolwise.lab.bundle.writing import command, write

__all__ = ["Bundle", "Change", "changes", "command", "read", "rounds_of", "store", "summary", "write"]
