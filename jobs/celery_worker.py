"""`python -m jobs.celery_worker …`: Celery's command line, without the interactive shell of its command `amqp`.

To load that shell, which no worker opens, takes a tenth of a worker's start.
"""

import sys
from types import ModuleType


def main() -> None:
    """Do as `python -m celery` does, gevent's patches first."""
    from celery import maybe_patch_concurrency

    maybe_patch_concurrency()
    shell = ModuleType("click_repl")
    shell.register_repl = lambda group: group  # type: ignore[attr-defined]
    sys.modules[shell.__name__] = shell
    from celery.bin.celery import main as celery

    sys.exit(celery())


if __name__ == "__main__":
    main()
