"""Roles: named groups of permissions. `migrate` makes them and sets them anew; docs/security.md says what each may do.

Another mix is a group of one's own. Staff status, which opens the admin, is given to a user apart from the role.
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

#: Each role's permissions; a later role may do all that an earlier one may, but for `viewer` and `submitter`, which differ.
ROLES: dict[str, tuple[str, ...]] = {
    "viewer": _SEE,
    "submitter": (SUBMIT,),
    "operator": (*_SEE, SUBMIT, CANCEL, *_OPERATE),
    "administrator": (*_SEE, SUBMIT, CANCEL, *_OPERATE, *_TOKENS, *_PEOPLE),
}


def make_roles(**_: Any) -> None:
    """Make the groups of the roles, each with its permissions and no other. Runs after every `migrate`."""
    known = {
        f"{found.content_type.app_label}.{found.codename}": found
        for found in Permission.objects.select_related("content_type")
    }
    for name, wanted in ROLES.items():
        group, _created = Group.objects.get_or_create(name=name)
        # An app whose permissions are not there yet sends its own signal later.
        group.permissions.set(known[permission] for permission in wanted if permission in known)


def require(user: Any, permission: str) -> None:
    """Raise PermissionDenied unless the user has the permission."""
    if not user.has_perm(permission):
        raise PermissionDenied(f"You need the permission {permission}.")


def require_submit(user: Any) -> None:
    """Raise PermissionDenied unless the user may submit jobs and plan comparisons."""
    if not user.has_perm(SUBMIT):
        raise PermissionDenied("You may not submit jobs. Ask an administrator for the role submitter.")


def require_cancel(user: Any, found: Job | Comparison) -> None:
    """Raise PermissionDenied unless the job or comparison is the user's own, or they may cancel any."""
    if not may_cancel(user, found):
        raise PermissionDenied(f"You may cancel your own {type(found).__name__.lower()}s only.")


def may_cancel(user: "User", found: Job | Comparison) -> bool:
    """Return whether a person may cancel this job or comparison: their own, or any with the permission."""
    return found.user_id == user.pk or user.has_perm(CANCEL)
