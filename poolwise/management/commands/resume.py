"""`manage.py resume POOL`: let the jobs of a pool or a definition begin again."""

from typing import Any

from poolwise.control import resume
from poolwise.management.operator import OperatorCommand, by_whom, target


class Command(OperatorCommand):
    """Resume what was paused or drained."""

    help = "Resume a pool or a definition that was paused or drained."

    def run(self, options: dict[str, Any]) -> None:
        """Resume it."""
        self.print_result(resume(*target(options), user=None, reason=options["reason"], **by_whom()))
