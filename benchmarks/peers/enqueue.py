"""Submit jobs as a user of a system does: `python -m benchmarks.peers.enqueue APP`, in the system's environment.

Each line of standard input names a workload and a number of jobs; the answer is a line of JSON with the seconds it took
and the CPU time of this process.
"""

import json
import sys
import time
from importlib import import_module


def main() -> None:
    """Submit what standard input asks for, until it ends."""
    app = import_module(f"benchmarks.peers.apps.{sys.argv[1]}")
    _answer({"ready": True})
    for line in sys.stdin:
        workload, jobs = line.split()
        begin_mono, begin_cpu_s = time.perf_counter(), time.process_time()
        app.enqueue(workload, int(jobs))
        _answer({"seconds": time.perf_counter() - begin_mono, "cpu_s": time.process_time() - begin_cpu_s})


def _answer(answer: dict[str, object]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
