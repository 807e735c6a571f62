"""The ledger: jobs, comparisons and what the pools looked like over time."""

from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.db import connections, models, transaction
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils import timezone

__all__ = [
    "ENDED",
    "LIVE",
    "ApiToken",
    "AuditEntry",
    "Batch",
    "Comparison",
    "Job",
    "JobLog",
    "JobQuerySet",
    "JobState",
    "Pause",
    "PinnedDefinition",
    "Pool",
    "PoolConfiguration",
    "PoolSample",
    "audit",
    "waiting",
]

import uuid


class JobState(models.TextChoices):
    """States of a job."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


LIVE = (JobState.QUEUED, JobState.RUNNING)

ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


def is_due(now: datetime) -> models.Q:
    """Return the condition of a job that waits for a slot."""
    return models.Q(state=JobState.QUEUED) & (models.Q(run_after=None) | models.Q(run_after__lte=now))


def is_scheduled(now: datetime) -> models.Q:
    """Return the condition of a job that waits for its time, and takes no place in the queue until then."""
    return models.Q(state=JobState.QUEUED, run_after__gt=now)


def waiting(now: datetime) -> dict[str, models.Aggregate]:
    """Return the aggregates of a queue: how many are due, since when the oldest waits, and how many are scheduled."""
    return {
        "queued": models.Count("pk", filter=is_due(now)),
        "oldest_at": models.Min(Coalesce("run_after", "created_at"), filter=is_due(now)),
        "scheduled": models.Count("pk", filter=is_scheduled(now)),
    }


class JobQuerySet(models.QuerySet["Job"]):
    """Jobs by the words of the domain."""

    def queued(self) -> Self:
        """Return the jobs that no worker has claimed, those that are scheduled for later among them."""
        return self.filter(state=JobState.QUEUED)

    def due(self, *, now: datetime) -> Self:
        """Return the jobs that wait for a slot: queued, and not for later."""
        return self.filter(is_due(now))

    def scheduled(self, *, now: datetime) -> Self:
        """Return the queued jobs that wait for their time."""
        return self.filter(is_scheduled(now))

    def running(self) -> Self:
        """Return the jobs that a worker has claimed."""
        return self.filter(state=JobState.RUNNING)

    def live(self) -> Self:
        """Return the jobs that have not ended."""
        return self.filter(state__in=LIVE)

    def ended(self) -> Self:
        """Return the jobs that have ended, however."""
        return self.filter(state__in=ENDED)

    def update_in_order(self, **values: Any) -> int:
        """Update the rows, locked by primary key first, as the recorder does; return how many.

        Two writers that lock the same rows in different orders end up waiting for each other, and PostgreSQL ends one.
        """
        if not connections[self.db].features.has_select_for_update:  # one writer at a time
            return self.update(**values)
        with transaction.atomic(using=self.db):
            ids = list(self.select_for_update().order_by("pk").values_list("pk", flat=True))
            return self.model.objects.filter(pk__in=ids).update(**values)

    def unpublished(self, *, now: datetime) -> Self:
        """Return the queued jobs whose message is due and not known to be at the broker."""
        return self.queued().filter(due_at__lte=now)

    def visible_to(self, user: "settings.AUTH_USER_MODEL") -> Self:  # type: ignore[name-defined]
        """Return the jobs that a user may see: their own, or all with the permission `view_job`."""
        return self if user.has_perm("poolwise.view_job") else self.filter(user=user)


class ComparisonQuerySet(models.QuerySet["Comparison"]):
    """Comparisons by the words of the domain."""

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
    vary = models.JSONField(
        null=True, blank=True, help_text="Values of parameters that are set against each other, by name."
    )
    copies = models.PositiveIntegerField(help_text="Jobs in one batch.")
    rounds = models.PositiveIntegerField(default=1)
    warmup = models.BooleanField(
        default=False, help_text="A batch per pool runs first and counts for nothing."
    )
    calibrate = models.BooleanField(
        default=False, help_text="A batch of no-op jobs per pool measures the overhead."
    )
    baseline = models.CharField(
        max_length=100, blank=True, help_text="The pool that the others are compared with."
    )
    preset = models.CharField(max_length=20, blank=True)
    in_flight = models.PositiveIntegerField(
        null=True, blank=True, help_text="Closed loop: at most so many jobs of a batch are published at once."
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
        help_text="Figures, verdict, checks and advice, frozen when the last batch ended.",
    )
    imported_at = models.DateTimeField(null=True, blank=True, help_text="When a bundle brought it here.")
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

    class Meta:
        ordering = ("-created_at", "-id")
        indexes = (models.Index(fields=("-created_at",), name="comparison_newest"),)

    def __str__(self) -> str:
        return f"{self.definition} × {self.copies} ({self.get_state_display().lower()})"

    def get_absolute_url(self) -> str:
        """Return the address of the comparison's page."""
        return reverse("poolwise:comparison", args=[self.pk])

    @property
    def has_ended(self) -> bool:
        """Return whether nothing more will happen to the comparison."""
        return self.state in (Comparison.State.FINISHED, Comparison.State.CANCELLED)

    @property
    def pools(self) -> list[str]:
        """Return the pools that it runs on, by name."""
        return list(dict.fromkeys(self.batches.order_by("pool").values_list("pool", flat=True)))

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

    id: int
    comparison = models.ForeignKey(Comparison, on_delete=models.CASCADE, related_name="batches")
    pool = models.CharField(max_length=100)
    round = models.PositiveIntegerField()
    position = models.PositiveIntegerField(help_text="Batches run one after another, in this order.")
    role = models.CharField(max_length=12, choices=Role, default=Role.MEASURED)
    params = models.JSONField(
        null=True, blank=True, help_text="What differs from the comparison's parameters."
    )
    label = models.CharField(
        max_length=300,
        blank=True,
        help_text="The variant that it belongs to, where that is not its pool alone.",
    )
    wanted_slots = models.PositiveIntegerField(
        null=True, blank=True, help_text="Slots to set before the release."
    )
    slots = models.PositiveIntegerField(null=True, help_text="Slots of the pool when the batch was released.")
    void_reason = models.CharField(
        max_length=300, blank=True, help_text="Why it counts for nothing and is repeated."
    )
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
        """Return what the batch is compared as: its pool, or the values of parameters that differ."""
        return self.label or self.pool


