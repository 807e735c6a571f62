"""The tests; each folder mirrors a part of the source."""

from pathlib import Path

#: The repository.
ROOT = Path(__file__).resolve().parent.parent
