"""Notices of problems that keep jobs from running, the same on every page and in every command."""

from dataclasses import dataclass

from django.contrib import messages

from poolwise.lifecycle import cancellation


@dataclass(frozen=True, slots=True)
class Notice:
    """A problem, its effect on jobs, and the remedy: a command to start, or a pool to resume."""

    problem: str
    effect: str = ""
    command: str = ""
    resume: str = ""

    def __str__(self) -> str:
        start = f"Start `{self.command}`." if self.command else ""
        return " ".join(filter(None, [self.problem, self.effect, start]))


REDIS_AWAY = Notice(
    "Redis does not answer.",
    "The state of the workers is unknown. Submitted jobs are stored, and published when Redis is back.",
)


def no_coordinator(where: str = "") -> Notice:
    """Return the notice that outcomes are not recorded; `where` names the host."""
    effect = "Jobs run, but their outcomes are not recorded until one starts."
    return Notice(f"No coordinator is running{where}.", effect, "python manage.py coordinator")


def no_worker(pool: str, where: str = "", effect: str = "") -> Notice:
    """Return the notice that a pool has no worker."""
    return Notice(f"No worker serves the pool {pool}{where}.", effect, f"python manage.py pool {pool}")


def no_broker(pool: str, count: str) -> Notice:
    """Return the notice that workers of a pool have lost their broker; `count` is such as `1 of 2`."""
    return Notice(
        f"Workers of the pool {pool} have lost their broker.",
        f"{count} receive no jobs until it is back. Running jobs finish.",
    )


#: The level of the message about each outcome of a cancel request.
CANCEL_LEVELS = {
    cancellation.CancelOutcome.CANCELLED: messages.SUCCESS,
    cancellation.CancelOutcome.ASKED: messages.INFO,
    cancellation.CancelOutcome.UNSTOPPABLE: messages.WARNING,
    cancellation.CancelOutcome.ENDED: messages.WARNING,
}
