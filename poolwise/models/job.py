"""Jobs and the log lines of their attempts."""

import uuid
from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.db import connections, models, transaction
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils import timezone

from poolwise.models.comparison import Batch


class JobState(models.TextChoices):
    """States of a job."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


LIVE = (JobState.QUEUED, JobState.RUNNING)

ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)

#: The shortest stall that a job is found by, in seconds.
STALLING_S = 0.002


def is_due(now: datetime) -> models.Q:
    """Return the condition of a job that waits for a slot."""
    return models.Q(state=JobState.QUEUED) & (models.Q(run_after=None) | models.Q(run_after__lte=now))


def is_scheduled(now: datetime) -> models.Q:
    """Return the condition of a job that is scheduled for later and takes no place in the queue until then."""
    return models.Q(state=JobState.QUEUED, run_after__gt=now)


def waiting(now: datetime) -> dict[str, models.Aggregate]:
    """Return the aggregates of a queue: how many are due, since when the oldest waits, and how many are scheduled."""
    return {
        "queued": models.Count("pk", filter=is_due(now)),
        "oldest_at": models.Min(Coalesce("run_after", "created_at"), filter=is_due(now)),
        "scheduled": models.Count("pk", filter=is_scheduled(now)),
    }


class JobQuerySet(models.QuerySet["Job"]):
    """Jobs by their state."""

    def queued(self) -> Self:
        """Return the jobs that no worker has claimed, scheduled ones included."""
        return self.filter(state=JobState.QUEUED)

    def due(self, *, now: datetime) -> Self:
        """Return the jobs that wait for a slot: queued, and not for later."""
        return self.filter(is_due(now))

    def scheduled(self, *, now: datetime) -> Self:
        """Return the queued jobs whose time has not come."""
        return self.filter(is_scheduled(now))

    def running(self) -> Self:
        """Return the jobs that a worker has claimed."""
        return self.filter(state=JobState.RUNNING)

    def live(self) -> Self:
        """Return the jobs that have not ended."""
        return self.filter(state__in=LIVE)

    def ended(self) -> Self:
        """Return the jobs that succeeded, failed or were cancelled."""
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
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="jobs",
        db_index=False,  # `job_of_user` begins with it
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
        help_text="When the coordinator may publish the message; empty once published.",
    )
    run_after = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When a scheduled job, or a retry, may run; unlike `due_at` it is kept.",
    )
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    idempotency_key = models.CharField(
        max_length=300,
        null=True,
        unique=True,
        editable=False,
        help_text="Identifies a submission, so that a repeated one stores nothing.",
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
    run_queue_s = models.FloatField(null=True, blank=True, help_text="Ready to run, waiting for a core.")
    gil_wait_s = models.FloatField(null=True, blank=True, help_text="Waiting for the GIL, estimated.")
    blocked_s = models.FloatField(
        null=True, blank=True, help_text="Waiting for something other than a core or the GIL."
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
            # All columns in one direction: a list starts at a row of values, see `reports.lead`.
            models.Index(fields=("user", "created_at"), name="job_of_user"),
            models.Index(fields=("state", "created_at"), name="job_state"),
            models.Index(fields=("pool", "created_at"), name="job_pool"),
            models.Index(fields=("definition", "created_at"), name="job_definition"),
            models.Index(fields=("request_id", "created_at"), name="job_of_submission"),
            models.Index(fields=("pool", "created_at"), name="job_queue", condition=models.Q(state="queued")),
            models.Index(
                fields=("state", "due_at"),  # without its state SQLite prefers the index of all states
                name="job_due",
                condition=models.Q(state="queued", due_at__isnull=False),
            ),
            models.Index(
                fields=("state", "due_at"),
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
            models.Index(
                fields=("worker", "started_at"),
                name="job_stalling",
                condition=models.Q(caused_stall_s__gte=STALLING_S),
            ),
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
    dropped = models.PositiveIntegerField(default=0, help_text="Lines beyond the limit, not kept.")

    class Meta:
        ordering = ("attempt",)
        constraints = (models.UniqueConstraint(fields=("job", "attempt"), name="log_of_attempt"),)

    def __str__(self) -> str:
        return f"log of attempt {self.attempt}"
