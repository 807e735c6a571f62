#!/usr/bin/env python
"""Django's command line."""

import os
import sys

#: Commands that need the settings alone, and their apps; loading every app would cost a second of a core at each start.
WITHOUT_APPS = {"pool": "poolwise", "demoserver": "jobs"}


def main() -> None:
    """Run the management command that the arguments name."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise SystemExit(
            "Django is not installed here: run `make install`, then use .venv/bin/python."
        ) from error
    try:
        _read_settings()
        if sys.argv[1:2] and sys.argv[1] in WITHOUT_APPS:
            _run_without_apps(sys.argv)
        else:
            _load_apps()
            execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        if "--traceback" in sys.argv:
            raise
        sys.exit(f"poolwise: {error}")


def _read_settings() -> None:
    """Load the settings. Raise ImproperlyConfigured for whatever in them cannot be read, with its name."""
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    try:
        settings.DEBUG  # noqa: B018 - the first to be read loads them all
    except ValueError as error:
        raise ImproperlyConfigured(f"{error} See docs/settings.md.") from error


def _load_apps() -> None:
    import django

    from poolwise.support import startup

    with startup.uncollected():
        django.setup()


def _run_without_apps(argv: list[str]) -> None:
    from importlib import import_module

    command = import_module(f"{WITHOUT_APPS[argv[1]]}.management.commands.{argv[1]}").Command()
    command.run_from_argv(argv)


if __name__ == "__main__":
    main()
