"""Wiring of the app."""

import os

from django.apps import AppConfig


class DrillsConfig(AppConfig):
    """The jobs of the drills and the crash points."""

    name = "drills.app"
    label = "drills"
    verbose_name = "Drills"

    def ready(self) -> None:
        """Wrap the platform's steps, so that a drill can end the process at each of them."""
        from drills.app import crash_points, odd  # noqa: F401 - declares the odd jobs
        from poolwise.lifecycle import stream

        crash_points.install()
        if seconds := os.environ.get("POOLWISE_DRILL_CLAIM_AFTERLIFE_S"):
            stream.CLAIM_AFTERLIFE_S = stream.CLAIM_LONG_AFTERLIFE_S = int(seconds)
