"""What a bundle may hold: nothing in it is trusted that these models have not bounded."""

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

FORMAT = "poolwise-evidence"
VERSION = 1
MANIFEST, SAMPLES, FIGURES, COMMAND = "manifest.json", "samples.csv", "figures.json", "command.txt"
CHART = r"charts/[a-z0-9_-]{1,40}\.svg"

MAX_FILE_BYTES = 32_000_000
MAX_UNPACKED_BYTES = 128_000_000
MAX_ENTRIES = 64
MAX_JSON_BYTES = 8_000_000
MAX_SAMPLES = 200_000
_MAX_POOLS = 50


def _small_json(value: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(value, allow_nan=False)) > 100_000:
        raise ValueError("too large")
    return value


Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Number = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=10**12)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_]\w{0,99}$")]
#: A pool, or values of parameters, perhaps on a pool: `guard=lock on threads`.
ARM = r"^[A-Za-z_][\w.:+=, -]*$"
MAX_ARM_CHARS = 300
Arm = Annotated[str, Field(pattern=ARM, max_length=MAX_ARM_CHARS)]
Word = Annotated[str, Field(max_length=100)]
Text = Annotated[str, Field(max_length=2_000)]
Json = Annotated[dict[str, Any], AfterValidator(_small_json)]


Values = Annotated[
    list[bool | int | float | Annotated[str, Field(max_length=40)]], Field(min_length=2, max_length=12)
]


class _Part(BaseModel):
    """A part of a bundle: what the models do not name is dropped."""

    model_config = ConfigDict(extra="ignore", strict=False, frozen=True)


class File(_Part):
    """A file of the bundle as the manifest lists it."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Count


class Asked(_Part):
    """What was compared, as `comparisons.plan` takes it."""

    definition: Annotated[str, Field(pattern=r"^[\w.]{1,200}$")]
    params: Json
    pools: Annotated[list[Name], Field(min_length=1, max_length=_MAX_POOLS)]
    copies: Annotated[int, Field(ge=1, le=1_000_000)]
    rounds: Annotated[int, Field(ge=1, le=1_000)]
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] = 0
    warmup: bool = False
    calibrate: bool = False
    baseline: Annotated[str, Field(max_length=300)] = ""
    preset: Annotated[str, Field(max_length=20)] = ""
    in_flight: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    arrival_rate_per_s: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] | None = None
    slots: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    is_sweep: bool = False
    vary: Annotated[dict[Name, Values], Field(min_length=1, max_length=12)] | None = None


class Manifest(_Part):
    """What the bundle is, and the digests of its files."""

    format: Literal["poolwise-evidence"]
    version: Literal[1]
    written_at: Annotated[str, Field(max_length=40)]
    created_at: Annotated[str, Field(max_length=40)]
    comparison: Asked
    files: Annotated[dict[str, File], Field(max_length=MAX_ENTRIES)]


class Spread(_Part):
    """A median and a 95th percentile, in seconds."""

    p50: Seconds | None
    p95: Seconds | None


class Concurrency(_Part):
    """Jobs at once: the most, and the average over time."""

    peak: Count
    mean: Number


class Block(_Part):
    """One block in figures."""

    round: Count
    role: Literal["measured", "warmup", "calibration"]
    slots: Count
    jobs: Count
    makespan_s: Seconds | None
    jobs_per_s: Number | None
    succeeded: Count
    failed: Count
    run_s: Spread
    broker_wait_s: Spread
    worker_wait_s: Spread
    cpu_s_pool: Seconds | None
    peak_memory_bytes: Count | None
    db_connections: Count | None
    concurrency: Concurrency
    efficiency: Number | None
    ideal_makespan_s: Seconds | None
    void_reason: Text


class Time(_Part):
    """What the run seconds went to."""

    cpu_s: Seconds
    run_queue_s: Seconds
    gil_wait_s: Seconds
    blocked_s: Seconds
    unknown_s: Seconds


class Stall(_Part):
    """The longest stall, and the job that caused it."""

    max_s: Seconds
    caused_by: Word | None


class Pool(_Part):
    """One pool, or another arm of the comparison, in figures."""

    name: Arm
    pool: Name | None = None
    model: Word
    slots: Count | None
    jobs: Count
    succeeded: Count
    failed: Count
    cancelled: Count
    unfinished: Count
    makespan_s: Seconds | None
    makespans_s: Annotated[list[Seconds], Field(max_length=1_000)]
    run_s: Spread
    broker_wait_s: Spread
    worker_wait_s: Spread
    cpu_s: Spread
    cpu_share: Number | None
    jobs_per_s: Number | None
    blocks: Annotated[list[Block], Field(max_length=10_000)]
    time: Time
    overhead_s: Seconds | None
    stall: Stall | None
    peak_memory_bytes: Count | None


class Verdict(_Part):
    """One verdict."""

    word: Literal["faster", "slower", "no difference detected", "cannot tell"]
    ratio: Number | None
    low: Number | None
    high: Number | None
    p_value: Annotated[float, Field(ge=0, le=1)] | None
    rounds: Count
    n: Count
    reason: Text


class Pair(Verdict):
    """The verdict of one pair."""

    base: Arm
    other: Arm


class Badge(_Part):
    """A badge of the gate."""

    id: Word
    title: Word
    passed: bool
    matters: bool
    reason: Text
    pools: Annotated[list[Arm], Field(max_length=_MAX_POOLS)] = []


class Gate(_Part):
    """The validity gate."""

    valid: bool
    badges: Annotated[list[Badge], Field(max_length=100)]


class Advice(_Part):
    """The advice."""

    pool: Name
    slots: Count
    text: Text
    would_change: Text
    proven: bool


class Point(_Part):
    """A point of a sweep."""

    slots: Count
    jobs_per_s: Number | None
    p95_s: Seconds | None
    memory_bytes: Count | None
    db_connections: Count | None
    is_knee: bool


Cell = Annotated[str, Field(max_length=300)]
Row = Annotated[list[Cell], Field(max_length=20)]


class Harm(_Part):
    """What the jobs of a hazard returned, a row an arm."""

    head: Row
    rows: Annotated[list[Row], Field(max_length=200)]


class Figures(_Part):
    """The evidence of a comparison."""

    version: Literal[1]
    sentence: Text
    metric: Text
    baseline: Annotated[str, Field(max_length=300)]
    vary: dict[Name, Values] | None = None
    verdicts: Annotated[dict[Arm, Verdict], Field(max_length=_MAX_POOLS)]
    pairs: Annotated[list[Pair], Field(max_length=_MAX_POOLS**2)]
    pools: Annotated[list[Pool], Field(max_length=_MAX_POOLS)]
    gate: Gate
    environment: Json
    advice: Advice | None
    sweep: dict[Arm, Annotated[list[Point], Field(max_length=100)]] | None
    lesson: Text = ""
    harm: Harm | None = None
