"""The manifest of a bundle as typed models, and the limits of its files: a bundle is untrusted input."""

from typing import Annotated, Literal

from pydantic import Field

from poolwise.support import MAX_COMPARED, Count, Frozen, Json, Name, Values

FORMAT = "poolwise-report"
VERSION = 1
MANIFEST, SAMPLES, FIGURES, COMMAND = "manifest.json", "samples.csv", "figures.json", "command.txt"
CHART = r"charts/[a-z0-9_-]{1,40}\.svg"

MAX_FILE_BYTES = 32_000_000
MAX_UNPACKED_BYTES = 128_000_000
MAX_ENTRIES = 64
MAX_JSON_BYTES = 8_000_000
MAX_SAMPLES = 200_000


class File(Frozen):
    """A file of the bundle as the manifest lists it."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Count


class PlannedComparison(Frozen):
    """What was compared, as the arguments of `lab.plan`."""

    definition: Annotated[str, Field(pattern=r"^[\w.]{1,200}$")]
    params: Json
    pools: Annotated[list[Name], Field(min_length=1, max_length=MAX_COMPARED)]
    copies: Annotated[int, Field(ge=1, le=1_000_000)]
    rounds: Annotated[int, Field(ge=1, le=1_000)]
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] = 0
    warmup: bool = False
    calibrate: bool = False
    baseline: Annotated[str, Field(max_length=300)] = ""
    preset: Annotated[str, Field(max_length=20)] = ""
    budget_s: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] | None = None
    in_flight: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    arrival_rate_per_s: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] | None = None
    slots: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    is_sweep: bool = False
    vary: Annotated[dict[Name, Values], Field(min_length=1, max_length=12)] | None = None


class Manifest(Frozen):
    """What was compared, and the digests of the bundle's files."""

    format: Literal["poolwise-report"]
    version: Literal[1]
    written_at: Annotated[str, Field(max_length=40)]
    created_at: Annotated[str, Field(max_length=40)]
    comparison: PlannedComparison
    files: Annotated[dict[str, File], Field(max_length=MAX_ENTRIES)]
