"""Wiring of the app."""

from django.apps import AppConfig


class DrillsConfig(AppConfig):
    """The witness job and the crash points."""

    name = "dev.drills.app"
    label = "drills"
    verbose_name = "Drills"

    def ready(self) -> None:
        """Wrap the platform's steps, so that a drill can end the process at each of them."""
        from dev.drills.app import crash_points

        crash_points.install()