class Job(models.Model):
    """One request to run a definition on one pool; its id is also the Celery task id.

    The columns from `attempt` down speak of the newest attempt; `history` keeps the earlier ones.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    definition = models.CharField(max_length=200)
    kind = models.CharField(max_length=10)
    params = models.JSONField(default=dict)
    pool = models.CharField(max_length=100)
    state = models.CharField(max_length=10, choices=JobState, default=JobState.QUEUED)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="jobs"
    )
    chosen_by = models.CharField(
        max_length=300, blank=True, help_text="How the pool was chosen, if submitted to `auto`."
    )
    request_id = models.CharField(max_length=64, blank=True, help_text="The web request that caused it.")
    batch = models.ForeignKey(Batch, null=True, blank=True, on_delete=models.SET_NULL, related_name="jobs")
    parent = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="reruns",
        help_text="Run again from.",
    )
    created_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="From then on the coordinator publishes the message; empty once published.",
    )
    run_after = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When a scheduled job, or the attempt after one that failed, may run; kept, other than `due_at`.",
    )
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    idempotency_key = models.CharField(
        max_length=300,
        null=True,
        unique=True,
        editable=False,
        help_text="Whose submission it is, told apart from others.",
    )
    unique_key = models.CharField(
        max_length=64, null=True, editable=False, help_text="One job with this key may be queued or running."
    )

    attempt = models.PositiveSmallIntegerField(default=1)
    max_attempts = models.PositiveSmallIntegerField(default=1)
    history = models.JSONField(
        default=list, help_text="Earlier attempts: how each ended, its timings and place."
    )
    published_at = models.DateTimeField(null=True, blank=True)
    received_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    recorded_at = models.DateTimeField(null=True, blank=True)
    broker_wait_s = models.FloatField(null=True, blank=True)
    worker_wait_s = models.FloatField(null=True, blank=True)
    run_s = models.FloatField(null=True, blank=True)
    cpu_s = models.FloatField(null=True, blank=True)
    off_cpu_s = models.FloatField(null=True, blank=True)
    run_queue_s = models.FloatField(null=True, blank=True, help_text="Ready to run, without a core.")
    gil_wait_s = models.FloatField(
        null=True, blank=True, help_text="Waiting for the interpreter's lock, estimated."
    )
    blocked_s = models.FloatField(
        null=True, blank=True, help_text="Certainly waiting for something else than a core or the lock."
    )
    stall_s = models.FloatField(
        null=True, blank=True, help_text="The longest stall of hub or loop during the run."
    )
    caused_stall_s = models.FloatField(
        null=True, blank=True, help_text="The longest stall that this job caused."
    )
    record_lag_s = models.FloatField(null=True, blank=True)
    payload_bytes = models.PositiveIntegerField(default=0)
    result_bytes = models.PositiveIntegerField(null=True, blank=True)
    worker = models.CharField(max_length=200, blank=True)
    pid = models.PositiveIntegerField(null=True, blank=True)
    thread = models.CharField(max_length=100, blank=True)
    greenlet_or_task = models.CharField(
        max_length=100, blank=True, help_text="The greenlet or asyncio task that ran it."
    )
    offloaded = models.BooleanField(
        default=False, help_text="A sync body run in a thread of an asyncio worker."
    )
    error_type = models.CharField(max_length=200, blank=True)
    error = models.TextField(blank=True)

    objects = JobQuerySet.as_manager()
    #: Set on what `submit` returns where the same had been submitted before and nothing new was stored.
    was_there = False

    class Meta:
        ordering = ("-created_at", "-id")
        indexes = (
            models.Index(fields=("-created_at", "-id"), name="job_newest"),
            models.Index(fields=("user", "-created_at"), name="job_of_user"),
            models.Index(fields=("state", "-created_at"), name="job_state"),
            models.Index(fields=("pool", "-created_at"), name="job_pool"),
            models.Index(fields=("definition", "-created_at"), name="job_definition"),
            models.Index(fields=("pool", "created_at"), name="job_queue", condition=models.Q(state="queued")),
            models.Index(
                fields=("due_at",), name="job_due", condition=models.Q(state="queued", due_at__isnull=False)
            ),
            models.Index(
                fields=("state", "due_at"),  # without its state SQLite prefers the index of all states
                name="job_mark_due",
                condition=models.Q(state="cancelled", due_at__isnull=False),
            ),
            models.Index(
                fields=("state", "cancel_requested_at"),
                name="job_stop_asked",
                condition=models.Q(state="queued", cancel_requested_at__isnull=False),
            ),
            models.Index(fields=("worker",), name="job_running", condition=models.Q(state="running")),
            models.Index(fields=("pool", "finished_at", "state"), name="job_finished"),
            models.Index(fields=("user",), name="job_queue_of_user", condition=models.Q(state="queued")),
        )
        constraints = (
            models.UniqueConstraint(
                fields=("unique_key",), name="job_unique", condition=models.Q(state__in=("queued", "running"))
            ),
        )
        permissions = (("submit_job", "Can submit jobs"), ("cancel_job", "Can cancel any job"))

    def __str__(self) -> str:
        return f"{self.definition} on {self.pool} ({self.state})"

    def get_absolute_url(self) -> str:
        """Return the address of the job's page."""
        return reverse("poolwise:job", args=[self.pk])

    @property
    def has_ended(self) -> bool:
        """Return whether nothing more will happen to the job."""
        return self.state in ENDED

    @property
    def is_published(self) -> bool:
        """Return whether the newest attempt's message is known to be at the broker."""
        return self.due_at is None

    @property
    def is_scheduled(self) -> bool:
        """Return whether the job waits for its time, not for a slot."""
        return (
            self.state == JobState.QUEUED and self.run_after is not None and self.run_after > timezone.now()
        )

    @property
    def waits_since(self) -> datetime:
        """Return since when a queued job waits for a slot: its time where it was scheduled, else its submission."""
        return self.run_after or self.created_at


