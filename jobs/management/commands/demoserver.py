"""`manage.py demoserver`: serve pages for the HTTP jobs of the demo and the tests."""

import asyncio
import signal
from argparse import ArgumentParser
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from jobs.demo_server import serve


class Command(BaseCommand):
    """Run the demo server until it is stopped."""

    help = "Serve GET /wait?ms=100&bytes=1000 and GET /page/<n> for the HTTP jobs."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the address to listen on; by default that of JOB_HTTP_DEMO_URL."""
        demo = urlsplit(settings.JOB_HTTP_DEMO_URL)
        parser.add_argument("--host", default=demo.hostname or "127.0.0.1", help="Address to listen on.")
        parser.add_argument(
            "--port", type=int, default=demo.port or 80, help="Port to listen on; 0: any free port."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until SIGINT or SIGTERM."""
        host, port = options["host"], options["port"]
        try:
            asyncio.run(self._serve(host, port))
        except (OSError, OverflowError) as error:
            raise CommandError(
                f"Cannot listen on {host}:{port} ({error}); choose another with --port."
            ) from error

    async def _serve(self, host: str, port: int) -> None:
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        await serve(host, port, lambda actual: self._announce(host, actual), stopped)

    def _announce(self, host: str, port: int) -> None:
        shown = f"[{host}]" if ":" in host else host
        self.stdout.write(f"Demo server listens on http://{shown}:{port}")
        self.stdout.flush()
