"""Wait until web and pools answer, run the first comparison, print the address and the login."""

import os
import sys
import time
from urllib.request import urlopen

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
os.environ["LOG_LEVEL"] = "WARNING"  # what it says is for people
django.setup()

from django.conf import settings  # noqa: E402  (needs the apps)
from django.core.management import CommandError, call_command  # noqa: E402

from jobs.models import Comparison  # noqa: E402

TIMEOUT_S = 60
FIRST_COMPARISON = (("io.wait", "40"), ("cpu.primes", "20"))


def main(address: str, login: str) -> int:
    """Print the way in once everything answers; return 1 when it never does."""
    try:
        _wait_for_web(f"{address}healthz")
        call_command("pool_status", *settings.JOB_POOLS, wait=TIMEOUT_S, coordinator=True)
        first = not Comparison.objects.exists()
        if first:
            _compare()
    except (CommandError, TimeoutError) as error:
        print(f"poolwise: {error}", file=sys.stderr)
        return 1
    print(f"\nPoolwise is ready: {address}\nLog in as {login}\nCtrl-C stops it.\n", flush=True)
    return 0


def _wait_for_web(url: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            with urlopen(url, timeout=5):  # noqa: S310  (our own address)
                return
        except OSError:  # URLError is one
            time.sleep(0.1)
    raise TimeoutError(f"The web server did not answer at {url} within {TIMEOUT_S} s; see its lines above.")


def _compare() -> None:
    pools = ",".join(settings.JOB_POOLS)
    for definition, copies in FIRST_COMPARISON:
        print(f"\nFirst comparison: {copies} × {definition} on each pool", flush=True)
        call_command("compare", definition, pools=pools, copies=int(copies))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
