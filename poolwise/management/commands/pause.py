"""`manage.py pause POOL`: start no more jobs of a pool or a definition."""

from typing import Any

from poolwise.control import pause
from poolwise.management.operator import OperatorCommand, by_whom, target


class Command(OperatorCommand):
    """Pause a pool or a definition; its jobs stay queued."""

    help = "Pause a pool or a definition: within 2 s workers start no more of its jobs; these stay queued."

    def run(self, options: dict[str, Any]) -> None:
        """Pause the target."""
        self.print_result(pause(*target(options), user=None, reason=options["reason"], **by_whom()))
