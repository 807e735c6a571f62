from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "tests.lab.one_slot.apps.OneSlot"]
