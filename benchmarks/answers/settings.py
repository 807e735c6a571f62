"""The settings of the site, with the jobs of this benchmark."""

from project import environment as env
from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "benchmarks.answers"]
#: A PostgreSQL that lets every slot connect; empty: there is none.
ANSWERS_SQL_URL: str = env.text("ANSWERS_SQL_URL", "")
