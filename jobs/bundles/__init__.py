"""Evidence bundles: write one, read one back, and compare a new run with it. docs/evidence.md."""

from jobs.bundles.checking import Change, changes, summary
from jobs.bundles.reading import Bundle, read
from jobs.bundles.storing import store
from jobs.bundles.writing import command, write

__all__ = ["Bundle", "Change", "changes", "command", "read", "store", "summary", "write"]
