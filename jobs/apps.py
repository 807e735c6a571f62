"""The Django app of this site's jobs."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    """Registers the jobs of this site."""

    name = "jobs"
    verbose_name = "Jobs of this site"

    def ready(self) -> None:
        """Register every definition."""
        from jobs import load

        load()
