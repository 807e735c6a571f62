"""Roles: named groups of permissions, described in docs/security.md. Every `migrate` sets them again.

For another mix, make a group of your own. Staff status, which opens the admin, is separate from roles.
"""

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied

from poolwise.models import Comparison, Job

if TYPE_CHECKING:
    from django.contrib.auth.models import User

SUBMIT, CANCEL = "poolwise.submit_job", "poolwise.cancel_job"
OPERATE, PURGE = "poolwise.operate_pool", "poolwise.purge_pool"
_SEE = (
    *(
        "poolwise.view_job",
        "poolwise.view_joblog",
        "poolwise.view_comparison",
        "poolwise.view_batch",
        "poolwise.view_pool",
    ),
    *(
        "poolwise.view_poolsample",
        "poolwise.view_poolconfiguration",
        "poolwise.view_pinneddefinition",
        "poolwise.view_pause",
    ),
    "django_celery_results.view_taskresult",
)
_PIN = tuple(f"poolwise.{action}_pinneddefinition" for action in ("add", "change", "delete"))
_OPERATE = (
    *(
        "poolwise.operate_pool",
        "poolwise.purge_pool",
        "poolwise.exceed_user_limit",
        "poolwise.view_auditentry",
    ),
    *_PIN,
)
_TOKENS = tuple(f"poolwise.{action}_apitoken" for action in ("add", "delete", "view"))
_PEOPLE = tuple(
    f"auth.{action}_{what}" for what in ("user", "group") for action in ("add", "change", "delete", "view")
)

#: The permissions by role. `viewer` and `submitter` are independent; `operator` includes both, `administrator` all.
ROLES: dict[str, tuple[str, ...]] = {
    "viewer": _SEE,
    "submitter": (SUBMIT,),
    "operator": (*_SEE, SUBMIT, CANCEL, *_OPERATE),
    "administrator": (*_SEE, SUBMIT, CANCEL, *_OPERATE, *_TOKENS, *_PEOPLE),
}


def make_roles(**_: Any) -> None:
    """Create the groups of the roles, each with exactly its permissions. Runs after every `migrate`."""
    known = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.select_related("content_type")
    }
    for role, wanted in ROLES.items():
        group, _created = Group.objects.get_or_create(name=role)
        # Permissions of an app that is migrated later are set after its own signal.
        group.permissions.set(known[name] for name in wanted if name in known)


def require(user: Any, permission: str) -> None:
    """Raise PermissionDenied unless the user has the permission."""
    if not user.has_perm(permission):
        raise PermissionDenied(f"You need the permission {permission}.")


def require_submit(user: Any) -> None:
    """Raise PermissionDenied unless the user may submit jobs and plan comparisons."""
    if not user.has_perm(SUBMIT):
        raise PermissionDenied("You may not submit jobs. Ask an administrator for the role submitter.")


def require_cancel(user: Any, target: Job | Comparison) -> None:
    """Raise PermissionDenied unless the job or comparison is the user's own, or they may cancel any."""
    if not may_cancel(user, target):
        raise PermissionDenied(f"You may cancel your own {type(target).__name__.lower()}s only.")


def may_cancel(user: "User", target: Job | Comparison) -> bool:
    """Return whether a user may cancel this job or comparison: their own, or any with the permission."""
    return target.user_id == user.pk or user.has_perm(CANCEL)
