"""`manage.py resume POOL`: let the jobs of a pool or a definition begin again."""

from typing import Any

from jobs.management.operator import OperatorCommand, by_whom, target
from jobs.operations import resume


class Command(OperatorCommand):
    """Resume what was paused or drained."""

    help = "Resume a pool or a definition that was paused or drained."

    def run(self, options: dict[str, Any]) -> None:
        """Resume it."""
        self.print_result(resume(*target(options), user=None, reason=options["reason"], **by_whom()))
