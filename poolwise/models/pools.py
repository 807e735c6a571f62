"""Pools as the settings declare them, and what they looked like over time."""

from django.db import models
from django.utils import timezone


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
    """A definition that an administrator pinned to a pool: `auto` then chooses that pool."""

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
            models.Index(fields=("pool", "at", "queued"), name="sample_pool_at"),
            models.Index(fields=("at",), name="sample_at"),
        )

    def __str__(self) -> str:
        return f"{self.pool}: {self.queued} queued, {self.running} running"


class PoolConfiguration(models.Model):
    """What a pool's workers run with since a moment; the coordinator writes a row when that changes."""

    pool = models.CharField(max_length=100)
    at = models.DateTimeField(default=timezone.now)
    details = models.JSONField(default=dict, help_text="Model, slots, code version and library versions.")

    class Meta:
        indexes = (models.Index(fields=("pool", "at"), name="configuration_pool_at"),)

    def __str__(self) -> str:
        return f"{self.pool} from {self.at:%Y-%m-%d %H:%M}"
