"""Poolwise beside other queues: `python -m benchmarks.peers` measures them in turns, in one run."""
