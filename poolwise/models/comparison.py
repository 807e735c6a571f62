"""Comparisons and their batches."""

import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone

from poolwise.support import count


class ComparisonQuerySet(models.QuerySet["Comparison"]):
    """Comparisons, and which of them a user may see."""

    def with_pools(self) -> Self:
        """Read the pools of all comparisons at once: `pools` then needs no query of its own."""
        return self.prefetch_related(models.Prefetch("batches", Batch.objects.only("comparison", "pool")))

    def visible_to(self, user: "settings.AUTH_USER_MODEL") -> Self:  # type: ignore[name-defined]
        """Return the comparisons that a user may see: their own, or all with the permission `view_comparison`."""
        return self if user.has_perm("poolwise.view_comparison") else self.filter(user=user)


class Comparison(models.Model):
    """One definition with the same parameters on several pools: rounds × pools × copies."""

    class State(models.TextChoices):
        """States of a comparison."""

        PLANNED = "planned", "Planned"
        RUNNING = "running", "Running"
        FINISHED = "finished", "Finished"
        CANCELLED = "cancelled", "Cancelled"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    definition = models.CharField(max_length=200)
    params = models.JSONField(default=dict)
    vary = models.JSONField(null=True, blank=True, help_text="Values of parameters to compare, by name.")
    copies = models.PositiveIntegerField(help_text="Jobs in one batch.")
    rounds = models.PositiveIntegerField(default=1)
    warmup = models.BooleanField(
        default=False, help_text="One batch per pool runs first and is not measured."
    )
    calibrate = models.BooleanField(
        default=False, help_text="A batch of no-op jobs per pool measures the overhead."
    )
    baseline = models.CharField(
        max_length=100, blank=True, help_text="The pool that the others are compared with."
    )
    preset = models.CharField(max_length=20, blank=True)
    budget_s = models.FloatField(
        null=True,
        blank=True,
        help_text="Rounds are added until the answer is settled or this much time is spent.",
    )
    renew_rounds = models.PositiveIntegerField(
        null=True, blank=True, help_text="The workers are started again after each so many rounds."
    )
    in_flight = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Closed loop: at most this many jobs of a batch are published at once.",
    )
    arrival_rate_per_s = models.FloatField(
        null=True, blank=True, help_text="Open loop: jobs are published at this rate, finished or not."
    )
    slots = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="The same number of slots for every pool, instead of each pool's own.",
    )
    is_sweep = models.BooleanField(
        default=False, help_text="Over concurrency 1, 2, 4 … up to each pool's slots."
    )
    environment = models.JSONField(default=dict, help_text="Where it ran: cores, versions, broker, database.")
    report = models.JSONField(
        null=True,
        blank=True,
        help_text="Answer, figures and validity checks, frozen when the last batch ended.",
    )
    imported_at = models.DateTimeField(null=True, blank=True, help_text="When it was imported from a bundle.")
    end_reason = models.CharField(max_length=300, blank=True, help_text="Why it ended before its last batch.")
    changed_slots = models.JSONField(
        null=True,
        blank=True,
        help_text="Slots that workers had before they were set; empty once they have them again.",
    )
    seed = models.BigIntegerField(default=0, help_text="Shuffles the order of the pools within a round.")
    state = models.CharField(max_length=10, choices=State, default=State.PLANNED)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = ComparisonQuerySet.as_manager()
    #: Set on what `plan` returns where the same had been planned before and nothing new was stored.
    was_there = False

    class Meta:
        ordering = ("-created_at", "-id")
        indexes = (models.Index(fields=("-created_at",), name="comparison_newest"),)

    def __str__(self) -> str:
        return f"{self.definition} × {self.copies} ({self.get_state_display().lower()})"

    def get_absolute_url(self) -> str:
        """Return the address of the comparison's page."""
        return reverse("poolwise:comparison", args=[self.pk])

    @property
    def size(self) -> str:
        """Return how much is measured: 5 rounds of 12 jobs, or as many rounds as the answer takes."""
        rounds = count(self.rounds, "round")
        if self.budget_s is None:
            return f"{rounds} of {count(self.copies, 'job')}"
        return f"{rounds} of up to {count(self.copies, 'job')}, at most {self.budget_s:g} s"

    @property
    def has_ended(self) -> bool:
        """Return whether nothing more will happen to the comparison."""
        return self.state in (Comparison.State.FINISHED, Comparison.State.CANCELLED)

    @property
    def pools(self) -> list[str]:
        """Return the pools that it runs on, by name."""
        return sorted({batch.pool for batch in self.batches.all()})

    @property
    def shown_params(self) -> dict[str, object]:
        """Return the parameters, those that are compared with all of their values."""
        return {**self.params, **(self.vary or {})}


class Batch(models.Model):
    """The copies of one job that one pool runs in one round of a comparison."""

    class Role(models.TextChoices):
        """What a batch is for."""

        MEASURED = "measured", "Measured"
        WARMUP = "warmup", "Warm-up"
        CALIBRATION = "calibration", "Overhead calibration"
        PILOT = "pilot", "Pilot"

    id: int
    comparison = models.ForeignKey(Comparison, on_delete=models.CASCADE, related_name="batches")
    pool = models.CharField(max_length=100)
    round = models.PositiveIntegerField()
    position = models.PositiveIntegerField(help_text="Batches run one after another, in this order.")
    role = models.CharField(max_length=12, choices=Role, default=Role.MEASURED)
    copies = models.PositiveIntegerField(
        null=True, blank=True, help_text="Jobs of this batch; empty: as many as the comparison says."
    )
    params = models.JSONField(
        null=True, blank=True, help_text="What differs from the comparison's parameters."
    )
    label = models.CharField(
        max_length=300,
        blank=True,
        help_text="Its variant, where that is more than its pool.",
    )
    wanted_slots = models.PositiveIntegerField(
        null=True, blank=True, help_text="Slots to set before the release."
    )
    slots = models.PositiveIntegerField(null=True, help_text="Slots of the pool when the batch was released.")
    void_reason = models.CharField(max_length=300, blank=True, help_text="Why it is void and repeated.")
    probe = models.JSONField(
        default=dict,
        help_text="Of the pool's processes at release and end: CPU seconds, memory, connections, stalls.",
    )
    released_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("comparison", "position")
        constraints = (models.UniqueConstraint(fields=("comparison", "position"), name="batch_position"),)

    def __str__(self) -> str:
        return f"round {self.round}, {self.variant}"

    @property
    def variant(self) -> str:
        """Return the variant that the batch measures: its pool, or the values of parameters that differ."""
        return self.label or self.pool
