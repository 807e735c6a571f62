"""Ours with another user model, language, and path."""

import os

os.environ["FORCE_SCRIPT_NAME"] = "/batch/"

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS as _APPS
from project.settings import JOB_POOLS as _POOLS

INSTALLED_APPS = [*_APPS, "tests.project.other_site"]
AUTH_USER_MODEL = "other_site.Account"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LANGUAGE_CODE = "fr"  # whose separators no browser takes for those of a number
USE_THOUSAND_SEPARATOR = True
JOB_POOLS = {**_POOLS, "threads": {"model": "threads", "queue": "threads", "concurrency": 1_200}}
JOB_PUBLISH_BUDGET_S = 0.05
