"""The jobs that Poolwise ships: real work of every kind, bounded and repeatable."""

from importlib import import_module

#: Each module's name is the first half of its definitions' names.
MODULES = ("io", "cpu", "mixed", "ending")


def load() -> None:
    """Import every module of the catalogue, which registers its definitions."""
    for module in MODULES:
        import_module(f"{__name__}.{module}")
