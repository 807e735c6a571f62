"""Is the answer right? Twelve jobs whose best pool is known by construction: `python -m benchmarks.answers`."""
