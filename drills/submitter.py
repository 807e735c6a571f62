"""Submits the drills' jobs, steadily and in bursts, and writes the id of each that was accepted to a file.

`python -m drills.submitter` reads its orders from standard input, one JSON object a line:
{"rate_per_s": 10, "longest_s": 0.5} sets the steady load of every pool; in it "batch" is the number of jobs submitted at
once, and "odd" the definitions of which one job follows each batch. {"burst": 500, "pool": "gevent", "longest_s": 0.1}
submits at once. With --http it submits by the site's form, as a person does.
"""

import argparse
import itertools
import json
import os
import random
import select
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

FOLDER = Path(os.environ["POOLWISE_DRILL_FOLDER"])
_LARGEST = 500  # copies of one submission


class Entry(Protocol):
    """A way to submit."""

    def submit(self, definition: str, pool: str, params: dict[str, float], copies: int) -> list[str]:
        """Return the ids of what was accepted. Raise anything where nothing was."""


class FunctionEntry:
    """Submission as programs do it."""

    def __init__(self) -> None:
        import django

        django.setup()

    def submit(self, definition: str, pool: str, params: dict[str, float], copies: int) -> list[str]:
        """Submit by `poolwise.submit`."""
        from django.db import close_old_connections, connection

        from poolwise import submit

        close_old_connections()
        try:
            jobs = submit(definition, params, pool=pool, copies=copies)
        except Exception:
            connection.close()
            raise
        return [str(job.pk) for job in jobs]


class FormEntry:
    """Submission as people do it; `user:password@` is in the URL."""

    def __init__(self, url: str) -> None:
        import httpx

        self._client = httpx.Client(base_url=url, timeout=5.0, trust_env=False, auth=None)
        self._user, self._password = httpx.URL(url).username, httpx.URL(url).password
        self._is_in = False

    def submit(self, definition: str, pool: str, params: dict[str, float], copies: int) -> list[str]:
        """Post the form; a redirect to the job's page means that it was accepted."""
        page = f"/definitions/{definition}/"
        if not self._is_in:
            self._log_in()
        data = {
            "pools": pool,
            "copies": "1",
            **{f"param-{name}": str(value) for name, value in params.items()},
        }
        data["csrfmiddlewaretoken"] = self._client.cookies["csrftoken"]
        answer = self._client.post(page, data=data)
        if answer.status_code != 302 or not answer.headers["Location"].startswith("/jobs/"):
            raise RuntimeError(f"HTTP {answer.status_code}")
        return [answer.headers["Location"].split("/")[2]]

    def _log_in(self) -> None:
        page = "/accounts/login/"
        self._client.get(page)
        token = self._client.cookies["csrftoken"]
        data = {"username": self._user, "password": self._password, "csrfmiddlewaretoken": token}
        answer = self._client.post(page, data=data)
        if answer.status_code != 302:
            raise RuntimeError(f"cannot log in: HTTP {answer.status_code}")
        self._is_in = True


class Submitter:
    """Carries out the orders."""

    def __init__(self, entry: Entry, pools: list[str], seed: int) -> None:
        self.entry, self.pools, self.random = entry, pools, random.Random(seed)
        self.turn = itertools.cycle(pools)
        self.rate_per_s, self.longest_s, self.batch = 0.0, 0.5, 1
        self.definition = "drill.effect"
        self.odd: dict[str, Iterator[str]] = {}
        self.due_mono = time.monotonic()
        self.accepted = (FOLDER / "accepted").open("a", buffering=1)
        self.refused = (FOLDER / "refused").open("a", buffering=1)

    def run(self) -> None:
        """Submit until standard input ends."""
        waiting = b""
        while True:
            wait_s = max(0.0, self.due_mono - time.monotonic()) if self.rate_per_s else None
            if select.select([sys.stdin], [], [], wait_s)[0]:
                # Unbuffered: a second order that is already read would not be seen by `select`.
                orders = os.read(sys.stdin.fileno(), 65_536)
                if not orders:
                    return
                waiting += orders
                *lines, waiting = waiting.split(b"\n")
                for line in lines:
                    self._execute(json.loads(line))
            elif self.rate_per_s:
                self._submit_batch()

    def _execute(self, order: dict[str, Any]) -> None:
        if "burst" in order:
            for start in range(0, order["burst"], _LARGEST):
                copies = min(_LARGEST, order["burst"] - start)
                self._submit(order["pool"], order["longest_s"], copies)
        else:
            self.rate_per_s, self.longest_s = order["rate_per_s"], order["longest_s"]
            self.batch, self.definition = order.get("batch", 1), order.get("definition", self.definition)
            if odd := order.get("odd"):
                self.odd = {pool: itertools.cycle(self.random.sample(odd, len(odd))) for pool in self.pools}
            self.due_mono = time.monotonic()
            if not self.rate_per_s:
                (FOLDER / "submitter-idle").touch()

    def _submit_batch(self) -> None:
        # What an outage delayed is not made up for: the load stays the same.
        every_s = self.batch / self.rate_per_s / len(self.pools)
        self.due_mono = max(self.due_mono + every_s, time.monotonic() - 0.5)
        pool = next(self.turn)
        self._submit(pool, round(self.random.uniform(0.0, self.longest_s), 3), self.batch)
        if self.odd:
            self._store(next(self.odd[pool]), pool, {}, 1)

    def _submit(self, pool: str, duration_s: float, copies: int) -> None:
        self._store(self.definition, pool, {"duration_s": duration_s}, copies)

    def _store(self, definition: str, pool: str, params: dict[str, float], copies: int) -> None:
        try:
            ids = self.entry.submit(definition, pool, params, copies)
        except Exception as error:  # a fault is at work: what was not accepted may not count
            self.refused.write(f"{pool} {type(error).__name__}: {str(error)[:200]!r}\n")
            return
        self.accepted.write("".join(f"{job} {pool}\n" for job in ids))


def main() -> None:
    """Submit as the orders on standard input ask."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pools", required=True)
    parser.add_argument("--http", help="the site's address with user and password")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    make: Callable[[], Entry] = (lambda: FormEntry(options.http)) if options.http else FunctionEntry
    submitter = Submitter(make(), options.pools.split(","), options.seed)
    (FOLDER / "submitter-ready").touch()
    submitter.run()


if __name__ == "__main__":
    main()
