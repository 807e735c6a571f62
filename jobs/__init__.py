"""The jobs that Poolwise ships: real work of every kind, bounded and repeatable."""

from importlib import import_module

from django.core.checks import register

#: Each module's name is the first half of its definitions' names; those of `hazards` begin with `hazard`.
MODULES = ("io", "cpu", "mixed", "endings", "hazards")


def load() -> None:
    """Import every module of the catalogue, which registers its definitions, and register its checks."""
    from jobs.settings_checks import check_http

    register(check_http, "poolwise")
    for module in MODULES:
        import_module(f"{__name__}.{module}")
