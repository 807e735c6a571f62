"""ASGI entry point."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
application = get_asgi_application()

from poolwise import checks  # noqa: E402 - its apps are loaded now

checks.warn_of_missing_static_files()
