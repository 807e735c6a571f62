"""`manage.py prune`: delete jobs, results and audit entries that exceed the retention settings."""

from argparse import ArgumentParser
from typing import Any

from poolwise.coordinator import Pruned, prune, would_prune
from poolwise.management.patience import PatientCommand


class Command(PatientCommand):
    """Prune everything at once, in short transactions; the coordinator prunes a part at a time."""

    help = (
        "Delete ended jobs, results and audit entries beyond JOB_KEEP_DAYS, JOB_KEEP_MAX and AUDIT_KEEP_DAYS."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "--dry-run", action="store_true", help="print what would be deleted, delete nothing"
        )

    def handle(self, *, dry_run: bool, **options: Any) -> None:
        """Prune and print how many rows were deleted."""
        self.stdout.write(f"{'would prune' if dry_run else 'pruned'} {_summary(_count(dry_run))}")


def _count(dry_run: bool) -> Pruned:
    return would_prune() if dry_run else prune()


def _summary(pruned: Pruned) -> str:
    return (
        f"{pruned.jobs:,} jobs with their logs and results, {pruned.results:,} results without a job, "
        f"{pruned.audit_entries:,} audit entries"
    )
