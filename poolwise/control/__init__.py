"""What operators and administrators do, each with an entry in the audit log. Read in this order:

1. `actions`: pause, drain and resume pools and definitions
2. `purge`: cancel everything queued on a pool
3. `roles`: groups of permissions, and the checks of them
4. `tokens`: tokens of the HTTP API
"""

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
