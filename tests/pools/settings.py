"""Django's settings for the workers of these tests: the pools need Django, not the platform."""

SECRET_KEY = "only for tests"
INSTALLED_APPS: list[str] = []
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
USE_TZ = True
LANGUAGE_CODE = "en"
