"""What an operator does to pools and definitions: pause, drain, resume, purge. Each act is in the audit log."""

from poolwise.control.actions import ActionResult, drain, pause, resume
from poolwise.control.purge import Purged, purge
from poolwise.control.roles import (
    OPERATE,
    PURGE,
    make_roles,
    may_cancel,
    require,
    require_cancel,
    require_submit,
)

__all__ = [
    "OPERATE",
    "PURGE",
    "ActionResult",
    "Purged",
    "drain",
    "make_roles",
    "may_cancel",
    "pause",
    "purge",
    "require",
    "require_cancel",
    "require_submit",
    "resume",
    "roles",
    "tokens",
]
