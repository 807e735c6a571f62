"""What an operator does to pools and definitions: pause, drain, resume, purge. Each act is in the audit log."""

from jobs.operations.acts import Act, drain, pause, resume
from jobs.operations.purging import Purged, purge

__all__ = ["Act", "Purged", "drain", "pause", "purge", "resume"]
