"""What operators did: pauses, the audit log, API tokens."""

from django.conf import settings
from django.db import models
from django.utils import timezone


class Pause(models.Model):
    """A pool or a definition that starts no jobs; no row means that it does. Workers read a copy in Redis."""

    class Kind(models.TextChoices):
        """What can be paused."""

        POOL = "pool", "Pool"
        DEFINITION = "definition", "Definition"

    class State(models.TextChoices):
        """Both start no job; draining also waits for running jobs to end."""

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
    """What an operator did. Rows are written once, never changed, and deleted by age alone."""

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
