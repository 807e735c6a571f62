"""Our Redis transport for kombu. Serves any Celery app: no Django model, no definition."""
