"""The program of a pool's worker: `python -m poolwise.worker.program --app project --pool threads …`.

It starts Celery's worker as `celery worker` does, and takes half a second less: that loads every command of Celery, a
shell among them. Only the standard library is imported here, since gevent has to patch before anything else is loaded.
"""

import sys
from argparse import ArgumentParser
from importlib import metadata


def main() -> None:
    """Run the worker that the arguments describe until it ends; exit with its status."""
    parser = ArgumentParser(prog="poolwise.worker.program")
    for name in ("--app", "--pool", "--queues", "--hostname"):
        parser.add_argument(name, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    options = parser.parse_args()
    if options.pool == "gevent":
        _patch()
    _run(options.app, options.pool, options.queues, options.hostname, options.concurrency)


def _patch() -> None:
    """Have gevent patch the standard library. It looks for plugins at each patch: read those of all packages once."""
    from gevent import monkey

    read, metadata.entry_points = metadata.entry_points, metadata.entry_points().select
    try:
        monkey.patch_all()
    finally:
        metadata.entry_points = read


def _run(app: str, pool: str, queue: str, name: str, slots: int) -> None:
    from celery.app.utils import find_app

    from poolwise.pools import POOL_CLASSES
    from poolwise.support import startup

    with startup.uncollected():  # all that it loads, and before a pool forks
        worker = find_app(app).Worker(
            hostname=name,
            pool_cls=POOL_CLASSES.get(pool, pool),
            concurrency=slots,
            queues=[queue],
            without_gossip=True,
            without_mingle=True,
        )
    worker.start()
    sys.exit(worker.exitcode)


if __name__ == "__main__":
    main()
