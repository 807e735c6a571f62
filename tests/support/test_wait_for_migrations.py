"""A process may start before the tables exist."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError
from structlog.testing import capture_logs

from poolwise.support import wait_for_migrations
from poolwise.support.wait_for_migrations import wait_until_migrated

pytestmark = pytest.mark.django_db


def test_a_migrated_database_is_not_waited_for() -> None:
    assert wait_until_migrated(lambda: False)


def test_a_missing_migration_is_waited_for_and_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: Iterator[Any] = iter([["a migration"], ["a migration"], []])
    monkeypatch.setattr(wait_for_migrations.MigrationExecutor, "migration_plan", lambda *_: next(plans))
    monkeypatch.setattr(wait_for_migrations, "_CHECK_EVERY_S", 0.001)
    with capture_logs() as lines:
        assert wait_until_migrated(lambda: False)
    assert [line["waits_for"] for line in lines] == ["`manage.py migrate`"]


def test_a_database_that_does_not_answer_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: Iterator[Any] = iter([DatabaseError("the server starts up"), []])

    def plan(*_: Any) -> Any:
        result = next(plans)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(wait_for_migrations.MigrationExecutor, "migration_plan", plan)
    monkeypatch.setattr(
        wait_for_migrations.connection, "close", lambda: None
    )  # the test's transaction is on it
    with capture_logs() as lines:
        assert wait_until_migrated(lambda: False)
    assert [line["waits_for"] for line in lines] == ["it to answer: the server starts up"]


def test_a_stop_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait_for_migrations.MigrationExecutor, "migration_plan", lambda *_: ["a migration"])
    stopped = threading.Event()
    threading.Timer(0.1, stopped.set).start()
    assert not wait_until_migrated(stopped.is_set)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_database_without_the_newest_migration_is_behind() -> None:
    call_command("migrate", "sessions", "zero", verbosity=0)
    try:
        assert wait_for_migrations._missing() == "`manage.py migrate`"
    finally:
        call_command("migrate", verbosity=0)
    assert wait_for_migrations._missing() == ""
