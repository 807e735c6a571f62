"""The audit log: who did what, to what, and why. Rows are only ever added, and pruned by age."""

from typing import TYPE_CHECKING, Any

import structlog

from poolwise.models.control import AuditEntry
from poolwise.support import storable

if TYPE_CHECKING:
    from django.contrib.auth.models import User

log = structlog.get_logger(__name__)


def record(
    action: str, target: str, *, user: "User | None" = None, reason: str = "", **details: Any
) -> AuditEntry:
    """Store what an operator did; `user` is None where a command on the machine did it."""
    log.info("audit", action=action, target=target, user=getattr(user, "pk", None), **details)
    return AuditEntry.objects.create(
        user=user,
        username=user.get_username()[:150] if user is not None else "",
        action=action,
        target=storable(target)[:250],
        reason=storable(reason)[:300],
        details=details,
    )
