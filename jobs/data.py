"""Random data that is the same for the same seed, digests of results, and temporary files."""

import hashlib
import random
import tempfile
from pathlib import Path
from typing import IO, Annotated

from django.conf import settings
from pydantic import Field

MIB = 1024 * 1024

Seed = Annotated[
    int, Field(ge=0, le=2**31 - 1, description="Seeds the random data: the same seed gives the same result.")
]


def seeded(seed: int) -> random.Random:
    """Return a random generator with a seed; not for secrets."""
    return random.Random(seed)  # noqa: S311


def digest(data: bytes | bytearray | memoryview) -> str:
    """Return 16 hex digits of SHA-256, enough to compare two results."""
    return hashlib.sha256(data).hexdigest()[:16]


def temporary_file() -> IO[bytes]:
    """Open a file without a name under JOB_FILES_DIR: the system removes it even when the worker is killed."""
    folder = Path(settings.JOB_FILES_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryFile(dir=folder)
