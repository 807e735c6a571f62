"""`manage.py resume POOL`: start the jobs of a paused pool or definition again."""

from typing import Any

from poolwise.control import resume
from poolwise.management.operator import OperatorCommand, by_whom, target


class Command(OperatorCommand):
    """Resume a pool or a definition."""

    help = "Resume a paused or drained pool or definition."

    def run(self, options: dict[str, Any]) -> None:
        """Resume the target."""
        self.print_result(resume(*target(options), user=None, reason=options["reason"], **by_whom()))
