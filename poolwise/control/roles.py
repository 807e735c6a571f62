"""Roles: named groups of permissions, described in docs/security.md. Every `migrate` sets them again.

For another mix, make a group of your own. Staff status, which opens the admin, is separate from roles.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db import connection

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


_MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
_PERMISSIONS = """
SELECT {own}, auth_permission.content_type_id, auth_permission.codename FROM {table}
JOIN auth_permission ON auth_permission.id = {permission} WHERE {user} = %s
"""


def read_permissions(user: Any) -> None:
    """Read the permissions of a user by one statement for Django's ModelBackend, which else makes two with the ORM.

    It keeps them with the user, in these two attributes; where another backend is used, it does nothing.
    """
    is_known = hasattr(user, "_user_perm_cache") or hasattr(user, "_group_perm_cache")
    if (
        is_known
        or not user.is_active
        or user.is_superuser
        or _MODEL_BACKEND not in settings.AUTHENTICATION_BACKENDS
    ):
        return
    with connection.cursor() as cursor:
        cursor.execute(_statement(user._meta.model), [user.pk, user.pk])
        rows = cursor.fetchall()
    user._user_perm_cache, user._group_perm_cache = (
        {f"{_app(kind)}.{codename}" for own, kind, codename in rows if own == is_own} for is_own in (1, 0)
    )


def _app(content_type: int) -> str:
    return ContentType.objects.get_for_id(content_type).app_label  # Django keeps these


@cache
def _statement(model: type[Any]) -> str:
    own, groups = model._meta.get_field("user_permissions"), model._meta.get_field("groups")
    of_user = {"own": 1, "table": own.m2m_db_table(), "permission": f"{own.m2m_db_table()}.{own.m2m_reverse_name()}",
               "user": f"{own.m2m_db_table()}.{own.m2m_column_name()}"}  # fmt: skip
    of_groups = {
        "own": 0,
        "table": f"auth_group_permissions JOIN {groups.m2m_db_table()} ON "
        f"{groups.m2m_db_table()}.{groups.m2m_reverse_name()} = auth_group_permissions.group_id",
        "permission": "auth_group_permissions.permission_id",
        "user": f"{groups.m2m_db_table()}.{groups.m2m_column_name()}",
    }
    return " UNION ALL ".join(_PERMISSIONS.format(**names) for names in (of_user, of_groups))


def require(user: Any, permission: str) -> None:
    """Raise PermissionDenied unless the user has the permission."""
    if not user.has_perm(permission):
        raise PermissionDenied(f"You need the permission {permission}.")


def require_submit(user: Any) -> None:
    """Raise PermissionDenied unless the user may submit jobs and plan comparisons."""
    read_permissions(user)
    if not user.has_perm(SUBMIT):
        raise PermissionDenied("You may not submit jobs. Ask an administrator for the role submitter.")


def require_cancel(user: Any, target: Job | Comparison) -> None:
    """Raise PermissionDenied unless the job or comparison is the user's own, or they may cancel any."""
    if not may_cancel(user, target):
        raise PermissionDenied(f"You may cancel your own {type(target).__name__.lower()}s only.")


def may_cancel(user: "User", target: Job | Comparison) -> bool:
    """Return whether a user may cancel this job or comparison: their own, or any with the permission."""
    return target.user_id == user.pk or user.has_perm(CANCEL)
