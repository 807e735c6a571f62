"""`python -m jobs.celery_worker APP …`: Celery's command `worker` with its options, and none of its other commands.

To load those, which no worker needs, takes a tenth of a worker's start.
"""

import sys
from typing import Any


def main() -> None:
    """Do as `celery -A APP worker …` does, gevent's patches first."""
    from celery import maybe_patch_concurrency

    maybe_patch_concurrency()
    from celery.app.utils import find_app
    from celery.bin.base import CLIContext
    from celery.bin.worker import worker

    name, *arguments = sys.argv[1:]
    app = find_app(name)
    worker.params.extend(app.user_options.get("worker", []))
    as_the_terminal_has_it: Any = None
    context = CLIContext(app=app, no_color=as_the_terminal_has_it, workdir=None)
    worker.main(arguments, obj=context, auto_envvar_prefix="CELERY_WORKER")


if __name__ == "__main__":
    main()
