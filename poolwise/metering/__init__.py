"""Clocks of a thread, a greenlet and a coroutine. Serves any Celery app: no Django model, no definition."""
