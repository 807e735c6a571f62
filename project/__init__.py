"""Settings and wiring of the Poolwise site.

The Celery application is `project.celery`, which the app `jobs` loads with Django's apps: a process that needs the
settings alone (`manage.py pool`) does without Celery.
"""
