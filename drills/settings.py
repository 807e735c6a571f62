"""Settings of the platforms that drills break: the project's own, with the drills' job and the crash points.

Nothing of it is part of the project's settings, so that no production platform can have them.
"""

import os

from django.core.exceptions import ImproperlyConfigured

from project.settings import *  # noqa: F403
from project.settings import DEBUG, INSTALLED_APPS

if not DEBUG or not os.environ.get("POOLWISE_DRILL_FOLDER"):
    raise ImproperlyConfigured(
        "drills.settings are for `make drill` alone: set DJANGO_SETTINGS_MODULE=project.settings."
    )
DEBUG = False  # with it Django keeps every query's text: a load of jobs is to meet what runs in production
INSTALLED_APPS = [*INSTALLED_APPS, "drills.app"]
