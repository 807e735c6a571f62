"""`manage.py prune`: delete what is older, or more, than the settings keep."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from poolwise.coordinator import Pruned, prune, would_prune


class Command(BaseCommand):
    """Prune to the end, in short transactions; the coordinator does so by itself, a little at a time."""

    help = "Delete ended jobs, results and audit entries beyond JOB_KEEP_DAYS, JOB_KEEP_MAX, AUDIT_KEEP_DAYS."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare how to look first."""
        parser.add_argument("--dry-run", action="store_true", help="say what would go, delete nothing")

    def handle(self, *, dry_run: bool, **options: Any) -> None:
        """Prune, and say how many rows went."""
        self.stdout.write(f"{'would prune' if dry_run else 'pruned'} {_summary(_count(dry_run))}")


def _count(dry_run: bool) -> Pruned:
    return would_prune() if dry_run else prune()


def _summary(pruned: Pruned) -> str:
    return (
        f"{pruned.jobs:,} jobs with their logs and results, {pruned.results:,} results without a job, "
        f"{pruned.audit_entries:,} audit entries"
    )
