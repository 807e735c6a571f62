"""What an operator does to pools and definitions: pause, drain, resume, purge. Each act is in the audit log."""

from poolwise.control.actions import ActionResult, drain, pause, resume
from poolwise.control.purge import Purged, purge

__all__ = ["ActionResult", "Purged", "drain", "pause", "purge", "resume"]
