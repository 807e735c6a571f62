"""Jobs that compute. Those that hold the GIL need processes; those that release it also scale on threads."""

import hashlib
import json
import zlib
from typing import Annotated, Any

from pydantic import Field

from jobs.data import MIB, Seed, digest, seeded
from poolwise import job


@job(kind="cpu", title="Prime sieve")
def primes(
    limit: Annotated[
        int, Field(ge=2, le=20_000_000, description="Find all primes up to this number.")
    ] = 1_000_000,
) -> dict[str, int]:
    """Find primes with the sieve of Eratosthenes in pure Python; return their number and the largest.

    Never waits and always holds the GIL: only processes run two of them at once.
    """
    is_prime = bytearray([1]) * (limit + 1)
    is_prime[:2] = b"\0\0"
    for number in range(2, int(limit**0.5) + 1):
        if is_prime[number]:
            for multiple in range(number * number, limit + 1, number):
                is_prime[multiple] = 0
    return {"primes": sum(is_prime), "largest": is_prime.rindex(1)}


@job(kind="cpu", title="N queens")
def queens(
    size: Annotated[int, Field(ge=1, le=13, description="Width of the board, and number of queens.")] = 11,
) -> dict[str, int]:
    """Count the ways to place queens on a board so that none attacks another.

    Never waits and always holds the GIL: pure Python, many small calls.
    """
    return {"size": size, "solutions": _placements((1 << size) - 1, 0, 0, 0)}


def _placements(board: int, columns: int, left: int, right: int) -> int:
    if columns == board:
        return 1
    count, free = 0, board & ~(columns | left | right)
    while free:
        queen = free & -free
        free ^= queen
        count += _placements(board, columns | queen, (left | queen) << 1, (right | queen) >> 1)
    return count


@job(kind="cpu", title="SHA-256")
def sha256(
    size_mib: Annotated[int, Field(ge=1, le=1024, description="Amount of data to hash.")] = 64,
    seed: Seed = 1,
) -> dict[str, Any]:
    """Hash a large amount of data.

    Never waits, but hashlib releases the GIL for each MiB: scales on threads as well as on processes.
    """
    block, hashed = seeded(seed).randbytes(MIB), hashlib.sha256()
    for _ in range(size_mib):
        hashed.update(block)
    return {"bytes": size_mib * MIB, "sha256": hashed.hexdigest()}


@job(kind="cpu", title="zlib compression")
def compress(
    size_mib: Annotated[int, Field(ge=1, le=128, description="Amount of data to compress.")] = 2,
    level: Annotated[int, Field(ge=1, le=9, description="1 is fast, 9 is small.")] = 6,
    seed: Seed = 1,
) -> dict[str, Any]:
    """Compress data and expand it again; return both sizes.

    Never waits, but zlib releases the GIL while it works: scales on threads.
    """
    # A hexadecimal digit holds 4 bits in a byte, and the window of zlib is 32 KiB: the ratio is near 0.5.
    block = seeded(seed).randbytes(MIB // 2).hex().encode()
    packed = zlib.compress(block * size_mib, level)
    restored = zlib.decompress(packed)
    return {"bytes": len(restored), "compressed_bytes": len(packed), "crc32": zlib.crc32(restored)}


@job(kind="cpu", title="PBKDF2")
def pbkdf2(
    iterations: Annotated[int, Field(ge=1, le=5_000_000, description="Rounds of HMAC-SHA-256.")] = 100_000,
    seed: Seed = 1,
) -> dict[str, Any]:
    """Derive a key from a password, as at each login.

    Never waits, but hashlib releases the GIL for the whole derivation: scales on threads. One call cannot be
    interrupted: on threads a time limit takes effect after it.
    """
    random = seeded(seed)
    key = hashlib.pbkdf2_hmac("sha256", random.randbytes(16), random.randbytes(16), iterations)
    return {"iterations": iterations, "key": key.hex()}


@job(kind="cpu", title="JSON round trip")
def json_round_trip(
    items: Annotated[int, Field(ge=1, le=200_000, description="Entries of the document.")] = 30_000,
    seed: Seed = 1,
) -> dict[str, Any]:
    """Build a document, encode it as JSON, decode it and compare.

    Never waits and holds the GIL in single long C calls: nothing else in the process runs during them.
    """
    random = seeded(seed)
    document = [{"id": i, "name": f"item {i}", "price": random.randrange(10_000) / 100} for i in range(items)]
    text = json.dumps(document)
    if json.loads(text) != document:
        raise ValueError("The decoded document differs from the encoded one.")
    return {"items": items, "bytes": len(text), "digest": digest(text.encode())}


@job(kind="cpu", title="Matrix product")
def matrix_product(
    size: Annotated[int, Field(ge=1, le=2000, description="Rows and columns of both matrices.")] = 800,
    seed: Seed = 1,
) -> dict[str, Any]:
    """Multiply two square matrices with NumPy.

    Never waits, but NumPy releases the GIL during the product: scales on threads.
    """
    import numpy as np  # a fifth of a second and 20 MiB in each worker, which most do not need

    random = np.random.default_rng(seed)
    # Whole numbers: the product is exact, so its digest is the same on every processor.
    left, right = (random.integers(0, 10, (size, size)).astype(np.float64) for _ in range(2))
    product = left @ right
    return {"size": size, "trace": float(np.trace(product)), "digest": digest(product.tobytes())}


Pixels = Annotated[int, Field(ge=16, le=4000, description="Pixels of the generated image.")]


@job(kind="cpu", title="Thumbnail")
def thumbnail(
    width_px: Pixels = 2400,
    height_px: Pixels = 1800,
    thumbnail_px: Annotated[int, Field(ge=8, le=512, description="Longest side of the thumbnail.")] = 128,
    seed: Seed = 1,
) -> dict[str, Any]:
    """Generate an image and scale it down.

    Never waits, but Pillow releases the GIL while it scales: scales on threads.
    """
    from PIL import Image

    noise = Image.frombytes("RGB", (16, 16), seeded(seed).randbytes(16 * 16 * 3))
    image = noise.resize((width_px, height_px), Image.Resampling.BICUBIC)
    image.thumbnail((thumbnail_px, thumbnail_px), Image.Resampling.LANCZOS)
    return {"width": image.width, "height": image.height, "digest": digest(image.tobytes())}
