"""`python -m poolwise.worker.main APP …`: Celery's command `worker` with its options, and none of its other commands.

To load those, which no worker needs, takes a tenth of a worker's start.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from typing import Any


def main() -> None:
    """Do as `celery -A APP worker …` does, gevent's patches first."""
    from celery import maybe_patch_concurrency

    with _entry_points_read_once():
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


@contextmanager
def _entry_points_read_once() -> Iterator[None]:
    """Answer who asks for entry points from one look at what is installed.

    gevent asks at each of its 25 patches, and each look reads a file of every package: a sixth of its worker's start.
    """
    read = metadata.entry_points
    all_there_are = cache(read)
    metadata.entry_points = lambda **wanted: all_there_are().select(**wanted)
    try:
        yield
    finally:
        metadata.entry_points = read


if __name__ == "__main__":
    main()
