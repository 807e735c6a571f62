"""Why jobs do not go on, in the words of every page and command."""

from dataclasses import dataclass

from django.contrib import messages

from poolwise.lifecycle import cancellation


@dataclass(frozen=True, slots=True)
class Notice:
    """A problem, what it means for jobs, and what mends it: a command to start, or a pool to resume."""

    problem: str
    effect: str = ""
    command: str = ""
    resume: str = ""

    def __str__(self) -> str:
        start = f"Start `{self.command}`." if self.command else ""
        return " ".join(filter(None, [self.problem, self.effect, start]))


REDIS_AWAY = Notice(
    "Redis does not answer.",
    "Whether workers run is unknown. Submitted jobs are stored, and published when Redis is back.",
)


def no_coordinator(where: str = "") -> Notice:
    """Return the notice that nobody records outcomes, `where` says on which host."""
    effect = "Jobs run, but their outcomes are not recorded until one does."
    return Notice(f"No coordinator is running{where}.", effect, "python manage.py coordinator")


def no_worker(pool: str, where: str = "", effect: str = "") -> Notice:
    """Return the notice that a pool has no worker."""
    return Notice(f"No worker serves the pool {pool}{where}.", effect, f"python manage.py pool {pool}")


def no_broker(pool: str, count: str) -> Notice:
    """Return the notice that workers of a pool have lost their broker; `count` says how many of how many."""
    return Notice(
        f"Workers of the pool {pool} have lost their broker.",
        f"They get no jobs until it is back: {count}. Running jobs go on.",
    )


#: How important the message about a cancelled job is, by Django's levels.
CANCEL_LEVELS = {
    cancellation.CancelOutcome.CANCELLED: messages.SUCCESS,
    cancellation.CancelOutcome.ASKED: messages.INFO,
    cancellation.CancelOutcome.UNSTOPPABLE: messages.WARNING,
    cancellation.CancelOutcome.ENDED: messages.WARNING,
}
