"""The Celery application."""

import os

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

app = Celery("poolwise", task_cls="poolwise.pools.task:PoolTask", include=["poolwise.worker.task"])
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def _keep_django_logging(**_: object) -> None:
    """Leave logging as Django's LOGGING set it up; a receiver here stops Celery from doing it again."""


def _install_pools() -> None:
    from poolwise import pools

    pools.install()


_install_pools()
