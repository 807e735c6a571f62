"""Result bundles: write one, read one back, and compare a new run with it. docs/report.md."""

from jobs.bundles.checking import Change, changes, rounds_of, summary
from jobs.bundles.reading import Bundle, read
from jobs.bundles.storing import store
from jobs.bundles.writing import command, write

__all__ = ["Bundle", "Change", "changes", "command", "read", "rounds_of", "store", "summary", "write"]
