"""What an operator does to pools and definitions: pause, drain, resume, purge. Each act is in the audit log."""

from jobs.operations.acts import ActionResult, drain, pause, resume
from jobs.operations.purging import Purged, purge

__all__ = ["ActionResult", "Purged", "drain", "pause", "purge", "resume"]
