"""The settings of the site, with the jobs of this benchmark."""

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "benchmarks.peers.apps.poolwise_app"]
