"""`manage.py pool_status`: check that pools have a running worker."""

import os
import socket
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from poolwise.lifecycle import heartbeats, limit_support
from poolwise.management.arguments import number
from poolwise.management.text_table import aligned
from poolwise.pools import POOL_ENV, all_pools, get_pool
from poolwise.reports import no_coordinator, no_worker
from poolwise.support import BrokerUnavailable, UnknownPool


class Command(BaseCommand):
    """Exit with status 0 only when every pool has a running worker."""

    help = "Check that every pool has a running worker with a broker connection; exit 1 otherwise."
    requires_system_checks = ()  # health checks run it often

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("pools", nargs="*", help="pools to check (default: all of JOB_POOLS)")
        parser.add_argument(
            "--wait",
            type=number,
            default=0.0,
            metavar="SECONDS",
            help="how long to wait for them (default 0)",
        )
        parser.add_argument("--coordinator", action="store_true", help="check for a running coordinator, too")
        parser.add_argument(
            "--capabilities",
            action="store_true",
            help="only print a table: how each pool enforces limits and cancellation",
        )
        parser.add_argument(
            "--self", action="store_true", dest="own", help="check only this host's worker or coordinator"
        )

    def handle(
        self,
        *,
        pools: list[str],
        wait: float,
        coordinator: bool,
        own: bool,
        capabilities: bool,
        **options: Any,
    ) -> None:
        """Wait for all pools. Raise CommandError when one is missing at the end of the wait."""
        if own:
            pools = _own_pools(pools, coordinator=coordinator)
        if capabilities:
            self._write_capabilities(pools or list(all_pools()))
            return
        wanted = pools or ([] if own or coordinator else list(all_pools()))
        until_mono = time.monotonic() + wait
        while missing := self._missing(wanted, coordinator=coordinator, own=own):
            if time.monotonic() >= until_mono:
                raise CommandError(missing)
            time.sleep(0.25)
        self.stdout.write("all up")

    def _write_capabilities(self, names: list[str]) -> None:
        try:
            rows = limit_support.matrix(get_pool(name).model for name in names)
        except UnknownPool as error:
            raise CommandError(str(error)) from error
        for line in aligned([("", *names), *((row.label, *row.cells) for row in rows)]):
            self.stdout.write(line)

    def _missing(self, wanted: list[str], *, coordinator: bool, own: bool) -> str:
        host = socket.gethostname() if own else None
        where = " on this host" if own else ""
        try:
            up = heartbeats.pools_up()
            if coordinator and not heartbeats.coordinator_is_up(host):
                return str(no_coordinator(where))
        except BrokerUnavailable as error:
            return str(error)
        for name in wanted:
            workers = [worker for worker in up.get(name, []) if host in (None, worker.host)]
            if not workers:
                return str(no_worker(name, where))
            if not any(worker.is_connected for worker in workers):
                names = ", ".join(worker.name for worker in workers)
                return f"The pool {name} gets no jobs: {names} lost the broker. Start the broker or correct BROKER_URL."
        return ""


def _own_pools(named: list[str], *, coordinator: bool) -> list[str]:
    """Return the pool of this host's worker; none where it has only the coordinator. Raise CommandError."""
    if pool := os.environ.get(POOL_ENV):
        return [pool]
    if not named and not coordinator:
        raise CommandError(
            "--self needs the pool of this host's worker: name it, set POOLWISE_POOL, or add --coordinator."
        )
    return named
