"""Prepare the database, wait until everything runs, print the address, run the first comparisons.

One process for all of it, beside the starting workers, so that `make up` is ready sooner.
"""

import os
import sys
import time
from io import StringIO
from urllib.request import urlopen

import django
from django.core.exceptions import ImproperlyConfigured

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
os.environ["LOG_LEVEL"] = "WARNING"  # its output is for people
try:
    django.setup()
except ImproperlyConfigured as error:
    sys.exit(f"poolwise: {error}")

from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import DatabaseError

from dev.administrator import login
from poolwise.models import Comparison

TIMEOUT_S = 60
#: One job that waits and one that computes, with a budget that gives two answers within 40 s.
FIRST_COMPARISONS = ("io.wait", "cpu.primes")
_BUDGET_S = 10.0


class NotReady(Exception):
    """Something did not start; the text names it."""


def main(address: str) -> int:
    """Print address and login when the database is ready and everything answers; then run the first comparisons."""
    try:
        account = _prepare_database()
        _wait_for_web(f"{address}healthz")
        call_command("pool_status", *settings.JOB_POOLS, wait=TIMEOUT_S, coordinator=True)
        welcome = f"\nPoolwise is ready: {address}\nLog in as {account}\nCtrl-C stops it.\n"
        print(welcome, flush=True)
    except (CommandError, NotReady) as error:
        print(f"poolwise: {error}", file=sys.stderr)
        return 1
    try:
        if not Comparison.objects.exists():
            print(_compare() + welcome, flush=True)  # again, below all those lines
    except (CommandError, DatabaseError) as error:  # no reason to end what runs
        print(f"poolwise: the first comparisons were not finished: {error}", file=sys.stderr)
    return 0


def _prepare_database() -> str:
    try:
        call_command("migrate", verbosity=0, interactive=False)
        return login()
    except DatabaseError as error:
        raise NotReady(f"The database cannot be used: {str(error).strip()} (see DATABASE_URL)") from error


def _wait_for_web(url: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            with urlopen(url, timeout=5):  # noqa: S310  (our own address)
                return
        except OSError:  # URLError is one
            time.sleep(0.1)
    raise NotReady(f"The web server did not answer at {url} within {TIMEOUT_S} s; see its lines above.")


def _compare() -> str:
    """Return the tables and the answers of the first comparisons, to be shown together below the lines of their jobs."""
    tables = StringIO()
    for definition in FIRST_COMPARISONS:
        print(f"Comparing the pools on {definition}, for {_BUDGET_S:g} s at most", flush=True)
        tables.write("\n")
        call_command(
            "compare", definition, pools=",".join(settings.JOB_POOLS), budget_s=_BUDGET_S, stdout=tables
        )
    return tables.getvalue()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
