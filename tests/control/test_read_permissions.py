"""The permissions of a submitter by one statement: the same as Django's own, and nothing where it has them."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, Group, Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext

from poolwise.control import roles

pytestmark = pytest.mark.django_db


def fresh(user: Any) -> Any:
    return get_user_model().objects.get(pk=user.pk)


def test_they_are_what_django_reads_by_user_and_by_group(user: Any) -> None:
    user.groups.add(Group.objects.get(name="viewer"))
    user.user_permissions.add(Permission.objects.get(codename="exceed_user_limit"))
    ours, djangos = fresh(user), fresh(user)
    roles.read_permissions(fresh(user))  # from now on Django knows the content types
    with CaptureQueriesContext(connection) as captured:
        roles.read_permissions(ours)
        roles.read_permissions(ours)
        assert ours.has_perm("poolwise.submit_job")
        assert not ours.has_perm("poolwise.cancel_job")
    assert len(captured) == 1
    assert ours.get_user_permissions() == djangos.get_user_permissions() == {"poolwise.exceed_user_limit"}
    assert ours.get_group_permissions() == djangos.get_group_permissions()
    assert ours.get_all_permissions() == djangos.get_all_permissions()


def test_nothing_is_read_for_who_needs_none_or_asks_another_backend(
    user: Any, administrator: Any, settings: Any
) -> None:
    asleep = fresh(user)
    asleep.is_active = False
    with CaptureQueriesContext(connection) as captured:
        for someone in (asleep, administrator, AnonymousUser()):
            roles.read_permissions(someone)
        settings.AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend"]
        roles.read_permissions(fresh_user := user)
    assert not captured.captured_queries
    assert not fresh_user.has_perm("poolwise.submit_job")
