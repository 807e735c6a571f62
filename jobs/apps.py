"""The app of this site's jobs."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    """The jobs that this site offers."""

    name = "jobs"
    verbose_name = "Jobs of this site"

    def ready(self) -> None:
        """Import every module of jobs, which registers their definitions."""
        from jobs import load

        load()
