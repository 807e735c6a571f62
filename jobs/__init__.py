"""The jobs of this site: a Django app that uses nothing of the library but `from poolwise import …`. Add yours here.

`io`, `cpu` and `mixed` do real work with limits and repeatable results; `endings` fail or crash on purpose; `hazards`
show common mistakes. `http`, `egress` and `addresses` fetch from the network, `demo_server` answers, `data` generates.
"""

from importlib import import_module

from django.core.checks import register

#: The name of a module is the first half of its definitions' names; those of `hazards` begin with `hazard`.
MODULES = ("io", "cpu", "mixed", "endings", "hazards")


def load() -> None:
    """Import every module, which registers its definitions, and register the checks of their settings."""
    from jobs.settings_checks import check_http

    register(check_http, "poolwise")
    for module in MODULES:
        import_module(f"{__name__}.{module}")