class JobLog(models.Model):
    """The log lines of one attempt: `[seconds since start, level, text]` each."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="logs")
    attempt = models.PositiveSmallIntegerField()
    lines = models.JSONField(default=list)
    dropped = models.PositiveIntegerField(default=0, help_text="Lines past the bound that were not kept.")

    class Meta:
        ordering = ("attempt",)
        constraints = (models.UniqueConstraint(fields=("job", "attempt"), name="log_of_attempt"),)

    def __str__(self) -> str:
        return f"log of attempt {self.attempt}"


class Pool(models.Model):
    """A pool as the settings declare it; what is live about it comes from the workers' heartbeats."""

    name = models.CharField(max_length=100, primary_key=True)
    model = models.CharField(max_length=20)
    queue = models.CharField(max_length=100)
    concurrency = models.PositiveIntegerField()

    class Meta:
        ordering = ("name",)
        permissions = (
            ("operate_pool", "Can pause, resume and drain pools and definitions"),
            ("purge_pool", "Can purge the queue of a pool"),
            ("exceed_user_limit", "Can queue more jobs than one user may"),
        )

    def __str__(self) -> str:
        return self.name


class PinnedDefinition(models.Model):
    """A definition that an administrator pinned to a pool: `auto` obeys it."""

    definition = models.CharField(max_length=200, primary_key=True)
    pool = models.CharField(max_length=100)
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ("definition",)

    def __str__(self) -> str:
        return f"{self.definition} → {self.pool}"


