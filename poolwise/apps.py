"""Wiring of the app."""

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.db.models.signals import post_migrate

from poolwise.conf import set_defaults
from poolwise.support import startup


class PoolwiseConfig(AppConfig):
    """Poolwise's one Django app."""

    name = "poolwise"
    verbose_name = "Poolwise"
    default_auto_field = "django.db.models.BigAutoField"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        set_defaults()  # before any app's jobs are declared: declarations read settings

    def ready(self) -> None:
        """Load the Celery application, the checks and the definitions; keep the table of pools in step with the settings."""
        with startup.uncollected():
            _load()
        post_migrate.connect(_sync_pools, sender=self)
        post_migrate.connect(_make_roles, sender=self)


def _load() -> None:
    from celery.app.utils import find_app

    from poolwise import checks, definitions

    _want_pools()
    if settings.JOB_CELERY_APP:
        find_app(settings.JOB_CELERY_APP)  # as `celery -A` does: whatever is published goes by its settings
    checks.register_all()
    definitions.discover()


def _want_pools() -> None:
    """Raise ImproperlyConfigured for pools that cannot work: what is loaded asks for them before a check could speak."""
    from poolwise.pools import NO_POOL, all_pools
    from poolwise.support import BadPool

    try:
        if not all_pools():
            raise BadPool(NO_POOL)
    except BadPool as error:
        raise ImproperlyConfigured(str(error)) from None


def _make_roles(**options: object) -> None:
    from poolwise.control import make_roles

    make_roles(**options)


def _sync_pools(**_: object) -> None:
    from poolwise.models import Pool
    from poolwise.pools import all_pools

    if Pool._meta.db_table not in connection.introspection.table_names():
        return  # `migrate poolwise zero` has just removed it
    pools = all_pools()
    Pool.objects.exclude(pk__in=pools).delete()
    Pool.objects.bulk_create(
        [Pool(name=p.name, model=p.model, queue=p.queue, concurrency=p.concurrency) for p in pools.values()],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["model", "queue", "concurrency"],
    )
