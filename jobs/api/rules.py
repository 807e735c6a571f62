"""Who may do what: the pages' own rules, in one place."""

from typing import Any

from django.core.exceptions import PermissionDenied

from jobs.roles import SUBMIT, may_cancel

OPERATE, PURGE = "jobs.operate_pool", "jobs.purge_pool"


def need(user: Any, permission: str) -> None:
    """Raise PermissionDenied unless the user has the permission."""
    if not user.has_perm(permission):
        raise PermissionDenied(f"You need the permission {permission}.")


def need_submit(user: Any) -> None:
    """Raise PermissionDenied unless the user may submit."""
    need(user, SUBMIT)


def need_cancel(user: Any, found: Any) -> None:
    """Raise PermissionDenied unless the job or comparison is the user's own, or they may cancel any."""
    if not may_cancel(user, found):
        raise PermissionDenied("You may cancel your own only.")