class PoolSample(models.Model):
    """What a pool looked like at one moment, written by the coordinator every few seconds."""

    pool = models.CharField(max_length=100)
    at = models.DateTimeField(default=timezone.now)
    queued = models.PositiveIntegerField()
    running = models.PositiveIntegerField()
    oldest_s = models.FloatField(default=0, help_text="Age of the oldest queued job.")
    workers = models.PositiveIntegerField()
    slots = models.PositiveIntegerField()
    memory_bytes = models.BigIntegerField()

    class Meta:
        indexes = (
            models.Index(fields=("pool", "at"), name="sample_pool_at"),
            models.Index(fields=("at",), name="sample_at"),
        )

    def __str__(self) -> str:
        return f"{self.pool}: {self.queued} queued, {self.running} running"


class PoolConfiguration(models.Model):
    """What a pool's workers ran with from a moment on; the coordinator writes a row when that changes."""

    pool = models.CharField(max_length=100)
    at = models.DateTimeField(default=timezone.now)
    details = models.JSONField(default=dict, help_text="Model, slots, code version and library versions.")

    class Meta:
        indexes = (models.Index(fields=("pool", "at"), name="configuration_pool_at"),)

    def __str__(self) -> str:
        return f"{self.pool} from {self.at:%Y-%m-%d %H:%M}"


class Pause(models.Model):
    """A pool or a definition that begins no jobs now; without a row it does. The workers obey a copy in Redis."""

    class Kind(models.TextChoices):
        """What can be switched off."""

        POOL = "pool", "Pool"
        DEFINITION = "definition", "Definition"

    class State(models.TextChoices):
        """Both begin nothing; draining says that what runs is waited for."""

        PAUSED = "paused", "Paused"
        DRAINING = "draining", "Draining"

    id: int
    kind = models.CharField(max_length=10, choices=Kind)
    name = models.CharField(max_length=200)
    state = models.CharField(max_length=10, choices=State)
    at = models.DateTimeField(default=timezone.now)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ("kind", "name")
        constraints = (models.UniqueConstraint(fields=("kind", "name"), name="pause_of"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.get_state_display().lower()}"


class AuditEntry(models.Model):
    """An act of an operator. Rows are written once, never changed, and deleted by age alone."""

    at = models.DateTimeField(default=timezone.now)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    username = models.CharField(max_length=150, blank=True, help_text="The name at that time.")
    action = models.CharField(max_length=30)
    target = models.CharField(max_length=250)
    reason = models.CharField(max_length=300, blank=True)
    details = models.JSONField(default=dict)

    class Meta:
        verbose_name_plural = "audit entries"
        ordering = ("-at", "-id")
        indexes = (models.Index(fields=("-at", "-id"), name="audit_newest"),)

    def __str__(self) -> str:
        return f"{self.action} {self.target}"


class ApiToken(models.Model):
    """A token for the HTTP API; only its hash is stored, so it can be shown once."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100, help_text="What it is for.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "API token"
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{self.name} of {self.user}"
