"""Result bundles: write one, read one back, and compare a new run with it. docs/report.md."""

from poolwise.lab.bundle.reading import Bundle, read
from poolwise.lab.bundle.regression import Change, changes, rounds_of, summary
from poolwise.lab.bundle.storing import store
from poolwise.lab.bundle.writing import command, write

__all__ = ["Bundle", "Change", "changes", "command", "read", "rounds_of", "store", "summary", "write"]
