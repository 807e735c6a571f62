"""Jobs that use Django's ORM, each in its own way; each adds one row, so that its runs can be counted."""

import random
import time
from uuid import uuid4

from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group
from django.db import connection, transaction

from poolwise.definitions import job

LIMIT_S = 60.0
#: How the names of the rows begin that the jobs add.
ADDED = "added-"
#: The rows that the jobs lock; they stand before the jobs run.
LOCKED = ("locked-0", "locked-1", "locked-2")


def _wait() -> None:
    time.sleep(0.3)  # the connection is open, and other jobs run meanwhile


async def _add() -> int:
    await Group.objects.acreate(name=f"{ADDED}{uuid4()}")
    return await Group.objects.filter(name__startswith="locked").acount()


@job(name="orm.plain", kind="io", time_limit_s=LIMIT_S)
def plain() -> int:
    """Write and read."""
    Group.objects.create(name=f"{ADDED}{uuid4()}")
    _wait()
    return Group.objects.filter(name__startswith="locked").count()


@job(name="orm.locking", kind="io", time_limit_s=LIMIT_S)
def locking() -> int:
    """Lock a row that other jobs lock, too."""
    with transaction.atomic():
        Group.objects.select_for_update().get(name=random.choice(LOCKED))
        Group.objects.create(name=f"{ADDED}{uuid4()}")
    _wait()
    return Group.objects.filter(name__startswith="locked").count()


@job(name="orm.awaiting", kind="io", time_limit_s=LIMIT_S)
async def awaiting() -> int:
    """Use the asynchronous ORM."""
    return await _add()


@job(name="orm.bridged", kind="io", time_limit_s=LIMIT_S)
def bridged() -> int:
    """Use the asynchronous ORM in a plain function."""
    return async_to_sync(_add)()


@job(name="orm.closing", kind="io", time_limit_s=LIMIT_S)
def closing() -> int:
    """Leave a connection behind whose socket is closed."""
    Group.objects.create(name=f"{ADDED}{uuid4()}")
    _wait()
    count = Group.objects.filter(name__startswith="locked").count()
    connection.connection.close()
    return count


KINDS = ("plain", "locking", "awaiting", "bridged", "closing")
